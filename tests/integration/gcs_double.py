"""Google Cloud Storage's JSON API in memory, for machines without Go: what fake-gcs-server does, as far as Skald and
@google-cloud/storage ask for it. Tokens are checked as GcsGate does it.

Uploads simple, multipart and resumable; downloads with ranges; listings with prefix, delimiter, pages and startOffset;
deletion; ifGenerationMatch everywhere."""
import base64
import hashlib
import itertools
import json
import re
import struct
import urllib.parse

from gcs_gate import GcsGate

TABLE = []
for byte in range(256):
    value = byte
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 0xFF]
    return crc ^ 0xFFFFFFFF


def unchunked(headers, body):
    """The body without its transfer coding; the proxy hands it over as it was on the wire."""
    if "chunked" not in headers.get("transfer-encoding", ""):
        return body
    out, at = b"", 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return out
        out += body[end + 2:end + 2 + size]
        at = end + 4 + size


class Stored:
    def __init__(self, name, body, generation):
        self.name, self.body, self.generation = name, body, generation
        self.hashes = {"crc32c": base64.b64encode(struct.pack(">I", crc32c(body))).decode(), "md5Hash": base64.b64encode(hashlib.md5(body).digest()).decode()}

    def describe(self, bucket):
        return {"kind": "storage#object", "name": self.name, "bucket": bucket, "size": str(len(self.body)), "generation": str(self.generation), "metageneration": "1", **self.hashes}


JSON = {"Content-Type": "application/json; charset=UTF-8"}


def failure(status, reason, message):
    return status, dict(JSON), json.dumps({"error": {"code": status, "message": message, "errors": [{"domain": "global", "reason": reason, "message": message}]}}).encode()


NOT_FOUND = failure(404, "notFound", "Not Found")


