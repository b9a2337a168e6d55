"""Every request that Grafana's Loki data source, its Logs Drilldown app and logcli send, against the real binary: the shape of
each answer is what those clients decode."""
import base64
import concurrent.futures
import json
import os
import socket
import struct
import time
import unittest
import urllib.parse

from harness import Server

CATEGORIES = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
CONFIG = """
auth_enabled: false
pattern_ingester: {enabled: true}
"""
SECOND = 10**9


class WebSocket:
    """As much of RFC 6455 as a tail needs."""

    def __init__(self, port, target, headers=()):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET %s HTTP/1.1" % target, "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key] + ["%s: %s" % h for h in headers]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.pending = b""
        while b"\r\n\r\n" not in self.pending:
            self._more()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        self.head = head.decode()

    def _more(self):
        got = self.socket.recv(65536)
        if not got:
            raise EOFError("connection closed")
        self.pending += got

    def _take(self, count):
        while len(self.pending) < count:
            self._more()
        out, self.pending = self.pending[:count], self.pending[count:]
        return out

    def frame(self):
        """(opcode, payload) of the next text or close frame."""
        while True:
            first, second = self._take(2)
            size = second & 127
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            payload = self._take(size)
            if first & 15 in (1, 8):
                return first & 15, payload

    def close(self):
        self.socket.close()


