"""Each object store as the system of record: what was flushed is in the bucket and nowhere else.

SKALD_STORES names the stores (swift,minio,azurite,fake-gcs by default). With SKALD_CONFORMANCE=<suite> the conformance suite
runs on each of them as well."""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

import servers
from harness import BINARY, ROOT, Server
from ledger import BASE_NS, OPEN_LIMITS, Ledger

REST = "auth_enabled: false\n" + OPEN_LIMITS + """ingester: {flush_check_period: 300ms}
chunk_store_config: {chunk_cache_config: {embedded_cache: {enabled: false}}}
"""
RULES = "name: g1\nrules:\n  - alert: a1\n    expr: sum(rate({app=\"x\"}[5m])) > 0\n"
MAGIC = {"chunks": ("SKO1", "SKOE"), "index": ("SKI1", "SKIE")}   # docs/formats
# What the service itself calls a wrong secret; the log must repeat it.
WRONG_SECRET = {"s3": "SignatureDoesNotMatch", "azure": "AuthorizationFailure", "gcs": "invalid_grant|Invalid JWT Signature"}
NO_BUCKET = {"s3": "NoSuchBucket|bucket does not exist", "azure": "ContainerNotFound", "gcs": "404|not found|notFound"}


class StoreCase:
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[cls.name]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)

    def setUp(self):
        self.store.client().delete_all()

    def server(self, config=None, **options):
        server = Server(config or self.store.config() + REST, **options)
        self.addCleanup(server.close)
        return server

    def filled(self, server, lines_per_stream=3000):
        ledger = Ledger(streams=4, step_ns=10**6)
        ledger.start(server)
        deadline = time.monotonic() + 60
        while any(len(s.acknowledged) < lines_per_stream for s in ledger.streams) and not ledger.errors and time.monotonic() < deadline:
            time.sleep(0.01)
        ledger.stop()
        return ledger

    def test_written_once_read_back_by_another_process_that_has_only_the_bucket(self):
        for style in ("old", "new"):
            self.store.client().delete_all()
            server = self.server(self.store.config(style=style) + REST).start()
            ledger = self.filled(server)
            ledger.check(server, style + ", memory")
            server.flush()
            ledger.check(server, style + ", flushed")
            self.assertEqual(server.stop(), 0, server.tail_log())
            server.start()
            ledger.check(server, style + ", restarted")
            server.kill()
            other = self.server(self.store.config(style=style) + REST).start()   # another data directory
            ledger.check(other, style + ", bucket only")
            other.stop()
            kinds = {key.split("/")[1] for key in self.store.client().keys("fake/")}
            self.assertLessEqual({"chunks", "index"}, kinds, style)

    def test_vendors_client_reads_what_was_written(self):
        server = self.server().start()
        ledger = self.filled(server, 500)
        server.flush()
        server.stop()
        seen = self.store.vendor("inspect")
        listed = {o.key: o.size for o in self.store.client().list()}
        self.assertEqual({o["key"]: o["size"] for o in seen}, listed)
        checked = 0
        for o in seen:
            self.assertEqual(o["read"], o["size"], o)
            magic = MAGIC.get(o["key"].split("/")[1])
            if magic and re.search(r"/[0-9A-Z]{26}$", o["key"]):
                self.assertEqual((o["head"], o["tail"]), magic, o)
                checked += 1
        self.assertGreaterEqual(checked, 2)
        self.assertGreater(ledger.acknowledged, 0)

    def test_rules_and_delete_requests_are_in_the_bucket(self):
        config = self.store.config() + REST + "compactor: {retention_enabled: true, delete_request_store: %s}\n" % self.store.kind
        server = self.server(config).start()
        self.assertEqual(server.request("POST", "/loki/api/v1/rules/ns1", RULES.encode(), {"Content-Type": "application/yaml"})[0], 202)
        status, body, _ = server.request("POST", "/loki/api/v1/delete", params={"query": '{app="gone"}', "start": 1, "end": int(time.time())})
        self.assertEqual(status, 204, body)
        server.kill()
        other = self.server(config).start()
        self.assertIn(b"a1", other.request("GET", "/loki/api/v1/rules")[1])
        requests = json.loads(other.request("GET", "/loki/api/v1/delete")[1])
        self.assertEqual([r["query"] for r in requests], ['{app="gone"}'])

    def start_badly(self, config, expected):
        """Starts a server that cannot reach its bucket; returns its log once it says `expected`."""
        server = self.server(config)
        try:
            server.start(timeout_s=4)
            ready = True
        except RuntimeError:
            ready = False
        if ready:   # it may start and say so when it first needs the bucket
            server.push([({"app": "x"}, [(BASE_NS, "line")])])
            try:
                server.flush()
            except (AssertionError, OSError):
                pass
        deadline = time.monotonic() + 20
        while not re.search(expected, server.tail_log(200)) and time.monotonic() < deadline:
            time.sleep(0.1)
        log = server.tail_log(200)
        self.assertRegex(log, expected)
        if server.process.poll() is None:   # it waits for the bucket; whoever asks learns why
            status, body, _ = server.request("GET", "/ready")
            self.assertEqual(status, 503)
            self.assertRegex(body.decode(), expected)
        self.assertFalse(ready, "ready although its bucket cannot be read:\n" + log)
        return log

    def test_wrong_secret_is_named_in_the_log_and_not_shown(self):
        secret = "not-the-right-secret-0123456789abcdef"
        log = self.start_badly(self.store.config(secret=secret) + REST, WRONG_SECRET[self.store.kind])
        self.assertNotIn(secret, log)
        self.assertRegex(log, "'%s'|%s" % (self.store.bucket, "skald@test.iam"))   # whose bucket, or whose account

    def test_missing_bucket_is_named(self):
        log = self.start_badly(self.store.config().replace(" " + self.store.bucket + "\n", " no-such-bucket\n") + REST, NO_BUCKET[self.store.kind])
        self.assertIn("no-such-bucket", log)

    def test_store_that_is_down_stops_flushes_not_pushes(self):
        proxy = self.store.proxy()
        self.addCleanup(proxy.close)
        server = self.server(self.store.config(proxy.address) + REST.replace("ingester: {", "ingester: {chunk_idle_period: 500ms, ")).start()
        ledger = self.filled(server, 300)
        server.flush()
        proxy.blackout()
        ledger.start(server)
        time.sleep(2)
        ledger.stop()
        self.assertEqual(dict(ledger.refused), {}, server.tail_log())
        self.assertGreater(proxy.faults["503"], 0)   # flushes were tried
        server.kill()
        with self.assertRaises(RuntimeError):   # not ready, as answers would be incomplete; and it says why
            server.start(timeout_s=5)
        started = time.monotonic()
        while b"503" not in server.request("GET", "/ready")[1]:
            self.assertLess(time.monotonic(), started + 60, server.tail_log())
            time.sleep(0.1)
        print("\n%s: a start with a dead store takes pushes after %.0f s" % (self.name, 5 + time.monotonic() - started), flush=True)
        self.assertEqual(server.request("GET", "/ready")[0], 503)
        self.assertEqual(server.push([({"service_name": "meanwhile"}, [(BASE_NS, "taken while the store was down")])])[0], 204)
        proxy.blackout(False)
        deadline = time.monotonic() + 30
        while server.request("GET", "/ready")[0] != 200:
            self.assertLess(time.monotonic(), deadline, server.tail_log())
            time.sleep(0.1)
        server.flush()
        self.assertEqual(server.read_all('{service_name="meanwhile"}', BASE_NS, BASE_NS + 1), [(BASE_NS, "taken while the store was down")])
        ledger.check(server, "after the store came back")
        server.kill()
        other = self.server(self.store.config() + REST).start()
        ledger.check(other, "bucket only, after the store came back")

    @unittest.skipUnless(os.environ.get("SKALD_CONFORMANCE"), "SKALD_CONFORMANCE does not name the suite")
    def test_conformance(self):
        text = self.store.config(style="new")
        text += "compactor: {working_directory: ./data/compactor, retention_enabled: true, delete_request_store: %s, compaction_interval: 10m}\n" % self.store.kind
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(text)
            f.flush()
            done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "conformance"), BINARY, os.environ["SKALD_CONFORMANCE"], "--config", f.name, "--phase", "flushed", "--jobs", "2"],
                                  capture_output=True, text=True)
        print("\n%s: %s" % (self.name, " ".join(done.stdout.strip().split("\n")[-2:])), flush=True)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-2000:])
        self.assertGreater(len(self.store.client().keys("acme/chunks/")), 0)   # it was this store that was tested


