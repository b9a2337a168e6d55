"""Retention and delete requests from end to end: what is due goes from the bucket, nothing else does."""
import json
import os
import tempfile
import time
import unittest

import servers
from harness import Server
from ledger import OPEN_LIMITS, Ledger

DAY_NS = 86400 * 10**9
COMPACTOR = """compactor:
  compaction_interval: 1s
  retention_enabled: %s
  retention_delete_delay: 2s
  lease_period: 2s
  delete_request_cancel_period: %s
  delete_request_store: %s
"""
INGESTER = "ingester: {flush_check_period: 300ms, max_chunk_age: 4h}\nchunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: false}}}\n"


class RetentionCase:
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[cls.name]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)

    def setUp(self):
        self.store.client().delete_all()

    def server(self, limits="", enabled="true", cancel="1s", auth="false", extra=""):
        server = Server(self.store.config() + "auth_enabled: %s\n" % auth + OPEN_LIMITS + limits + INGESTER + COMPACTOR % (enabled, cancel, self.store.kind) + extra)
        self.addCleanup(server.close)
        return server

    def push(self, server, labels, entries, tenant=None):
        status, body = server.push([(labels, entries)], headers={"X-Scope-OrgID": tenant} if tenant else None)
        self.assertEqual(status, 204, body)

    def lines(self, server, selector, start, end, tenant=None):
        return sorted(v[1] for s in server.query_range(selector, start, end, tenant=tenant) for v in s["values"])

    def eventually(self, what, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while True:
            value, expected = what()
            if value == expected:
                return
            if time.monotonic() > deadline:
                self.assertEqual(value, expected)
            time.sleep(0.3)

    def shards(self, tenant="fake"):
        return sorted({k.split("/")[2] for k in self.store.client().keys(tenant + "/chunks/")})

    def test_periods_by_stream_and_priority(self):
        now = time.time_ns()
        limits = """  retention_period: 48h
  retention_stream:
    - {selector: '{app="short"}', priority: 1, period: 24h}
    - {selector: '{app="long"}', priority: 1, period: 240h}
    - {selector: '{app="long", tier="cheap"}', priority: 2, period: 24h}
"""
        server = self.server(limits).start()
        streams = {"short": ({"app": "short"}, 1), "plain": ({"app": "plain"}, 2), "long": ({"app": "long"}, 10), "cheap": ({"app": "long", "tier": "cheap"}, 1)}
        ages_h = (6, 30, 60, 120)
        expected = {}
        for name, (labels, days) in streams.items():
            entries = [(now - h * 3600 * 10**9, "%s %d h old" % (name, h)) for h in sorted(ages_h, reverse=True)]
            expected[name] = sorted(line for (_, line), h in zip(entries, sorted(ages_h, reverse=True)) if h < days * 24)
            for entry in entries:   # one by one: each is of another time shard
                self.push(server, labels, [entry])
        server.flush()
        selectors = {"short": '{app="short"}', "plain": '{app="plain"}', "long": '{app="long", tier=""}', "cheap": '{tier="cheap"}'}
        start = now - 9 * DAY_NS
        self.eventually(lambda: ({n: self.lines(server, s, start, now) for n, s in selectors.items()}, expected))
        # Gone from the bucket, not only from answers: a process without retention sees the same. The only shards left are
        # those of lines that are kept.
        kept_shards = len({(now - h * 3600 * 10**9) // (2 * 3600 * 10**9) for h in ages_h})
        self.eventually(lambda: (len(self.shards()) <= kept_shards, True))
        server.kill()
        other = self.server(enabled="false").start()
        self.assertEqual({n: self.lines(other, s, start, now) for n, s in selectors.items()}, expected)

    def test_whole_shards_go_without_being_read(self):
        if not hasattr(self.store, "proxy"):
            self.skipTest("requests are counted at a proxy")
        now = time.time_ns()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as runtime:
            runtime.write("overrides: {}\n")
            runtime.flush()
            proxy = self.store.proxy()
            self.addCleanup(proxy.close)
            rest = "auth_enabled: false\n" + OPEN_LIMITS + INGESTER + COMPACTOR % ("true", "1s", self.store.kind) + "runtime_config: {file: %s, period: 300ms}\n" % runtime.name
            server = Server(self.store.config(proxy.address) + rest).start()
            self.addCleanup(server.close)
            for stream in range(20):
                self.push(server, {"app": "a%d" % stream}, [(now - 5 * DAY_NS + i * 10**9, "old %d %d" % (stream, i)) for i in range(200)])
            self.push(server, {"app": "new"}, [(now - 10**9, "new")])
            server.flush()
            self.eventually(lambda: (len(self.lines(server, '{app="a3"}', now - 6 * DAY_NS, now)), 200))
            time.sleep(4)   # what is to be merged is merged
            proxy.reset_counters()
            with open(runtime.name, "w") as f:
                f.write("overrides: {fake: {retention_period: 24h}}\n")
            self.eventually(lambda: (len(self.shards()), 1))
            self.assertEqual(proxy.requests[("GET", "chunks")], 0, proxy.describe())
            self.assertEqual(self.lines(server, '{app=~".+"}', now - 6 * DAY_NS, now), ["new"])

    def test_periods_by_tenant(self):
        now = time.time_ns()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as runtime:
            runtime.write("overrides:\n  brief: {retention_period: 24h}\n")
            runtime.flush()
            server = self.server("  retention_period: 0s\n", auth="true", extra="runtime_config: {file: %s, period: 500ms}\n" % runtime.name).start()
            for tenant in ("brief", "for-ever"):
                for age in (70, 1):
                    self.push(server, {"app": "x"}, [(now - age * 3600 * 10**9, "%s %d" % (tenant, age))], tenant)
            server.flush()
            self.eventually(lambda: (self.lines(server, '{app="x"}', now - 5 * DAY_NS, now, "brief"), ["brief 1"]))
            self.eventually(lambda: (len(self.shards("brief")), 1))
            self.assertEqual(self.lines(server, '{app="x"}', now - 5 * DAY_NS, now, "for-ever"), ["for-ever 1", "for-ever 70"])

    def request_delete(self, server, query, start_s, end_s):
        status, body, _ = server.request("POST", "/loki/api/v1/delete", params={"query": query, "start": start_s, "end": end_s})
        self.assertEqual(status, 204, body)

    def requests(self, server):
        return json.loads(server.request("GET", "/loki/api/v1/delete")[1])

    def test_delete_requests_hide_at_once_and_are_carried_out(self):
        server = self.server(cancel="3s").start()
        ledger = Ledger(streams=3, step_ns=10**9, sizes=(50,), text_bytes=80)
        ledger.start(server)
        while any(len(s.acknowledged) < 3000 for s in ledger.streams) and not ledger.errors:
            time.sleep(0.01)
        ledger.stop()
        server.flush()
        target = ledger.streams[1]
        start, end = target.base_ns + 500 * 10**9, target.base_ns + 2000 * 10**9
        self.request_delete(server, target.selector + ' |= "level=error"', start // 10**9, end // 10**9)
        gone = {t: line for t, line in target.acknowledged.items() if start <= t <= end and "level=error" in line}
        self.assertGreater(len(gone), 50)
        for t in gone:
            del target.acknowledged[t]
        ledger.check(server, "hidden at once")
        self.assertEqual([r["status"] for r in self.requests(server)], ["received"])
        server.kill()   # nothing of it is forgotten
        server.start()
        ledger.check(server, "hidden after a kill")
        self.eventually(lambda: ([r["status"] for r in self.requests(server)], ["processed"]))
        ledger.check(server, "processed")
        text = server.request("GET", "/metrics")[1].decode()
        removed = sum(float(line.rsplit(" ", 1)[1]) for line in text.split("\n") if line.startswith("loki_compactor_deleted_lines"))
        self.assertEqual(removed, len(gone))
        server.kill()
        plain = self.server(enabled="false").start()   # hides nothing: it must be gone from the bucket
        ledger.check(plain, "rewritten")

    def test_cancelled_request_leaves_everything(self):
        server = self.server(cancel="24h").start()
        now = time.time_ns()
        self.push(server, {"app": "c"}, [(now - 10**9 * (i + 1), "line %d" % i) for i in range(10)])
        server.flush()
        self.request_delete(server, '{app="c"}', (now - 3600 * 10**9) // 10**9, now // 10**9)
        self.assertEqual(self.lines(server, '{app="c"}', now - 3600 * 10**9, now + 1), [])
        status, body, _ = server.request("DELETE", "/loki/api/v1/delete", params={"request_id": self.requests(server)[0]["request_id"]})
        self.assertEqual(status, 204, body)
        time.sleep(3)   # some runs of the compactor
        self.assertEqual(len(self.lines(server, '{app="c"}', now - 3600 * 10**9, now + 1)), 10)

    def test_kills_while_deleting(self):
        rounds = int(os.environ.get("SKALD_ROUNDS", "4"))
        server = self.server(cancel="0s").start()
        ledger = Ledger(streams=3, step_ns=10**9, sizes=(50,), text_bytes=80)
        target = ledger.streams[0]
        for number in range(rounds):
            ledger.start(server)
            while any(len(s.acknowledged) < 600 * (number + 1) for s in ledger.streams) and not ledger.errors:
                time.sleep(0.01)
            ledger.stop()
            server.flush()
            # A third of the newest 600 seconds, all lines of it.
            end = target.end_ns
            start = end - 200 * 10**9
            self.request_delete(server, target.selector, start // 10**9, end // 10**9 - 1)
            for t in [t for t in target.acknowledged if start <= t <= end - 10**9]:
                del target.acknowledged[t]
            time.sleep(0.3 + 0.7 * (number % 4))
            server.kill()
            server.start()
            ledger.check(server, "round %d" % number)
        self.eventually(lambda: ({r["status"] for r in self.requests(server)}, {"processed"}))
        ledger.check(server, "all processed")
        server.kill()
        plain = self.server(enabled="false").start()
        ledger.check(plain, "rewritten")


for store_name in servers.chosen_stores("filesystem,swift", remote=False):
    class_name = "Retention" + "".join(w.capitalize() for w in store_name.split("-"))
    globals()[class_name] = type(class_name, (RetentionCase, unittest.TestCase), {"name": store_name, "__module__": __name__})


if __name__ == "__main__":
    unittest.main()
