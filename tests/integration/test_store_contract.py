"""The object stores' C++ contract (tests/objstore/*_live_test.cc) against Azurite, fake-gcs-server, our double of GCS, which
knows conditions in resumable uploads, and our double of its XML API, which verifies HMAC signatures."""
import json
import os
import subprocess
import tempfile
import unittest

import servers
from fault_proxy import FaultProxy
from gcs_xml_double import GcsXmlDouble
from harness import BINARY, free_port

TESTS = os.path.join(os.path.dirname(BINARY), "tests", "skald_objstore_tests")
GCS_TESTS = "GcsLive.*-GcsLive.KeepsTheContractOverTheXmlApi"
VARIABLES = ("SKALD_TEST_AZURE", "SKALD_TEST_GCS", "SKALD_TEST_GCS_HMAC", "SKALD_TEST_LARGE_BYTES", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST")


@unittest.skipUnless(os.access(TESTS, os.X_OK), "%s is not built" % TESTS)
class StoreContract(unittest.TestCase):
    def run_tests(self, names, **variables):
        environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        environment.update(variables, no_proxy="127.0.0.1")
        done = subprocess.run([TESTS, "--gtest_filter=" + names], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:])
        return done.stdout

    def run_gcs(self, store, **variables):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as account:
            json.dump(store.gate.service_account, account)
            account.flush()
            out = self.run_tests(GCS_TESTS, SKALD_TEST_GCS="http://%s/%s" % (store.address, store.bucket), GOOGLE_APPLICATION_CREDENTIALS=account.name, **variables)
        self.assertGreater(store.gate.tokens_given, 0)
        self.assertIn("[  PASSED  ] 3 tests", out)

    def test_azurite(self):
        with servers.Azurite() as store:
            out = self.run_tests("AzureLive.*", SKALD_TEST_AZURE=store.connection_string(store.address) + "Container=" + store.bucket)
        self.assertIn("[  PASSED  ] 3 tests", out)

    def test_fake_gcs_server(self):
        with servers.FakeGcs() as store:
            self.run_gcs(store)

    def test_double_of_gcs(self):
        with servers.GcsDouble() as store:   # its CRC32C is Python: small objects
            self.run_gcs(store, SKALD_TEST_LARGE_BYTES="2000000")

    def test_xml_api_of_gcs(self):
        double = GcsXmlDouble("logs")
        port = free_port()
        front = FaultProxy("127.0.0.1", 9, port=port, dialect="gcs", gate=double).start()
        self.addCleanup(front.close)
        out = self.run_tests("GcsLive.KeepsTheContractOverTheXmlApi", SKALD_TEST_GCS="http://127.0.0.1:%d/logs" % port,
                             SKALD_TEST_GCS_HMAC="%s:%s" % (double.access_id, double.secret), SKALD_TEST_LARGE_BYTES="2000000")
        self.assertIn("[  PASSED  ] 1 test", out)


if __name__ == "__main__":
    unittest.main()