for store_name in servers.chosen_stores("swift,minio,azurite,fake-gcs"):
    class_name = "Store" + "".join(w.capitalize() for w in store_name.split("-"))
    globals()[class_name] = type(class_name, (StoreCase, unittest.TestCase), {"name": store_name, "__module__": __name__})


class Tls(unittest.TestCase):
    """S3 behind HTTPS with a certificate of a CA that only this test knows."""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.Swift()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)
        cls.front = servers.Nginx(cls.store.address)
        cls.front.__enter__()
        cls.addClassCleanup(cls.front.close)

    def config(self, http, style="old"):
        return self.store.config(self.front.address, style=style, http=http).replace("insecure: true", "insecure: false") + REST

    def test_custom_ca(self):
        for style, http in (("old", "http_config: {ca_file: %s}"), ("new", "http: {tls_ca_path: %s}")):
            server = Server(self.config(http % self.front.ca, style)).start()
            self.addCleanup(server.close)
            self.assertEqual(server.push([({"app": style}, [(BASE_NS, "over tls")])])[0], 204)
            server.flush()
            self.assertEqual(server.read_all('{app="%s"}' % style, BASE_NS, BASE_NS + 1), [(BASE_NS, "over tls")])
            server.stop()
        self.assertTrue(self.store.client().keys("fake/chunks/"))

    def test_unknown_ca_is_refused_and_named(self):
        server = Server(self.config(""))
        self.addCleanup(server.close)
        with self.assertRaises(RuntimeError):
            server.start(timeout_s=4)
        self.assertRegex(server.tail_log(100), "(?i)certificate")
        skipping = Server(self.config("http_config: {insecure_skip_verify: true}")).start()
        self.addCleanup(skipping.close)


if __name__ == "__main__":
    unittest.main()
