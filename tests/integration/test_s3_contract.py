"""The object store's C++ contract (tests/objstore/s3_live_test.cc) against MinIO (path style, virtual-hosted, TLS) and Swift."""
import os
import shutil
import subprocess
import unittest
import urllib.parse

import servers
from fault_proxy import even_rates
from harness import BINARY

FAULTS = ("500", "503", "429", "late-500", "gateway", "timeout-status", "reset", "late-reset", "cut", "delay")
TESTS = os.path.join(os.path.dirname(BINARY), "tests", "skald_objstore_tests")


class OwnNameMinio(servers.Minio):
    """Buckets are names below localhost, which needs no name server."""

    def environment(self):
        return dict(super().environment(), MINIO_DOMAIN="localhost")


class TlsMinio(servers.Minio):
    tls = False

    def command(self):
        return super().command() + (["--certs-dir", self.certificates] if self.tls else [])

    def prepare(self):
        super().prepare()   # makes the bucket in plain text
        self.halt()
        self.log.close()
        self.ca, certificate, key = servers.certificate(self.directory)
        self.certificates = os.path.join(self.directory, "certs")
        os.mkdir(self.certificates)
        shutil.copy(certificate, os.path.join(self.certificates, "public.crt"))
        shutil.copy(key, os.path.join(self.certificates, "private.key"))
        self.tls = True
        self.launch()


@unittest.skipUnless(os.access(TESTS, os.X_OK), "%s is not built" % TESTS)
class S3Contract(unittest.TestCase):
    def run_tests(self, store, query="", host="127.0.0.1", port=None, passed=11, names="S3Live.*"):
        quoted = [urllib.parse.quote(text, safe="") for text in (store.access_key, store.secret_key)]
        url = "s3://%s:%s@%s:%d/%s%s" % (quoted[0], quoted[1], host, port or store.port, store.bucket, query)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment.update(SKALD_TEST_S3=url, no_proxy="127.0.0.1,localhost")
        done = subprocess.run([TESTS, "--gtest_filter=" + names], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:])
        self.assertIn("[  PASSED  ] %d test" % passed, done.stdout)
        return done.stdout

    def test_minio(self):
        with servers.Minio() as store:
            self.run_tests(store, passed=10)   # no encryption with a key of the customer in plain text

    def test_virtual_hosted_style(self):
        with OwnNameMinio() as store:
            self.run_tests(store, "?virtual", "localhost", passed=10)

    def test_tls(self):
        with TlsMinio() as store:
            self.run_tests(store, "?ca=" + urllib.parse.quote(store.ca, safe=""))

    def test_faults(self):
        """Requests that fail, are lost or cut, each kind at random: nothing of it may be seen above the store."""
        with servers.Minio() as store:
            proxy = store.proxy(rates=even_rates(0.05, FAULTS), seed=7, retry_after_s=(0,))
            try:
                self.run_tests(store, "?retries=10", port=proxy.port, passed=10)
            finally:
                proxy.close()

    def test_swift(self):
        with servers.Swift() as store:   # s3api refuses If-None-Match, and says so
            self.assertIn("does not heed If-None-Match", self.run_tests(store, passed=9))


if __name__ == "__main__":
    unittest.main()
