"""gateway/nginx.conf.template behind a real nginx: every route reaches the right target; tails, long queries, big bodies,
passwords, tenants; names that change their addresses and members that leave."""
import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gateway
import servers
from harness import Server, free_port

# (target, method, path). What is not in the table is 404.
ROUTES = [
    ("write", "POST", "/loki/api/v1/push"), ("write", "POST", "/api/prom/push"), ("write", "POST", "/otlp/v1/logs"),
    ("write", "GET", "/distributor/ring"), ("write", "GET", "/ring"), ("write", "POST", "/ring"), ("write", "GET", "/pattern/ring"),
    ("write", "GET", "/memberlist"), ("write", "GET", "/config"), ("write", "GET", "/config?mode=diff"), ("write", "POST", "/flush"),
    ("write", "POST", "/ingester/prepare_shutdown"), ("write", "POST", "/ingester/shutdown?terminate=false"),
    ("read", "GET", "/loki/api/v1/query"), ("read", "POST", "/loki/api/v1/query"), ("read", "GET", "/loki/api/v1/query_range"),
    ("read", "POST", "/loki/api/v1/query_range"), ("read", "GET", "/loki/api/v1/labels"), ("read", "GET", "/loki/api/v1/label"),
    ("read", "GET", "/loki/api/v1/label/app/values"), ("read", "GET", "/loki/api/v1/label/a%2Fb/values"), ("read", "GET", "/loki/api/v1/series"),
    ("read", "GET", "/loki/api/v1/index/stats"), ("read", "GET", "/loki/api/v1/index/shards"), ("read", "GET", "/loki/api/v1/index/volume"),
    ("read", "GET", "/loki/api/v1/index/volume_range"), ("read", "GET", "/loki/api/v1/patterns"), ("read", "GET", "/loki/api/v1/detected_labels"),
    ("read", "GET", "/loki/api/v1/detected_fields"), ("read", "GET", "/loki/api/v1/detected_field/x/values"), ("read", "GET", "/loki/api/v1/tail"),
    ("read", "GET", "/loki/api/v1/drilldown-limits"), ("read", "GET", "/loki/api/v1/format_query"), ("read", "GET", "/loki/api/v1/status/buildinfo"),
    ("read", "GET", "/config/tenant/v1/limits"), ("read", "GET", "/api/prom/query"), ("read", "GET", "/api/prom/label"),
    ("read", "GET", "/api/prom/label/app/values"), ("read", "GET", "/api/prom/series"), ("read", "GET", "/api/prom/tail"),
    ("read", "GET", "/ui"), ("read", "GET", "/ui/explore"),
    ("backend", "GET", "/loki/api/v1/rules"), ("backend", "GET", "/loki/api/v1/rules/ns"), ("backend", "DELETE", "/loki/api/v1/rules/ns/group"),
    ("backend", "POST", "/loki/api/v1/rules/a%2Fb"), ("backend", "GET", "/api/prom/rules"), ("backend", "POST", "/api/prom/rules/ns"),
    ("backend", "GET", "/prometheus/api/v1/rules"), ("backend", "GET", "/prometheus/api/v1/alerts"), ("backend", "GET", "/ruler/ring"),
    ("backend", "GET", "/loki/api/v1/delete"), ("backend", "POST", "/loki/api/v1/delete"), ("backend", "PUT", "/loki/api/v1/delete"),
    ("backend", "DELETE", "/loki/api/v1/delete"), ("backend", "GET", "/loki/api/v1/cache/generation_numbers"),
    ("backend", "POST", "/loki/api/v1/cache/generation_numbers/increase"), ("backend", "GET", "/compactor/ring"),
    ("backend", "GET", "/indexgateway/ring"), ("backend", "GET", "/scheduler/ring"),
]
NOWHERE = ["/metrics", "/ready", "/services", "/log_level", "/nope", "/debug/pprof/heap", "/prometheus/api/v1/query", "/loki/api/v1", "/api/prom",
           "/ingester", "/loki", "/rings", "/ring/x", "/configs", "/internal/anything"]


