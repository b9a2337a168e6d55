"""An installation of read, write and backend as real processes whose members can be killed, paused, cut off, robbed of their disk or
given a wrong clock, and that can grow and shrink. Everything is what scalable.Installation starts, with short heartbeats.

    with Cluster(ring="etcd") as cluster:
        cluster.front.push(…)                     # through nginx
        cluster.member("write-2").kill()

Environment: SKALD_RING=memberlist|etcd|consul, SKALD_KEEP keeps directories."""
import contextlib
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
import unittest
import urllib.parse

import cluster_net
import cluster_servers
import gateway
import scalable
import servers
import tools
from harness import Server
from scalable import ALONE, COMPOSE

FAKETIME = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib/faketime/libfaketimeMT.so.1"))
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")
OPEN_LIMITS = {"reject_old_samples": False, "ingestion_rate_mb": 1000, "ingestion_burst_size_mb": 1000, "per_stream_rate_limit": "1GB", "per_stream_rate_limit_burst": "1GB",
               "max_global_streams_per_user": 0, "max_entries_limit_per_query": 5000}


def need(layout=COMPOSE):
    """Raises SkipTest with the reason where this binary or machine cannot run an installation."""
    if tools.yaml is None:
        raise unittest.SkipTest("PyYAML (package python3-yaml) is not here")
    if not gateway.NGINX:
        raise unittest.SkipTest("nginx is not here")
    for target in sorted({t for _, t in layout}):
        said = scalable.refusal(target)
        if said:
            raise unittest.SkipTest("this binary does not run -target=%s: %s" % (target, said[-200:]))


def merge(into, other):
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


def processes(root):
    """A process and all its descendants."""
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as f:
                parents[int(path.split("/")[2])] = int(f.read().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            pass
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def cpu_seconds(root):
    """User and system time of a process and its children, those that ended included."""
    total = 0
    for pid in processes(root):
        try:
            with open("/proc/%d/stat" % pid) as f:
                total += sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:15])
        except OSError:
            pass
    return total / TICK


def memory_mib(root):
    """(now, peak) of one process without its children; peak since it started."""
    with open("/proc/%d/status" % root) as f:
        values = {line.split(":")[0]: line.split()[1] for line in f if line.startswith(("VmRSS", "VmHWM"))}
    return int(values["VmRSS"]) / 1024, int(values["VmHWM"]) / 1024


class Member(scalable.Member):
    number = 0

    def __init__(self, installation, name, target, number):
        super().__init__(installation, name, target, installation.net.address(number))
        self.number, self.clock_path, self.paused = number, None, False

    def environment(self):
        env = dict(os.environ)
        if self.installation.clocks:
            self.clock_path = os.path.join(self.directory, "clock")
            if not os.path.exists(self.clock_path):
                self.step_clock(0)
            # Timers go on as they are: only what time it is changes.
            env.update(LD_PRELOAD=FAKETIME[-1], FAKETIME_TIMESTAMP_FILE=self.clock_path, FAKETIME_CACHE_DURATION="1", FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1", NO_FAKE_STAT="1")
        return env

    def step_clock(self, seconds):
        """Within a second the member's clock is wrong by so much."""
        path = os.path.join(self.directory, "clock")
        with open(path + ".new", "w") as f:
            f.write("%+ds\n" % seconds)
        os.rename(path + ".new", path)

    def command(self):
        path = os.path.join(self.directory, "config.yaml")
        with open(path, "w") as f:
            tools.yaml.safe_dump(self.installation.config(self), f)
        return self.installation.net.prefix(self.number) + [scalable.BINARY, "-config.file=" + path, "-target=" + self.target]

    def launch(self):
        command = self.command()
        if getattr(self, "log", None):
            self.log.close()
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=self.directory, env=self.environment(), preexec_fn=servers.die_with_parent)
        self.paused = False

    def connection(self, timeout_s=60):
        return http.client.HTTPConnection(self.address, self.port, timeout=timeout_s)

    def ask(self, path, timeout_s=3, headers=None, method="GET", body=None):
        """(status, body) or (0, error) within timeout_s."""
        c = self.connection(timeout_s)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.read()
        except (OSError, http.client.HTTPException) as e:
            return 0, str(e).encode()
        finally:
            c.close()

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        super().kill()
        self.paused = False

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def lose_disk(self):
        shutil.rmtree(os.path.join(self.directory, "data"), ignore_errors=True)

    def restart(self, timeout_s=90):
        self.launch()
        self.wait_ready(timeout_s)

    def close(self):
        if self.running and self.paused:
            self.resume()
        super().close()

    def ring(self, path="/ring"):
        """{instance id: state} as this member sees it, or None."""
        status, body = self.ask(path, headers={"Accept": "application/json"})
        if status != 200:
            return None
        try:
            page = json.loads(body)
        except ValueError:
            return None
        return {shard["id"]: shard["state"].upper() for shard in page.get("shards") or []}

    def log_lines(self, *words):
        """Lines of its log that hold all these words."""
        with open(self.log_path, errors="replace") as f:
            return [line.rstrip("\n") for line in f if all(w in line for w in words)]


