"""What a day of logs costs in requests: PUTs per GB pushed at many streams, GETs per kind of query on a cold server.

SKALD_STREAMS is the number of streams (1,000; the figure is for 20,000), SKALD_STREAM_KB the raw KB of each (50)."""
import http.client
import json
import os
import random
import time
import unittest
import urllib.parse

import servers
from harness import Server
from ledger import BASE_NS, OPEN_LIMITS

STREAMS = int(os.environ.get("SKALD_STREAMS", "1000"))
STREAM_KB = int(os.environ.get("SKALD_STREAM_KB", "50"))
DAY_NS = 86400 * 10**9
DAY0_NS = BASE_NS - BASE_NS % DAY_NS
REST = "auth_enabled: false\nserver: {http_server_write_timeout: 20m}\n" + OPEN_LIMITS + """  query_timeout: 15m
  max_query_series: 100000
  discover_log_levels: true
ingester: {chunk_idle_period: 12h, max_chunk_age: 48h, flush_check_period: 10m}
chunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: false}}}
query_range: {cache_results: false, cache_index_stats_results: false, cache_volume_results: false, cache_series_results: false, cache_label_results: false}
compactor: {compaction_interval: 1h}
"""
LINE_BYTES = 250
SLICES = 12   # pushes per stream over the day


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[servers.chosen_stores("swift")[0]]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)
        cls.proxy = cls.store.proxy()
        cls.addClassCleanup(cls.proxy.close)
        cls.config = cls.store.config(cls.proxy.address, storage="tsdb_shipper: {resync_interval: 1h}") + REST
        cls.rng = random.Random(1)
        cls.raw_bytes = cls.lines = 0
        cls.fill()

    @classmethod
    def fill(cls):
        server = Server(cls.config).start()
        cls.addClassCleanup(server.close)
        per_push = max(1, STREAM_KB * 1024 // LINE_BYTES // SLICES)
        started = time.monotonic()
        cls.trace_ids = []
        for part in range(SLICES):
            batch, entries_total = [], 0
            for stream in range(STREAMS):
                labels = {"namespace": "ns%d" % (stream % 10), "app": "app%d" % (stream % 100), "pod": "pod-%05d" % stream, "service_name": "app%d" % (stream % 100)}
                start = DAY0_NS + part * (DAY_NS // SLICES) + stream * 1000
                entries = []
                for i in range(per_push):
                    trace = "%032x" % cls.rng.getrandbits(128)
                    text = 'level=%s method=GET path=/api/v1/items/%d status=%d trace_id=%s duration=%dms user=%d ' % (
                        cls.rng.choice(("info", "info", "info", "warn", "error")), cls.rng.randrange(1000), cls.rng.choice((200, 200, 404, 500)), trace, cls.rng.randrange(2000), cls.rng.getrandbits(24))
                    line = text + "x" * max(0, LINE_BYTES - len(text) - 20) + "%020d" % cls.rng.getrandbits(60)
                    entries.append((start + i * (DAY_NS // SLICES // per_push), line))
                    cls.raw_bytes += len(line)
                    if cls.rng.random() < 0.0005:
                        cls.trace_ids.append((trace, line))
                cls.lines += per_push
                batch.append((labels, entries))
                entries_total += per_push
                if entries_total > 5000:
                    cls.push(server, batch)
                    batch, entries_total = [], 0
            if batch:
                cls.push(server, batch)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=900)   # a gigabyte takes its time
        connection.request("POST", "/flush")
        assert connection.getresponse().status in (200, 204)
        connection.close()
        cls.chunks = cls.metric(server, ("loki_ingester_chunks_stored_total", "loki_chunk_store_stored_chunks_total"))
        cls.puts = cls.proxy.by_operation()
        cls.all_writes = dict(cls.proxy.requests)
        cls.written = {o.key: o.size for o in cls.store.client().list()}
        print("\n%d streams, %d lines, %.3f GB raw, filled in %.0f s" % (STREAMS, cls.lines, cls.raw_bytes / 1e9, time.monotonic() - started), flush=True)
        server.stop()

    @classmethod
    def push(cls, server, batch):
        status, body = server.push(batch)
        assert status == 204, (status, body)

    @staticmethod
    def metric(server, names):
        text = server.request("GET", "/metrics")[1].decode()
        for name in names:
            values = [float(line.rsplit(" ", 1)[1]) for line in text.split("\n") if line.startswith((name + "{", name + " "))]
            if values and sum(values):
                return sum(values)
        raise AssertionError("no metric of " + str(names))

    def test_puts_per_gigabyte(self):
        puts = sum(n for name, n in self.puts.items() if name.startswith("PUT"))
        gigabytes = self.raw_bytes / 1e9
        objects = len(self.written)
        one_each = max(self.chunks, STREAMS)
        print("\nPUTs: %d for %.3f GB = %.0f per GB; one object per chunk would be %d = %.0f per GB: 1/%.0f of it. %d objects, %.1f MB; requests while writing: %s" % (
            puts, gigabytes, puts / gigabytes, one_each, one_each / gigabytes, one_each / max(1, puts), objects, sum(self.written.values()) / 1e6, self.all_writes), flush=True)
        self.assertGreater(puts, 0)
        self.assertGreaterEqual(puts, objects)
        if STREAMS >= 5000:
            self.assertLessEqual(puts * 50, one_each)
        else:
            self.assertLessEqual(puts * 10, one_each)

    @staticmethod
    def patient(server, query, start, end):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=900)
        connection.request("GET", "/loki/api/v1/query_range?" + urllib.parse.urlencode({"query": query, "start": start, "end": end}))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, (answer.status, body[:300])
        return json.loads(body)["data"]["result"]

    def gets(self, what, ask, expect_rows=None):
        """Requests of one query on a server that has just started and read its index; prints them."""
        server = Server(self.config).start()
        try:
            self.proxy.reset_counters()
            self.proxy.trace = []
            started = time.monotonic()
            answer = ask(server)
            elapsed = time.monotonic() - started
            found, trace = dict(self.proxy.requests), self.proxy.trace
            self.proxy.trace = None
        finally:
            server.stop()
            server.close()
        print("%-28s %s, %.0f ms" % (what, ", ".join("%s %s %d" % (o, k, n) for (o, k), n in sorted(found.items())) or "no request", elapsed * 1000), flush=True)
        for (name, kind), count in found.items() if elapsed < 20 else ():   # later the process looks for news of its own accord
            self.assertNotIn(name, ("LIST", "HEAD"), "%s asks %d times %s %s" % (what, count, name, kind))
        self.chunk_gets = found.get(("GET", "chunks"), 0)
        self.trace = trace
        return answer

    def test_gets_per_query(self):
        end = DAY0_NS + DAY_NS
        print()
        labels = self.gets("labels", lambda s: s.request("GET", "/loki/api/v1/labels", params={"start": DAY0_NS, "end": end})[1])
        self.assertIn(b"pod", labels)
        self.assertEqual(self.chunk_gets, 0)
        values = self.gets("values of a label", lambda s: s.request("GET", "/loki/api/v1/label/pod/values", params={"start": DAY0_NS, "end": end})[1])
        self.assertEqual(values.count(b"pod-"), STREAMS)
        self.assertEqual(self.chunk_gets, 0)
        series = self.gets("series of an app", lambda s: s.request("GET", "/loki/api/v1/series", params={"match[]": '{app="app7"}', "start": DAY0_NS, "end": end})[1])
        self.assertIn(b"app7", series)
        self.assertEqual(self.chunk_gets, 0)

        def histogram(query):
            def ask(s):
                status, body, _ = s.request("GET", "/loki/api/v1/query_range", params={"query": query, "start": DAY0_NS, "end": end, "step": "300"})
                self.assertEqual(status, 200, body[:300])
                return body
            return ask
        by_level = self.gets("histogram of a day by level", histogram('sum by (detected_level) (count_over_time({namespace="ns3"}[5m]))'))
        self.assertIn(b"error", by_level)
        histogram_gets = self.chunk_gets
        self.gets("histogram of a day", histogram('sum(count_over_time({namespace="ns3"}[5m]))'))
        histogram_gets += self.chunk_gets
        self.gets("volume of a day", lambda s: s.request("GET", "/loki/api/v1/index/volume", params={"query": '{namespace="ns3"}', "start": DAY0_NS, "end": end})[1])
        self.assertEqual(self.chunk_gets, 0)
        newest = self.gets("newest 100 lines", lambda s: s.query_range('{namespace="ns3"}', DAY0_NS, end, limit=100, direction="backward"))
        self.assertEqual(sum(len(r["values"]) for r in newest), 100)
        newest_gets = self.chunk_gets
        self.gets("newest 100 lines of a pod", lambda s: s.query_range('{pod="pod-00003"}', DAY0_NS, end, limit=100, direction="backward"))
        trace, line = self.trace_ids[0]
        found = self.gets("trace id in a day", lambda s: self.patient(s, '{namespace=~".+"} |= "%s"' % trace, DAY0_NS, end))
        self.assertEqual([v[1] for r in found for v in r["values"]], [line])
        trace_gets = self.chunk_gets
        self.assertEqual(histogram_gets, 0, "a histogram of a day reads chunks")
        # Bounds: without bloom filters every object of the day is looked into, with one request each when it is small.
        objects = len([o for o in self.store.client().list() if "/chunks/" in o.key])
        self.assertLessEqual(newest_gets, objects)
        self.assertLessEqual(trace_gets, objects)


if __name__ == "__main__":
    unittest.main()
