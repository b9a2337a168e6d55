"""memcached and Redis as caches of chunks: what was read once is not fetched again, and a cache that fails costs time only."""
import time
import unittest

import servers
from harness import Server
from ledger import OPEN_LIMITS, Ledger

REST = "auth_enabled: false\n" + OPEN_LIMITS + "ingester: {flush_check_period: 300ms}\n"


def cache_block(text):
    return "chunk_store_config:\n  chunk_cache_config:\n    embedded_cache: {enabled: false}\n" + "".join("    " + line + "\n" for line in text.split("\n") if line)


class Caches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[servers.chosen_stores("swift")[0]]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)
        cls.proxy = cls.store.proxy()
        cls.addClassCleanup(cls.proxy.close)
        writer = Server(cls.store.config() + REST).start()
        cls.ledger = Ledger(streams=4, step_ns=10**6)
        cls.ledger.start(writer)
        while any(len(s.acknowledged) < 5000 for s in cls.ledger.streams) and not cls.ledger.errors:
            time.sleep(0.01)
        cls.ledger.stop()
        writer.flush()
        writer.stop()
        writer.close()

    def reads(self, config, between=None):
        """Chunk GETs of a first and a second reading of everything, each by a process of its own."""
        out = []
        for number in range(2):
            server = Server(self.store.config(self.proxy.address) + REST + config).start()
            self.addCleanup(server.close)
            self.proxy.reset_counters()
            self.ledger.check(server, "reading %d" % number)
            if number == 0:   # what is written behind has arrived
                time.sleep(1)
            out.append(self.proxy.requests[("GET", "chunks")])
            server.stop()
            if number == 0 and between:
                between()
        return out

    def test_without_a_cache_everything_is_fetched_again(self):
        first, second = self.reads(cache_block(""))
        self.assertGreater(first, 0)
        self.assertEqual(first, second)

    def test_memcached(self):
        with servers.Memcached() as cache:
            first, second = self.reads(cache_block(cache.config()))
            self.assertGreater(int(cache.stats()["curr_items"]), 0)
        self.assertGreater(first, 0)
        self.assertEqual(second, 0)

    def test_two_memcached_one_of_them_dies(self):
        with servers.Memcached() as one, servers.Memcached() as two:
            config = cache_block(one.config().replace(one.address, "%s,%s" % (one.address, two.address)))
            first, second = self.reads(config, between=two.halt)
            self.assertGreater(int(one.stats()["curr_items"]), 0)
        self.assertGreater(first, 0)
        self.assertLessEqual(second, 2 * first)   # what is still cached cuts ranges into pieces

    def test_redis_with_a_password(self):
        with servers.Redis() as cache:
            first, second = self.reads(cache_block(cache.config()))
            self.assertGreater(int(cache.command_line("dbsize")), 0)
        self.assertGreater(first, 0)
        self.assertEqual(second, 0)

    def test_redis_wrong_password_is_told_and_costs_nothing_else(self):
        with servers.Redis() as cache:
            first, second = self.reads(cache_block(cache.config().replace(cache.password, "wrong")))
            self.assertEqual(int(cache.command_line("dbsize")), 0)
        self.assertEqual(first, second)

    def test_redis_over_tls(self):
        with servers.Redis(tls=True) as cache:
            first, second = self.reads(cache_block(cache.config()))
            self.assertGreater(int(cache.command_line("dbsize")), 0)
        self.assertGreater(first, 0)
        self.assertEqual(second, 0)

    def test_disk(self):
        import shutil
        import tempfile
        directory = tempfile.mkdtemp(prefix="skald-disk-cache-")
        self.addCleanup(shutil.rmtree, directory, True)
        first, second = self.reads(cache_block("disk_cache: {directory: %s, max_size_mb: 64}" % directory))
        self.assertGreater(first, 0)
        self.assertEqual(second, 0)


if __name__ == "__main__":
    unittest.main()
