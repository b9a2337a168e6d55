"""Google Cloud Storage's XML API in memory, as far as Skald asks for it with HMAC keys: GOOG4-HMAC-SHA256 is verified, headers
and payload included; x-goog-if-generation-match and x-goog-hash count; ranges; list-type=2 with pages. A gate for FaultProxy."""
import datetime
import hashlib
import hmac
import re
import time
import urllib.parse
from xml.sax.saxutils import escape

from gcs_double import Stored, unchunked

CLOCK_SKEW_S = 15 * 60


def error(status, code, message):
    text = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>" % (code, escape(message))
    return status, {"Content-Type": "application/xml; charset=UTF-8"}, text.encode()


def canonical_uri(path):
    return urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~")


def canonical_query(text):
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    return "&".join("%s=%s" % pair for pair in sorted((urllib.parse.quote(n, safe="-_.~"), urllib.parse.quote(v, safe="-_.~")) for n, v in pairs))


class GcsXmlDouble:
    def __init__(self, bucket, access_id="GOOGTS7C7FUP3AIRVJTE", secret="bGoa+V7g/yqDXvKRqq+JTFn4uQZbPiQJo4pf9RzJ"):
        self.access_id, self.secret = access_id, secret
        self.buckets = {bucket: {}}
        self.generation = 0

    def why_not(self, method, path, query, headers, body):
        """What is wrong with a request's signature; None: nothing."""
        found = re.match(r"^GOOG4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/storage/goog4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$",
                         headers.get("authorization", ""))
        if not found:
            return "AccessDenied", "Anonymous caller, or an Authorization header of another kind."
        access_id, date, location, names, signature = found.groups()
        if access_id != self.access_id:
            return "InvalidSecurity", "The provided security credentials are not valid."
        when = headers.get("x-goog-date", "")
        try:
            then = datetime.datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        except ValueError:
            return "AccessDenied", "x-goog-date"
        if abs(then - time.time()) > CLOCK_SKEW_S or not when.startswith(date):
            return "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
        wanted = sorted(n for n in headers if n == "host" or n.startswith("x-goog-"))
        if names.split(";") != wanted:
            return "SignatureDoesNotMatch", "signed are %s, not %s" % (names, ";".join(wanted))
        payload = headers.get("x-goog-content-sha256", "")
        if payload != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch", "The provided x-goog-content-sha256 does not match the body."
        request = "\n".join([method, canonical_uri(path), canonical_query(query)] + ["%s:%s" % (n, " ".join(headers[n].split())) for n in wanted] + ["", names, payload])
        scope = "%s/%s/storage/goog4_request" % (date, location)
        text = "\n".join(["GOOG4-HMAC-SHA256", when, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = ("GOOG4" + self.secret).encode()
        for part in (date, location, "storage", "goog4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), signature):
            return "SignatureDoesNotMatch", "Access denied. The request signature we calculated does not match the signature you provided."
        return None

    def __call__(self, method, target, headers, body):
        path, _, query_text = target.partition("?")
        body = unchunked(headers, body)
        refused = self.why_not(method, path, query_text, headers, body)
        if refused:
            return error(403, *refused)
        bucket, _, key = urllib.parse.unquote(path[1:]).partition("/")
        objects = self.buckets.get(bucket)
        if objects is None:
            return error(404, "NoSuchBucket", "The specified bucket does not exist.")
        if not key:
            return self.list(objects, dict(urllib.parse.parse_qsl(query_text)))
        if method == "PUT":
            return self.put(objects, key, headers, body)
        if key not in objects:
            return error(404, "NoSuchKey", "The specified key does not exist.")
        if method == "DELETE":
            del objects[key]
            return 204, {}, b""
        return self.get(objects[key], headers)

    def put(self, objects, key, headers, body):
        wanted = headers.get("x-goog-if-generation-match")
        there = objects.get(key)
        if wanted is not None and wanted != str(there.generation if there else 0):
            return error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
        self.generation += 1
        stored = Stored(key, body, self.generation)
        if headers.get("x-goog-hash", "crc32c=" + stored.hashes["crc32c"]) != "crc32c=" + stored.hashes["crc32c"]:
            return error(400, "BadDigest", "The hash you specified did not match what we received.")
        objects[key] = stored
        return 200, {"x-goog-generation": str(stored.generation)}, b""

    @staticmethod
    def get(stored, headers):
        body, out = stored.body, {"x-goog-hash": "crc32c=" + stored.hashes["crc32c"], "x-goog-stored-content-encoding": "identity"}
        found = re.match(r"^bytes=(\d+)-(\d*)$", headers.get("range", ""))
        if not found:
            return 200, out, body
        begin = int(found.group(1))
        end = min(len(body), int(found.group(2)) + 1) if found.group(2) else len(body)
        if begin >= len(body):
            return error(416, "InvalidRange", "The requested range cannot be satisfied.")
        return 206, dict(out, **{"Content-Range": "bytes %d-%d/%d" % (begin, end - 1, len(body))}), body[begin:end]

    @staticmethod
    def list(objects, query):
        if query.get("list-type") != "2":
            return error(400, "InvalidArgument", "list-type")
        prefix, delimiter, size = query.get("prefix", ""), query.get("delimiter", ""), int(query.get("max-keys", "1000"))
        names = {}   # as they are returned, folders cut: name -> is it a folder?
        for key in objects:
            if key.startswith(prefix):
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                names[key if at < 0 else key[:at + 1]] = at >= 0
        rest = sorted(n for n in names if n > query.get("continuation-token", ""))
        page = rest[:size]
        text = "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>"
        if len(rest) > size:
            text += "<NextContinuationToken>%s</NextContinuationToken><IsTruncated>true</IsTruncated>" % escape(page[-1])
        else:
            text += "<IsTruncated>false</IsTruncated>"
        for name in page:
            if names[name]:
                text += "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(name)
            else:
                text += "<Contents><Key>%s</Key><Size>%d</Size></Contents>" % (escape(name), len(objects[name].body))
        return 200, {"Content-Type": "application/xml; charset=UTF-8"}, (text + "</ListBucketResult>").encode()
