"""The gateway's template, filled in as the chart and docker compose do, behind a real nginx."""
import os
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time

from harness import ROOT, free_port

TEMPLATE = os.path.join(ROOT, "gateway", "nginx.conf.template")
DEFAULTS = os.path.join(ROOT, "gateway", "gateway.env")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def defaults():
    values = {}
    with open(DEFAULTS) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, value = line.rstrip("\n").split("=", 1)
                assert value[0] == value[-1] == "'", line
                values[name] = value[1:-1]
    return values


def render(values):
    with open(TEMPLATE) as f:
        text = f.read()
    return re.sub(r"\$\{(GATEWAY_\w+)\}", lambda m: values[m.group(1)], text)


def local_values(port, directory, **changed):
    values = defaults()
    values.update(GATEWAY_LISTEN="127.0.0.1:%d" % port, GATEWAY_TMP=directory, GATEWAY_RESOLVER="127.0.0.1:53")
    values.update(changed)
    return values


class Gateway:
    """One nginx in the foreground over a temporary directory."""

    def __init__(self, **changed):
        self.directory = tempfile.mkdtemp(prefix="skald-gateway-")
        os.chmod(self.directory, 0o755)   # workers of an nginx started by root are nobody
        self.port = free_port()
        self.text = render(local_values(self.port, self.directory, **changed))
        self.process = None

    def arguments(self):
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w") as f:
            f.write(self.text)
        return [NGINX, "-p", self.directory, "-c", path]

    def start(self):
        self.log_path = os.path.join(self.directory, "log")
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(self.arguments() + ["-g", "daemon off;"], stderr=self.log, stdout=self.log)
        for _ in range(500):
            if self.process.poll() is not None:
                raise RuntimeError("nginx ended:\n" + self.read_log())
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("nginx does not listen:\n" + self.read_log())

    def read_log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        if hasattr(self, "log"):
            self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class NameServer(socketserver.ThreadingUDPServer):
    """Answers questions for A records with the addresses that a name has now."""
    allow_reuse_address = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            packet, sock = self.request
            labels, at = [], 12
            while packet[at]:
                labels.append(packet[at + 1:at + 1 + packet[at]].decode())
                at += 1 + packet[at]
            end = at + 5
            kind = struct.unpack(">H", packet[end - 4:end - 2])[0]
            addresses = list(self.server.addresses.get(".".join(labels), ())) if kind == 1 else []
            answer = packet[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0) + packet[12:end]
            for a in addresses:
                answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(a)
            sock.sendto(answer, self.client_address)

    def __init__(self, addresses):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.addresses = addresses
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
