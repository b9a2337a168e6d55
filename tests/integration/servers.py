"""Real servers for the tests, each on free ports of 127.0.0.1 in a directory of its own, as context managers:

    with servers.Minio() as store:
        server = Server(store.config() + REST).start()
        store.client().keys("fake/chunks/")

Object stores: Swift (Debian), Minio and FakeGcs (built once through the Go module proxy), Azurite (npm). Others: Memcached,
Redis, Nginx (Debian), Dynalite (npm). Missing() tells why one cannot run here. What is built or installed is kept in
SKALD_TEST_CACHE (~/.cache/skald-test) and in clients/stores/node_modules."""
import base64
import ctypes
import fcntl
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from fault_proxy import FaultProxy
from harness import free_port
from store_clients import AzureClient, DirectoryClient, GcsClient, S3Client

HERE = os.path.dirname(os.path.abspath(__file__))
NPM = os.path.join(HERE, "clients", "stores")
CACHE = os.path.abspath(os.environ.get("SKALD_TEST_CACHE", os.path.expanduser("~/.cache/skald-test")))
GO_MODULES = {   # pinned: what the tests were last run against
    "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",   # 5 to 10 minutes on two cores, 150 MB
    "fake-gcs-server": "github.com/fsouza/fake-gcs-server@v1.56.1",         # 3 minutes, 34 MB
}
SYSTEM_PYTHON = "/usr/bin/python3"   # Debian's modules belong to it, whatever python3 comes first in PATH


class Missing(unittest.SkipTest):
    """The server cannot run on this machine; a test that lets it pass is skipped with this text."""


def program(name):
    for directory in os.environ.get("PATH", "").split(os.pathsep) + ["/usr/sbin", "/usr/local/go/bin"]:
        path = os.path.join(directory, name)
        if os.access(path, os.X_OK):
            return path
    return None


def need_program(name, package):
    path = program(name)
    if not path:
        raise Missing("no %s (Debian package %s)" % (name, package))
    return path


class Locked:
    """One process at a time builds or installs."""

    def __init__(self, name):
        os.makedirs(CACHE, exist_ok=True)
        self.file = open(os.path.join(CACHE, name + ".lock"), "w")

    def __enter__(self):
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def go_program(name):
    """A program of GO_MODULES, built when it is not there yet."""
    found = program(name)
    if found:
        return found
    path = os.path.join(CACHE, "bin", name)
    with Locked(name):
        if os.access(path, os.X_OK):
            return path
        go = program("go")
        if not go:
            raise Missing("no Go toolchain to build %s" % name)
        started = time.monotonic()
        print("\nbuilding %s …" % GO_MODULES[name], end=" ", flush=True)
        env = dict(os.environ, GOBIN=os.path.join(CACHE, "bin"), CGO_ENABLED="0")
        done = subprocess.run(["nice", go, "install", "-p", "1", "-ldflags", "-s -w", GO_MODULES[name]], env=env, cwd=CACHE, capture_output=True, text=True)
        if done.returncode != 0:
            raise Missing("%s could not be built: %s" % (name, done.stderr[-500:]))
        print("%.0f s" % (time.monotonic() - started), flush=True)
    return path


def npm_program(package, script):
    """Path of a script of an npm package; all packages of clients/stores are installed once."""
    if not (program("node") and program("npm")):
        raise Missing("node and npm are not here")
    with Locked("npm-stores"):
        stamp = os.path.join(NPM, "node_modules", ".package-lock.json")
        if not os.path.exists(stamp) or os.path.getmtime(stamp) < os.path.getmtime(os.path.join(NPM, "package-lock.json")):
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"], cwd=NPM, check=True, timeout=600)
            os.utime(stamp)
    return os.path.join(NPM, "node_modules", package, script)


