"""Answers of metric range queries from a cache: the same as without it, for as long as they are true."""
import json
import time
import unittest

import servers
from harness import Server
from ledger import OPEN_LIMITS

SECOND = 10**9
REST = "auth_enabled: false\n" + OPEN_LIMITS + """  deletion_mode: filter-and-delete
compactor: {retention_enabled: true, delete_request_store: filesystem, delete_request_cancel_period: 1h, compaction_interval: 1h}
querier: {query_ingesters_within: 0}
"""
QUERY = 'sum by (level) (count_over_time({app="web"} | logfmt [5m]))'


class ResultsCache(unittest.TestCase):
    def setUp(self):
        self.end_ns = (time.time_ns() // (300 * SECOND) - 12) * 300 * SECOND   # an hour ago: beyond what is never cached
        self.start_ns = self.end_ns - 6 * 3600 * SECOND

    def server(self, cache, directory=None):
        config = REST + "query_range:\n  cache_results: true\n" + "".join("  " + line + "\n" for line in cache.split("\n") if line)
        server = Server(config, directory=directory).start()
        self.addCleanup(server.close)
        return server

    def fill(self, server):
        entries = [(self.start_ns + i * 30 * SECOND, "level=%s n=%d" % (("info", "error")[i % 3 == 0], i)) for i in range(720)]
        self.assertEqual(server.push([({"app": "web"}, entries)])[0], 204)

    def ask(self, server, start_ns=None, end_ns=None, headers=None):
        status, body, _ = server.request("GET", "/loki/api/v1/query_range", headers=headers,
                                         params={"query": QUERY, "start": start_ns or self.start_ns, "end": end_ns or self.end_ns, "step": "60"})
        self.assertEqual(status, 200, body[:300])
        result = json.loads(body)["data"]["result"]
        return sorted((tuple(sorted(r["metric"].items())), tuple(map(tuple, r["values"]))) for r in result)

    def count(self, server, result):
        text = server.request("GET", "/metrics")[1].decode()
        name = 'skald_results_cache_queries_total{result="%s"} ' % result
        return sum(float(line[len(name):]) for line in text.split("\n") if line.startswith(name))

    def test_a_second_question_is_answered_from_memory_and_a_longer_one_in_part(self):
        server = self.server("")
        self.fill(server)
        truth = self.ask(server, headers={"Cache-Control": "no-store"})
        self.assertEqual([dict(labels)["level"] for labels, _ in truth], ["error", "info"])
        self.assertEqual(self.count(server, "miss"), 0)
        self.assertEqual(self.ask(server), truth)
        self.assertEqual(self.ask(server), truth)
        self.assertEqual((self.count(server, "miss"), self.count(server, "hit")), (1, 1))
        longer = self.ask(server, self.start_ns - 1800 * SECOND, headers={"Cache-Control": "no-store"})
        self.assertEqual(self.ask(server, self.start_ns - 1800 * SECOND), longer)
        self.assertEqual(self.count(server, "partial"), 1)

    def test_what_a_delete_request_hides_is_not_answered_from_the_cache(self):
        server = self.server("")
        self.fill(server)
        before = self.ask(server)
        self.assertEqual(self.ask(server), before)
        status, body, _ = server.request("POST", "/loki/api/v1/delete", params={"query": '{app="web"} |= "level=error"', "start": self.start_ns // SECOND, "end": self.end_ns // SECOND})
        self.assertEqual(status, 204, body)
        self.assertEqual([dict(labels)["level"] for labels, _ in self.ask(server)], ["info"])

    def test_memcached_outlives_the_process(self):
        with servers.Memcached() as cache:
            block = "results_cache:\n  cache:\n" + "".join("    " + line + "\n" for line in cache.config().split("\n") if line)
            first = self.server(block)
            self.fill(first)
            truth = self.ask(first)
            deadline = time.monotonic() + 10
            while int(cache.stats()["curr_items"]) == 0 and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.5)   # all of what is written behind
            first.stop()
            second = self.server(block, directory=first.directory)
            self.assertEqual(self.ask(second), truth)
            self.assertEqual((self.count(second, "hit"), self.count(second, "miss")), (1, 0))


if __name__ == "__main__":
    unittest.main()
