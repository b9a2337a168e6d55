"""Small clients of the object stores, so that tests can look into a bucket without Skald: list, get, put, delete.

S3 with SigV4, Azure with a shared key, Google Cloud Storage's JSON API with a bearer token. Each call is one request on
its own connection; a status of 300 and more raises StoreError. The signatures are written out here by hand; that the
services accept them is the test of them."""
import base64
import collections
import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import urllib.parse
import xml.etree.ElementTree

Object = collections.namedtuple("Object", "key size")


class StoreError(Exception):
    def __init__(self, status, body, what):
        super().__init__("%s: %d %s" % (what, status, body[:300]))
        self.status, self.body = status, body


def send(address, method, target, headers, body):
    host, port = address.rsplit(":", 1)
    c = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        c.request(method, target, body, headers)
        r = c.getresponse()
        return r.status, r.read(), {k.lower(): v for k, v in r.getheaders()}
    finally:
        c.close()


def local_name(tag):
    return tag.rsplit("}", 1)[-1]


def checked(answer, what):
    status, body, headers = answer
    if status >= 300:
        raise StoreError(status, body, what)
    return body, headers


class Client:
    """What tests use of each; `raw` answers (status, body, headers) whatever the status."""

    def put(self, key, body, headers=None):
        checked(self.raw("PUT", key, body=body, headers=headers), "put " + key)

    def get(self, key):
        return checked(self.raw("GET", key), "get " + key)[0]

    def delete(self, key):
        checked(self.raw("DELETE", key), "delete " + key)

    def keys(self, prefix=""):
        return [o.key for o in self.list(prefix)]

    def delete_all(self, prefix=""):
        for o in self.list(prefix):
            self.delete(o.key)


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3Client(Client):
    """Path style."""

    def __init__(self, address, bucket, access_key, secret_key, region="us-east-1"):
        self.address, self.bucket, self.access_key, self.secret_key, self.region = address, bucket, access_key, secret_key, region

    def raw(self, method, key, query=None, body=b"", headers=None, now=None):
        path = "/" + self.bucket + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")
        query_text = "&".join("%s=%s" % (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~")) for k, v in sorted((query or {}).items()))
        now = now or datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        all_headers = {"host": self.address, "x-amz-date": stamp, "x-amz-content-sha256": digest}
        all_headers.update({k.lower(): v for k, v in (headers or {}).items()})
        signed = ";".join(sorted(all_headers))
        canonical = "\n".join([method, path, query_text] + ["%s:%s" % (k, all_headers[k]) for k in sorted(all_headers)] + ["", signed, digest])
        scope = "%s/%s/s3/aws4_request" % (day, self.region)
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key_bytes = ("AWS4" + self.secret_key).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key_bytes = hmac_sha256(key_bytes, part)
        all_headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            self.access_key, scope, signed, hmac_sha256(key_bytes, to_sign).hex())
        return send(self.address, method, path + ("?" + query_text if query_text else ""), all_headers, body)

    def create_bucket(self):
        status, body, _ = self.raw("PUT", "")
        if status not in (200, 409):
            raise StoreError(status, body, "create bucket")

    def list(self, prefix="", extra=None):
        out, token = [], None
        while True:
            query = {"list-type": "2", "prefix": prefix, **(extra or {})}
            if token:
                query["continuation-token"] = token
            root = xml.etree.ElementTree.fromstring(checked(self.raw("GET", "", query), "list " + prefix)[0])
            token = None
            for child in root:
                if local_name(child.tag) == "Contents":
                    values = {local_name(c.tag): c.text for c in child}
                    out.append(Object(values["Key"], int(values["Size"])))
                elif local_name(child.tag) == "NextContinuationToken":
                    token = child.text
            if not token:
                return out


class AzureClient(Client):
    VERSION = "2021-08-06"

    def __init__(self, address, account, key, container):
        self.address, self.account, self.key, self.container = address, account, key, container

    def raw(self, method, key, query=None, body=b"", headers=None):
        path = "/%s/%s" % (self.account, self.container) + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")
        all_headers = {"x-ms-date": datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT"), "x-ms-version": self.VERSION}
        if method == "PUT" and key:
            all_headers["x-ms-blob-type"] = "BlockBlob"
            all_headers["Content-Type"] = "application/octet-stream"
        if method == "PUT":
            all_headers["Content-Length"] = str(len(body))
        all_headers.update(headers or {})
        low = {k.lower(): v for k, v in all_headers.items()}
        length = low.get("content-length", "")
        standard = ["content-encoding", "content-language", None, "content-md5", "content-type", "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"]
        lines = [method] + [("" if length == "0" else length) if name is None else low.get(name, "") for name in standard]
        lines += ["%s:%s" % (k, low[k]) for k in sorted(low) if k.startswith("x-ms-")]
        lines.append("/%s%s" % (self.account, path))   # Azurite's paths begin with the account, which is then there twice
        lines += ["%s:%s" % (k.lower(), v) for k, v in sorted((query or {}).items())]
        signature = base64.b64encode(hmac.new(base64.b64decode(self.key), "\n".join(lines).encode(), hashlib.sha256).digest()).decode()
        all_headers["Authorization"] = "SharedKey %s:%s" % (self.account, signature)
        return send(self.address, method, path + ("?" + urllib.parse.urlencode(query) if query else ""), all_headers, body)

    def create_bucket(self):
        status, body, _ = self.raw("PUT", "", {"restype": "container"})
        if status not in (201, 409):
            raise StoreError(status, body, "create container")

    def list(self, prefix=""):
        out, marker = [], None
        while True:
            query = {"restype": "container", "comp": "list", "prefix": prefix}
            if marker:
                query["marker"] = marker
            text = checked(self.raw("GET", "", query), "list " + prefix)[0].decode("utf-8-sig")
            root = xml.etree.ElementTree.fromstring(text)
            for blob in root.iter("Blob"):
                out.append(Object(blob.findtext("Name"), int(blob.find("Properties").findtext("Content-Length"))))
            marker = root.findtext("NextMarker")
            if not marker:
                return out


class GcsClient(Client):
    """JSON API; token: a bearer token or empty."""

    def __init__(self, address, bucket, token=""):
        self.address, self.bucket, self.token = address, bucket, token

    def request(self, method, target, body=b"", headers=None):
        all_headers = dict(headers or {})
        if self.token:
            all_headers["Authorization"] = "Bearer " + self.token
        return send(self.address, method, target, all_headers, body)

    def raw(self, method, key, query=None, body=b"", headers=None):
        query = dict(query or {})
        if method == "PUT":
            query.update(uploadType="media", name=key)
            return self.request("POST", "/upload/storage/v1/b/%s/o?%s" % (self.bucket, urllib.parse.urlencode(query)), body,
                                {"Content-Type": "application/octet-stream", **(headers or {})})
        if method == "GET":
            query["alt"] = "media"
        return self.request(method, "/storage/v1/b/%s/o/%s%s" % (self.bucket, urllib.parse.quote(key, safe=""), "?" + urllib.parse.urlencode(query) if query else ""), body, headers)

    def create_bucket(self):
        status, body, _ = self.request("POST", "/storage/v1/b?project=test", json.dumps({"name": self.bucket}).encode(), {"Content-Type": "application/json"})
        if status not in (200, 409):
            raise StoreError(status, body, "create bucket")

    def list(self, prefix=""):
        out, token = [], None
        while True:
            query = {"prefix": prefix}
            if token:
                query["pageToken"] = token
            page = json.loads(checked(self.request("GET", "/storage/v1/b/%s/o?%s" % (self.bucket, urllib.parse.urlencode(query))), "list " + prefix)[0])
            out += [Object(item["name"], int(item["size"])) for item in page.get("items", [])]
            token = page.get("nextPageToken")
            if not token:
                return out


class DirectoryClient(Client):
    """A directory as the filesystem store keeps it."""

    def __init__(self, directory):
        self.directory = directory

    def raw(self, method, key, query=None, body=b"", headers=None):
        path = os.path.join(self.directory, key)
        try:
            if method == "PUT":
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(body)
                return 200, b"", {}
            if method == "DELETE":
                os.remove(path)
                return 204, b"", {}
            with open(path, "rb") as f:
                return 200, f.read(), {}
        except FileNotFoundError:
            return 404, b"", {}

    def list(self, prefix=""):
        out = []
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                key = os.path.relpath(path, self.directory)
                if key.startswith(prefix) and not key.startswith("."):
                    out.append(Object(key, os.path.getsize(path)))
        return sorted(out)


KINDS = re.compile(r"^[^/]+/(chunks|index|deletes|rules|locks|compactor)/")


def kind_of_key(key):
    """What an object of Skald's is, by its key: chunks, index, deletes, rules …; other."""
    found = KINDS.match(key)
    return found.group(1) if found else "other"