def node_client(script, *words):
    """Runs clients/stores/<script> with node and returns what it printed, as JSON."""
    npm_program("", "")
    done = subprocess.run(["node", script] + list(words), cwd=NPM, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def certificate(directory):
    """A CA and a certificate of it for 127.0.0.1 and localhost: paths (ca, certificate, key)."""
    openssl = need_program("openssl", "openssl")

    def run(*words):
        subprocess.run([openssl] + list(words), cwd=directory, check=True, capture_output=True)
    with open(os.path.join(directory, "san"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", "server.pem")
    return tuple(os.path.join(directory, name) for name in ("ca.pem", "server.pem", "server.key"))


def die_with_parent():
    """For the child: killed when the test's process ends in whatever way."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)   # PR_SET_PDEATHSIG


class Process:
    """A server process: `command` starts it, it has started once `answers` says so."""
    start_timeout_s = 180   # a machine that builds at the same time

    def __init__(self):
        self.port = free_port()
        self.process = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="skald-%s-" % type(self).__name__.lower())
        try:
            self.launch()
            self.prepare()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def launch(self):
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, cwd=self.directory,
                                        env=dict(os.environ, **self.environment()), start_new_session=True, preexec_fn=die_with_parent)
        deadline = time.monotonic() + self.start_timeout_s
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log.name, errors="replace") as f:
                    raise RuntimeError("%s did not start: %s" % (type(self).__name__, f.read()[-2000:]))
            time.sleep(0.05)

    def halt(self):
        """Ends the process at once, data stay; launch() starts it again on the same port."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self):
        self.halt()
        if hasattr(self, "log"):
            self.log.close()
        if not os.environ.get("SKALD_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def environment(self):
        return {}

    def prepare(self):
        pass

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False


SCHEMA = """schema_config:
  configs:
    - from: 2020-10-24
      store: tsdb
      object_store: %s
      schema: v13
      index: {prefix: index_, period: 24h}
"""


def indented(depth, lines):
    return "".join(" " * depth + line + "\n" for line in lines if line)


class Store(Process):
    """An object store with one bucket. `kind` is what Loki's configuration calls it; `dialect` is the fault proxy's."""
    bucket = "logs"

    def prepare(self):
        client = self.client()
        deadline = time.monotonic() + self.start_timeout_s
        while True:   # the port is open before all parts of the service are up
            try:
                client.create_bucket()
                return
            except Exception:   # noqa: BLE001: whatever it answers while starting
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def config(self, address=None, secret=None, style="old", http="", storage="tsdb_shipper: {resync_interval: 1s}"):
        """YAML of the storage blocks and schema_config. address: of a proxy before the store; secret: a wrong one; style: old
        (common.storage.<kind>) or new (storage_config.object_store); http: further lines of the store's block; storage:
        further lines of storage_config."""
        block = indented(8, self.block(address or self.address, secret, style) + http.split("\n"))
        text = "storage_config:\n" + indented(2, storage.split("\n"))
        if style == "new":
            text += "  use_thanos_objstore: true\n  object_store:\n    %s:\n%s" % (self.kind, block)
        else:
            text += "common:\n  storage:\n    %s:\n%s" % (self.kind, block)
        return text + SCHEMA % self.kind

    def client(self, address=None):
        raise NotImplementedError

    def proxy(self, **options):
        """A started FaultProxy before this store; the caller closes it."""
        return FaultProxy("127.0.0.1", self.port, dialect=self.kind, bucket=self.bucket, **options).start()


class S3Store(Store):
    kind = "s3"

    def block(self, address, secret, style):
        common = ["endpoint: " + address, "region: us-east-1", "access_key_id: '%s'" % self.access_key, "secret_access_key: '%s'" % (secret or self.secret_key), "insecure: true"]
        if style == "new":
            return common + ["bucket_name: " + self.bucket, "bucket_lookup_type: path"]
        return common + ["bucketnames: " + self.bucket, "s3forcepathstyle: true"]

    def client(self, address=None):
        return S3Client(address or self.address, self.bucket, self.access_key, self.secret_key)

    def vendor(self, action, *words, address=None):
        return node_client("s3.mjs", action, "http://" + (address or self.address), self.bucket, self.access_key, self.secret_key, *words)


class Swift(S3Store):
    """Verifies signatures; metadata need user extended attributes of the file system below the temporary directory."""
    access_key, secret_key = "test:tester", "testing"

    def __init__(self):
        super().__init__()
        if subprocess.run([SYSTEM_PYTHON, "-c", "import swift"], capture_output=True).returncode != 0:
            raise Missing("no python3-swift (Debian package)")
        self.cache_port = free_port() if program("memcached") else 0
        self.memcached = None

    def launch(self):
        probe = os.path.join(self.directory, "probe")
        open(probe, "w").close()
        try:
            os.setxattr(probe, "user.swift.metadata", b"x" * 2000)
        except OSError as e:
            raise Missing("Swift needs user extended attributes below %s: %s" % (tempfile.gettempdir(), e)) from e
        if self.cache_port and self.memcached is None:   # Swift looks accounts and buckets up on each request without it
            self.memcached = Memcached(self.cache_port)
            self.memcached.__enter__()
        super().launch()

    def close(self):
        super().close()
        if self.memcached:
            self.memcached.close()
            self.memcached = None

    def command(self):
        return [SYSTEM_PYTHON, os.path.join(HERE, "swift_node.py"), self.directory, str(self.port), str(self.cache_port)]


class Minio(S3Store):
    access_key, secret_key = "skaldtest", "skaldtestsecret"

    def __init__(self):
        super().__init__()
        self.program = go_program("minio")

    def command(self):
        return [self.program, "server", os.path.join(self.directory, "data"), "--address", self.address, "--quiet"]

    def environment(self):
        return {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": self.directory}


class Azurite(Store):
    kind = "azure"
    account = "devstoreaccount1"   # Azurite's fixed account, published with it
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self):
        super().__init__()
        self.program = npm_program("azurite", "dist/src/blob/main.js")

    def command(self):
        # Without the two flags it calls home and refuses API versions newer than itself.
        return ["node", self.program, "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", self.directory, "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]

    def connection_string(self, address, secret=None):
        return "DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=http://%s/%s;" % (self.account, secret or self.key, address, self.account)

    def block(self, address, secret, style):
        if secret:
            secret = base64.b64encode(secret.encode()).decode()
        return ["container_name: " + self.bucket, "account_name: " + self.account, "connection_string: '%s'" % self.connection_string(address, secret)]

    def client(self, address=None):
        return AzureClient(address or self.address, self.account, self.key, self.bucket)

    def vendor(self, action, *words, address=None):
        return node_client("azure.mjs", action, self.connection_string(address or self.address), self.bucket, *words)


class FakeGcs(Store):
    """fake-gcs-server behind a gate of ours: the emulator itself lets everybody in, the gate hands out tokens for JWTs
    signed with the service account's key and asks every request for one."""
    kind = "gcs"

    def __init__(self):
        super().__init__()
        self.program = go_program("fake-gcs-server")
        self.inner_port = free_port()
        self.gate = None

    def command(self):
        return [self.program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.inner_port), "-backend", "filesystem", "-filesystem-root", os.path.join(self.directory, "data"),
                "-external-url", "http://" + self.address, "-log-level", "warn"]

    def launch(self):
        from gcs_gate import GcsGate   # needs openssl
        if self.gate is None:
            self.gate = GcsGate(self.directory, "http://%s/token" % self.address)
            self.front = FaultProxy("127.0.0.1", self.inner_port, port=self.port, dialect="gcs", gate=self.gate).start()
        super().launch()

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.inner_port), 1).close()
            return True
        except OSError:
            return False

    def close(self):
        super().close()
        if self.gate is not None:
            self.front.close()

    def block(self, address, secret, style):
        account = dict(self.gate.service_account)
        if secret:
            account["private_key"] = self.gate.other_key()
        lines = ["bucket_name: " + self.bucket, "service_account: '%s'" % json.dumps(account)]
        return lines + ["endpoint: http://" + address]

    def client(self, address=None):
        return GcsClient(address or self.address, self.bucket, self.gate.test_token)

    def vendor(self, action, *words, address=None):
        """What the vendor's own npm client does: "put" key text, or "inspect" [prefix]: every object listed and read."""
        path = os.path.join(self.directory, "account.json")
        with open(path, "w") as f:
            json.dump(self.gate.service_account, f)
        return node_client("gcs.mjs", action, "http://" + (address or self.address), self.bucket, path, *words)


class GcsDouble(FakeGcs):
    """The emulator of ours in gcs_double.py: no process, no Go."""

    def __init__(self):
        Process.__init__(self)
        self.gate = None

    def launch(self):
        from gcs_double import GcsDouble as Double
        need_program("openssl", "openssl")
        self.gate = Double(self.directory, "http://%s/token" % self.address)
        self.front = FaultProxy("127.0.0.1", 9, port=self.port, dialect="gcs", gate=self.gate).start()


def gcs():
    """fake-gcs-server, or the double where it cannot be built."""
    try:
        return FakeGcs()
    except Missing as e:
        print("\nGCS: our double (%s)" % e, flush=True)
        return GcsDouble()


class Filesystem:
    """A directory as the bucket, with the face of a Store."""
    kind = "filesystem"

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="skald-filesystem-")
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if not os.environ.get("SKALD_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def config(self, storage="tsdb_shipper: {resync_interval: 1s}"):
        return "storage_config:\n%scommon:\n  storage:\n    filesystem: {chunks_directory: %s}\n" % (indented(2, storage.split("\n")), self.directory) + SCHEMA % self.kind

    def client(self):
        return DirectoryClient(self.directory)


class Memcached(Process):
    def __init__(self, port=None):
        super().__init__()
        self.program = need_program("memcached", "memcached")
        self.port = port or self.port

    def command(self):
        return [self.program, "-u", getpass.getuser(), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "64"]

    def stats(self):
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.sendall(b"stats\r\n")
            text = b""
            while not text.endswith(b"END\r\n"):
                text += s.recv(65536)
        return dict(line.split(" ")[1:3] for line in text.decode().split("\r\n") if line.startswith("STAT "))

    def config(self):
        """Lines below a cache block, e.g. chunk_store_config.chunk_cache_config."""
        return "memcached: {batch_size: 16, parallelism: 4}\nmemcached_client: {addresses: '%s', timeout: 500ms, consistent_hash: true}\n" % self.address


class Redis(Process):
    password = "open sesame"

    def __init__(self, tls=False):
        super().__init__()
        self.program = need_program("redis-server", "redis-server")
        self.tls = tls

    def command(self):
        words = [self.program, "--bind", "127.0.0.1", "--save", "", "--dir", self.directory, "--requirepass", self.password]
        if not self.tls:
            return words + ["--port", str(self.port)]
        self.ca, cert, key = certificate(self.directory)
        return words + ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", self.ca, "--tls-auth-clients", "no"]

    def config(self):
        tls = ", tls_enabled: true, tls_insecure_skip_verify: true" if self.tls else ""
        return "redis: {endpoint: '%s', password: '%s', timeout: 1s%s}\n" % (self.address, self.password, tls)

    def command_line(self, *words):
        """What redis-cli answers; Debian has it in redis-tools, which redis-server needs."""
        tls = ["--tls", "--cacert", self.ca] if self.tls else []
        done = subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), "-a", self.password, "--no-auth-warning"] + tls + list(words), capture_output=True, text=True, timeout=10)
        return done.stdout.strip()


