"""The real binary on a real socket: start, stop, kill, push in every format, read everything back."""
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.parse
import zlib

BINARY = os.path.abspath(os.environ.get("SKALD_BINARY", "build/release/skald"))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One process over one data directory; may be started, killed and started again."""

    def __init__(self, config="", flags=(), directory=None):
        self.directory = directory or tempfile.mkdtemp(prefix="skald-test-")
        self.port = free_port()
        self.config = config
        self.flags = list(flags)
        self.process = None
        self.log_path = os.path.join(self.directory, "server.log")

    def start(self, timeout_s=60):
        args = [BINARY, "-server.http-listen-port=%d" % self.port, "-server.http-listen-address=127.0.0.1",
                "-common.path-prefix=" + os.path.join(self.directory, "data")]
        path = os.path.join(self.directory, "config.yaml")
        with open(path, "w") as f:
            f.write(self.config or "auth_enabled: false\n")
        args += ["-config.file=" + path] + self.flags
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(args, stdout=self.log, stderr=self.log, cwd=self.directory)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("server ended with %s:\n%s" % (self.process.returncode, self.tail_log()))
            try:
                if self.request("GET", "/ready")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError("not ready after %d s:\n%s" % (timeout_s, self.tail_log()))

    def tail_log(self, lines=30):
        try:
            with open(self.log_path, errors="replace") as f:   # without the harness's own asking
                return "".join([line for line in f if "path=/ready" not in line][-lines:])
        except OSError:
            return ""

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s=60):
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if hasattr(self, "log"):
            self.log.close()
        if not os.environ.get("SKALD_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method, path, body=None, headers=None, params=None):
        if params:
            path += "?" + urllib.parse.urlencode(params)
        c = self.connection()
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.read(), dict(r.getheaders())
        finally:
            c.close()

    def flush(self):
        status, body, _ = self.request("POST", "/flush")
        assert status in (200, 204), (status, body)

    # ---- reading back

    def query_range(self, query, start_ns, end_ns, limit=5000, direction="forward", tenant=None):
        headers = {"X-Scope-OrgID": tenant} if tenant else {}
        status, body, _ = self.request("GET", "/loki/api/v1/query_range", headers=headers, params={
            "query": query, "start": start_ns, "end": end_ns, "limit": limit, "direction": direction})
        assert status == 200, (status, body[:500])
        return json.loads(body)["data"]["result"]

    def read_all(self, query, start_ns, end_ns, page=5000):
        """Every (timestamp, line) of a selector, page by page; pages end at whole timestamps."""
        out = []
        at = start_ns
        while True:
            rows = []
            for stream in self.query_range(query, at, end_ns, limit=page):
                rows += [(int(v[0]), v[1]) for v in stream["values"]]
            rows.sort(key=lambda r: r[0])
            if len(rows) < page:
                return out + rows
            last = rows[-1][0]
            whole = [r for r in rows if r[0] < last]
            assert whole, "more than a page of lines share one timestamp"
            out += whole
            at = last

    def instant(self, query, time_ns, tenant=None):
        headers = {"X-Scope-OrgID": tenant} if tenant else {}
        status, body, _ = self.request("GET", "/loki/api/v1/query", headers=headers, params={"query": query, "time": time_ns})
        assert status == 200, (status, body[:500])
        return json.loads(body)["data"]["result"]

    # ---- pushing; entries are (timestamp_ns, line) or (timestamp_ns, line, {metadata})

    def push(self, streams, how="proto", headers=None, path=None):
        """streams: [(labels dict, entries)]. Returns (status, body)."""
        body, content_type, encoding, default_path = ENCODERS[how](streams)
        all_headers = {"Content-Type": content_type}
        if encoding:
            all_headers["Content-Encoding"] = encoding
        all_headers.update(headers or {})
        status, answer, _ = self.request("POST", path or default_path, body, all_headers)
        return status, answer


# ---- wire formats, written out by hand so that nothing but this file vouches for them

def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def snappy_literals(data):
    """Snappy block format using literals only: valid, uncompressed."""
    out = bytearray(varint(len(data)))
    for i in range(0, len(data), 65536):
        piece = data[i:i + 65536]
        n = len(piece) - 1
        if n < 60:
            out.append(n << 2)
        elif n < 256:
            out += bytes([60 << 2, n])
        else:
            out += bytes([61 << 2]) + struct.pack("<H", n)
        out += piece
    return bytes(out)


def to_bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def label_text(labels):
    return "{" + ", ".join('%s=%s' % (k, json.dumps(v, ensure_ascii=False)) for k, v in sorted(labels.items())) + "}"


def encode_proto(streams):
    out = b""
    for labels, entries in streams:
        stream = field(1, label_text(labels).encode())
        for entry in entries:
            ts = varint(1 << 3) + varint(entry[0] // 10**9) + varint(2 << 3) + varint(entry[0] % 10**9)
            e = field(1, ts) + field(2, to_bytes(entry[1]))
            for name, value in (entry[2].items() if len(entry) > 2 else ()):
                e += field(3, field(1, name.encode()) + field(2, value.encode()))
            stream += field(2, e)
        out += field(1, stream)
    return out


def encode_json(streams):
    return json.dumps({"streams": [{"stream": labels, "values": [[str(e[0]), e[1]] + list(e[2:]) for e in entries]}
                                   for labels, entries in streams]}).encode()


def encode_otlp_json(streams):
    return json.dumps({"resourceLogs": [{
        "resource": {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in labels.items()]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": str(e[0]), "body": {"stringValue": e[1]},
                                       "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in (e[2] if len(e) > 2 else {}).items()]}
                                      for e in entries]}]} for labels, entries in streams]}).encode()


def encode_otlp_proto(streams):
    def pair(k, v):
        return field(1, k.encode()) + field(2, field(1, v.encode()))
    out = b""
    for labels, entries in streams:
        resource = b"".join(field(1, pair(k, v)) for k, v in labels.items())
        records = b""
        for e in entries:
            record = varint(1 << 3 | 1) + struct.pack("<Q", e[0]) + field(5, field(1, to_bytes(e[1])))
            for k, v in (e[2] if len(e) > 2 else {}).items():
                record += field(6, pair(k, v))
            records += field(2, record)
        out += field(1, field(1, resource) + field(2, records))
    return out


def raw_deflate(data):
    c = zlib.compressobj(6, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush()


PUSH = "/loki/api/v1/push"
OTLP = "/otlp/v1/logs"
ENCODERS = {
    "proto": lambda s: (snappy_literals(encode_proto(s)), "application/x-protobuf", None, PUSH),
    "proto-gzip": lambda s: (gzip.compress(snappy_literals(encode_proto(s))), "application/x-protobuf", "gzip", PUSH),
    "proto-deflate": lambda s: (raw_deflate(snappy_literals(encode_proto(s))), "application/x-protobuf", "deflate", PUSH),
    "json": lambda s: (encode_json(s), "application/json", None, PUSH),
    "json-gzip": lambda s: (gzip.compress(encode_json(s)), "application/json", "gzip", PUSH),
    "json-deflate": lambda s: (raw_deflate(encode_json(s)), "application/json", "deflate", PUSH),
    "legacy-proto": lambda s: (snappy_literals(encode_proto(s)), "application/x-protobuf", None, "/api/prom/push"),
    "otlp-json": lambda s: (encode_otlp_json(s), "application/json", None, OTLP),
    "otlp-json-gzip": lambda s: (gzip.compress(encode_otlp_json(s)), "application/json", "gzip", OTLP),
    "otlp-proto": lambda s: (encode_otlp_proto(s), "application/x-protobuf", None, OTLP),
}
