"""Index objects in a DynamoDB table (dynalite): written, found after a restart and by compaction, encrypted when objects are,
and no chunk or index object missing in the eyes of fsck."""
import os
import secrets
import subprocess
import time
import unittest

import servers
from harness import BINARY, Server
from ledger import BASE_NS, OPEN_LIMITS

REST = "auth_enabled: false\n" + OPEN_LIMITS + "ingester: {flush_check_period: 300ms}\ncompactor: {compaction_interval: 1s, lease_period: 2s, retention_delete_delay: 2s}\n"


class TableIndex(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.table = servers.Dynalite()
        except servers.Missing as missing:
            raise unittest.SkipTest(str(missing))
        cls.table.__enter__()
        cls.addClassCleanup(cls.table.close)

    def setUp(self):
        self.store = servers.Filesystem()
        self.store.__enter__()
        self.addCleanup(self.store.close)

    def server(self, table, encryption=""):
        storage = "tsdb_shipper: {resync_interval: 1s}\n" + self.table.config().rstrip("\n") + "\n    table: " + table
        if encryption:
            storage += "\nencryption: {enabled: true, key_file: %s}" % encryption
        config = self.store.config(storage=storage)
        self.assertIn("store: tsdb", config)
        server = Server(config.replace("store: tsdb", "store: dynamodb") + REST)
        self.addCleanup(server.close)
        return server

    def write(self, server, number):
        entries = [(BASE_NS + number * 10**9 + i, "line %d-%d" % (number, i)) for i in range(200)]
        self.assertEqual(server.push([({"app": "table", "n": str(number)}, entries)])[0], 204)
        server.flush()
        return [line for _, line in entries]

    def read(self, server):
        return sorted(line for _, line in server.read_all('{app="table"}', BASE_NS, BASE_NS + 3600 * 10**9))

    def fsck(self, server):
        done = subprocess.run([BINARY, "fsck", "-config.file=" + os.path.join(server.directory, "config.yaml")], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def check(self, table, encryption=""):
        server = self.server(table, encryption).start()
        lines = []
        for number in range(5):
            lines += self.write(server, number)
        self.assertEqual(self.read(server), sorted(lines))
        keys = self.store.client().keys()
        self.assertTrue([k for k in keys if "/chunks/" in k])
        self.assertEqual([k for k in keys if "/index/" in k], [])
        deadline = time.monotonic() + 30   # the day is over, so the compactor merges its five index objects
        while " replaced" in self.fsck(server) and "1 indexes (0 replaced)" not in self.fsck(server):
            self.assertLess(time.monotonic(), deadline, "never merged: " + self.fsck(server))
            time.sleep(0.5)
        self.assertEqual(self.read(server), sorted(lines))
        server.kill()
        server.start()
        self.assertEqual(self.read(server), sorted(lines))
        self.assertEqual(server.stop(), 0)
        self.assertIn("0 problems", self.fsck(server))

    def test_the_index_lives_in_the_table(self):
        self.check("plain")

    def test_encrypted_too(self):
        key_file = os.path.join(self.store.directory, "..", "keys-" + secrets.token_hex(4))
        with open(key_file, "w") as f:
            f.write("k1:" + secrets.token_hex(32) + "\n")
        self.addCleanup(os.unlink, key_file)
        self.check("encrypted", key_file)

    def test_a_table_that_is_down_delays_and_loses_nothing(self):
        server = self.server("down").start()
        lines = self.write(server, 0)
        self.table.halt()
        try:
            entries = [(BASE_NS + 7 * 10**9 + i, "during %d" % i) for i in range(50)]
            self.assertEqual(server.push([({"app": "table", "n": "7"}, entries)])[0], 204)
            status, body, _ = server.request("POST", "/flush")
            self.assertGreaterEqual(status, 500, body)
            lines += [line for _, line in entries]
            self.assertEqual(self.read(server), sorted(lines))   # the index shipped before is at hand, the rest in memory
        finally:
            self.table.launch()   # empty: dynalite keeps its tables in memory
        server.flush()
        self.assertIn("during 0", self.read(server))


if __name__ == "__main__":
    unittest.main()
