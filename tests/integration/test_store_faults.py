"""Stores that fail in every way they can, and a server that is killed meanwhile: the ledger stays clean.

SKALD_FAULTS is the number of faults per store (40; 2,000 and more before a release), SKALD_STORES the stores, SKALD_SEED the
seed. While faults are on, each answer must be an honest error or exact; once they end, everything acknowledged is there."""
import os
import random
import time
import unittest

import servers
from fault_proxy import even_rates
from harness import Server
from ledger import OPEN_LIMITS, Ledger

FAULTS = int(os.environ.get("SKALD_FAULTS", "40"))
SEED = int(os.environ.get("SKALD_SEED", "1"))
SECONDS_MAX = 300 + FAULTS * 6   # a busy machine makes few requests, and so few faults
# Timeouts shorter than the proxy's stalls, so that some requests are given up.
IMPATIENT = {"s3": "http_config: {response_header_timeout: 3s}\nbackoff_config: {min_period: 20ms, max_period: 500ms}", "azure": "request_timeout: 3s\nmin_retry_delay: 20ms\nmax_retry_delay: 500ms",
             "gcs": "request_timeout: 3s"}
REST = "auth_enabled: false\nserver: {http_server_write_timeout: 10m}\n" + OPEN_LIMITS + """  query_timeout: 5m
ingester:
  chunk_target_size: 65536
  chunk_idle_period: 1s
  max_chunk_age: 4h
  flush_check_period: 200ms
chunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: false}}}
compactor: {compaction_interval: 2s, retention_enabled: true, retention_delete_delay: 3s, lease_period: 5s, orphan_grace_period: 2m, delete_request_store: %s}
"""


class FaultCase:
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[cls.name]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)

    def start(self, server):
        """A start under faults may fail, but only with an error; a supervisor would try again."""
        for _ in range(20):
            try:
                server.start(timeout_s=60)
                return
            except RuntimeError:
                self.failed_starts += 1
                if server.process.poll() is None:
                    server.kill()
                elif server.process.returncode != 1:
                    self.fail("ended with %s: %s" % (server.process.returncode, server.tail_log()))
        self.fail("did not start in 20 tries: " + server.tail_log())

    def test_ledger_stays_clean(self):
        rng = random.Random(SEED)
        self.failed_starts = 0
        proxy = self.store.proxy(seed=SEED, stall_s=4.0, delay_s=0.2, retry_after_s=(0, 0, 0, 1), weights={"GET": 0.6, "PUT": 3.0, "DELETE": 3.0, "DELETE-MANY": 3.0})
        self.addCleanup(proxy.close)
        server = Server(self.store.config(proxy.address, http=IMPATIENT[self.store.kind]) + REST % self.store.kind)
        self.addCleanup(server.close)
        ledger = Ledger(streams=6, seed=SEED, sizes=(1, 3, 20, 200), text_bytes=200, pause_s=0.05)
        server.start()
        proxy.rates = even_rates(0.15)
        kills = restarts = refusals = 0
        deadline = time.monotonic() + SECONDS_MAX
        while proxy.fault_count < FAULTS and time.monotonic() < deadline:
            ledger.start(server, readers=3)
            time.sleep(rng.uniform(0.3, 2.0))
            if rng.random() < 0.7:
                self.flush_quietly(server)
            if rng.random() < 0.1:
                proxy.refuse(rng.uniform(0.1, 1.0))
                refusals += 1
                time.sleep(rng.uniform(0, 1.0))
            self.assertIsNone(server.process.poll(), "the server ended by itself: " + server.tail_log())
            at = rng.random()
            if at < 0.3:
                server.kill()
                kills += 1
            ledger.stop()
            self.assertEqual(ledger.faults, [], "wrong answers under faults (seed %d)" % SEED)
            if 0.3 <= at < 0.4:
                code = server.stop(timeout_s=120)
                restarts += 1
                self.assertIn(code, (0, 1), server.tail_log())
            if at < 0.4:
                self.start(server)
        reached = proxy.fault_count
        amplification = proxy.amplification()
        print("\n%s: %s; %d kills, %d restarts, %d failed starts, %d intervals of refused connections" % (self.name, proxy.describe(), kills, restarts, self.failed_starts, refusals), flush=True)
        self.assertGreaterEqual(reached, FAULTS, "only %d faults in %d s" % (reached, SECONDS_MAX))
        proxy.rates = {}
        time.sleep(1.2)
        ledger.check(server, "faults over")
        self.flush_until_done(server)
        ledger.check(server, "flushed")
        server.kill()
        other = Server(self.store.config() + REST % self.store.kind).start()   # what is in the bucket, by itself
        self.addCleanup(other.close)
        ledger.check(other, "bucket only")
        print("%s: %s, %.2f requests per success" % (self.name, ledger.summary(), amplification), flush=True)
        self.assertLessEqual(amplification, 3.0)

    @staticmethod
    def flush_quietly(server):
        try:
            server.request("POST", "/flush")
        except Exception:   # an error is an honest answer
            pass

    def flush_until_done(self, server):
        deadline = time.monotonic() + 240   # a busy machine's store may need several of its short timeouts
        while True:
            status, body, _ = server.request("POST", "/flush")
            if status in (200, 204):
                return
            self.assertLess(time.monotonic(), deadline, (status, body))
            time.sleep(0.5)


for store_name in servers.chosen_stores("swift,minio,azurite,fake-gcs"):
    class_name = "Faults" + "".join(w.capitalize() for w in store_name.split("-"))
    globals()[class_name] = type(class_name, (FaultCase, unittest.TestCase), {"name": store_name, "__module__": __name__})


if __name__ == "__main__":
    unittest.main()
