"""Before fake-gcs-server: Google's token endpoint (RFC 7523) and the check of bearer tokens, neither of which it has."""
import base64
import json
import os
import secrets
import subprocess
import tempfile
import time
import urllib.parse


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class GcsGate:
    """Called by FaultProxy with each request: an answer (status, headers, body), or None to let it pass."""

    def __init__(self, directory, token_uri):
        self.directory = directory
        self.key_path = os.path.join(directory, "account.key")
        self.public_path = os.path.join(directory, "account.pub")
        self.make_key(self.key_path)
        subprocess.run(["openssl", "pkey", "-in", self.key_path, "-pubout", "-out", self.public_path], check=True, capture_output=True)
        with open(self.key_path) as f:
            private_key = f.read()
        self.service_account = {"type": "service_account", "project_id": "test", "private_key_id": "1", "private_key": private_key,
                                "client_email": "skald@test.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri}
        self.test_token = secrets.token_hex(16)
        self.tokens = {self.test_token: time.time() + 10**9}
        self.tokens_given = 0
        self.token_life_s = 3600

    @staticmethod
    def make_key(path):
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path], check=True, capture_output=True)

    def other_key(self):
        path = os.path.join(self.directory, "other.key")
        self.make_key(path)
        with open(path) as f:
            return f.read()

    def why_not(self, assertion):
        """What is wrong with a JWT; None: nothing."""
        try:
            head, claims, signature = assertion.split(".")
            header, values = json.loads(decode(head)), json.loads(decode(claims))
        except ValueError:
            return "Invalid JWT: not three parts of base64url JSON."
        if header.get("alg") != "RS256":
            return "Invalid JWT: alg."
        if values.get("iss") != self.service_account["client_email"]:
            return "Invalid JWT: unknown issuer."
        if values.get("aud") != self.service_account["token_uri"]:
            return "Invalid JWT: audience is %r." % values.get("aud")
        if not values.get("scope") and not values.get("target_audience"):
            return "Invalid JWT: no scope."
        now = time.time()
        if not (values.get("iat", 0) - 60 <= now <= values.get("exp", 0)) or values["exp"] - values["iat"] > 3600:
            return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        with tempfile.NamedTemporaryFile() as f:
            f.write(decode(signature))
            f.flush()
            done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public_path, "-signature", f.name], input=("%s.%s" % (head, claims)).encode(), capture_output=True)
        return None if done.returncode == 0 else "Invalid JWT Signature."

    def __call__(self, method, target, headers, body):
        if target.split("?")[0] == "/token":
            form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
            problem = "wrong grant type" if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" else self.why_not(form.get("assertion", ""))
            if problem:
                return 400, {"Content-Type": "application/json"}, json.dumps({"error": "invalid_grant", "error_description": problem}).encode()
            token = secrets.token_hex(16)
            self.tokens[token] = time.time() + self.token_life_s
            self.tokens_given += 1
            return 200, {"Content-Type": "application/json"}, json.dumps({"access_token": token, "expires_in": self.token_life_s, "token_type": "Bearer"}).encode()
        words = headers.get("authorization", "").split(" ")
        if len(words) == 2 and words[0] == "Bearer" and self.tokens.get(words[1], 0) > time.time():
            return None
        return 401, {"Content-Type": "application/json", "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}, json.dumps(
            {"error": {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError", "message": "Invalid Credentials"}]}}).encode()
