"""Real clients: winston-loki, the OpenTelemetry log exporters, a WebSocket client for tail (npm packages in clients/)."""
import json
import os
import shutil
import subprocess
import time
import unittest

from harness import Server

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")


def install():
    if not os.path.isdir(os.path.join(HERE, "node_modules", "ws")):
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"], cwd=HERE, check=True, timeout=300)


@unittest.skipUnless(shutil.which("node") and shutil.which("npm"), "node and npm are not here")
class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()

    def setUp(self):
        self.server = Server().start()
        self.addCleanup(self.server.close)

    def test_winston_and_opentelemetry_push(self):
        start = time.time_ns() - 60 * 10**9
        done = subprocess.run(["node", "push.mjs", "http://127.0.0.1:%d" % self.server.port], cwd=HERE, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr + self.server.tail_log())
        for phase in ("memory", "flushed"):
            end = time.time_ns() + 60 * 10**9
            for label, name in (("app", "winston-json"), ("app", "winston-proto"), ("service_name", "otel-json"), ("service_name", "otel-proto")):
                got = sorted(line for _, line in self.server.read_all('{%s="%s"}' % (label, name), start, end))
                self.assertEqual(got, sorted("%s line %d" % (name, i) for i in range(50)), (phase, name))
                errors = self.server.read_all('{%s="%s"} | detected_level="error"' % (label, name), start, end)
                self.assertEqual(len(errors), 5, (phase, name))
            rows = self.server.query_range('{service_name="otel-proto"} | number="7"', start, end)
            self.assertEqual([v[1] for s in rows for v in s["values"]], ["otel-proto line 7"])
            self.assertEqual(rows[0]["stream"]["host_name"], "h1")
            self.server.flush()

    def test_tail_shows_history_then_live_lines(self):
        now = time.time_ns()
        self.assertEqual(self.server.push([({"app": "t"}, [(now, "before")])])[0], 204)
        url = "ws://127.0.0.1:%d/loki/api/v1/tail?query=%%7Bapp%%3D%%22t%%22%%7D&start=%d" % (self.server.port, now - 10**9)
        tail = subprocess.Popen(["node", "tail.mjs", url, "3"], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(tail.stdout.readline().strip(), "open")
        self.assertEqual(tail.stdout.readline().strip(), "before")
        self.assertEqual(self.server.push([({"app": "t"}, [(time.time_ns(), "live 1"), (time.time_ns(), "live 2")])], "json")[0], 204)
        out, err = tail.communicate(timeout=30)
        self.assertEqual(out.split("\n")[:2], ["live 1", "live 2"], err)


if __name__ == "__main__":
    unittest.main()
