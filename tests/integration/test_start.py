"""What a newcomer and an operator meet first: starting, stopping, refusing."""
import os
import subprocess
import tempfile
import threading
import time
import unittest

from harness import BINARY, ROOT, Server, free_port


class Start(unittest.TestCase):
    def test_starts_without_any_file(self):
        with tempfile.TemporaryDirectory() as directory:
            port = free_port()
            process = subprocess.Popen([BINARY, "-server.http-listen-port=%d" % port], cwd=directory, stderr=subprocess.PIPE)
            try:
                server = Server(directory=directory)
                server.port = port
                for _ in range(500):
                    try:
                        if server.request("GET", "/ready")[0] == 200:
                            break
                    except OSError:
                        pass
                    __import__("time").sleep(0.01)
                self.assertEqual(server.request("GET", "/ready")[0], 200)
            finally:
                process.terminate()
                _, stderr = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 0, stderr)

    def test_shipped_configurations_are_valid(self):
        for name in ("local.yaml", "docker.yaml"):
            done = subprocess.run([BINARY, "-config.file=" + os.path.join(ROOT, "configs", name), "-verify-config"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, (name, done.stderr))

    def test_unknown_key_names_line_and_nearest(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("auth_enabled: false\nserver:\n  http_listen_prt: 3100\n")
            f.flush()
            done = subprocess.run([BINARY, "-config.file=" + f.name, "-verify-config"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 3", done.stderr)
        self.assertIn("http_listen_prt", done.stderr)
        self.assertIn("http_listen_port", done.stderr)

    def test_listens_but_is_not_ready_while_the_log_is_replayed(self):
        server = Server(config="auth_enabled: false\nlimits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000}\n").start()
        self.addCleanup(server.close)
        now = time.time_ns()
        for stream in range(20):   # 40 MB
            entries = [(now + i, "%d %d " % (stream, i) + "x" * 200) for i in range(10000)]
            self.assertEqual(server.push([({"app": "replay", "n": str(stream)}, entries)])[0], 204)
        server.kill()
        seen = {"/ready": set(), "/loki/api/v1/labels": set()}
        texts = set()
        starter = threading.Thread(target=server.start)
        starter.start()
        while 200 not in seen["/ready"]:
            for path in seen:
                try:
                    status, body, headers = server.request("GET", path)
                except OSError:
                    continue
                seen[path].add(status)
                if status == 503:
                    texts.add(body)
                    if path != "/ready":
                        self.assertEqual(headers.get("Retry-After"), "1")
            self.assertTrue(starter.is_alive() or server.process.poll() is None, server.tail_log())
        starter.join()
        self.assertEqual(seen["/ready"], {503, 200})
        self.assertLessEqual(seen["/loki/api/v1/labels"], {503, 200})
        self.assertLessEqual(texts, {b"Ingester not ready: starting\n", b"Ingester not ready: starting"})
        total = server.instant('sum(count_over_time({app="replay"}[1h]))', time.time_ns())
        self.assertEqual(total[0]["value"][1], "200000")

    def test_ready_at_once_in_an_empty_directory(self):
        best = min(self.start_time() for _ in range(5))
        print("start to ready: %.0f ms" % (best * 1000), end=" ", flush=True)
        self.assertLess(best, 0.5)   # 100 ms is the aim; this is for machines that have much else to do

    def start_time(self):
        server = Server()
        started = time.monotonic()
        try:
            server.start()
            return time.monotonic() - started
        finally:
            server.stop()
            server.close()

    def test_port_in_use_is_one_clear_line(self):
        first = Server().start()
        self.addCleanup(first.close)
        second = Server()
        second.port = first.port
        self.addCleanup(second.close)
        done = subprocess.run([BINARY, "-server.http-listen-port=%d" % first.port, "-server.http-listen-address=127.0.0.1",
                               "-common.path-prefix=" + second.directory], capture_output=True, text=True, timeout=60, cwd=second.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot listen on 127.0.0.1:%d" % first.port, done.stderr)

    def test_version_and_unknown_flag(self):
        done = subprocess.run([BINARY, "-version"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("version", done.stdout + done.stderr)
        self.assertEqual(subprocess.run([BINARY, "-no.such-flag"], capture_output=True).returncode, 2)

    def test_health_flag_asks_the_running_server(self):
        server = Server().start()
        self.addCleanup(server.close)
        url = "http://127.0.0.1:%d/ready" % server.port
        self.assertEqual(subprocess.run([BINARY, "-health", "-health.url=" + url], capture_output=True).returncode, 0)
        server.stop()
        self.assertEqual(subprocess.run([BINARY, "-health", "-health.url=" + url], capture_output=True).returncode, 1)

    def test_metrics_show_what_was_pushed(self):
        server = Server().start()
        self.addCleanup(server.close)
        now = __import__("time").time_ns()
        self.assertEqual(server.push([({"app": "m"}, [(now, "hello")])])[0], 204)
        counted = 'loki_request_duration_seconds_bucket{method="POST",route="loki_api_v1_push"'
        for _ in range(100):   # a request is counted once its answer has gone out, which may be after we have read it
            text = server.request("GET", "/metrics")[1].decode()
            if counted in text:
                break
            time.sleep(0.05)
        self.assertIn('loki_distributor_lines_received_total', text)
        self.assertIn('loki_ingester_memory_streams', text)
        self.assertIn(counted, text)


if __name__ == "__main__":
    unittest.main()
