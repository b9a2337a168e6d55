"""The installation of deploy/docker-compose.yaml with real processes: three writers, two readers, two backends, MinIO, nginx. The same
for one process with that file behind that gateway, which needs no ring."""
import os
import subprocess
import threading
import time
import unittest

import gateway
import scalable
import servers
import tools
from harness import ROOT


def setUpModule():
    if tools.yaml is None:
        raise unittest.SkipTest("PyYAML (package python3-yaml) is not here")
    if not gateway.NGINX:
        raise unittest.SkipTest("nginx is not here")


class Common:
    layout = None

    @classmethod
    def arguments(cls):
        return {}

    @classmethod
    def setUpClass(cls):
        for target in sorted({t for _, t in cls.layout}):
            said = scalable.refusal(target)
            if said:
                raise unittest.SkipTest("this binary does not run -target=%s: %s" % (target, said[-200:]))
        cls.store = cls.enter(servers.Minio())
        cls.installation = cls.enter(scalable.Installation(cls.store, cls.layout, **cls.arguments()))
        cls.front = cls.installation.front

    @classmethod
    def enter(cls, context):
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    def push(self, app, count, how="proto"):
        now = time.time_ns()
        status, body = self.front.push([({"app": app, "n": str(n)}, [(now + n * 1000 + i, "%s line %d of %d" % (app, i, n)) for i in range(count)]) for n in range(5)], how)
        self.assertEqual(status, 204, body)
        return now

    def test_lines_are_there_once_from_memory_and_from_the_store(self):
        for how in ("proto", "json-gzip", "legacy-proto"):
            start = self.push("once-" + how, 200, how)
            for phase in ("memory", "store"):
                rows = self.front.read_all('{app="once-%s"}' % how, start - 10**9, start + 60 * 10**9)
                self.assertEqual(len(rows), 1000, (how, phase))
                self.assertEqual(len(set(rows)), 1000, (how, phase))
                total = self.front.instant('sum(count_over_time({app="once-%s"}[1h]))' % how, time.time_ns() + 10**9)
                self.assertEqual(total[0]["value"][1], "1000", (how, phase))
                for m in self.installation.of("write"):
                    m.flush()

    def test_labels_and_series_come_from_all_members(self):
        start = self.push("series", 3)
        body = self.front.request("GET", "/loki/api/v1/series", params={"match[]": '{app="series"}', "start": start - 10**9, "end": start + 60 * 10**9})[1]
        self.assertEqual(body.count(b'"app":"series"'), 5)

    def test_pages_of_every_target_answer_through_the_gateway(self):
        for method, path, expected in (("GET", "/loki/api/v1/labels", 200), ("GET", "/prometheus/api/v1/rules", 200), ("GET", "/prometheus/api/v1/alerts", 200),
                                       ("GET", "/ring", 200), ("GET", "/config", 200), ("GET", "/loki/api/v1/status/buildinfo", 200), ("GET", "/metrics", 404)):
            with self.subTest(path=path):
                self.assertEqual(self.front.request(method, path)[0], expected)


class OneProcess(Common, unittest.TestCase):
    layout = scalable.ALONE


class FromTheChart(Common):
    """The same with the server's and the gateway's files out of the chart."""
    values = ()

    @classmethod
    def arguments(cls):
        helm = tools.helm()
        if not helm:
            raise unittest.SkipTest("neither helm nor a Go toolchain (1.24 or newer) to build it")
        done = subprocess.run([helm, "template", "logs", os.path.join(ROOT, "helm", "skald"), "--kube-version", "1.33.0", "--set", "loki.auth_enabled=false", "--set", "minio.enabled=true",
                               *cls.values], capture_output=True, text=True, env=dict(os.environ, KUBECONFIG="/dev/null"))
        if done.returncode:
            raise AssertionError(done.stderr)
        data = {k: v for o in tools.yaml.safe_load_all(done.stdout) if o and o["kind"] == "ConfigMap" for k, v in o["data"].items()}
        return {"base": data["config.yaml"], "nginx": data["nginx.conf"]}


class OneProcessFromTheChart(FromTheChart, unittest.TestCase):
    layout, values = scalable.ALONE, ("--set", "deploymentMode=SingleBinary")


class Targets(Common):
    layout = scalable.COMPOSE

    def test_rolling_restart_of_the_writers_fails_no_push_and_loses_no_line(self):
        acknowledged, failed, stop = [], [], threading.Event()

        def pusher():
            n = 0
            while not stop.is_set():
                now = time.time_ns()
                for attempt in (1, 2):   # a client tries once more
                    try:
                        status = self.front.push([({"app": "roll"}, [(now, "line %d" % n)])])[0]
                    except OSError:
                        status = 0
                    if status == 204:
                        acknowledged.append((now, "line %d" % n))
                        break
                else:
                    failed.append((n, status))
                n += 1
                time.sleep(0.01)

        start = time.time_ns()
        worker = threading.Thread(target=pusher)
        worker.start()
        try:
            for member in self.installation.of("write"):
                self.assertEqual(member.stop(), 0, member.tail_log())
                member.log.close()
                member.launch()
                member.wait_ready()
                enough, deadline = len(acknowledged) + 30, time.monotonic() + 60
                while len(acknowledged) < enough and time.monotonic() < deadline and not failed:
                    time.sleep(0.02)
        finally:
            stop.set()
            worker.join()
        self.assertEqual(failed, [])
        self.assertGreater(len(acknowledged), 50)
        rows = self.front.read_all('{app="roll"}', start - 10**9, time.time_ns() + 10**9)
        self.assertEqual(sorted(rows), sorted(acknowledged))

    def test_each_target_serves_its_own_routes_only(self):
        for target, path in (("write", "/loki/api/v1/query"), ("read", "/loki/api/v1/push"), ("backend", "/loki/api/v1/push")):
            for m in self.installation.of(target):
                self.assertIn(m.request("GET", path)[0], (404, 405), (m.name, path))


class WriteReadBackend(Targets, unittest.TestCase):
    pass


class WriteReadBackendFromTheChart(FromTheChart, Targets, unittest.TestCase):
    values = ("--set", "deploymentMode=SimpleScalable")


if __name__ == "__main__":
    unittest.main()