class Echo(BaseHTTPRequestHandler):
    """Answers with what arrived, and with the name of the server it arrived at."""
    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.upgrade()
        if self.headers.get("Transfer-Encoding"):
            body = b""
            while True:
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    break
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(self.path)
        if self.server.hanging:
            self.server.step.wait(20)
            return
        if self.server.stopping:
            status, text = 503, b"Application is stopping"
        else:
            status = 200
            text = json.dumps({"name": self.server.name, "method": self.command, "path": self.path, "body_bytes": len(body),
                               "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
            if "size=" in self.path:
                text = b"x" * int(self.path.split("size=")[1])
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def upgrade(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        for text in ("first", "second"):
            self.wfile.write(bytes([0x81, len(text)]) + text.encode())
            self.wfile.flush()
            self.server.step.wait(10)
            self.server.step.clear()
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class EchoServer(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass   # connections that nginx closes are no news


class Target:
    def __init__(self, name, address=("127.0.0.1", 0)):
        self.http = EchoServer(address, Echo)
        self.http.daemon_threads = True
        self.http.name = name
        self.http.seen = []
        self.http.stopping = self.http.hanging = False
        self.http.step = threading.Event()
        self.port = self.http.server_address[1]
        self.url = "http://%s:%d" % self.http.server_address
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@unittest.skipUnless(gateway.NGINX, "nginx is not here")
class Routing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.targets = {name: Target(name) for name in ("write", "read", "backend")}
        for target in cls.targets.values():
            cls.addClassCleanup(target.close)
        cls.gateway = cls.start()

    @classmethod
    def start(cls, **changed):
        values = {"GATEWAY_%s_URL" % name.upper(): target.url for name, target in cls.targets.items()}
        values.update(changed)
        started = gateway.Gateway(**values)
        cls.addClassCleanup(started.close)
        return started.start()

    def ask(self, method, path, body=None, headers=None, where=None):
        c = http.client.HTTPConnection("127.0.0.1", (where or self.gateway).port, timeout=30)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.read(), r
        finally:
            c.close()

    def test_every_route_reaches_its_target(self):
        for name, method, path in ROUTES:
            with self.subTest(method=method, path=path):
                status, body, _ = self.ask(method, path, b"x=1" if method == "POST" else None)
                self.assertEqual(status, 200, body)
                got = json.loads(body)
                self.assertEqual((got["name"], got["method"], got["path"]), (name, method, path))

    def test_query_strings_pass_unchanged(self):
        path = "/loki/api/v1/query_range?query=%7Bapp%3D%22a%20b%22%7D%20%7C%3D%20%60%2F%3F%60&limit=5&start=1"
        self.assertEqual(json.loads(self.ask("GET", path)[1])["path"], path)

    def test_everything_else_is_not_found_and_reaches_nobody(self):
        before = sum(len(t.http.seen) for t in self.targets.values())
        for path in NOWHERE:
            with self.subTest(path=path):
                self.assertEqual(self.ask("GET", path)[0], 404)
        self.assertEqual(sum(len(t.http.seen) for t in self.targets.values()), before)

    def test_the_probe_is_answered_by_the_gateway(self):
        status, body, response = self.ask("GET", "/")
        self.assertEqual((status, body), (200, b"OK"))
        self.assertEqual(response.getheader("Server"), "nginx")   # without its version

    def test_the_table_names_every_route_of_the_template(self):
        """A route added to the template is added to the test."""
        with open(gateway.TEMPLATE) as f:
            text = f.read()
        found = re.findall(r"location (=|\^~|~) (\S+) \{(.*?)\}", text, re.S)
        self.assertGreater(len(found), 15)
        for kind, match, body in found:
            if "proxy_pass" not in body:
                continue
            target = re.search(r"proxy_pass \$(\w+)\$request_uri", body).group(1)
            paths = [p.split("?")[0] for name, _, p in ROUTES if name == target]
            hit = {"=": lambda p: p == match, "^~": lambda p: p.startswith(match), "~": lambda p: re.search(match, p)}[kind]
            self.assertTrue(any(hit(p) for p in paths), match)

    def test_headers_that_clients_send(self):
        sent = {"X-Scope-OrgID": "team-a", "X-Query-Tags": "Source=grafana", "Authorization": "Bearer t", "X-Loki-Response-Encoding-Flags": "categorize-labels",
                "Accept-Encoding": "gzip"}
        got = json.loads(self.ask("GET", "/loki/api/v1/labels", headers=sent)[1])["headers"]
        for name, value in sent.items():
            self.assertEqual(got.get(name.lower()), value, name)
        self.assertEqual(got["host"], "127.0.0.1:%d" % self.gateway.port)
        self.assertEqual(got["x-forwarded-for"], "127.0.0.1")
        self.assertNotIn("upgrade", got)
        self.assertEqual(got["connection"], "close")
        bare = json.loads(self.ask("GET", "/loki/api/v1/labels")[1])["headers"]
        for name in ("x-scope-orgid", "x-query-tags", "authorization"):
            self.assertNotIn(name, bare)

    def test_query_tags_say_what_grafana_says(self):
        grafana = {"X-Grafana-User": "ann", "X-Dashboard-Uid": "d1", "X-Panel-Id": "7"}
        got = json.loads(self.ask("GET", "/loki/api/v1/query", headers=grafana)[1])["headers"]
        self.assertEqual(got["x-query-tags"], "user=ann,dashboard_uid=d1,panel_id=7,rule_uid=")
        got = json.loads(self.ask("GET", "/loki/api/v1/query", headers=dict(grafana, **{"X-Query-Tags": "Source=x"}))[1])["headers"]
        self.assertEqual(got["x-query-tags"], "Source=x,user=ann,dashboard_uid=d1,panel_id=7,rule_uid=")

    def test_bodies_up_to_the_limit(self):
        status, body, _ = self.ask("POST", "/loki/api/v1/push", b"x" * (8 << 20))
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body)["body_bytes"], 8 << 20)
        small = self.start(GATEWAY_MAX_BODY="1m")
        self.assertEqual(self.ask("POST", "/loki/api/v1/push", b"x" * (1 << 20), where=small)[0], 200)
        self.assertEqual(self.ask("POST", "/loki/api/v1/push", b"x" * ((1 << 20) + 1), where=small)[0], 413)

    def test_bodies_of_unknown_length(self):
        def pieces():
            for _ in range(64):
                yield b"y" * 65536
        status, body, _ = self.ask("POST", "/otlp/v1/logs", pieces())
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body)["body_bytes"], 64 * 65536)

    def test_long_queries_and_large_answers(self):
        path = "/loki/api/v1/query?query=" + "a" * 60000
        self.assertEqual(json.loads(self.ask("GET", path)[1])["path"], path)
        status, body, _ = self.ask("GET", "/loki/api/v1/query?size=%d" % (40 << 20))
        self.assertEqual((status, len(body)), (200, 40 << 20))

    def test_tail_is_a_websocket_in_both_directions_and_unbuffered(self):
        for path in ("/loki/api/v1/tail", "/api/prom/tail"):
            with socket.create_connection(("127.0.0.1", self.gateway.port), 10) as s:
                s.sendall(("GET %s?query=x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Scope-OrgID: t\r\n\r\n" % path).encode())
                stream = s.makefile("rb")
                self.assertIn(b"101", stream.readline())
                header = {}
                for line in iter(stream.readline, b"\r\n"):
                    name, value = line.decode().split(":", 1)
                    header[name.lower()] = value.strip()
                self.assertEqual(header["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                self.assertEqual(stream.read(7), b"\x81\x05first")   # here before the second one is written
                self.targets["read"].http.step.set()
                self.assertEqual(stream.read(8), b"\x81\x06second")
                self.targets["read"].http.step.set()

    def test_passwords_and_the_tenant_that_logged_in(self):
        directory = self.gateway.directory
        with open(os.path.join(directory, "htpasswd"), "w") as f:
            hashed = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True).stdout.strip()
            f.write("ann:%s\n" % hashed)
        os.chmod(f.name, 0o644)
        closed = self.start(GATEWAY_AUTH='auth_basic "Skald"; auth_basic_user_file %s;' % f.name, GATEWAY_TENANT_FROM="remote_user", GATEWAY_AUTHORIZATION="''")
        status, _, response = self.ask("GET", "/loki/api/v1/labels", where=closed)
        self.assertEqual((status, response.getheader("WWW-Authenticate")), (401, 'Basic realm="Skald"'))
        wrong = {"Authorization": "Basic " + base64.b64encode(b"ann:wrong").decode()}
        self.assertEqual(self.ask("POST", "/loki/api/v1/push", b"x", wrong, where=closed)[0], 401)
        self.assertEqual(self.ask("GET", "/", where=closed)[0], 200)   # the probe needs no password
        right = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode(), "X-Scope-OrgID": "somebody-else"}
        got = json.loads(self.ask("GET", "/loki/api/v1/labels", headers=right, where=closed)[1])["headers"]
        self.assertEqual(got["x-scope-orgid"], "ann")
        self.assertNotIn("authorization", got)

    def test_tls(self):
        directory = self.gateway.directory
        ca, certificate, key = servers.certificate(directory)
        port = free_port()
        started = self.start(GATEWAY_SERVER_SNIPPET="listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s;" % (port, certificate, key))
        self.assertTrue(started)
        c = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=ssl.create_default_context(cafile=ca))
        c.request("GET", "/loki/api/v1/labels")
        got = json.loads(c.getresponse().read())
        self.assertEqual((got["name"], got["headers"]["x-forwarded-proto"]), ("read", "https"))
        c.close()

    def test_only_failures_are_logged(self):
        logging = self.start()
        self.ask("GET", "/loki/api/v1/labels?well", where=logging)
        self.ask("GET", "/nowhere-to-go", where=logging)
        for _ in range(200):
            if "nowhere-to-go" in logging.read_log():
                break
            time.sleep(0.02)
        self.assertIn("nowhere-to-go", logging.read_log())
        self.assertNotIn("?well", logging.read_log())


