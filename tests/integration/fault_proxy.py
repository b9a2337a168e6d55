#!/usr/bin/env python3
"""An HTTP proxy before an object store that injects faults at random and counts requests.

Requests and answers that are let through go on as the bytes they are, Host included, so signatures stay valid: the client
takes the proxy's address for the store's. Bodies are held whole in memory. Faults by kind, each with a rate of 0 to 1:

  500 503 429     answered here, the store does not see the request; 503 and 429 with Retry-After
  late-500        the store does what was asked, the client hears 500
  gateway         the store does what was asked, the client hears 502 or 504 in HTML, as from a load balancer
  timeout-status  S3's 400 RequestTimeout, 408 elsewhere; the store does not see the request
  reset           the connection is reset before the store sees the request
  late-reset      the store does what was asked, the connection is reset instead of an answer
  cut             half of the answer, then the connection ends; the effect is there
  stall           nothing for stall_s seconds, then the answer
  delay           up to delay_s seconds before the request goes on
  throttle        the answer at throttle_bytes_s

Besides, refuse(seconds) closes the port, and blackout() answers 503 to all. Seeded; what happens to which request depends on
the order of arrival. Command line: fault_proxy.py TARGET_PORT PORT kind=rate …
"""
import asyncio
import collections
import email.utils
import json
import random
import re
import socket
import struct
import sys
import threading
import urllib.parse

from store_clients import kind_of_key

KINDS = ("500", "503", "429", "late-500", "gateway", "timeout-status", "reset", "late-reset", "cut", "stall", "delay", "throttle")
ALL_ABORT = struct.pack("ii", 1, 0)   # SO_LINGER that makes close() send a reset


def even_rates(total, kinds=KINDS):
    """The same rate for each kind, `total` together."""
    return {kind: total / len(kinds) for kind in kinds}


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        lines = head.split(b"\r\n")
        self.method, self.target = (w.decode("latin-1") for w in lines[0].split(b" ")[:2])
        self.headers = dict(parse_header(line) for line in lines[1:] if line)


def parse_header(line):
    name, _, value = line.decode("latin-1").partition(":")
    return name.strip().lower(), value.strip()


def operation(dialect, request):
    """(operation, key) of a request: PUT GET HEAD DELETE LIST DELETE-MANY and the parts of multipart uploads."""
    path, _, query_text = request.target.partition("?")
    query = dict(urllib.parse.parse_qsl(query_text, keep_blank_values=True))
    path = urllib.parse.unquote(path)
    if dialect == "gcs":
        if path == "/token":
            return "TOKEN", ""
        if path.startswith("/batch"):
            return "DELETE-MANY", ""
        found = re.match(r"^/(?:(upload|download|resumable)/)?(?:upload/)?storage/v1/b/[^/]+/o(?:/(.*))?$", path)
        if not found:
            return request.method, ""
        if request.method in ("POST", "PUT"):
            if query.get("uploadType") == "resumable":
                return ("PUT-START" if request.method == "POST" else "PUT-PART"), query.get("name", "")
            name = query.get("name", "")
            if not name and query.get("uploadType") == "multipart":
                described = re.search(rb'"name"\s*:\s*"([^"]*)"', request.body[:4096])
                name = described.group(1).decode() if described else ""
            return "PUT", name
        if request.method == "GET" and not found.group(2):
            return "LIST", query.get("prefix", "")
        if request.method == "GET" and query.get("alt") != "media" and found.group(1) != "download":
            return "HEAD", found.group(2)
        return request.method, found.group(2) or ""
    parts = path.lstrip("/").split("/", 2 if dialect == "azure" else 1)   # azure: account/container/key as Azurite has it
    key = parts[-1] if len(parts) == (3 if dialect == "azure" else 2) else ""
    if dialect == "azure":
        if query.get("comp") == "list":
            return "LIST", query.get("prefix", "")
        if query.get("comp") == "batch":
            return "DELETE-MANY", ""
        if query.get("comp") in ("block", "blocklist"):
            return {"block": "PUT-PART", "blocklist": "PUT-END"}[query["comp"]], key
        return request.method, key
    if request.method == "GET" and not key and "location" not in query:
        return "LIST", query.get("prefix", "")
    if request.method == "POST" and "delete" in query:
        return "DELETE-MANY", ""
    if "uploads" in query:
        return "PUT-START", key
    if "uploadId" in query:
        return {"PUT": "PUT-PART", "POST": "PUT-END", "DELETE": "PUT-ABORT"}.get(request.method, request.method), key
    return request.method, key


