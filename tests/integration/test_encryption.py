"""Encryption at rest by the server: the bucket shows nothing, keys rotate, a wrong or missing key is an error and not garbage."""
import os
import secrets
import time
import unittest

import servers
from harness import Server
from ledger import BASE_NS, OPEN_LIMITS

# Without compression lines would stand in the bucket as they are: that makes the test able to fail.
REST = "auth_enabled: false\n" + OPEN_LIMITS + "ingester: {chunk_encoding: none, flush_check_period: 300ms}\n" + """chunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: false}}}
compactor: {compaction_interval: %s, lease_period: 2s, retention_enabled: true, retention_delete_delay: 2s, delete_request_store: %s}
"""
LINE = "attack at dawn, said the fox"
LABEL = "a-telling-label-value"


class EncryptionCase:
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[cls.name]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)

    def setUp(self):
        self.store.client().delete_all()
        self.keys = []
        self.key_file = os.path.join(self.store.directory, "keys-" + secrets.token_hex(4))

    def add_key(self, name):
        self.keys.append("%s:%s" % (name, secrets.token_hex(32)))
        self.write_keys(self.keys)

    def write_keys(self, keys):
        with open(self.key_file, "w") as f:
            f.write("\n".join(keys) + "\n")

    def server(self, encrypted=True, interval="1s"):
        lines = "tsdb_shipper: {resync_interval: 1s}"
        if encrypted:
            lines += "\nencryption: {enabled: true, key_file: %s}" % self.key_file
        server = Server(self.store.config(storage=lines) + REST % (interval, self.store.kind))
        self.addCleanup(server.close)
        return server

    def write(self, server, number):
        entries = [(BASE_NS + number * 10**9 + i, "%s %d-%d" % (LINE, number, i)) for i in range(50)]
        self.assertEqual(server.push([({"app": LABEL, "n": str(number)}, entries)])[0], 204)
        server.flush()
        return [line for _, line in entries]

    def read(self, server, number):
        return sorted(line for _, line in server.read_all('{app="%s", n="%d"}' % (LABEL, number), BASE_NS, BASE_NS + 3600 * 10**9))

    def shows(self, needle):
        """Keys of objects with the text in them."""
        client = self.store.client()
        return [key for key in client.keys() if needle.encode() in client.get(key)]

    def test_nothing_is_readable_in_the_bucket(self):
        server = self.server(encrypted=False).start()
        self.write(server, 0)
        self.assertTrue(self.shows(LINE))      # so it is seen when it is there
        self.assertTrue(self.shows(LABEL))
        server.close()
        self.store.client().delete_all()
        self.add_key("k1")
        server = self.server().start()
        lines = self.write(server, 1)
        self.assertEqual(server.request("POST", "/loki/api/v1/rules/ns", ("name: g\nrules: [{alert: a, expr: 'count_over_time({app=\"%s\"}[5m]) > 0'}]\n" % LABEL).encode())[0], 202)
        server.request("POST", "/loki/api/v1/delete", params={"query": '{app="%s"} |= "nothing like it %s"' % (LABEL, LINE), "start": 1, "end": 2})
        self.assertEqual(self.read(server, 1), sorted(lines))
        time.sleep(3)   # the compactor has run
        self.assertEqual(self.shows(LINE), [])
        self.assertEqual(self.shows(LABEL), [])
        self.assertGreater(len(self.store.client().keys("fake/chunks/")), 0)
        server.kill()
        other = self.server().start()
        self.assertEqual(self.read(other, 1), sorted(lines))

    def test_keys_rotate(self):
        self.add_key("k1")
        server = self.server(interval="1h").start()   # compaction would write all anew with the second key
        first = self.write(server, 1)
        server.stop()
        self.add_key("k2")   # the last one is used for writing
        server.start()
        second = self.write(server, 2)
        self.assertEqual((self.read(server, 1), self.read(server, 2)), (sorted(first), sorted(second)))
        server.kill()
        self.write_keys(self.keys[1:])   # k1 is lost: what only it opens cannot be read, and the error says which key
        other = self.server(interval="1h")
        try:
            other.start(timeout_s=10)
            status, body, _ = other.request("GET", "/loki/api/v1/query_range", params={"query": '{n="1"}', "start": BASE_NS, "end": BASE_NS + 10**10})
            self.assertGreaterEqual(status, 500, body)
            text = body.decode() + other.tail_log(200)
        except RuntimeError:
            text = other.tail_log(200)
        self.assertIn("k1", text)
        other.kill()
        self.write_keys(self.keys)
        other = self.server(interval="1s").start()
        self.assertEqual((self.read(other, 1), self.read(other, 2)), (sorted(first), sorted(second)))

    def test_bucket_from_before_encryption_stays_readable(self):
        plain = self.server(encrypted=False).start()
        before = self.write(plain, 1)
        plain.kill()
        self.add_key("k1")
        server = self.server().start()
        after = self.write(server, 2)
        self.assertEqual((self.read(server, 1), self.read(server, 2)), (sorted(before), sorted(after)))

    def test_changed_byte_is_an_error(self):
        self.add_key("k1")
        server = self.server().start()
        self.write(server, 1)
        server.kill()
        client = self.store.client()
        for key in client.keys("fake/chunks/"):
            body = bytearray(client.get(key))
            body[len(body) // 3] ^= 1
            client.put(key, bytes(body))
        other = self.server().start()
        status, body, _ = other.request("GET", "/loki/api/v1/query_range", params={"query": '{app="%s"} |= "fox"' % LABEL, "start": BASE_NS, "end": BASE_NS + 10**10, "limit": 5000})
        if status == 200:   # another part of the object than the one asked for: then what is answered is right
            for line in (v[1] for s in __import__("json").loads(body)["data"]["result"] for v in s["values"]):
                self.assertTrue(line.startswith(LINE))
        else:
            self.assertGreaterEqual(status, 500)

    def test_bad_key_files_are_refused_at_start(self):
        for text in ("", "k1:1234\n", "k1:" + "zz" * 32 + "\n", "no key at all\n"):
            with open(self.key_file, "w") as f:
                f.write(text)
            server = self.server()
            with self.assertRaises(RuntimeError, msg=repr(text)):
                server.start(timeout_s=10)
            self.assertEqual(server.process.poll(), 1, repr(text))
            self.assertIn("key", server.tail_log())


for store_name in servers.chosen_stores("filesystem,swift", remote=False):
    class_name = "Encryption" + "".join(w.capitalize() for w in store_name.split("-"))
    globals()[class_name] = type(class_name, (EncryptionCase, unittest.TestCase), {"name": store_name, "__module__": __name__})


if __name__ == "__main__":
    unittest.main()
