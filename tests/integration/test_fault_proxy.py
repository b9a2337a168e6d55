"""The fault proxy does what it says, and the stores' doubles are what the vendors' own clients expect."""
import http.client
import json
import threading
import time
import unittest
import urllib.parse

import servers
from fault_proxy import even_rates
from store_clients import S3Client, StoreError


class FaultProxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[servers.chosen_stores("swift")[0]]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)

    def proxy(self, rates=None, **options):
        proxy = self.store.proxy(rates=rates, **options)
        self.addCleanup(proxy.close)
        return proxy, self.store.client(proxy.address)

    def outcome(self, kind, **options):
        """(what a PUT heard, whether it took effect) with the fault always on."""
        key = "faults/" + kind
        self.store.client().put(key, b"before")
        proxy, client = self.proxy({kind: 1.0}, **options)
        try:
            heard = client.raw("PUT", key, body=b"after")[0]
        except (OSError, http.client.HTTPException):
            heard = "no answer"
        self.assertEqual(proxy.faults[kind], 1)
        self.assertEqual(proxy.by_operation()["PUT"], 1)
        return heard, self.store.client().get(key) == b"after"

    def test_each_fault_does_what_it_says(self):
        timeout_status = 400 if self.store.kind == "s3" else 408
        for kind, expected in {"500": (500, False), "503": (503, False), "429": (429, False), "timeout-status": (timeout_status, False),
                               "reset": ("no answer", False), "late-reset": ("no answer", True), "late-500": (500, True)}.items():
            self.assertEqual(self.outcome(kind), expected, kind)
        heard, effect = self.outcome("gateway")
        self.assertIn(heard, (502, 504))
        self.assertTrue(effect)
        for kind in ("stall", "delay", "throttle"):
            heard, effect = self.outcome(kind, stall_s=0.3, delay_s=0.1)
            self.assertLess(heard, 300, kind)
            self.assertTrue(effect, kind)

    def test_cut_answers_and_slow_ones(self):
        self.store.client().put("faults/body", b"x" * 50_000)
        proxy, client = self.proxy({"cut": 1.0})
        with self.assertRaises(http.client.IncompleteRead):
            client.get("faults/body")
        self.assertEqual(sum(proxy.served.values()), 0)
        proxy, client = self.proxy({"throttle": 1.0}, throttle_bytes_s=100_000)
        started = time.monotonic()
        self.assertEqual(client.get("faults/body"), b"x" * 50_000)
        self.assertGreater(time.monotonic() - started, 0.3)

    def test_refused_connections_and_a_dead_store_end(self):
        proxy, client = self.proxy()
        client.put("faults/refused", b"1")
        proxy.refuse(0.5)
        time.sleep(0.2)
        with self.assertRaises(OSError):
            client.get("faults/refused")
        deadline = time.monotonic() + 10
        while True:
            try:
                self.assertEqual(client.get("faults/refused"), b"1")
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)
        proxy.blackout()
        with self.assertRaises(StoreError) as caught:
            client.get("faults/refused")
        self.assertEqual(caught.exception.status, 503)
        proxy.blackout(False)
        self.assertEqual(client.get("faults/refused"), b"1")

    def test_counts_by_operation_and_kind(self):
        proxy, client = self.proxy()
        for key in ("t/chunks/20261120T06/A", "t/chunks/20261120T06/B", "t/index/index_1/C", "t/deletes/d", "t/rules/r", "skald/x"):
            client.put(key, b"1")
        client.get("t/chunks/20261120T06/A")
        client.list("t/index/")
        client.delete("t/rules/r")
        expected = {("PUT", "chunks"): 2, ("PUT", "index"): 1, ("PUT", "deletes"): 1, ("PUT", "rules"): 1, ("PUT", "other"): 1, ("GET", "chunks"): 1, ("LIST", "index"): 1, ("DELETE", "rules"): 1}
        self.assertEqual(dict(proxy.requests), expected)
        self.assertEqual(proxy.amplification(), 1.0)

    def test_many_connections_at_once_with_faults_lose_nothing_that_was_acknowledged(self):
        proxy, client = self.proxy(even_rates(0.3), stall_s=0.1, delay_s=0.05)
        acknowledged, lock = {}, threading.Lock()

        def write(number):
            for i in range(25):
                key, body = "many/%d/%d" % (number, i), b"%d" % i * 1000
                for _ in range(20):
                    try:
                        client.put(key, body)
                    except (OSError, http.client.HTTPException, StoreError):
                        continue
                    with lock:
                        acknowledged[key] = body
                    break
        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        proxy.rates = {}
        self.assertEqual(len(acknowledged), 200)
        for key, body in acknowledged.items():
            self.assertEqual(client.get(key), body)
        self.assertGreater(proxy.fault_count, 30)
        self.assertGreater(len(proxy.faults), 8)


