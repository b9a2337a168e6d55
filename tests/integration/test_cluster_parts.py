"""Queries that run in parts on several readers: the same answers as in one go, also while readers and schedulers are killed.

SKALD_PARTS_MB (40): how much there is to read; below 16 MB nothing would be cut."""
import json
import os
import random
import threading
import time
import unittest
import urllib.parse

import cluster

NS = 10**9
LINES = 12000
MB = int(os.environ.get("SKALD_PARTS_MB", "40"))
QUERIES = ['sum by (pod) (rate({app="big"} |= "error" |~ "a.*b" [1m]))', 'sum by (level) (count_over_time({app="big"} | logfmt [5m]))',
           '{app="big"} |= "n=13 " |= "error"', 'max by (pod) (max_over_time({app="big"} | logfmt | unwrap n [2m]))']
WHOLE = {"X-Query-Tags": "Source=grafana-lokiexplore-app"}   # answers that may be cut short are never put together from parts
UNLIMITED = {"ingestion_rate_mb": 1000, "ingestion_burst_size_mb": 1000, "per_stream_rate_limit": "1GB", "per_stream_rate_limit_burst": "1GB"}


class Parts(unittest.TestCase):
    def setUp(self):
        cluster.need()
        self.cluster = cluster.Cluster(heartbeat_s=1, timeout_s=20, compact="10m", settings={"limits_config": UNLIMITED}).__enter__()
        self.addCleanup(self.cluster.close)
        self.cluster.wait_whole(60)
        self.members = {m.name: m for m in self.cluster.members}
        self.fill()

    def fill(self):
        rng = random.Random(1)
        self.last = time.time_ns()
        self.first = self.last - 3600 * NS
        step, pad = (self.last - self.first) // LINES, MB * 2**20 // LINES
        noise = "".join(rng.choice("abcdefgh ") for _ in range(pad + 1000))
        for begin in range(0, LINES, 500):
            streams = {}
            for i in range(begin, begin + 500):
                line = "level=%s n=%d %s" % (rng.choice(("info", "error")), i % 97, noise[i % 1000:i % 1000 + pad])
                streams.setdefault("p%d" % (i % 6), []).append((self.first + i * step, line, {}))
            status, answer = self.cluster.front.push([({"app": "big", "pod": pod}, entries) for pod, entries in streams.items()])
            self.assertEqual(status, 204, answer[:300])
            if begin == LINES // 2:
                self.cluster.flush()

    def ask(self, reader, query, headers=None):
        """(status, result or text, subqueries)"""
        params = urllib.parse.urlencode({"query": query, "start": self.first, "end": self.last, "step": "30s", "limit": 2000})
        status, body = self.members[reader].request("GET", "/loki/api/v1/query_range?" + params, headers=headers or {})[:2]
        if status != 200:
            return status, body[:300], 0
        data = json.loads(body)["data"]
        return status, data["result"], data["stats"]["summary"]["subqueries"]

    def metric(self, member, name):
        lines = self.members[member].request("GET", "/metrics")[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def test_parts_and_whole_agree(self):
        for query in QUERIES:
            status, whole, cut = self.ask("read-1", query, WHOLE)
            self.assertEqual((status, cut), (200, 0), whole)
            self.assertTrue(whole, query)
            for reader in ("read-1", "read-2"):
                status, parts, cut = self.ask(reader, query)
                self.assertEqual(status, 200, parts)
                self.assertEqual(parts, whole, query)
                self.assertGreater(cut, 1, query)
        taken = [self.metric(b, "loki_query_scheduler_queue_duration_seconds_count") for b in ("backend-1", "backend-2")]
        self.assertGreater(min(taken), 0, taken)

    def test_killed_readers_and_schedulers_fail_no_query(self):
        want = self.ask("read-1", QUERIES[0])[1]
        for victim in ("read-2", "backend-1"):
            answers, stop = [], threading.Event()

            def keep_asking():
                while not stop.is_set():
                    answers.append(self.ask("read-1", QUERIES[0]))

            asking = threading.Thread(target=keep_asking)
            asking.start()
            time.sleep(1.0)
            self.members[victim].kill()
            time.sleep(3.0)
            stop.set()
            asking.join()
            self.assertGreater(len(answers), 1)
            for status, result, _ in answers:
                self.assertEqual(status, 200, (victim, result))
                self.assertEqual(result, want, victim)


if __name__ == "__main__":
    unittest.main()
