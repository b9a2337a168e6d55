"""Consul's KV as far as rings use it: GET (base64 in JSON, blocking with ?index= and ?wait=), PUT with and without ?cas=,
DELETE, an ACL token. Run as a program it prints its address; in a test: `with ConsulDouble() as consul: consul.address`."""
import argparse
import base64
import json
import re
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/v1/kv/"
WAIT_MAX_S = 600


def seconds(text):
    """Go durations of one unit, as clients send them."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", text)
    if not found:
        raise ValueError("wait: " + text)
    return min(WAIT_MAX_S, float(found.group(1)) * {"ms": 0.001, "s": 1, "m": 60, None: 1}[found.group(2)])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", index=None):
        self.send_response(status)
        if index is not None:
            self.send_header("X-Consul-Index", str(index))
            self.send_header("X-Consul-KnownLeader", "true")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def key_and_query(self):
        """None when it was answered already."""
        store = self.server.store
        parts = urllib.parse.urlsplit(self.path)
        with store.changed:
            store.requests.append((self.command, self.path))
            if store.down:
                refused = (500, b"No cluster leader")
            elif store.token and self.headers.get("X-Consul-Token") != store.token:
                refused = (403, b"ACL not found")
            elif not parts.path.startswith(PREFIX):
                refused = (404, b"")
            else:
                return urllib.parse.unquote(parts.path[len(PREFIX):]), urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        self.answer(*refused)
        return None

    def do_GET(self):
        asked = self.key_and_query()
        if not asked:
            return
        key, query = asked
        store = self.server.store
        if "stale" in query and "consistent" in query:
            return self.answer(400, b"Cannot specify ?stale with ?consistent, conflicting semantics.")
        with store.changed:
            if int(query.get("index", ["0"])[0]) > 0:
                seen = int(query["index"][0])
                until = time.monotonic() + seconds(query.get("wait", ["5m"])[0])
                # Of a key that is absent the index is the store's: any write wakes it.
                while store.index_of(key) <= seen and not store.closing and time.monotonic() < until:
                    store.changed.wait(min(1, until - time.monotonic()))
            index, found = store.index_of(key), store.values.get(key)
        if found is None:
            return self.answer(404, b"", index)
        value, created, modified = found
        body = [{"LockIndex": 0, "Key": key, "Flags": 0, "Value": base64.b64encode(value).decode() if value else None,
                 "CreateIndex": created, "ModifyIndex": modified}]
        return self.answer(200, json.dumps(body).encode(), index)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked = self.key_and_query()
        if not asked:
            return
        key, query = asked
        cas = int(query["cas"][0]) if "cas" in query else None
        self.answer(200, b"true" if self.server.store.put(key, body, cas) else b"false")

    def do_DELETE(self):
        asked = self.key_and_query()
        if asked:
            self.server.store.delete(asked[0])
            self.answer(200, b"true")

    def log_message(self, *_):
        pass


class ConsulDouble:
    def __init__(self, port=0, token="", address="127.0.0.1"):
        self.changed = threading.Condition()          # guards all below
        self.values = {}                              # key: (bytes, create index, modify index)
        self.index, self.token = 1, token
        self.down = self.closing = False              # down: answers 500, as without a leader
        self.requests = []
        self.server = ThreadingHTTPServer((address, port), Handler)
        self.server.daemon_threads = True
        self.server.store = self
        self.address = "%s:%d" % self.server.server_address[:2]

    def index_of(self, key):
        return self.values[key][2] if key in self.values else self.index

    def put(self, key, value, cas=None):
        with self.changed:
            known = self.values.get(key)
            if cas is not None and cas != (known[2] if known else 0):
                return False
            self.index += 1
            self.values[key] = (value, known[1] if known else self.index, self.index)
            self.changed.notify_all()
            return True

    def delete(self, key):
        with self.changed:
            self.index += 1
            self.values.pop(key, None)
            self.changed.notify_all()

    def restore(self, index=1):
        """As after a snapshot was restored: the index is smaller than it was."""
        with self.changed:
            self.index = index
            self.values = {key: (value, index, index) for key, (value, _, _) in self.values.items()}
            self.changed.notify_all()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def close(self):
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default="")
    options = parser.parse_args()
    with ConsulDouble(options.port, options.token) as consul:
        print(consul.address, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
