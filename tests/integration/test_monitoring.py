"""monitoring/ against the real thing: a Prometheus scrapes the server, every expression of dashboards and rules is asked."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from harness import ROOT, Server, free_port

MONITORING = os.path.join(ROOT, "monitoring")
DASHBOARDS = os.path.join(MONITORING, "dashboards")
RULES = os.path.join(MONITORING, "rules")
RUNBOOKS = os.path.join(ROOT, "docs", "runbooks")
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")

# What one process on a file system does not have. A name that is neither scraped nor here is misspelt; once a process has it,
# expressions over it must have values. The cluster's own test asks for the first group.
CLUSTER = {
    "loki_ring_members", "loki_ring_tokens_total", "loki_ring_member_heartbeats_total", "loki_ring_oldest_member_timestamp", "loki_ingester_autoforget_unhealthy_ingesters_total",
    "loki_memberlist_client_cluster_members_count", "loki_memberlist_client_cluster_node_health_score", "loki_memberlist_client_received_broadcasts_total",
    "loki_memberlist_client_received_broadcasts_invalid_total", "loki_memberlist_client_messages_to_broadcast_dropped_total", "loki_memberlist_client_messages_in_broadcast_queue",
    "loki_memberlist_tcp_transport_packets_sent_total", "loki_memberlist_tcp_transport_packets_received_total", "loki_memberlist_tcp_transport_packets_sent_errors_total",
    "loki_memberlist_tcp_transport_packets_received_errors_total", "loki_memberlist_client_cas_attempt_total", "loki_memberlist_client_cas_failure_total",
    "loki_kv_request_duration_seconds_bucket", "loki_kv_request_duration_seconds_count", "loki_dns_lookups_total", "loki_dns_failures_total", "loki_distributor_replication_factor",
    "loki_query_scheduler_inflight_requests", "loki_query_scheduler_connected_querier_clients", "loki_query_frontend_retries_sum",
}
COMPACTOR = {
    "loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds", "loki_boltdb_shipper_compact_tables_operation_total",
    "loki_boltdb_shipper_compact_tables_operation_duration_seconds", "loki_boltdb_shipper_compactor_running", "loki_compactor_locked_table_successive_compaction_skips",
    "loki_compactor_apply_retention_operation_total", "loki_boltdb_shipper_retention_marker_count_total", "loki_boltdb_shipper_retention_sweeper_chunk_deleted_duration_seconds_count",
    "loki_compactor_apply_retention_operation_last_successful_run_timestamp_seconds", "loki_compactor_delete_processing_fails_total", "skald_compactor_days_left",
    "skald_compactor_read_bytes_total", "skald_compactor_written_bytes_total", "skald_compactor_objects_replaced_total", "skald_compactor_objects_written_total",
    "skald_compactor_orphans_deleted_total", "skald_compactor_objects_adopted_total", "skald_compactor_duplicate_rows_total", "skald_compactor_commits_lost_total",
    "skald_compactor_retired_objects", "loki_compactor_pending_delete_requests_count", "loki_compactor_oldest_pending_delete_request_age_seconds", "loki_compactor_deleted_lines",
}
RULER = {"loki_prometheus_rule_evaluations_total", "loki_prometheus_rule_evaluation_failures_total", "loki_prometheus_rule_group_iterations_missed_total"}
STORES = {
    "loki_s3_request_duration_seconds_count", "loki_azure_blob_request_duration_seconds_count", "loki_gcs_request_duration_seconds_count", "loki_memcache_request_duration_seconds_bucket",
}
# Series that appear when something happens that no test can make happen here.
EVENTS = {"loki_query_scheduler_discarded_requests_total", "loki_objstore_bucket_operation_failures_total", "loki_objstore_bucket_operation_fetched_bytes_total"}
ELSEWHERE = CLUSTER | COMPACTOR | RULER | STORES | EVENTS
# Panels that need a failure, or a pass that these tests do not wait for.
EMPTY_WHEN_WELL = {"Failures", "Since the last good pass"}


def dashboards():
    for name in sorted(os.listdir(DASHBOARDS)):
        with open(os.path.join(DASHBOARDS, name), encoding="utf-8") as f:
            yield name, json.load(f)


def expressions():
    """(dashboard, panel title, expression)"""
    for name, dashboard in dashboards():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield name, panel["title"], target["expr"]


def metrics_of(expression):
    bare = re.sub(r'"[^"]*"', '""', re.sub(r"\{[^}]*\}", "", expression))
    return set(re.findall(r"\b(?:loki|logql|skald|process)_[a-z0-9_]+\b(?!:)", bare))


def filled_in(expression):
    return re.sub(r"\$(cluster|namespace|tenant)", ".*", expression.replace("$__rate_interval", "1m"))


def alert_texts():
    with open(os.path.join(RULES, "alerts.yaml"), encoding="utf-8") as f:
        return f.read()


class Files(unittest.TestCase):
    def test_dashboards_are_what_the_generator_writes(self):
        done = subprocess.run([sys.executable, os.path.join(MONITORING, "generate.py"), "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_dashboards_hold_together(self):
        uids = set()
        for name, dashboard in dashboards():
            with self.subTest(name):
                self.assertNotIn(dashboard["uid"], uids)
                uids.add(dashboard["uid"])
                ids = [p["id"] for p in dashboard["panels"]]
                self.assertEqual(len(ids), len(set(ids)))
                taken = set()
                for panel in dashboard["panels"]:
                    at = panel["gridPos"]
                    self.assertLessEqual(at["x"] + at["w"], 24)
                    cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                    self.assertFalse(cells & taken, panel["title"])
                    taken |= cells
                names = {v["name"] for v in dashboard["templating"]["list"]}
                used = set(re.findall(r"\$(\w+)", json.dumps([p.get("targets") for p in dashboard["panels"]]))) - {"__rate_interval"}
                self.assertEqual(used - names, set())

    def test_every_alert_has_its_page_and_every_page_its_alert(self):
        text = alert_texts()
        alerts = set(re.findall(r"alert: (\w+)", text))
        pages = {f[:-3] for f in os.listdir(RUNBOOKS) if f.endswith(".md") and f != "README.md"}
        linked = set(re.findall(r"runbook_url: docs/runbooks/(\w+)\.md", text))
        self.assertEqual(len(re.findall(r"runbook_url:", text)), len(re.findall(r"alert:", text)))
        self.assertEqual(linked, pages)
        for _, dashboard in dashboards():
            for page in re.findall(r"docs/runbooks/(\w+)\.md", json.dumps(dashboard)):
                self.assertIn(page, pages)
        texts = ""
        for page in pages:
            with open(os.path.join(RUNBOOKS, page + ".md"), encoding="utf-8") as f:
                texts += f.read()
        for alert in alerts:
            self.assertIn(alert, texts)

    def test_recorded_names_are_loki_s(self):
        with open(os.path.join(RULES, "recording.yaml")) as f:
            records = re.findall(r"record: (\S+)", f.read())
        expected = ["%s:loki_request_duration_seconds%s" % (p, what) for p in ("cluster_job", "cluster_job_route", "cluster_namespace_job_route")
                    for what in (":99quantile", ":50quantile", ":avg", "_bucket:sum_rate", "_sum:sum_rate", "_count:sum_rate")]
        self.assertEqual(sorted(records), sorted(expected))

    @unittest.skipUnless(PROMTOOL, "promtool (package prometheus) is not here")
    def test_rules_are_well_formed(self):
        done = subprocess.run([PROMTOOL, "check", "rules", os.path.join(RULES, "recording.yaml"), os.path.join(RULES, "alerts.yaml")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("FAILED", done.stdout + done.stderr)

    @unittest.skipUnless(PROMTOOL, "promtool (package prometheus) is not here")
    def test_every_alert_fires_on_what_it_is_for_and_only_then(self):
        done = subprocess.run([PROMTOOL, "test", "rules", "alerts_test.yaml"], capture_output=True, text=True, cwd=MONITORING)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(os.path.join(MONITORING, "alerts_test.yaml")) as f:
            tested = f.read()
        for alert in re.findall(r"alert: (\w+)", alert_texts()):
            self.assertIn('alertname="%s"' % alert, tested)


class Prometheus:
    """A Prometheus that scrapes once a second and evaluates our rules as often."""

    @classmethod
    def start(cls, targets):
        cls.directory = tempfile.mkdtemp(prefix="skald-prometheus-")
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [os.path.join(RULES, "recording.yaml"), os.path.join(RULES, "alerts.yaml")],
            # As the chart's ServiceMonitor: job is <namespace>/<service>.
            "scrape_configs": [{"job_name": "logs", "static_configs": targets,
                                "relabel_configs": [{"source_labels": ["namespace", "service"], "separator": "/", "target_label": "job"}]}]}
        path = os.path.join(cls.directory, "prometheus.yml")
        with open(path, "w") as f:
            json.dump(config, f)   # JSON is YAML
        cls.log = open(os.path.join(cls.directory, "log"), "w+")
        cls.addClassCleanup(cls.log.close)
        cls.prometheus = subprocess.Popen([PROMETHEUS, "--config.file=" + path, "--storage.tsdb.path=" + os.path.join(cls.directory, "data"),
                                           "--web.listen-address=127.0.0.1:%d" % cls.port], stdout=cls.log, stderr=cls.log)
        cls.addClassCleanup(cls.stop)
        count = sum(len(t["targets"]) for t in targets)
        cls.wait_for(lambda: cls.query("sum(up)")[0]["value"][1] == str(count), "the first scrape")

    @classmethod
    def stop(cls):
        cls.prometheus.terminate()
        cls.prometheus.wait(30)

    @classmethod
    def get(cls, path, **params):
        url = "http://127.0.0.1:%d%s?%s" % (cls.port, path, urllib.parse.urlencode(params))
        with urllib.request.urlopen(url, timeout=30) as r:
            return json.load(r)["data"]

    @classmethod
    def query(cls, expression):
        try:
            return cls.get("/api/v1/query", query=expression)["result"]
        except urllib.error.HTTPError as e:
            raise AssertionError("%s: %s" % (expression, e.read().decode()))

    @classmethod
    def wait_for(cls, condition, what, seconds=60):
        for _ in range(seconds * 5):
            if cls.prometheus.poll() is not None:
                cls.log.seek(0)
                raise AssertionError("prometheus ended:\n" + cls.log.read()[-3000:])
            try:
                if condition():
                    return
            except (OSError, IndexError, AssertionError):
                pass
            time.sleep(0.2)
        raise AssertionError("waited %d s for %s" % (seconds, what))

    @classmethod
    def wait_for_scrapes(cls, count):
        before = float(cls.query("min(count_over_time(up[5m]))")[0]["value"][1])
        cls.wait_for(lambda: float(cls.query("min(count_over_time(up[5m]))")[0]["value"][1]) >= before + count, "more scrapes")

    @classmethod
    def use(cls, front, flush):
        """Everything a dashboard shows, with scrapes between: a counter's first value has no rate."""
        for turn in range(3):
            now = time.time_ns()
            lines = [(now + i, 'level=info msg="order %d paid" took=%dms' % (i, i), {"trace_id": str(i)}) for i in range(200)]
            for how in ("proto", "json", "legacy-proto"):
                assert front.push([({"app": "shop", "turn": str(turn), "how": how}, lines)], how)[0] == 204
            assert front.push([({"service.name": "otel"}, lines)], "otlp-proto")[0] in (200, 204)
            assert front.push([({"app": "shop"}, [(now, "x" * 300000)])])[0] == 400
            for _ in ("memory", "flushed"):
                start, end = now - 60 * 10**9, now + 60 * 10**9
                front.query_range('{app="shop"} |= "paid"', start, end)
                front.query_range('sum by (how) (rate({app="shop"} | logfmt | took > 10ms [1m]))', start, end)
                front.instant('sum(count_over_time({app="shop"}[5m]))', end)
                front.request("GET", "/loki/api/v1/query_range", params={"query": '{app="forbidden"}'})
                for path in ("labels", "label/app/values", "series", "index/stats", "index/volume", "detected_fields", "detected_labels"):
                    front.request("GET", "/loki/api/v1/" + path, params={"query": '{app="shop"}'})
                cls.tail(front.port, now)
                flush()
            cls.wait_for_scrapes(3)
        cls.names = set(cls.get("/api/v1/label/__name__/values"))

    @classmethod
    def tail(cls, port, start_ns):
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.sendall(("GET /loki/api/v1/tail?query=%%7Bapp%%3D%%22shop%%22%%7D&start=%d HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % (start_ns - 10**9)).encode())
            s.makefile("rb").read(400)   # the handshake and the beginning of the first frame

    def check_dashboards(self, elsewhere):
        """Every expression parses and has a value, but those over metrics that `elsewhere` names and nobody has."""
        shown, absent = 0, set()
        for dashboard, title, expression in expressions():
            with self.subTest(dashboard=dashboard, panel=title, expression=expression):
                result = self.query(filled_in(expression))   # refused when it does not parse
                missing = metrics_of(expression) - self.names
                self.assertEqual(missing - elsewhere, set(), "no such metric here")
                if missing:
                    absent |= missing
                elif title not in EMPTY_WHEN_WELL:
                    self.assertTrue(result, "empty")
                    shown += 1
        print("%d expressions have values, %d metrics are for others" % (shown, len(absent)), end=" ", flush=True)
        return shown


@unittest.skipUnless(PROMETHEUS, "prometheus is not here")
class Live(Prometheus, unittest.TestCase):
    """One process on a file system."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(config="""
auth_enabled: false
limits_config: {per_stream_rate_limit: 1GB, blocked_queries: [{pattern: '{app="forbidden"}'}]}
compactor: {compaction_interval: 1s}
""").start()
        cls.addClassCleanup(cls.server.close)
        cls.start([{"targets": ["127.0.0.1:%d" % cls.server.port], "labels": {"cluster": "c", "namespace": "n", "service": "logs"}}])
        cls.use(cls.server, cls.server.flush)

    def test_prometheus_takes_the_page_as_it_is(self):
        targets = self.get("/api/v1/targets")["activeTargets"]
        self.assertEqual([(t["health"], t["lastError"]) for t in targets], [("up", "")])

    def test_every_metric_has_one_type_and_a_help_text(self):
        metadata = self.get("/api/v1/metadata")
        for name in self.names:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            found = metadata.get(name) or metadata.get(base)
            if name.startswith(("loki_", "skald_", "logql_", "process_")):
                self.assertTrue(found, name)
                self.assertEqual(len({m["type"] for m in found}), 1, name)
                self.assertTrue(found[0]["help"], name)

    def test_dashboards_show_something_in_every_panel(self):
        self.assertGreater(self.check_dashboards(ELSEWHERE), 80)

    def test_rules_evaluate_and_nothing_fires(self):
        self.wait_for(lambda: all(r["health"] == "ok" for g in self.get("/api/v1/rules")["groups"] for r in g["rules"]), "all rules to be evaluated")
        for group in self.get("/api/v1/rules")["groups"]:
            for rule in group["rules"]:
                with self.subTest(rule["name"]):
                    self.assertEqual(rule["lastError"] if "lastError" in rule else "", "")
                    if rule["type"] == "recording":
                        self.assertTrue(self.query(rule["name"]))
                    else:
                        self.assertNotEqual(rule["state"], "firing")

    def test_alerts_ask_for_metrics_that_exist(self):
        """Each comparison is left out: what remains has a value where the server has the metric."""
        for group in self.get("/api/v1/rules")["groups"]:
            for rule in group["rules"]:
                if rule["type"] != "alerting":
                    continue
                with self.subTest(rule["name"]):
                    missing = metrics_of(rule["query"]) - self.names
                    self.assertEqual(missing - ELSEWHERE, set())
                    if missing or 'status_code=~"5..' in rule["query"]:
                        continue
                    value = re.sub(r"\s(>|==)\s[\d.]+$", "", rule["query"])
                    value = re.sub(r"^up == 0 and", "up and", value)
                    value = value.split(" and deriv(")[0].replace("> 1000", "")
                    self.assertTrue(self.query(value), value)

    def test_variables_find_their_values(self):
        for label in ("cluster", "namespace"):
            self.assertTrue(self.get("/api/v1/label/%s/values" % label, **{"match[]": "loki_build_info"}))
        self.assertIn("fake", self.get("/api/v1/label/tenant/values", **{"match[]": "loki_distributor_lines_received_total"}))


class Installed(Prometheus):
    """configs/scalable.yaml over MinIO behind nginx, in some layout."""
    layout = None
    further = {}

    @classmethod
    def flush(cls, installation):
        for m in installation.of("write"):
            m.flush()

    @classmethod
    def setUpClass(cls):
        import gateway
        import scalable
        import servers
        import tools
        if not (gateway.NGINX and tools.yaml):
            raise unittest.SkipTest("nginx or PyYAML is not here")
        layout = getattr(scalable, cls.layout)
        for target in sorted({t for _, t in layout}):
            said = scalable.refusal(target)
            if said:
                raise unittest.SkipTest("this binary does not run -target=%s: %s" % (target, said[-200:]))
        store = servers.Minio()
        cls.addClassCleanup(store.__exit__, None, None, None)
        store.__enter__()
        installation = scalable.Installation(store, layout, {"per_stream_rate_limit": "1GB", "blocked_queries": [{"pattern": '{app="forbidden"}'}]})
        installation.further = cls.further
        cls.addClassCleanup(installation.close)
        installation.__enter__()
        cls.start(installation.targets())
        cls.use(installation.front, lambda: cls.flush(installation))


@unittest.skipUnless(PROMETHEUS, "prometheus is not here")
class Bucket(Installed, unittest.TestCase):
    """One process: here the panels about S3 have something to show."""
    layout = "ALONE"

    def test_dashboards_show_something_in_every_panel(self):
        self.check_dashboards(ELSEWHERE - {"loki_s3_request_duration_seconds_count", "loki_objstore_bucket_operation_fetched_bytes_total"})


@unittest.skipUnless(PROMETHEUS, "prometheus is not here")
class Cluster(Installed, unittest.TestCase):
    """The installation of deploy/docker-compose.yaml: here no panel about rings, gossip, queues or the compactor may be empty."""
    layout = "COMPOSE"
    further = {"compactor": {"retention_enabled": True, "retention_delete_delay": "1s", "delete_request_cancel_period": "0s", "delete_request_store": "s3"}}

    @classmethod
    def flush(cls, installation):
        """Lines are deleted as well: the compactor has something to count."""
        super().flush(installation)
        now = time.time()
        status, body, _ = installation.front.request("POST", "/loki/api/v1/delete", params={"query": '{app="shop"} |= "order 7 "', "start": int(now) - 600, "end": int(now)})
        assert status == 204, (status, body)

    def test_dashboards_show_something_in_every_panel(self):
        # Where other processes ingest a delete is carried out when every line of its time has been flushed: max_chunk_age and an hour later.
        later = {"loki_compactor_deleted_lines", "loki_boltdb_shipper_retention_sweeper_chunk_deleted_duration_seconds_count"}
        self.check_dashboards((STORES - {"loki_s3_request_duration_seconds_count"}) | EVENTS | later | RULER - self.names)

    def test_nothing_fires(self):
        self.wait_for(lambda: all(r["health"] == "ok" for g in self.get("/api/v1/rules")["groups"] for r in g["rules"]), "all rules to be evaluated")
        self.assertEqual(self.query('ALERTS{alertstate="firing"}'), [])

    def test_members_agree_on_their_number(self):
        self.assertEqual({r["value"][1] for r in self.query('loki_ring_members{name="ingester", state="ACTIVE"}')}, {"3"})
        self.assertEqual({r["value"][1] for r in self.query("loki_memberlist_client_cluster_members_count")}, {"7"})


if __name__ == "__main__":
    unittest.main()