class GcsDouble(GcsGate):
    """A gate that lets nothing pass: it has all answers itself."""

    def __init__(self, directory, token_uri):
        super().__init__(directory, token_uri)
        self.buckets = {}     # name -> {key: Stored}
        self.sessions = {}    # id -> [bucket, key, ifGenerationMatch, total bytes or None, received]
        self.numbers = itertools.count(1)

    def __call__(self, method, target, headers, body):
        refused = super().__call__(method, target, headers, body)
        if refused:
            return refused
        path, _, query_text = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query_text))
        body = unchunked(headers, body)
        if path == "/storage/v1/b" and method == "POST":
            name = json.loads(body)["name"]
            if name in self.buckets:
                return failure(409, "conflict", "You already own this bucket.")
            self.buckets[name] = {}
            return 200, dict(JSON), json.dumps({"name": name}).encode()
        found = re.match(r"^/(?:(upload|download)/)?storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?$", path)
        if not found:
            return failure(400, "invalid", "unknown path " + path)
        door, bucket, key = found.group(1), found.group(2), urllib.parse.unquote(found.group(3) or "")
        objects = self.buckets.get(bucket)
        if objects is None:
            return failure(404, "notFound", "The specified bucket does not exist.")
        if door == "upload":
            return self.upload(method, bucket, objects, query, headers, body)
        if not key:
            return self.list(bucket, objects, query) if "/o" in path else (200, dict(JSON), json.dumps({"name": bucket}).encode())
        stored = objects.get(key)
        if stored is None:
            return NOT_FOUND
        wanted = query.get("ifGenerationMatch")
        if wanted is not None and wanted != str(stored.generation):
            return failure(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        if method == "DELETE":
            del objects[key]
            return 204, {}, b""
        if query.get("alt") == "media":
            return self.download(stored, headers)
        return 200, dict(JSON), json.dumps(stored.describe(bucket)).encode()

    def store(self, bucket, objects, key, condition, body):
        there = objects.get(key)
        if condition is not None and condition != str(there.generation if there else 0):
            return failure(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        objects[key] = Stored(key, body, next(self.numbers))
        return 200, dict(JSON), json.dumps(objects[key].describe(bucket)).encode()

    def upload(self, method, bucket, objects, query, headers, body):
        if "upload_id" in query:
            return self.session(objects, query["upload_id"], headers, body)
        kind, key, condition = query.get("uploadType"), query.get("name"), query.get("ifGenerationMatch")
        if kind == "media":
            return self.store(bucket, objects, key, condition, body)
        if kind == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', headers["content-type"]).group(1).encode()
            parts = [p.split(b"\r\n\r\n", 1)[1] for p in re.split(rb"(?:\r\n)?--" + re.escape(boundary) + rb"(?:--)?(?:\r\n|$)", body) if b"\r\n\r\n" in p]
            return self.store(bucket, objects, key or json.loads(parts[0])["name"], condition, parts[1])
        if kind == "resumable":
            number = str(next(self.numbers))
            self.sessions[number] = [bucket, key or json.loads(body or b"{}").get("name"), condition, b""]
            return 200, {"Location": "http://%s/upload/storage/v1/b/%s/o?uploadType=resumable&upload_id=%s" % (headers["host"], bucket, number)}, b""
        return failure(400, "invalid", "uploadType")

    def session(self, objects, number, headers, body):
        session = self.sessions.get(number)
        if session is None:
            return NOT_FOUND
        bucket, key, condition, received = session
        found = re.match(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", headers.get("content-range", "bytes 0-%d/%d" % (len(body) - 1, len(body)) if body else "bytes */0"))
        total = None if found.group(3) == "*" else int(found.group(3))
        if found.group(1) is not None:
            if int(found.group(1)) > len(received):
                return failure(503, "backendError", "a gap in the session")
            session[3] = received = received[:int(found.group(1))] + body
        if total is not None and len(received) >= total:
            return self.store(bucket, objects, key, condition, received)   # asked again after a lost answer: the same condition decides
        return 308, {"Range": "bytes=0-%d" % (len(received) - 1)} if received else {}, b""

    @staticmethod
    def download(stored, headers):
        body, out = stored.body, {"Content-Type": "application/octet-stream", "x-goog-generation": str(stored.generation),
                                  "x-goog-hash": "crc32c=%s,md5=%s" % (stored.hashes["crc32c"], stored.hashes["md5Hash"])}
        found = re.match(r"^bytes=(\d*)-(\d*)$", headers.get("range", ""))
        if not found or found.group(0) == "bytes=-":
            return 200, out, body
        first, last = found.groups()
        begin = int(first) if first else max(0, len(body) - int(last))
        end = min(len(body), int(last) + 1) if first and last else len(body)
        if begin >= len(body) or begin >= end:
            return 416, {"Content-Range": "bytes */%d" % len(body)}, b"<Error><Code>InvalidRange</Code></Error>"
        return 206, dict(out, **{"Content-Range": "bytes %d-%d/%d" % (begin, end - 1, len(body))}), body[begin:end]

    @staticmethod
    def list(bucket, objects, query):
        prefix, delimiter, size = query.get("prefix", ""), query.get("delimiter", ""), int(query.get("maxResults", "1000"))
        after = base64.urlsafe_b64decode(query.get("pageToken", "")).decode()
        names = {}   # as they are returned, folders cut: name -> is it a folder?
        for key in objects:
            if key.startswith(prefix) and key >= query.get("startOffset", ""):
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                names[key if at < 0 else key[:at + len(delimiter)]] = at >= 0
        rest = sorted(n for n in names if n > after)
        page = rest[:size]
        answer = {"kind": "storage#objects", "items": [objects[n].describe(bucket) for n in page if not names[n]], "prefixes": [n for n in page if names[n]]}
        if len(rest) > size:
            answer["nextPageToken"] = base64.urlsafe_b64encode(page[-1].encode()).decode()
        return 200, dict(JSON), json.dumps({k: v for k, v in answer.items() if v}).encode()