@unittest.skipUnless(gateway.NGINX, "nginx is not here")
class Members(unittest.TestCase):
    """Upstreams are names; their addresses come from the name server while nginx runs."""

    def setUp(self):
        self.first = Target("first", ("127.0.0.2", 0))
        self.addCleanup(self.first.close)
        self.second = Target("second", ("127.0.0.3", self.first.port))
        self.addCleanup(self.second.close)
        self.names = gateway.NameServer({"member.skald.test": ["127.0.0.2", "127.0.0.3"]})
        self.members = self.names.addresses["member.skald.test"]
        self.addCleanup(self.names.close)
        url = "http://member.skald.test:%d" % self.first.port
        self.gateway = gateway.Gateway(GATEWAY_WRITE_URL=url, GATEWAY_READ_URL=url, GATEWAY_BACKEND_URL=url, GATEWAY_PUSH_TIMEOUT="1s",
                                       GATEWAY_RESOLVER="127.0.0.1:%d valid=1s ipv6=off" % self.names.server_address[1]).start()
        self.addCleanup(self.gateway.close)

    def ask(self, method="POST", path="/loki/api/v1/push"):
        c = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        try:
            c.request(method, path, b"line" if method == "POST" else None)
            r = c.getresponse()
            body = r.read()
            return r.status, json.loads(body)["name"] if r.status == 200 else body
        finally:
            c.close()

    def test_all_addresses_of_a_name_are_used(self):
        self.assertEqual({self.ask()[1] for _ in range(40)}, {"first", "second"})

    def test_a_push_and_a_query_go_to_another_member_when_one_says_that_it_stops(self):
        self.first.http.stopping = True
        for method, path in (("POST", "/loki/api/v1/push"), ("GET", "/loki/api/v1/query"), ("POST", "/loki/api/v1/query_range")):
            self.assertEqual({self.ask(method, path) for _ in range(20)}, {(200, "second")}, path)
        self.assertTrue(self.first.http.seen)   # it was asked

    def test_a_delete_request_is_not_sent_twice(self):
        self.first.http.stopping = self.second.http.stopping = True
        self.assertEqual(self.ask("POST", "/loki/api/v1/delete")[0], 503)
        self.assertEqual(len(self.first.http.seen) + len(self.second.http.seen), 1)

    def test_a_push_does_not_wait_for_a_member_that_hangs(self):
        self.first.http.hanging = True
        self.addCleanup(self.first.http.step.set)
        self.assertEqual({self.ask() for _ in range(4)}, {(200, "second")})
        self.assertTrue(self.first.http.seen)

    def test_a_member_that_is_gone_costs_no_request(self):
        self.first.close()
        self.assertEqual({self.ask() for _ in range(20)}, {(200, "second")})

    def test_new_addresses_are_seen(self):
        self.members[:] = ["127.0.0.2"]
        time.sleep(1.2)
        self.ask()   # starts the new look-up
        time.sleep(1.2)
        self.assertEqual({self.ask()[1] for _ in range(10)}, {"first"})
        self.members[:] = ["127.0.0.3"]
        time.sleep(1.2)
        self.ask()
        time.sleep(1.2)
        self.assertEqual({self.ask()[1] for _ in range(10)}, {"second"})

    def test_starts_while_nobody_is_there(self):
        self.members[:] = []
        alone = gateway.Gateway(GATEWAY_WRITE_URL="http://nobody.skald.test:1", GATEWAY_RESOLVER="127.0.0.1:%d valid=1s" % self.names.server_address[1]).start()
        self.addCleanup(alone.close)
        c = http.client.HTTPConnection("127.0.0.1", alone.port, timeout=30)
        c.request("POST", "/loki/api/v1/push", b"x")
        self.assertEqual(c.getresponse().status, 502)


