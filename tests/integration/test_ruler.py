"""Rules from the API and from files, alerts at a real Alertmanager, samples at a real Prometheus, states in its form."""
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

from harness import Server, free_port
from servers import need_program

SECOND = 10**9
ALERT = """
name: web
interval: 1s
rules:
  - alert: TooManyErrors
    expr: sum by (app) (count_over_time({job="web"} |= "error" [6s])) > 2
    for: 1s
    labels: {severity: page, who: '{{ $labels.app | toUpper }}'}
    annotations: {summary: '{{ $labels.app }} had {{ $value | humanize }} errors'}
  - record: app:lines
    expr: sum by (app) (count_over_time({job="web"}[6s]))
"""


def wait_for(what, read, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while True:
        got = read()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (timeout_s, what))
        time.sleep(0.2)


class Alertmanager:
    """Debian's prometheus-alertmanager, telling a receiver of ours by webhook."""

    def __enter__(self):
        program = need_program("prometheus-alertmanager", "prometheus-alertmanager")
        self.directory = tempfile.mkdtemp(prefix="skald-alertmanager-")
        self.port = free_port()
        self.told = []   # (status, labels) as its webhook says
        told = self.told

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.extend((alert["status"], alert) for alert in message["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=self.hook.serve_forever, daemon=True).start()
        config = os.path.join(self.directory, "alertmanager.yml")
        with open(config, "w") as f:
            f.write("route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
                    "receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:%d/', send_resolved: true}]}]\n" % self.hook.server_port)
        self.log = open(os.path.join(self.directory, "log"), "wb")
        self.process = subprocess.Popen([program, "--config.file=" + config, "--storage.path=" + self.directory,
                                         "--web.listen-address=127.0.0.1:%d" % self.port, "--cluster.listen-address="],
                                        stdout=self.log, stderr=self.log)
        wait_for("Alertmanager is ready", self.ready)
        return self

    def ready(self):
        try:
            return urllib.request.urlopen("http://127.0.0.1:%d/-/ready" % self.port, timeout=5).status == 200
        except OSError:
            return False

    def alerts(self):
        return json.load(urllib.request.urlopen("http://127.0.0.1:%d/api/v2/alerts" % self.port, timeout=10))

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.hook.shutdown()
        self.hook.server_close()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Prometheus:
    """Debian's prometheus as a receiver of remote write; may be stopped and started again on the same port."""

    def __init__(self):
        self.program = need_program("prometheus", "prometheus")
        self.directory = tempfile.mkdtemp(prefix="skald-prometheus-")
        self.port = free_port()
        with open(os.path.join(self.directory, "prometheus.yml"), "w") as f:
            f.write("global: {}\n")
        self.log = open(os.path.join(self.directory, "log"), "wb")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([self.program, "--config.file=" + os.path.join(self.directory, "prometheus.yml"),
                                         "--storage.tsdb.path=" + os.path.join(self.directory, "data"), "--web.enable-remote-write-receiver",
                                         "--web.listen-address=127.0.0.1:%d" % self.port], stdout=self.log, stderr=self.log)
        wait_for("Prometheus is ready", self.ready)
        return self

    def ready(self):
        try:
            return urllib.request.urlopen("http://127.0.0.1:%d/-/ready" % self.port, timeout=5).status == 200
        except OSError:
            return False

    def query(self, expr):
        url = "http://127.0.0.1:%d/api/v1/query?%s" % (self.port, urllib.parse.urlencode({"query": expr}))
        return json.load(urllib.request.urlopen(url, timeout=10))["data"]["result"]

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        self.stop()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Ruler(unittest.TestCase):
    def start(self, ruler, auth=False):
        server = Server("auth_enabled: %s\nruler:\n  poll_interval: 1s\n  resend_delay: 1s\n%s" % (str(auth).lower(), ruler))
        self.addCleanup(server.close)
        return server.start()

    def rules(self, server, **params):
        status, body, _ = server.request("GET", "/prometheus/api/v1/rules", params=params or None)
        self.assertEqual(status, 200)
        return json.loads(body)["data"]["groups"]

    def put(self, server, group, tenant=None):
        headers = {"Content-Type": "application/yaml"}
        if tenant:
            headers["X-Scope-OrgID"] = tenant
        status, body, _ = server.request("POST", "/loki/api/v1/rules/ns", group, headers)
        self.assertEqual(status, 202, body)

    def push_errors(self, server, count, tenant=None):
        now = time.time_ns()
        status, body = server.push([({"job": "web", "app": "shop"}, [(now + i, "error %d" % i) for i in range(count)])],
                                   headers={"X-Scope-OrgID": tenant} if tenant else None)
        self.assertEqual(status, 204, body)

    def test_an_alert_reaches_alertmanager_and_is_resolved(self):
        with Alertmanager() as alertmanager:
            server = self.start("  alertmanager_url: http://127.0.0.1:%d\n  external_url: https://grafana.example\n" % alertmanager.port)
            self.put(server, ALERT)
            wait_for("the group is evaluated", lambda: any(g["lastEvaluation"] > "2000" for g in self.rules(server)))
            self.assertEqual(self.rules(server)[0]["rules"][0]["state"], "inactive")
            self.push_errors(server, 5)
            told = wait_for("the alert fires", lambda: [a for status, a in alertmanager.told if status == "firing"])[0]
            self.assertEqual(told["labels"], {"alertname": "TooManyErrors", "app": "shop", "severity": "page", "who": "SHOP"})
            self.assertEqual(told["annotations"], {"summary": "shop had 5 errors"})
            self.assertTrue(told["generatorURL"].startswith("https://grafana.example/explore?left="), told["generatorURL"])
            rule = self.rules(server)[0]["rules"][0]
            self.assertEqual((rule["state"], rule["health"], rule["alerts"][0]["state"]), ("firing", "ok", "firing"))
            self.assertEqual(rule["alerts"][0]["value"], "5e+00")
            status, body, _ = server.request("GET", "/prometheus/api/v1/alerts")
            self.assertEqual([a["labels"]["who"] for a in json.loads(body)["data"]["alerts"]], ["SHOP"])
            # Six seconds on, the lines are out of the window.
            wait_for("the alert is resolved", lambda: [a for status, a in alertmanager.told if status == "resolved"])
            wait_for("it is gone", lambda: self.rules(server)[0]["rules"][0]["state"] == "inactive")
            self.assertEqual(alertmanager.alerts(), [])
            recording = self.rules(server, type="record")[0]["rules"]
            self.assertEqual([(r["name"], r["type"], r["health"]) for r in recording], [("app:lines", "recording", "ok")])

    def test_an_alert_survives_alertmanager_being_away(self):
        with Alertmanager() as alertmanager:
            server = self.start("  alertmanager_url: http://127.0.0.1:%d,http://127.0.0.1:%d\n" % (free_port(), alertmanager.port))
            self.put(server, "name: always\ninterval: 1s\nrules: [{alert: Always, expr: vector(1)}]\n")
            wait_for("the one that is there is told", lambda: alertmanager.told)
            _, metrics, _ = server.request("GET", "/metrics")
            self.assertIn(b'loki_prometheus_notifications_errors_total{user="fake"', metrics)

    def test_recorded_samples_reach_prometheus_also_those_of_its_absence(self):
        prometheus = Prometheus()
        self.addCleanup(prometheus.close)
        prometheus.start()
        server = self.start("  remote_write: {enabled: true, clients: {prom: {url: 'http://127.0.0.1:%d/api/v1/write'}}}\n" % prometheus.port)
        self.put(server, 'name: g\ninterval: 1s\nrules:\n  - record: app:lines\n    labels: {env: prod}\n'
                         '    expr: sum by (app) (count_over_time({job="web"}[1h]))\n  - {alert: Always, expr: vector(1)}\n')
        self.push_errors(server, 5)
        found = wait_for("the sample is there", lambda: prometheus.query("app:lines == 5"))[0]
        self.assertEqual(found["metric"], {"__name__": "app:lines", "app": "shop", "env": "prod"})
        wait_for("the alert is a series", lambda: prometheus.query('ALERTS{alertname="Always",alertstate="firing"} == 1'))
        # Away for a while, and the process killed meanwhile.
        prometheus.stop()
        away = time.time()
        time.sleep(4)
        server.kill()
        back = time.time()
        server.start()
        prometheus.start()
        wait_for("new samples come", lambda: [r for r in prometheus.query("timestamp(app:lines)") if float(r["value"][1]) > back + 2])
        count = prometheus.query("count_over_time(app:lines[%dms] @ %.3f)" % (int(1000 * (back - away)), back))
        self.assertGreaterEqual(int(count[0]["value"][1]), 2, "samples of the absence were sent later")
        _, metrics, _ = server.request("GET", "/metrics")
        text = metrics.decode()
        self.assertIn('loki_ruler_wal_appender_ready{tenant="fake"} 1', text)
        self.assertIn('loki_ruler_wal_prometheus_remote_storage_samples_total{tenant="fake",remote_name="prom"', text)

    def test_remote_write_without_a_receiver_is_refused(self):
        server = Server("auth_enabled: false\nruler: {remote_write: {enabled: true}}\n")
        self.addCleanup(server.close)
        with self.assertRaises(RuntimeError) as refused:
            server.start()
        self.assertIn("ruler.remote_write.clients", str(refused.exception))

    def test_tenants_do_not_see_each_other(self):
        server = self.start("", auth=True)
        self.put(server, ALERT, tenant="a")
        self.push_errors(server, 5, tenant="b")

        def groups(tenant):
            _, body, _ = server.request("GET", "/prometheus/api/v1/rules", headers={"X-Scope-OrgID": tenant})
            return json.loads(body)["data"]["groups"]

        wait_for("evaluated twice", lambda: groups("a") and groups("a")[0]["lastEvaluation"] > "2000")
        time.sleep(2)
        self.assertEqual(groups("a")[0]["rules"][0]["state"], "inactive")
        self.assertEqual(groups("b"), [])

    def test_rule_files_and_their_changes(self):
        directory = tempfile.mkdtemp(prefix="skald-rules-")
        self.addCleanup(shutil.rmtree, directory)
        os.makedirs(os.path.join(directory, "fake"))
        path = os.path.join(directory, "fake", "ops.yaml")

        def write(text):
            with open(path + ".new", "w") as f:
                f.write(text)
            os.rename(path + ".new", path)

        write("groups:\n  - name: g\n    interval: 1s\n    rules: [{alert: A, expr: vector(1)}]\n")
        server = self.start("  storage: {type: local, local: {directory: %s}}\n" % directory)
        wait_for("fires", lambda: [r for g in self.rules(server) for r in g["rules"] if r["state"] == "firing"])
        self.assertEqual([(g["file"], g["name"]) for g in self.rules(server)], [("ops.yaml", "g")])
        write("groups:\n  - name: g\n    rules: [{alert: A, expr: 'sum('}]\n")
        time.sleep(3)
        self.assertEqual(self.rules(server)[0]["rules"][0]["state"], "firing", "a typing error silences nothing")
        os.remove(path)
        wait_for("gone", lambda: not self.rules(server))

    def test_a_changed_and_a_deleted_group_are_followed_at_once(self):
        server = self.start("")
        self.put(server, "name: g\ninterval: 1s\nrules: [{alert: A, expr: vector(1), for: 1h}]\n")
        wait_for("pending", lambda: [r for g in self.rules(server) for r in g["rules"] if r["state"] == "pending"])
        self.put(server, "name: g\ninterval: 1s\nrules: [{alert: A, expr: 'vector(1) > 1'}]\n")
        wait_for("inactive", lambda: [r for g in self.rules(server) for r in g["rules"] if r["state"] == "inactive" and r["health"] == "ok"])
        status, _, _ = server.request("DELETE", "/loki/api/v1/rules/ns/g")
        self.assertEqual(status, 202)
        wait_for("gone", lambda: not self.rules(server))

    def test_a_rule_that_fails_says_why(self):
        server = self.start("")
        self.put(server, 'name: g\ninterval: 1s\nrules: [{alert: A, expr: \'{job="web"}\'}]\n')
        rule = wait_for("fails", lambda: [r for g in self.rules(server) for r in g["rules"] if r["health"] == "err"])[0]
        self.assertEqual(rule["lastError"], "rule result is not a vector or scalar")


if __name__ == "__main__":
    unittest.main()
