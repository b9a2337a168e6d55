"""Clients that mean harm or know no better: plain sockets against the real binary. The right status, the server alive, memory bounded."""
import base64
import gzip
import json
import os
import re
import resource
import socket
import struct
import time
import unittest
import zlib

from harness import Server, encode_json, encode_proto, field, snappy_literals, varint

CONFIG = """
auth_enabled: false
server: {http_server_read_timeout: 1s, http_server_idle_timeout: 20s}
distributor: {max_recv_msg_size: 16777216, max_decompressed_size: 67108864}
limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000}
"""
MEMORY_BYTES_MAX = 768 << 20   # several bodies of 64 MB, decoded, at once
HOST = b"Host: x\r\n"


class Raw:
    """One connection, bytes as they are."""

    def __init__(self, port, timeout_s=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False once the server has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def read_more(self):
        try:
            got = self.socket.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        self.pending += got
        return bool(got)

    def response(self):
        """(status, body), or (None, what came) when the connection ends before a whole answer."""
        while b"\r\n\r\n" not in self.pending:
            if not self.read_more():
                return None, self.pending
        head, rest = self.pending.split(b"\r\n\r\n", 1)
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        length = int(length.group(1)) if length else 0
        while len(rest) < length:
            if not self.read_more():
                return None, self.pending
            rest = self.pending.split(b"\r\n\r\n", 1)[1]
        self.pending = rest[length:]
        return int(head.split(b" ", 2)[1]), rest[:length]

    def rest(self):
        while self.read_more():
            pass
        return self.pending


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(config=CONFIG).start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        log = cls.server.tail_log()
        cls.server.close()
        assert code == 0, (code, log)

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), self.server.tail_log())
        self.assertEqual(self.server.request("GET", "/ready")[0], 200)
        self.assertLess(self.memory("VmHWM"), MEMORY_BYTES_MAX)

    def memory(self, what="VmRSS"):
        with open("/proc/%d/status" % self.server.process.pid) as f:
            return int(re.search(what + r":\s+(\d+) kB", f.read()).group(1)) << 10

    def raw(self):
        return Raw(self.server.port)

    def ask(self, data):
        """The first answer to these bytes."""
        with self.raw() as c:
            c.send(data)
            return c.response()

    # ---- slow

    def test_headers_that_never_end_are_given_up(self):
        started = time.monotonic()
        with self.raw() as c:
            c.send(b"GET /ready HTTP/1.1\r\n")
            while c.send(b"X: y\r\n") and time.monotonic() - started < 15:
                time.sleep(0.1)
            self.assertLess(time.monotonic() - started, 10)

    def test_bodies_that_never_end_are_given_up(self):
        started = time.monotonic()
        with self.raw() as c:
            c.send(b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
            while c.send(b" ") and time.monotonic() - started < 15:
                time.sleep(0.1)
            self.assertLess(time.monotonic() - started, 10)

    def test_a_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 1100:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        before = self.memory()
        idle = [self.raw() for _ in range(1000)]
        try:
            for c in idle[:500]:
                c.send(b"GET /re")
            self.assertEqual(self.server.request("GET", "/ready")[0], 200)
            self.assertLess(self.memory() - before, 200 << 20)
        finally:
            for c in idle:
                c.socket.close()

    # ---- malformed

    def test_a_terabyte_is_refused_before_it_is_sent(self):
        head = b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.assertEqual(self.ask(head % (1 << 40))[0], 413)
        for length in (b"99999999999999999999999", b"-1", b"0x10", b"1 1", b"+5", b""):
            status, body = self.ask((head % 7).replace(b": 7", b": " + length))
            self.assertEqual(status, 400, (length, body))

    def test_the_413_arrives_though_the_client_keeps_sending(self):
        with self.raw() as c:
            c.send(b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 20000000\r\n\r\n")
            c.send(b" " * 20000000)
            self.assertEqual(c.response()[0], 413)

    def test_chunked_bodies_are_counted(self):
        with self.raw() as c:
            c.send(b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
            for _ in range(17):
                c.send(piece)
            self.assertEqual(c.response()[0], 413)
        for chunk in (b"FFFFFFFFFFFFFFFFF\r\n", b"xyz\r\n", b"-5\r\n"):
            self.assertEqual(self.ask(b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)[0], 400, chunk)
        status, _ = self.ask(b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\nabc")
        self.assertEqual(status, 413)

    def test_many_and_large_headers(self):
        many = b"".join(b"X-%d: y\r\n" % i for i in range(150))
        self.assertEqual(self.ask(b"GET /ready HTTP/1.1\r\n" + HOST + many + b"\r\n")[0], 200)
        self.assertEqual(self.ask(b"GET /ready HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 100000 + b"\r\n\r\n")[0], 431)
        self.assertEqual(self.ask(b"GET /ready HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 20000 + b"\r\n")[0], 431)
        self.assertIn(self.ask(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")[0], (400, 414, 431))

    def test_nothing_is_smuggled(self):
        hidden = b"GET /ready HTTP/1.1\r\n" + HOST + b"\r\n"
        heads = [
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: 5, 6\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Content-Length : 5\r\n",
        ]
        for head in heads:
            with self.raw() as c:
                c.send(b"POST /loki/api/v1/push HTTP/1.1\r\n" + HOST + head + b"\r\n0\r\n\r\n" + hidden)
                answers = c.rest()
                self.assertEqual(answers.count(b"HTTP/1.1 "), 1, (head, answers))
                self.assertRegex(answers, rb"^HTTP/1.1 (400|501) ", head)

    def test_malformed_heads_get_one_answer_and_the_connection_ends(self):
        for head in (b"GET /ready HTTP/1.1\nHost: x\n\n", b"GET /re\0ady HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /ready HTTP/9.9\r\n" + HOST + b"\r\n",
                     b"GET  HTTP/1.1\r\n" + HOST + b"\r\n", b"\r\n\r\n\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"GET /ready\r\n\r\n",
                     b"GET /ready HTTP/1.1\r\nHost: x\r\nX\0: y\r\n\r\n", b"GET /ready HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n", b"G\x80T /ready HTTP/1.1\r\n" + HOST + b"\r\n"):
            with self.raw() as c:
                c.send(head + b" " * 16)
                answers = c.rest()
                self.assertRegex(answers, rb"^(HTTP/1.1 400 |$)", head)
                self.assertLessEqual(answers.count(b"HTTP/1."), 1, head)

    def test_folded_headers_are_refused_or_joined(self):
        with self.raw() as c:
            c.send(b"GET /ready HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\nConnection: close\r\n\r\n")
            self.assertRegex(c.rest(), rb"^HTTP/1.1 (200|400) ")

    def test_targets_of_every_form(self):
        def status(target):
            return self.ask(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")[0]
        for target in (b"/ready", b"http://x/ready", b"http://x:1/ready?a=b", b"/ready?a=http://y/z", b"/%72eady"):
            self.assertEqual(status(target), 200, target)
        for target in (b"*", b"/ready%00", b"/%00", b"/..%2f..%2fetc/passwd", b"/../../etc/passwd", b"/ready/", b"//ready", b"http://x", b"/%zz", b"/%", b"ready"):
            self.assertIn(status(target), (400, 404), target)
        self.assertIn(self.ask(b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n")[0], (400, 404, 405))
        self.assertIn(status(b"/loki/api/v1/label/%00/values"), (200, 400))
        self.assertIn(status(b"/loki/api/v1/label/" + b"%ff" * 5000 + b"/values"), (200, 400))

    def test_http_1_0_and_head_and_unknown_methods(self):
        with self.raw() as c:
            c.send(b"GET /ready HTTP/1.0\r\n\r\n")
            self.assertRegex(c.rest(), rb"^HTTP/1.[01] 200 ")   # and the connection ends
        for method in (b"BREW", b"TRACE", b"DELETE", b"A" * 1000):
            self.assertIn(self.ask(method + b" /ready HTTP/1.1\r\n" + HOST + b"\r\n")[0], (400, 404, 405, 431, 501), method[:9])

    def test_a_thousand_pipelined_requests_are_answered_in_order(self):
        with self.raw() as c:
            for i in range(1000):
                c.send(b"GET %s HTTP/1.1\r\n" % (b"/ready" if i % 3 else b"/nope") + HOST + b"\r\n")
            for i in range(1000):
                self.assertEqual(c.response()[0], 200 if i % 3 else 404, i)

    def test_answers_nobody_reads_do_not_pile_up(self):
        asked = 0
        with self.raw() as c:
            c.socket.settimeout(2)
            try:
                while asked < 20000:
                    c.socket.sendall(b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n")
                    asked += 1
            except (socket.timeout, OSError):
                pass
        self.assertLess(self.memory(), MEMORY_BYTES_MAX)

    # ---- WebSocket

    def tail(self):
        for _ in range(100):
            c = self.try_tail()
            status, body = c.response()
            if status == 101:
                return c
            c.socket.close()
            self.assertIn(b"max concurrent tail requests", body)   # ended ones are let go of within a second
            time.sleep(0.1)
        self.fail("tails that ended still count")

    def try_tail(self):
        c = self.raw()
        self.addCleanup(c.socket.close)
        c.send(b"GET /loki/api/v1/tail?query=%7Bapp%3D%22hostile%22%7D HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(os.urandom(16)) + b"\r\n\r\n")
        return c

    @staticmethod
    def frame(opcode, payload=b"", masked=True, final=True, length=None):
        n = len(payload) if length is None else length
        head = bytes([opcode | (0x80 if final else 0)])
        mask = 0x80 if masked else 0
        head += bytes([mask | n]) if n < 126 else bytes([mask | 126]) + struct.pack(">H", n) if n < 65536 else bytes([mask | 127]) + struct.pack(">Q", n)
        return head + (b"\0\0\0\0" if masked else b"") + payload

    def test_websocket_floods(self):
        flooded = self.tail()
        for _ in range(100):
            if not flooded.send(self.frame(9, b"p" * 100) * 100):   # pings nobody reads the pongs of
                break
        flooded.socket.close()
        texts = self.tail()
        for _ in range(100):
            if not texts.send(self.frame(1, b"t" * 1000) * 100):
                break
        texts.socket.close()

    def test_websocket_frames_against_the_rules_end_the_connection(self):
        for frame in (self.frame(1, b"x", masked=False), self.frame(1, length=1 << 62), self.frame(1, length=(1 << 63) + 5), self.frame(3, b"x"), self.frame(0xB),
                      self.frame(9, b"x" * 126), self.frame(1, b"\xff\xfe"), self.frame(8, b"\x00"), self.frame(0, b"x"), self.frame(1, b"a", final=False) + self.frame(1, b"b")):
            c = self.tail()
            c.send(frame)
            c.rest()
            c.socket.close()
        c = self.tail()   # a message in endless pieces
        c.send(self.frame(1, b"a", final=False))
        piece = self.frame(0, b"a" * 60000, final=False)
        for _ in range(100):
            if not c.send(piece):
                break
        else:
            self.fail("6 MB of one message were taken")

    # ---- bombs

    def push(self, body, content_type="application/json", encoding=None, path="/loki/api/v1/push"):
        headers = {"Content-Type": content_type}
        if encoding:
            headers["Content-Encoding"] = encoding
        return self.server.request("POST", path, body, headers)[0]

    @staticmethod
    def zeros(count, wbits):
        c = zlib.compressobj(9, zlib.DEFLATED, wbits)
        return b"".join(c.compress(b"\0" * (1 << 20)) for _ in range(count >> 20)) + c.flush()

    def test_compressed_bombs(self):
        gigabyte = self.zeros(1 << 30, 31)
        self.assertEqual(self.push(gigabyte, encoding="gzip"), 413)
        self.assertEqual(self.push(gigabyte, "application/x-protobuf", "gzip"), 413)
        self.assertEqual(self.push(gigabyte, encoding="gzip", path="/otlp/v1/logs"), 413)
        self.assertIn(self.push(self.zeros(1 << 30, -15), encoding="deflate"), (400, 413))
        self.assertIn(self.push(gzip.compress(gigabyte), encoding="gzip"), (400, 413))
        self.assertIn(self.push(varint((1 << 32) - 1) + b"\0abc", "application/x-protobuf"), (400, 413))
        self.assertIn(self.push(varint(1 << 40) + b"\0abc", "application/x-protobuf"), (400, 413))
        copies = varint(60 << 20) + b"\0a" + b"\xfe\x01\x00" * ((60 << 20) // 64)   # copies of one byte: 64 bytes out of 3
        self.assertIn(self.push(copies, "application/x-protobuf"), (204, 400, 413))

    def test_protobuf_bombs(self):
        def proto(data):
            return self.push(snappy_literals(data), "application/x-protobuf")
        self.assertIn(proto(field(1, b"") * 1000000), (204, 400, 422))
        self.assertIn(proto(field(1, field(1, b'{a="b"}') + field(2, b"") * 1000000)), (204, 400, 422, 429))
        self.assertEqual(proto(varint(1 << 3 | 2) + varint(1 << 60)), 400)
        self.assertIn(proto(b"\xff" * 100000), (400,))
        self.assertIn(proto(b"\x0b" * 1000000), (400, 204, 422))    # groups within groups
        many = field(1, field(1, ("{%s}" % ", ".join('l%d="v"' % i for i in range(20000))).encode()) + field(2, b""))
        self.assertEqual(proto(many), 400)
        nested = b""
        for _ in range(10000):   # an OTLP value within a value within …
            nested = field(5, field(1, nested))
        record = field(5, nested)
        otlp = field(1, field(2, field(2, record)))
        self.assertIn(self.push(otlp, "application/x-protobuf", path="/otlp/v1/logs"), (204, 400))

    def test_json_bombs(self):
        for body in (b"[" * 1000000, b'{"streams":' * 200000, b'{"a":' * 1000000, b'{"streams":[' + b"{}," * 1000000 + b"{}]}", b'{"streams":[{"stream":{"a":"b"},"values":' + b"[" * 500000,
                     b'"' + b"\\u0000" * 1000000, b"1" * 10000000, b'{"streams":[{"stream":{"a":"' + b"x" * 10000000 + b'"},"values":[]}]}'):
            self.assertIn(self.push(body), (204, 400, 422, 429), body[:20])
            self.assertIn(self.push(body, path="/otlp/v1/logs"), (204, 400, 422), body[:20])
        status = self.push(encode_json([({"a": "b"}, [(time.time_ns(), "x", {"k%d" % i: "v" for i in range(100000)})])]))
        self.assertEqual(status, 400)

    def test_query_bombs(self):
        now = time.time_ns()
        line = json.dumps({"a": 1})[:-1] + ', "b": ' + "[" * 20000 + "]" * 20000 + "}"
        self.assertEqual(self.server.push([({"app": "bombs"}, [(now, line), (now + 1, "a" * 30000), (now + 2, '{"x":' * 10000)])])[0], 204)
        # POST, as the long ones do not fit a header
        def query(text):
            body = "query=" + "".join(c if c.isalnum() else "%%%02X" % b for c in text for b in c.encode())
            status, answer, _ = self.server.request("POST", "/loki/api/v1/query_range", body, {"Content-Type": "application/x-www-form-urlencoded"})
            return status, answer[:200]
        for text in ("(" * 50000, "-" * 50000 + "1", "{a=\"b\"}" + "|=\"x\"" * 20000, "sum(" * 20000, "1" + "+1" * 50000, '{app="bombs"} | ' + "(" * 50000,
                     '{app="bombs"} | a=1' + " or a=1" * 20000, '{app="bombs"} |~ "' + "(" * 50000 + '"', '{app="bombs"} |~ "((a{1000}){1000}){1000}"',
                     '{app="bombs"} | line_format `' + "{{if true}}" * 20000 + "`", '{app="bombs"} | line_format `' + "(" * 50000 + "`", '{' + 'a="b",' * 20000 + '}',
                     '{app="bombs"} | json ' + ",".join('x%d="a[0]"' % i for i in range(10000)), "{" * 60000, '"' * 60001, "\0" * 1000, "9" * 60000):
            status, answer = query(text)
            self.assertIn(status, (200, 400, 413), (text[:30], answer))
        for text in ('{app="bombs"} | json', '{app="bombs"} | logfmt', '{app="bombs"} |~ "(a|a)*b"', '{app="bombs"} |~ "(a*)*(a*)*b"', '{app="bombs"} | pattern `<a>a<b>a<c>`',
                     '{app="bombs"} | line_format `{{ repeat 1000000000 "a" }}`', '{app="bombs"} | line_format `{{ repeat 10000 (repeat 10000 "abc") }}`',
                     '{app="bombs"} | line_format `{{ printf "%1000000000d" 1 }}`', '{app="bombs"} | line_format `{{ indent 1000000000 "a" }}`',
                     '{app="bombs"} | line_format `{{ range $i := until 1000000000 }}x{{end}}`', '{app="bombs"} | label_format a=`{{.b}}{{.b}}`,b=`{{.a}}{{.a}}`',
                     'sum by (x) (count_over_time({app="bombs"}[1000000d]))', 'topk(1000000000, rate({app="bombs"}[1m]))', 'quantile_over_time(1e300, {app="bombs"} | unwrap a [1m])'):
            status, answer = query(text)
            self.assertIn(status, (200, 400, 413, 422, 429, 500), (text, answer))
        status, _, _ = self.server.request("GET", "/loki/api/v1/query_range", params={"query": 'rate({app="bombs"}[1m])', "start": 0, "end": now, "step": "1ns"})
        self.assertEqual(status, 400)


if __name__ == "__main__":
    unittest.main()
