"""The object stores' C++ contract (tests/objstore/*_live_test.cc) against Azurite, fake-gcs-server, our double of GCS, which
knows conditions in resumable uploads, and our double of its XML API, which verifies HMAC signatures."""
import base64
import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest

import servers
from fault_proxy import FaultProxy
from gcs_xml_double import GcsXmlDouble
from harness import BINARY, free_port

TESTS = os.path.join(os.path.dirname(BINARY), "tests", "skald_objstore_tests")
GCS_TESTS = "GcsLive.*-GcsLive.KeepsTheContractOverTheXmlApi"
VARIABLES = ("SKALD_TEST_AZURE", "SKALD_TEST_CA", "SKALD_TEST_GCS", "SKALD_TEST_GCS_HMAC", "SKALD_TEST_LARGE_BYTES", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST")


class TlsAzurite(servers.Azurite):
    """Azurite that takes Entra's tokens: it looks at issuer, audience and lifetime, and asks for HTTPS."""
    tls = False

    def command(self):
        if not self.tls:
            return super().command()
        return super().command() + ["--oauth", "basic", "--cert", self.path("cert.pem"), "--key", self.path("key.pem")]

    def path(self, name):
        return os.path.join(self.directory, name)

    def secure(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.path("key.pem"), "-out", self.path("cert.pem"), "-days", "2",
                        "-subj", "/CN=azurite", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        self.process.terminate()   # not halt(): the container would not be on disk yet
        self.process.wait(30)
        self.tls = True
        self.launch()


class MetadataService(http.server.ThreadingHTTPServer):
    """Azure's, with tokens that live for a few seconds."""
    life_s = 4

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MetadataHandler)
        self.given = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def token(self):
        now = int(time.time())
        parts = [{"alg": "RS256", "typ": "JWT"}, {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/test/", "nbf": now - 1, "exp": now + self.life_s,
                                                  "iat": now, "n": len(self.given)}]
        return ".".join([base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts] + ["c2ln"])


class MetadataHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.headers.get("Metadata") == "true" and self.path.startswith("/metadata/identity/oauth2/token?") and "resource=https%3A%2F%2Fstorage.azure.com" in self.path
        token = self.server.token()
        self.server.given.append(token)
        body = json.dumps({"access_token": token, "expires_in": str(self.server.life_s), "token_type": "Bearer"} if ok else {"error": "invalid_request"}).encode()
        self.send_response(200 if ok else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@unittest.skipUnless(os.access(TESTS, os.X_OK), "%s is not built" % TESTS)
class StoreContract(unittest.TestCase):
    def run_tests(self, names, **variables):
        environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        environment.update(variables)
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

    def test_azurite_with_tokens_of_a_managed_identity_that_expire_all_the_time(self):
        metadata = MetadataService()
        self.addCleanup(metadata.server_close)
        self.addCleanup(metadata.shutdown)
        with TlsAzurite() as store:
            store.secure()
            out = self.run_tests("AzureLive.KeepsTheContract:AzureLive.SaysThatTheContainerIsAbsent", SKALD_TEST_CA=store.path("cert.pem"),
                                 SKALD_TEST_AZURE="https://%s/%s/%s" % (store.address, store.account, store.bucket),
                                 AZURE_POD_IDENTITY_AUTHORITY_HOST="http://127.0.0.1:%d" % metadata.server_port, http_proxy="http://127.0.0.1:9")
        self.assertIn("[  PASSED  ] 2 tests", out)
        self.assertGreater(len(metadata.given), 2)

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