class Vendors(unittest.TestCase):
    """The vendor's npm client through the proxy, with faults: its own retries must get along with the errors' wording."""

    def check(self, name):
        with servers.STORES[name]() as store:
            proxy = store.proxy(rates={"503": 0.1, "500": 0.1, "reset": 0.05}, retry_after_s=(0,))
            self.addCleanup(proxy.close)
            for i in range(4):
                store.client().put("v/%d" % i, b"SKO1 %d" % i)
            got = store.vendor("inspect", "v/", address=proxy.address)
            self.assertEqual([(o["key"], o["size"], o["read"], o["head"]) for o in got], [("v/%d" % i, 6, 6, "SKO1") for i in range(4)])
            store.vendor("put", "v/own", "text of its own", address=proxy.address)
            self.assertEqual(store.client().get("v/own"), b"text of its own")

    def test_swift(self):
        self.check("swift")

    def test_minio(self):
        self.check("minio")

    def test_azurite(self):
        self.check("azurite")

    def test_fake_gcs(self):
        self.check("fake-gcs")

    def test_gcs_double(self):
        self.check("gcs-double")


class Doors(unittest.TestCase):
    """A store that lets everybody in would prove nothing about our signatures."""

    def refused(self, name, client_of):
        with servers.STORES[name]() as store:
            store.client().put("k", b"1")
            for client in client_of(store):
                for method, body in (("GET", b""), ("PUT", b"2"), ("DELETE", b"")):
                    self.assertIn(client.raw(method, "k", body=body)[0], (401, 403), (name, method))
            self.assertEqual(store.client().get("k"), b"1")

    def test_s3_checks_signatures(self):
        for name in servers.chosen_stores("swift,minio"):
            if name in ("swift", "minio"):
                self.refused(name, lambda store: [S3Client(store.address, store.bucket, store.access_key, "wrong"), S3Client(store.address, store.bucket, "nobody", store.secret_key)])

    def test_azurite_checks_the_shared_key(self):
        def clients(store):
            wrong = store.client()
            wrong.key = "d3Jvbmc="
            return [wrong]
        self.refused("azurite", clients)

    def test_gcs_gate_checks_tokens(self):
        def clients(store):
            wrong, nobody = store.client(), store.client()
            wrong.token, nobody.token = "0123", ""
            return [wrong, nobody]
        self.refused("fake-gcs", clients)
        self.refused("gcs-double", clients)

    def test_gcs_double_agrees_with_fake_gcs(self):
        """The same requests, the same answers: statuses, bodies of downloads, names of listings."""
        def answers(name):
            out = []
            with servers.STORES[name]() as store:
                c = store.client()
                for method, key, query, body, headers in (
                        ("PUT", "d/a", {"ifGenerationMatch": "0"}, b"0123456789", {}), ("PUT", "d/a", {"ifGenerationMatch": "0"}, b"x", {}), ("PUT", "d/b c+%&", {}, b"", {}),
                        ("PUT", "d/e/f", {}, b"f", {}), ("GET", "d/a", {}, b"", {}), ("GET", "d/a", {}, b"", {"Range": "bytes=2-4"}), ("GET", "d/a", {}, b"", {"Range": "bytes=5-"}),
                        ("GET", "d/a", {}, b"", {"Range": "bytes=8-100"}), ("GET", "d/a", {}, b"", {"Range": "bytes=10-12"}), ("GET", "d/none", {}, b"", {}), ("DELETE", "d/none", {}, b"", {}),
                        ("GET", "d/b c+%&", {}, b"", {})):
                    status, answer, _ = c.raw(method, key, query, body, headers)
                    out.append((method, key, status, answer if method == "GET" and status < 300 else None))
                out.append(c.list("d/"))
                for page in ({"delimiter": "/", "prefix": "d/"}, {"maxResults": "1", "prefix": "d/"}):
                    found = json.loads(c.request("GET", "/storage/v1/b/%s/o?%s" % (store.bucket, urllib.parse.urlencode(page)))[1])
                    out.append(([o["name"] for o in found.get("items", [])], found.get("prefixes"), bool(found.get("nextPageToken"))))
                status, _, headers = c.request("POST", "/upload/storage/v1/b/%s/o?uploadType=resumable&name=r" % store.bucket, b"{}", {"Content-Type": "application/json"})
                session = urllib.parse.urlsplit(headers["location"])
                for data, content_range in ((b"x" * 262144, "bytes 0-262143/262150"), (b"", "bytes */262150"), (b"123456", "bytes 262144-262149/262150")):
                    if not data and name == "fake-gcs":   # takes the question for the end and stores half of the object
                        out.append((308, "bytes=0-262143"))
                        continue
                    status, _, headers = c.request("PUT", session.path + "?" + session.query, data, {"Content-Range": content_range})
                    out.append((status, headers.get("range") if status == 308 else None))
                out.append(c.get("r") == b"x" * 262144 + b"123456")
                c.delete("d/a")
                out.append(c.keys("d/"))
            return out
        self.maxDiff = None
        self.assertEqual(answers("fake-gcs"), answers("gcs-double"))


if __name__ == "__main__":
    unittest.main()