@unittest.skipUnless(gateway.NGINX, "nginx is not here")
class File(unittest.TestCase):
    def test_nginx_accepts_the_defaults(self):
        checked = gateway.Gateway()
        self.addCleanup(checked.close)
        done = subprocess.run(checked.arguments() + ["-t"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("syntax is ok", done.stderr)
        self.assertNotIn("[warn]", done.stderr)

    @unittest.skipUnless(shutil.which("envsubst"), "envsubst is not here")
    def test_envsubst_gives_the_same_file(self):
        """The way of nginx's image: only names that exist are replaced."""
        values = gateway.defaults()
        names = " ".join("${%s}" % n for n in values)
        with open(gateway.TEMPLATE) as f:
            done = subprocess.run(["envsubst", names], stdin=f, capture_output=True, text=True, env=dict(os.environ, **values), check=True)
        self.assertEqual(done.stdout, gateway.render(values))
        self.assertNotIn("${GATEWAY_", done.stdout)

    def test_a_shell_reads_the_defaults_as_we_do(self):
        done = subprocess.run(["sh", "-c", "set -a; . '%s'; env -0" % gateway.DEFAULTS], capture_output=True, text=True, check=True)
        seen = dict(e.split("=", 1) for e in done.stdout.split("\0") if e)
        for name, value in gateway.defaults().items():
            self.assertEqual(seen.get(name), value)


@unittest.skipUnless(gateway.NGINX, "nginx is not here")
class RealServer(unittest.TestCase):
    """The single process stands for all three targets."""

    def test_push_and_query_through_the_gateway(self):
        server = Server(config="auth_enabled: true\n").start()
        self.addCleanup(server.close)
        url = "http://127.0.0.1:%d" % server.port
        front = gateway.Gateway(GATEWAY_WRITE_URL=url, GATEWAY_READ_URL=url, GATEWAY_BACKEND_URL=url).start()
        self.addCleanup(front.close)
        through = Server(directory=server.directory)
        through.port = front.port
        now = time.time_ns()
        self.assertEqual(through.push([({"app": "g"}, [(now, "no tenant")])])[0], 401)
        tenant = {"X-Scope-OrgID": "team"}
        for how in ("proto", "json-gzip", "otlp-json"):
            labels = {"service.name": "g"} if how.startswith("otlp") else {"service_name": "g"}
            self.assertIn(through.push([(labels, [(now, how)])], how, headers=tenant)[0], (200, 204))
        rows = through.query_range('{service_name="g"}', now - 10**9, now + 10**9, tenant="team")
        self.assertEqual(sorted(v[1] for s in rows for v in s["values"]), ["json-gzip", "otlp-json", "proto"])
        self.assertEqual(through.request("GET", "/ring")[0], server.request("GET", "/ring")[0])
        self.assertEqual(through.request("GET", "/metrics")[0], 404)

    def test_a_tail_through_the_gateway_shows_lines_as_they_come(self):
        server = Server(config="auth_enabled: true\n").start()
        self.addCleanup(server.close)
        url = "http://127.0.0.1:%d" % server.port
        front = gateway.Gateway(GATEWAY_WRITE_URL=url, GATEWAY_READ_URL=url, GATEWAY_BACKEND_URL=url).start()
        self.addCleanup(front.close)
        tenant = {"X-Scope-OrgID": "team"}
        self.assertEqual(server.push([({"app": "t"}, [(time.time_ns(), "before")])], headers=tenant)[0], 204)
        with socket.create_connection(("127.0.0.1", front.port), 30) as s:
            s.sendall(("GET /loki/api/v1/tail?query=%7Bapp%3D%22t%22%7D HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Scope-OrgID: team\r\n\r\n").encode())
            stream = s.makefile("rb")
            self.assertIn(b" 101 ", stream.readline())
            seen = b""
            while b"before" not in seen:
                seen += stream.read1()
            for n in range(3):   # nothing waits for a buffer to fill
                line = b"live %d" % n
                self.assertEqual(server.push([({"app": "t"}, [(time.time_ns(), line.decode())])], headers=tenant)[0], 204)
                while line not in seen:
                    seen += stream.read1()


if __name__ == "__main__":
    unittest.main()