def answer(status, reason, headers, body, method="GET"):
    lines = ["HTTP/1.1 %d %s" % (status, reason), "Date: " + email.utils.formatdate(usegmt=True), "Content-Length: %d" % len(body)]
    lines += ["%s: %s" % pair for pair in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (b"" if method == "HEAD" else body)


REASONS = {400: "Bad Request", 401: "Unauthorized", 408: "Request Timeout", 429: "Too Many Requests", 500: "Internal Server Error",
           502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


def error_answer(dialect, status, code, message, method, headers=None):
    """An error as the service itself words it."""
    headers = dict(headers or {})
    if dialect == "gcs":
        headers["Content-Type"] = "application/json; charset=UTF-8"
        body = json.dumps({"error": {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": code}]}})
    elif dialect == "azure":
        headers.update({"Content-Type": "application/xml", "x-ms-error-code": code})
        body = '\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>%s</Message></Error>' % (code, message)
    else:
        headers["Content-Type"] = "application/xml"
        body = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>F4017</RequestId></Error>' % (code, message)
    return answer(status, REASONS[status], headers, body.encode(), method)


CODES = {"500": {"s3": "InternalError", "azure": "InternalError", "gcs": "backendError"},
         "503": {"s3": "SlowDown", "azure": "ServerBusy", "gcs": "backendError"},
         "429": {"s3": "TooManyRequests", "azure": "TooManyRequests", "gcs": "rateLimitExceeded"},
         "timeout-status": {"s3": "RequestTimeout", "azure": "OperationTimedOut", "gcs": "requestTimeout"}}


class Ended(Exception):
    """The other side closed the connection."""


async def read_head(reader):
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-2]
    except (asyncio.IncompleteReadError, ConnectionError) as e:
        raise Ended() from e


async def read_chunked(reader):
    out = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        out += line + await reader.readexactly(size + 2) if size else line
        if size == 0:
            while True:   # trailers
                line = await reader.readuntil(b"\r\n")
                out += line
                if line == b"\r\n":
                    return out


async def read_body(reader, headers, ends_with_connection=False):
    """The body's bytes as they are on the wire."""
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await read_chunked(reader)
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"]))
        return await reader.read() if ends_with_connection else b""
    except (asyncio.IncompleteReadError, ConnectionError) as e:
        raise Ended() from e


class FaultProxy:
    """start() and close() from any thread; counters may be read at any time.

    faults: by kind. requests: by (operation, kind of object) as they arrived. served: the same for those that were
    answered 2xx and in full. statuses: what the client heard."""

    def __init__(self, host, target_port, port=0, dialect="s3", bucket="", rates=None, seed=1, gate=None, stall_s=2.0, delay_s=0.1, throttle_bytes_s=200_000, retry_after_s=(1,), weights=None):
        self.host, self.target_port, self.port, self.dialect, self.bucket = host, target_port, port, dialect, bucket
        self.rates, self.gate = dict(rates or {}), gate
        self.weights = dict(weights or {})   # by operation: factor of all rates, 1 where nothing is said
        self.stall_s, self.delay_s, self.throttle_bytes_s, self.retry_after_s = stall_s, delay_s, throttle_bytes_s, retry_after_s
        self.random = random.Random(seed)
        self.dead = False
        self.trace = None   # a list to be filled with (operation, key, range, status or fault)
        self.connections = 0
        self.reset_counters()

    def reset_counters(self):
        self.faults, self.requests, self.served, self.statuses = (collections.Counter() for _ in range(4))

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    @property
    def fault_count(self):
        return sum(self.faults.values())

    def amplification(self):
        """Requests per success."""
        return sum(self.requests.values()) / max(1, sum(self.served.values()))

    def by_operation(self, counter=None):
        out = collections.Counter()
        for (name, _), n in dict(self.requests if counter is None else counter).items():
            out[name] += n
        return out

    def describe(self):
        return "%d requests (%s), %d served, %.2f requests per success; %d faults (%s)" % (
            sum(self.requests.values()), ", ".join("%s %s %d" % (o, k, n) for (o, k), n in sorted(self.requests.items())), sum(self.served.values()),
            self.amplification(), self.fault_count, ", ".join("%s %d" % pair for pair in sorted(self.faults.items())))

    # ---- the thread

    def start(self):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.problem = None

        def run():
            asyncio.set_event_loop(self.loop)
            try:
                self.loop.run_until_complete(self.listen())
            except OSError as e:
                self.problem = e
                return
            finally:
                started.set()
            self.loop.run_forever()
        self.thread = threading.Thread(target=run, daemon=True, name="fault-proxy")
        self.open_writers = set()
        self.thread.start()
        started.wait()
        if self.problem:
            raise self.problem
        return self

    async def listen(self):
        self.server = await asyncio.start_server(self.handle, "127.0.0.1", self.port, limit=1 << 20, reuse_address=True)
        self.port = self.server.sockets[0].getsockname()[1]

    async def unlisten(self):
        self.server.close()
        for writer in list(self.open_writers):
            self.abort(writer)

    def close(self):
        if self.thread.is_alive():
            asyncio.run_coroutine_threadsafe(self.finish(), self.loop).result(10)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
            self.loop.close()

    async def finish(self):
        await self.unlisten()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def refuse(self, seconds):
        """Connections are refused and open ones reset for some time; returns at once."""
        async def run():
            self.faults["refuse"] += 1
            await self.unlisten()
            await asyncio.sleep(seconds)
            await self.listen()
        asyncio.run_coroutine_threadsafe(run(), self.loop)

    def blackout(self, dead=True):
        """The store is dead: 503 to everything until blackout(False)."""
        self.dead = dead

    @staticmethod
    def abort(writer):
        sock = writer.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ALL_ABORT)
            except OSError:
                pass
        writer.transport.abort()

    # ---- one connection

    async def handle(self, reader, writer):
        self.connections += 1
        self.open_writers.add(writer)
        upstream = None
        try:
            while True:
                request = await self.read_request(reader, writer)
                upstream = await self.serve(request, writer, upstream)
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (Ended, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.open_writers.discard(writer)
            if upstream:
                upstream[1].close()
            writer.close()

    async def read_request(self, reader, writer):
        request = Request(await read_head(reader), b"")
        if request.headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.body = await read_body(reader, request.headers)
        return request

    async def ask(self, request, upstream):
        """Passes the request on; returns (upstream connection, status, answer's head, answer's body)."""
        for fresh in (False, True):
            if upstream is None:
                upstream = await asyncio.open_connection(self.host, self.target_port, limit=1 << 20)
                fresh = True
            reader, writer = upstream
            try:
                writer.write(request.head + b"\r\n" + request.body)
                await writer.drain()
                while True:
                    head = await read_head(reader)
                    status = int(head.split(b" ", 2)[1])
                    if status >= 200:
                        break
                headers = dict(parse_header(line) for line in head.split(b"\r\n")[1:] if line)
                has_body = request.method != "HEAD" and status not in (204, 304)
                body = await read_body(reader, headers, True) if has_body else b""
                if headers.get("connection", "").lower() == "close" or (has_body and "content-length" not in headers and "transfer-encoding" not in headers):
                    writer.close()
                    upstream = None
                return upstream, status, head + b"\r\n", body
            except Ended:
                writer.close()
                upstream = None
                if fresh:   # an idle connection may have been closed by the store meanwhile: once more on a new one
                    raise
        raise Ended()

    def pick(self, name, key):
        if self.dead:
            return "503"
        if not self.rates:
            return None
        at = self.random.random() / max(1e-9, self.weights.get(name, 1.0))
        for kind, rate in self.rates.items():
            if at < rate:
                return kind
            at -= rate
        return None

    def note(self, name, key, request, outcome):
        if self.trace is not None:
            self.trace.append((name, key, request.headers.get("range") or request.headers.get("x-ms-range") or "", outcome))

    async def send(self, writer, data):
        writer.write(data)
        await writer.drain()

    async def serve(self, request, writer, upstream):
        name, key = operation(self.dialect, request)
        bucket = (name, kind_of_key(key) if key else "other")
        self.requests[bucket] += 1
        fault = self.pick(name, key)
        if fault:
            self.faults[fault] += 1
            self.note(name, key, request, fault)
        retry = {"Retry-After": str(self.random.choice(self.retry_after_s))}
        if fault in CODES:
            status = {"timeout-status": 400 if self.dialect == "s3" else 408}.get(fault) or int(fault)
            self.statuses[status] += 1
            await self.send(writer, error_answer(self.dialect, status, CODES[fault][self.dialect], "Injected: please try again.", request.method, retry if fault in ("503", "429") else None))
            return upstream
        if fault == "reset":
            self.abort(writer)
            raise Ended()
        if fault == "delay":
            await asyncio.sleep(self.random.random() * self.delay_s)
        if fault == "stall":
            await asyncio.sleep(self.stall_s)
        refused = self.gate(request.method, request.target, request.headers, request.body) if self.gate else None
        if refused:
            self.statuses[refused[0]] += 1
            if refused[0] < 300:
                self.served[bucket] += 1
            await self.send(writer, answer(refused[0], REASONS.get(refused[0], "OK"), refused[1], refused[2], request.method))
            return upstream
        try:
            upstream, status, head, body = await self.ask(request, upstream)
        except (OSError, Ended):   # the store itself is down
            self.statuses[502] += 1
            await self.send(writer, answer(502, "Bad Gateway", {"Content-Type": "text/html"}, b"<html>the store does not answer</html>", request.method))
            return None
        if fault == "late-reset":
            self.abort(writer)
            raise Ended()
        if fault == "late-500":
            self.statuses[500] += 1
            await self.send(writer, error_answer(self.dialect, 500, CODES["500"][self.dialect], "Injected: done, but not told.", request.method))
            return upstream
        if fault == "gateway":
            status = self.random.choice((502, 504))
            self.statuses[status] += 1
            await self.send(writer, answer(status, REASONS[status], {"Content-Type": "text/html"}, b"<html><body>gateway</body></html>", request.method))
            return upstream
        if fault == "cut":
            await self.send(writer, head + body[:len(body) // 2] if body else head[:len(head) // 2])
            writer.close()
            raise Ended()
        self.statuses[status] += 1   # counted before it is sent: who hears the answer may look at the counters
        if status < 300:
            self.served[bucket] += 1
        if not fault:
            self.note(name, key, request, status)
        if fault == "throttle":
            await self.send(writer, head)
            step = max(1, self.throttle_bytes_s // 20)
            for at in range(0, len(body), step):
                await self.send(writer, body[at:at + step])
                await asyncio.sleep(0.05)
        else:
            await self.send(writer, head + body)
        return upstream


def main():
    proxy = FaultProxy("127.0.0.1", int(sys.argv[1]), port=int(sys.argv[2]), rates={k: float(v) for k, v in (word.split("=") for word in sys.argv[3:])}).start()
    print("listening on", proxy.address, flush=True)
    try:
        proxy.thread.join()
    except KeyboardInterrupt:
        print(proxy.describe())


if __name__ == "__main__":
    main()