class Grafana(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(CONFIG).start()
        cls.now = time.time_ns()
        cls.start = cls.now - 3600 * SECOND
        cls.end = cls.now + SECOND
        at = [cls.now - 600 * SECOND + i * SECOND for i in range(400)]
        streams = [
            ({"app": "web", "namespace": "shop", "pod": "web-1"},
             [(t, 'level=info msg="request done" path=/cart/%d status=200 duration=%dms size=2KB' % (i, i % 90), {"trace_id": "t%d" % (i % 7)})
              for i, t in enumerate(at[:300])]),
            ({"app": "api", "namespace": "shop", "pod": "api-1"},
             [(t, json.dumps({"level": "error" if i % 5 == 0 else "info", "user": {"id": i}, "ok": True, "took": i / 4})) for i, t in enumerate(at)]),
            ({"app": "db", "namespace": "infra", "pod": "db-1"}, [(t, "plain text %d" % i) for i, t in enumerate(at[:50])]),
        ]
        status, body = cls.server.push(streams, "json")
        assert status == 204, (status, body)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def get(self, path, params=None, headers=None, status=200):
        got, body, head = self.server.request("GET", path, params=params, headers=headers)
        self.assertEqual(got, status, (path, params, body[:300]))
        if status == 200:
            self.assertEqual(head["Content-Type"], "application/json; charset=UTF-8")
            return json.loads(body)
        self.assertTrue(head["Content-Type"].startswith("text/plain"), head)
        return body.decode()

    def range(self, query, headers=None, status=200, **params):
        params = {"query": query, "start": self.start, "end": self.end, "direction": "backward", "step": "14400ms", **params}
        return self.get("/loki/api/v1/query_range", params, {**CATEGORIES, "X-Query-Tags": "Source=grafana", **(headers or {})}, status)

    def span(self, **more):
        return {"start": self.start, "end": self.end, **more}

    # ---- data source

    def test_health_check(self):
        answer = self.get("/loki/api/v1/query", {"query": "vector(1)+vector(1)", "time": 4000000000})
        self.assertEqual(answer["data"]["resultType"], "vector")
        self.assertEqual(answer["data"]["result"], [{"metric": {}, "value": [4000000000, "2"]}])

    def test_build_info_names_a_version(self):
        version = self.get("/loki/api/v1/status/buildinfo")["version"].split(".")
        self.assertGreaterEqual(int(version[0]), 3)

    def test_explore_logs(self):
        data = self.range('{app="web"} | logfmt', limit=1000)["data"]
        self.assertEqual(data["resultType"], "streams")
        self.assertEqual(data["encodingFlags"], ["categorize-labels"])
        self.assertEqual(len(data["result"]), 1, "one stream, whatever was parsed")
        stream = data["result"][0]
        self.assertEqual(stream["stream"], {"app": "web", "namespace": "shop", "pod": "web-1", "service_name": "web"})
        self.assertEqual(len(stream["values"]), 300)
        times = [int(v[0]) for v in stream["values"]]
        self.assertEqual(times, sorted(times, reverse=True))
        categories = stream["values"][0][2]
        self.assertEqual(categories["structuredMetadata"]["detected_level"], "info")
        self.assertIn("trace_id", categories["structuredMetadata"])
        self.assertEqual(categories["parsed"]["status"], "200")
        for part in ("summary", "querier", "ingester", "cache", "index"):
            self.assertIn(part, data["stats"])
        self.assertEqual(data["stats"]["summary"]["totalLinesProcessed"], 300)
        self.assertGreater(data["stats"]["summary"]["totalBytesProcessed"], 0)
        self.assertGreater(data["stats"]["summary"]["execTime"], 0)

    def test_plain_logs(self):
        _, body, _ = self.server.request("GET", "/loki/api/v1/query_range", params=self.span(query='{app="db"}', limit=10))
        data = json.loads(body)["data"]
        self.assertNotIn("encodingFlags", data)
        self.assertEqual(sum(len(s["values"]) for s in data["result"]), 10)
        self.assertTrue(all(len(v) == 2 for s in data["result"] for v in s["values"]))
        self.assertEqual(data["result"][0]["stream"]["detected_level"], "unknown")

    def test_log_volume_histogram(self):
        data = self.range('sum by (level, detected_level) (count_over_time({app="api"} | json | drop __error__ [14400ms]))', {"X-Query-Tags": "Source=logvolhist"})["data"]
        self.assertEqual(data["resultType"], "matrix")
        totals = {s["metric"]["detected_level"]: sum(float(v[1]) for v in s["values"]) for s in data["result"]}
        self.assertEqual(totals, {"info": 320, "error": 80})
        self.assertTrue(all(isinstance(v[0], (int, float)) and isinstance(v[1], str) for s in data["result"] for v in s["values"]))

    def test_log_sample_and_metric_panels(self):
        self.assertTrue(self.range('{namespace="shop"}', {"X-Query-Tags": "Source=logsample"}, limit=50)["data"]["result"])
        for query in ('sum(rate({namespace="shop"}[1m])) by (app)', 'topk(1, sum by (app) (count_over_time({namespace=~".+"}[5m])))',
                      'quantile_over_time(0.95, {app="web"} | logfmt | unwrap duration_seconds(duration) [5m]) by (pod)',
                      'avg_over_time({app="api"} | json | unwrap took [1m]) by (app)', 'bytes_rate({app="db"}[1m])',
                      'sum(count_over_time({app="web"}[5m])) / sum(count_over_time({namespace="shop"}[5m]))'):
            data = self.range(query)["data"]
            self.assertEqual(data["resultType"], "matrix", query)
            self.assertTrue(data["result"], query)

    def test_instant_panel_and_alerting(self):
        data = self.get("/loki/api/v1/query", {"query": 'sum by (app) (count_over_time({namespace="shop"}[1h]))', "time": self.end, "direction": "backward"})["data"]
        self.assertEqual({s["metric"]["app"]: s["value"][1] for s in data["result"]}, {"web": "300", "api": "400"})
        text = self.get("/loki/api/v1/query", {"query": '{app="web"}', "time": self.end}, status=400)
        self.assertEqual(text, "log queries are not supported as an instant query type, please change your query to a range query type")

    def test_context_of_a_row(self):
        at = self.now - 400 * SECOND
        selector = '{app="web",namespace="shop",pod="web-1",service_name="web"}'
        before = self.get("/loki/api/v1/query_range", {"query": selector, "start": at - 7200 * SECOND, "end": at, "limit": 10, "direction": "backward"}, CATEGORIES)
        after = self.get("/loki/api/v1/query_range", {"query": selector, "start": at, "end": at + 7200 * SECOND, "limit": 10, "direction": "forward"}, CATEGORIES)
        older = [int(v[0]) for s in before["data"]["result"] for v in s["values"]]
        newer = [int(v[0]) for s in after["data"]["result"] for v in s["values"]]
        self.assertEqual((len(older), len(newer)), (10, 10))
        self.assertLess(max(older), at)
        self.assertGreaterEqual(min(newer), at)

    def test_label_browser(self):
        self.assertEqual(self.get("/loki/api/v1/labels", self.span())["data"], ["app", "namespace", "pod", "service_name"])
        self.assertEqual(self.get("/loki/api/v1/label", self.span())["status"], "success")
        self.assertEqual(self.get("/loki/api/v1/label/app/values", self.span(query='{namespace="shop"}'))["data"], ["api", "web"])
        self.assertEqual(self.get("/loki/api/v1/label/nope/values", self.span()), {"status": "success"})
        series = self.get("/loki/api/v1/series", {"match[]": '{namespace="infra"}', **self.span()})["data"]
        self.assertEqual(series, [{"app": "db", "namespace": "infra", "pod": "db-1", "service_name": "db"}])
        stats = self.get("/loki/api/v1/index/stats", self.span(query='{app="web"}'))
        self.assertEqual(set(stats), {"streams", "chunks", "bytes", "entries"})
        self.assertEqual(stats["streams"], 1)

    def test_forms_are_read_like_urls(self):
        body = "query=%7Bapp%3D%22db%22%7D&limit=3&start={}&end={}".format(self.start, self.end)
        status, answer, _ = self.server.request("POST", "/loki/api/v1/query_range", body, {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(status, 200)
        self.assertEqual(sum(len(s["values"]) for s in json.loads(answer)["data"]["result"]), 3)

    def test_errors_are_plain_text(self):
        self.assertIn("parse error", self.range('{app="web"', status=400))
        self.assertIn("max entries limit", self.range('{app="web"}', status=400, limit=6000))
        self.assertIn("exceeded maximum resolution", self.range('rate({app="web"}[1m])', status=400, step="1ms"))

    def test_gzip_when_asked_for(self):
        _, body, head = self.server.request("GET", "/loki/api/v1/query_range", params=self.span(query='{app="api"}', limit=400), headers={"Accept-Encoding": "gzip"})
        self.assertEqual(head.get("Content-Encoding"), "gzip")
        self.assertEqual(body[:2], b"\x1f\x8b")

    def test_format_query(self):
        self.assertEqual(self.get("/loki/api/v1/format_query", {"query": '{app="x"}|="y"'}), {"status": "success", "data": '{app="x"} |= "y"'})

    def test_cache_generation(self):
        self.assertEqual(self.get("/loki/api/v1/cache/generation_numbers"), "")
        self.assertEqual(self.server.request("POST", "/loki/api/v1/cache/generation_numbers/increase")[0], 204)

    def test_the_log_tells_of_queries(self):
        server = Server("auth_enabled: false\nfrontend: {log_queries_longer_than: -1s, log_query_request_headers: 'X-Panel, X-None'}\n").start()
        self.addCleanup(server.close)
        headers = {"X-Query-Tags": "Source=grafana, team=a", "X-Panel": "7"}
        self.assertEqual(server.request("GET", "/loki/api/v1/query_range", params={"query": '{app="x"} |= "y"', "limit": 7}, headers=headers)[0], 200)
        self.assertEqual(server.request("GET", "/loki/api/v1/query_range", params={"query": '{app="x"}', "limit": 70000}, headers=headers)[0], 400)
        lines = [line for line in server.tail_log(100).splitlines() if "component=querier" in line]
        self.assertEqual(len(lines), 2, server.tail_log())
        for part in ("level=info", "org_id=fake", "latency=fast", 'query="{app=\\"x\\"} |= \\"y\\""', "query_type=filter", "range_type=range", "length=1h0m0s", "status=200",
                     "limit=7", "returned_lines=0", "source=grafana", 'query_tags="Source=grafana, team=a"', "headers=\"X-Panel=7\""):
            self.assertIn(part, lines[0])
        self.assertIn("status=400", lines[1])
        self.assertIn("max entries limit", lines[1])

    def test_rules_and_alerts_pages(self):
        self.assertEqual(self.get("/prometheus/api/v1/rules")["data"]["groups"], [])
        self.assertEqual(self.get("/prometheus/api/v1/alerts")["data"]["alerts"], [])

    # ---- Logs Drilldown

    def test_drilldown_limits(self):
        answer = self.get("/loki/api/v1/drilldown-limits", headers={"X-Scope-OrgID": "anything"})
        self.assertTrue(answer["pattern_ingester_enabled"])
        for key in ("max_query_series", "max_query_length", "volume_enabled", "volume_max_series", "retention_period", "query_timeout",
                    "max_entries_limit_per_query", "discover_log_levels"):
            self.assertIn(key, answer["limits"])
        self.assertRegex(answer["version"], r"^\d+\.\d+")

    def test_drilldown_volumes(self):
        params = self.span(query='{service_name=~".+"}', limit=5000, targetLabels="service_name", aggregateBy="labels")
        data = self.get("/loki/api/v1/index/volume", params)["data"]
        self.assertEqual(data["resultType"], "vector")
        self.assertEqual([s["metric"] for s in data["result"]], [{"service_name": ""}])
        params["aggregateBy"] = "series"
        data = self.get("/loki/api/v1/index/volume", params)["data"]
        self.assertEqual({s["metric"]["service_name"] for s in data["result"]}, {"web", "api", "db"})
        sizes = [int(s["value"][1]) for s in data["result"]]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        data = self.get("/loki/api/v1/index/volume_range", {**params, "step": "60"})["data"]
        self.assertEqual(data["resultType"], "matrix")
        self.assertTrue(all(len(v) == 2 and isinstance(v[1], str) for s in data["result"] for v in s["values"]))

    def test_drilldown_labels_and_fields(self):
        labels = self.get("/loki/api/v1/detected_labels", self.span(query='{namespace="shop"}'))["detectedLabels"]
        self.assertEqual({l["label"]: l["cardinality"] for l in labels}, {"app": 2, "namespace": 1, "pod": 2, "service_name": 2})
        fields = {f["label"]: f for f in self.get("/loki/api/v1/detected_fields", self.span(query='{app="api"} | json', line_limit=1000, limit=1000))["fields"]}
        self.assertEqual(fields["took"]["type"], "float")
        fields = {f["label"]: f for f in self.get("/loki/api/v1/detected_fields", self.span(query='{app="api"}', line_limit=1000))["fields"]}
        self.assertEqual(fields["user_id"], {"label": "user_id", "type": "int", "cardinality": 400, "parsers": ["json"], "jsonPath": ["user", "id"]})
        fields = {f["label"]: f for f in self.get("/loki/api/v1/detected_fields", self.span(query='{app="web"}', line_limit=500))["fields"]}
        self.assertEqual(fields["duration"]["type"], "duration")
        self.assertEqual(fields["trace_id"]["parsers"], None)
        self.assertEqual(fields["path"]["parsers"], ["logfmt"])
        values = self.get("/loki/api/v1/detected_field/trace_id/values", self.span(query='{app="web"}', line_limit=500))
        self.assertEqual(sorted(values["values"]), ["t%d" % i for i in range(7)])

    def test_drilldown_patterns(self):
        params = {"query": '{app="web"}', "start": "%d" % self.start, "end": "%d" % self.end, "step": "10s"}
        answer = self.get("/loki/api/v1/patterns", params)
        self.assertEqual(answer["status"], "success")
        self.assertTrue(answer["data"])
        for pattern in answer["data"]:
            self.assertIsInstance(pattern["pattern"], str)
            self.assertTrue(all(len(s) == 2 and isinstance(s[0], int) and isinstance(s[1], int) for s in pattern["samples"]))
        self.assertEqual(sum(s[1] for p in answer["data"] for s in p["samples"]), 300)

    def test_drilldown_shares_of_a_label(self):
        data = self.range('sum(count_over_time({app="web"} | logfmt | path!="" [1m])) by (path)', {"X-Query-Tags": "Source=grafana-lokiexplore-app"}, step="60s")
        self.assertEqual(data["data"]["resultType"], "matrix")
        self.assertEqual(len(data["data"]["result"]), 300)

    def test_drilldown_gets_part_of_too_many_series(self):
        query = 'sum(count_over_time({app=~"web|api"} | label_format line=`{{__line__}}` [1m])) by (line)'
        data = self.range(query, {"X-Query-Tags": "Source=grafana-lokiexplore-app"}, step="60s")
        self.assertEqual(data["warnings"], ["maximum number of series (500) reached for a single query; returning partial results"])
        self.assertEqual(len(data["data"]["result"]), 500)
        self.assertIn("maximum number of series (500) reached for a single query; consider", self.range(query, status=400, step="60s"))

    def test_times_as_iso(self):
        iso = lambda ns: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(ns // SECOND))
        answer = self.get("/loki/api/v1/labels", {"start": iso(self.start), "end": iso(self.end)})
        self.assertIn("app", answer["data"])

    # ---- logcli

    def test_logcli_pages_through_everything(self):
        lines, end = [], self.end
        while True:
            data = self.get("/loki/api/v1/query_range", {"query": '{app="api"}', "limit": 150, "start": self.start, "end": end, "direction": "BACKWARD"}, {"User-Agent": "loki-logcli/3.0"})["data"]
            rows = sorted(((int(v[0]), v[1]) for s in data["result"] for v in s["values"]), reverse=True)
            lines += rows
            if len(rows) < 150:
                break
            end = rows[-1][0]
        self.assertEqual(len(lines), 400)
        self.assertEqual(len(set(lines)), 400)

    def test_logcli_labels_series_stats_volume(self):
        self.assertIn("data", self.get("/loki/api/v1/label/app/values", self.span()))
        self.assertEqual(len(self.get("/loki/api/v1/series", {"match": '{app=~".+"}', **self.span()})["data"]), 3)
        self.assertIn("chunks", self.get("/loki/api/v1/index/stats", self.span(query='{app="web"}')))
        self.assertTrue(self.get("/loki/api/v1/index/volume", self.span(query='{app="web"}', limit=30))["data"]["result"])
        shards = self.get("/loki/api/v1/index/shards", self.span(query='{app="web"} |= "x"', targetBytesPerShard="600MB"))
        self.assertEqual(shards["shards"][0]["bounds"], {"min": 0, "max": 2**64 - 1})
        self.assertIn("statistics", shards)

    def test_legacy_paths(self):
        answer = self.get("/api/prom/query", self.span(query='{app="db"}', limit=2))
        self.assertEqual(len([e for s in answer["streams"] for e in s["entries"]]), 2)
        self.assertEqual(self.get("/api/prom/label", self.span())["status"], "success")
        self.assertEqual(self.get("/api/prom/label/app/values", self.span())["data"], ["api", "db", "web"])

    # ---- tail

    def test_tail(self):
        tail = WebSocket(self.server.port, "/loki/api/v1/tail?query=%7Bapp%3D%22tailed%22%7D&limit=10&start={}".format(self.start), list(CATEGORIES.items()))
        self.addCleanup(tail.close)
        self.assertEqual(tail.status, 101)
        at = time.time_ns()
        deadline = time.monotonic() + 30
        seen = []
        # The subscription exists some time after the upgrade: push until something arrives.
        tail.socket.settimeout(0.5)
        while not seen and time.monotonic() < deadline:
            at += 1
            self.assertEqual(self.server.push([({"app": "tailed"}, [(at, "hello %d" % at)])], "json")[0], 204)
            try:
                opcode, payload = tail.frame()
            except socket.timeout:
                continue
            self.assertEqual(opcode, 1)
            frame = json.loads(payload)
            self.assertEqual(frame["encodingFlags"], ["categorize-labels"])
            self.assertNotIn("dropped_entries", frame)
            seen = frame["streams"]
        self.assertEqual(seen[0]["stream"], {"app": "tailed", "service_name": "tailed"})
        self.assertTrue(seen[0]["values"][0][1].startswith("hello"))
        self.assertEqual(len(seen[0]["values"][0]), 3)

    def test_tail_refusals(self):
        bad = WebSocket(self.server.port, "/loki/api/v1/tail?query=%7B")
        self.assertEqual(bad.status, 400)
        bad.close()
        metric = WebSocket(self.server.port, "/loki/api/v1/tail?query=rate(%7Bapp%3D%22web%22%7D%5B1m%5D)")
        self.assertEqual(metric.status, 101)
        opcode, payload = metric.frame()
        self.assertEqual((opcode, payload[:2]), (8, struct.pack(">H", 1011)))
        self.assertIn(b"only log selector is supported", payload)
        metric.close()
        self.assertEqual(self.server.request("GET", "/loki/api/v1/tail", params={"query": '{app="web"}'})[0], 400)

    # ---- a dashboard

    def test_a_dashboard_of_sixty_panels_waits_and_is_answered(self):
        queries = ['sum by (app) (count_over_time({namespace=~".+"} |~ "%d" [1m]))' % i for i in range(60)]
        with concurrent.futures.ThreadPoolExecutor(60) as pool:
            answers = list(pool.map(lambda q: self.server.request("GET", "/loki/api/v1/query_range", params=self.span(query=q, step="15s"))[:2], queries))
        self.assertEqual([status for status, _ in answers], [200] * 60)
        waited = [json.loads(body)["data"]["stats"]["summary"]["queueTime"] for _, body in answers]
        self.assertTrue(all(w >= 0 for w in waited))

    def test_what_is_too_much_is_refused_before_it_runs(self):
        cases = [
            ('{app="web"}', {"step": "0.000001"}), ("(" * 100000 + "1" + ")" * 100000, {}), ('rate({app="web"}[100y:1s])', {}),
            ('count_over_time({app="web"}[100y])', {}), ('{app="web"}' + ' |= "x"' * 20000, {"limit": 10**9}), ("1" + "+1" * 50000, {"start": -10**18}),
            ('{app="web"}', {"start": "1" * 400}), ('{app="web"}', {"limit": 2**63}), ('{app=~"(a{1000}){1000}"}', {}),
            ('{' + ",".join('a%d="b"' % i for i in range(5000)) + '}', {}),
        ]
        for query, more in cases:
            body = "&".join("%s=%s" % (k, urllib.parse.quote(str(v))) for k, v in {**self.span(query=query), **more}.items())
            status, answer, _ = self.server.request("POST", "/loki/api/v1/query_range", body, {"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual(status, 400, (query[:80], more, answer[:200]))
        self.assertEqual(self.server.request("GET", "/ready")[0], 200)


class Tenants(unittest.TestCase):
    def test_reads_over_several_tenants(self):
        server = Server("auth_enabled: true\nquerier: {multi_tenant_queries_enabled: true}\n").start()
        self.addCleanup(server.close)
        now = time.time_ns()
        for tenant in ("a", "b", "c"):
            self.assertEqual(server.push([({"app": "x"}, [(now, "of " + tenant)])], "json", {"X-Scope-OrgID": tenant})[0], 204)
        both = {"X-Scope-OrgID": "a|b"}
        span = {"start": now - SECOND, "end": now + SECOND}

        def get(path, **params):
            status, body, _ = server.request("GET", path, params={**span, **params}, headers=both)
            self.assertEqual(status, 200, body)
            return json.loads(body)
        streams = get("/loki/api/v1/query_range", query='{app="x"}')["data"]["result"]
        self.assertEqual({(s["stream"]["__tenant_id__"], s["values"][0][1]) for s in streams}, {("a", "of a"), ("b", "of b")})
        streams = get("/loki/api/v1/query_range", query='{app="x", __tenant_id__="b"}')["data"]["result"]
        self.assertEqual([s["values"][0][1] for s in streams], ["of b"])
        vector = json.loads(server.request("GET", "/loki/api/v1/query", params={"query": 'sum by (__tenant_id__) (count_over_time({app="x"}[5m]))', "time": now + SECOND}, headers=both)[1])
        self.assertEqual(len(vector["data"]["result"]), 2)
        self.assertEqual(get("/loki/api/v1/label/__tenant_id__/values")["data"], ["a", "b"])
        self.assertEqual(len(get("/loki/api/v1/series")["data"]), 2)
        self.assertEqual(get("/loki/api/v1/index/stats", query='{app="x"}')["streams"], 2)
        self.assertEqual(server.push([({"app": "x"}, [(now, "no")])], "json", both)[:1], (400,))

    def test_without_leave_it_is_an_error(self):
        server = Server("auth_enabled: true\n").start()
        self.addCleanup(server.close)
        status, body, _ = server.request("GET", "/loki/api/v1/labels", headers={"X-Scope-OrgID": "a|b"})
        self.assertEqual((status, body), (500, b"multiple org IDs present"))

    def test_the_tenant_without_authentication_has_a_name(self):
        server = Server("auth_enabled: false\nno_auth_tenant: solo\n").start()
        self.addCleanup(server.close)
        now = time.time_ns()
        self.assertEqual(server.push([({"app": "x"}, [(now, "line")])], "json", {"X-Scope-OrgID": "ignored"})[0], 204)
        self.assertEqual(len(server.query_range('{app="x"}', now - SECOND, now + SECOND)), 1)
        self.assertIn('tenant="solo"', server.request("GET", "/metrics")[1].decode())


if __name__ == "__main__":
    unittest.main()
