"""configs/scalable.yaml, or what the chart makes of its values, as real processes: each member at an address of its own (127.0.1.N, one port for all, as in a cluster), an
S3 server behind, nginx in front with names that our name server answers."""
import os
import re
import subprocess
import tempfile
import time

import gateway
import tools
from harness import BINARY, ROOT, Server, free_port

COMPOSE = [("write-1", "write"), ("write-2", "write"), ("write-3", "write"), ("read-1", "read"), ("read-2", "read"), ("backend-1", "backend"), ("backend-2", "backend")]
ALONE = [("one", "all")]


def refusal(target):
    """None when the binary runs this target, else what it says."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "config.yaml")
        with open(path, "w") as f:
            f.write("auth_enabled: false\nmemberlist: {join_members: [127.0.0.1]}\n")
        done = subprocess.run([BINARY, "-config.file=" + path, "-target=" + target, "-verify-config"], capture_output=True, text=True, cwd=directory, timeout=60)
        return None if done.returncode == 0 else done.stderr.strip()


class Member(Server):
    def __init__(self, installation, name, target, address):
        super().__init__()
        self.installation, self.name, self.target, self.address = installation, name, target, address
        self.port = installation.port

    def connection(self):
        import http.client
        return http.client.HTTPConnection(self.address, self.port, timeout=60)

    def launch(self):
        path = os.path.join(self.directory, "config.yaml")
        with open(path, "w") as f:
            tools.yaml.safe_dump(self.installation.config(self), f)
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([BINARY, "-config.file=" + path, "-target=" + self.target], stdout=self.log, stderr=self.log, cwd=self.directory)

    def wait_ready(self, timeout_s=90):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("%s ended with %s:\n%s" % (self.name, self.process.returncode, self.tail_log()))
            try:
                if self.request("GET", "/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("%s is not ready after %d s:\n%s" % (self.name, timeout_s, self.tail_log()))


class Installation:
    """The members of `layout`, started together: who comes first waits for the others. `limits`: limits_config, of which the
    shipped file has none. `base`: another file than the shipped one, as text; `nginx`: another gateway, as text, whose upstreams are
    http://<anything>-<target>-headless.…:3100, or http://<anything>-headless.…:3100 for one process."""

    def __init__(self, store, layout, limits=None, base=None, nginx=None):
        self.store, self.limits, self.base, self.nginx, self.port, self.gossip_port = store, limits, base, nginx, free_port(), free_port()
        self.gateway_values = {}   # further values of gateway/gateway.env
        self.further = {}          # further keys by block of every member's configuration
        self.members = [Member(self, name, target, "127.0.1.%d" % (i + 1)) for i, (name, target) in enumerate(layout)]

    def of(self, target):
        return [m for m in self.members if m.target in (target, "all")]

    def config(self, member):
        data = os.path.join(member.directory, "data")
        if self.base:
            runtime = os.path.join(member.directory, "runtime.yaml")
            with open(runtime, "w") as f:
                f.write("{}\n")
            config = tools.yaml.safe_load(self.base.replace("/var/loki", data).replace("/etc/loki/runtime-config/runtime-config.yaml", runtime))
        else:
            with open(os.path.join(ROOT, "configs", "scalable.yaml")) as f:
                config = tools.yaml.safe_load(f)
        backend = "%s:%d" % (self.of("backend")[0].address, self.port)
        config["server"].update(http_listen_address=member.address, http_listen_port=self.port)
        common = config["common"]
        common.update(path_prefix=data, instance_addr=member.address, compactor_address="http://" + backend)
        common["ring"].update(instance_id=member.name)
        if len(self.of("write")) == 1:
            common["replication_factor"] = 1
        shipper = config.get("storage_config", {}).get("tsdb_shipper")
        if shipper:
            shipper["index_gateway_client"]["server_address"] = backend
        s3 = {"endpoint": self.store.address, "access_key_id": self.store.access_key, "secret_access_key": self.store.secret_key}
        common["storage"]["s3"].update(s3, bucketnames=self.store.bucket)
        config["ruler"]["storage"]["s3"].update(s3 if self.base else {}, bucketnames=self.store.bucket)
        config.setdefault("compactor", {}).update(working_directory=os.path.join(data, "compactor"), compaction_interval="1s")
        if "memberlist" in config:
            config["memberlist"].update(bind_addr=[member.address], bind_port=self.gossip_port, advertise_addr=member.address, advertise_port=self.gossip_port, node_name=member.name,
                                        join_members=["%s:%d" % (m.address, self.gossip_port) for m in self.members])
        if self.limits:
            config["limits_config"] = self.limits
        for block, keys in self.further.items():
            config[block] = dict(config.get(block) or {}, **keys)
        return config

    def __enter__(self):
        try:
            for m in self.members:
                m.launch()
            for m in self.members:
                m.wait_ready()
            names = {target + ".skald.test": [m.address for m in self.of(target)] for target in ("write", "read", "backend")}
            self.names = gateway.NameServer(names)
            urls = {"GATEWAY_%s_URL" % t.upper(): "http://%s.skald.test:%d" % (t, self.port) for t in ("write", "read", "backend")}
            self.gateway = gateway.Gateway(GATEWAY_RESOLVER="127.0.0.1:%d valid=1s ipv6=off" % self.names.port, **urls, **self.gateway_values)
            if self.nginx:
                self.gateway.text = self.translated()
            self.gateway.start()
            self.front = Server()   # our client, at the gateway's address
            self.front.port = self.gateway.port
            return self
        except BaseException:
            self.close()
            raise

    def translated(self):
        """The chart's nginx.conf with our names, ports and folder."""
        text = re.sub(r"set \$(write|read|backend) http://[^;]*;", lambda m: "set $%s http://%s.skald.test:%d;" % (m.group(1), m.group(1), self.port), self.nginx)
        text = re.sub(r"resolver [^;]*;", "resolver 127.0.0.1:%d valid=1s ipv6=off;" % self.names.port, text)
        text = re.sub(r"listen \[::\][^;]*;", "", text)
        return re.sub(r"listen 8080;", "listen 127.0.0.1:%d;" % self.gateway.port, text).replace("/tmp", self.gateway.directory)

    def __exit__(self, *_):
        self.close()

    def close(self):
        for part in [getattr(self, "gateway", None), getattr(self, "names", None), getattr(self, "front", None)] + self.members:
            if part is not None:
                part.close()

    def targets(self):
        """Prometheus' static_configs, labelled as the chart's ServiceMonitor does."""
        return [{"targets": ["%s:%d" % (m.address, self.port)], "labels": {"cluster": "skald", "namespace": "logs", "service": "skald-" + m.target}} for m in self.members]