class Nginx(Process):
    """HTTPS before a plain server; Host and body go through as they are, so signatures stay valid."""

    def __init__(self, upstream):
        super().__init__()
        self.program = need_program("nginx", "nginx")
        self.upstream = upstream

    def command(self):
        self.ca, cert, key = certificate(self.directory)
        with open(os.path.join(self.directory, "nginx.conf"), "w") as f:
            f.write("""worker_processes 1; pid nginx.pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off; client_max_body_size 0; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {
    listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s;
    location / { proxy_pass http://%s; proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; }
  }
}
""" % (self.port, cert, key, self.upstream))
        return [self.program, "-p", self.directory, "-c", os.path.join(self.directory, "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]


class Dynalite(Process):
    def __init__(self):
        super().__init__()
        self.program = npm_program("dynalite", "cli.js")

    def command(self):
        return ["node", self.program, "--port", str(self.port), "--createTableMs", "0", "--deleteTableMs", "0"]

    def config(self):
        """The storage_config lines of an index in DynamoDB (schema period with store: dynamodb)."""
        return "aws:\n  dynamodb:\n    dynamodb_url: dynamodb://key:secret@%s\n" % self.address


STORES = {"swift": Swift, "minio": Minio, "azurite": Azurite, "fake-gcs": gcs, "gcs-double": GcsDouble, "filesystem": Filesystem}


def chosen_stores(default, remote=True):
    """Names of the stores to test with: SKALD_STORES=swift,minio or the default; remote: only those behind HTTP."""
    names = [name for name in os.environ.get("SKALD_STORES", default).split(",") if name and not (remote and name == "filesystem")]
    return names or default.split(",")