class Cluster(scalable.Installation):
    """ring: where the ring is kept. net: entered already, else Loopback. settings: merged over every member's configuration. clocks:
    members run under libfaketime, which costs a little."""

    def __init__(self, ring=None, layout=COMPOSE, net=None, settings=None, heartbeat_s=1, timeout_s=5, clocks=False, compact="2s"):
        self.net = net or cluster_net.Loopback()
        self.ring_kind = ring or cluster_servers.ring_name()
        self.settings, self.heartbeat_s, self.timeout_s, self.clocks, self.compact = settings or {}, heartbeat_s, timeout_s, clocks, compact
        if clocks and not FAKETIME:
            raise unittest.SkipTest("no libfaketime (Debian package faketime)")
        super().__init__(None, ())
        self.layout = layout
        self.stack = contextlib.ExitStack()

    def create(self, name, target):
        numbers = {m.number for m in self.members}
        member = Member(self, name, target, next(n for n in range(200) if n not in numbers))
        self.members.append(member)
        return member

    def __enter__(self):
        try:
            self.store = self.stack.enter_context(cluster_servers.Minio(self.net.host))
            self.kv = self.stack.enter_context(cluster_servers.RINGS[self.ring_kind](self.net.host))
            for name, target in self.layout:
                self.create(name, target)
            super().__enter__()
        except BaseException:
            self.close()
            raise
        return self

    def close(self):
        super().close()
        self.stack.close()

    def config(self, member):
        config = super().config(member)
        config["common"]["ring"].update(kvstore=self.kv.kvstore(), heartbeat_period="%gs" % self.heartbeat_s, heartbeat_timeout="%gs" % self.timeout_s)
        if self.ring_kind == "memberlist":   # a healed split is seen soon
            config["memberlist"].update(rejoin_interval="2s", pull_push_interval="2s")
        else:
            config.pop("memberlist", None)
        config["ingester"] = {"lifecycler": {"heartbeat_period": "%gs" % self.heartbeat_s, "ring": {"heartbeat_timeout": "%gs" % self.timeout_s}},
                              "chunk_target_size": 262144, "chunk_idle_period": "30m", "max_chunk_age": "4h", "flush_check_period": "1s"}
        config["storage_config"] = merge(config.get("storage_config", {}), {"tsdb_shipper": {"resync_interval": "1s"}})
        config["compactor"]["compaction_interval"] = self.compact
        config["limits_config"] = dict(OPEN_LIMITS)
        return merge(config, json.loads(json.dumps(self.settings)))

    # ---- members

    def member(self, name):
        return next(m for m in self.members if m.name == name)

    @property
    def writers(self):
        return self.of("write")

    def publish(self):
        """The gateway's names mean the members there are now."""
        for target in ("write", "read", "backend"):
            self.names.addresses[target + ".skald.test"] = [m.address for m in self.of(target)]

    def grow(self, name, target):
        member = self.create(name, target)
        member.launch()
        member.wait_ready()
        self.publish()
        return member

    def remove(self, member):
        """Out of the gateway's names and the list; the caller has ended it or does so."""
        self.members.remove(member)
        self.publish()

    def flush(self):
        for m in self.writers:
            m.flush()

    def describe_rings(self):
        return "; ".join("%s: %s" % (m.name, m.ring()) for m in self.members if m.running)

    def whole(self, writers=None):
        """Every member sees exactly the writers there are, all ACTIVE; reads and backends only where they have the page."""
        expected = {m.name: "ACTIVE" for m in (writers or self.writers)}
        for m in self.members:
            seen = m.ring()
            if seen != expected and (m.target in ("write", "all") or seen is not None):
                return False
        return True

    def wait_whole(self, timeout_s, writers=None):
        """Seconds until whole; AssertionError after timeout_s."""
        began = time.monotonic()
        while not self.whole(writers):
            if time.monotonic() - began > timeout_s:
                raise AssertionError("the ring is not whole after %d s: %s" % (timeout_s, self.describe_rings()))
            time.sleep(0.1)
        return time.monotonic() - began

    def client(self):
        """A client of its own at the gateway."""
        client = Server()
        shutil.rmtree(client.directory)
        client.directory = ""
        client.port = self.front.port
        return client

    # ---- what it costs

    def roots(self):
        """{name: process id} of all that belongs to the installation, the gateway included; the S3 server under `s3`."""
        found = {m.name: m.process.pid for m in self.members if m.running}
        found["nginx"] = self.gateway.process.pid
        found["s3"] = self.store.process.pid
        if hasattr(self.kv, "process"):
            found[self.ring_kind] = self.kv.process.pid
        return found

    def cpu(self):
        return {name: cpu_seconds(pid) for name, pid in self.roots().items()}

    def memory(self):
        return {name: memory_mib(pid) for name, pid in self.roots().items()}


class One(Cluster):
    """The same machinery over one process (-target=all), which needs no ring: what the tests themselves are tried on."""

    def __init__(self, **options):
        options.setdefault("layout", ALONE)
        super().__init__(**options)

    def whole(self, writers=None):
        return all(m.running and m.ask("/ready")[0] == 200 for m in self.members)

    def config(self, member):
        config = super().config(member)
        config.pop("memberlist", None)
        config["common"].update(ring={"kvstore": {"store": "inmemory"}}, replication_factor=1)
        return config


def forget(member, name, path="/ring"):
    """The forget button: (status, body)."""
    return member.ask(path, method="POST", body=urllib.parse.urlencode({"forget": name}), headers={"Content-Type": "application/x-www-form-urlencoded"})
