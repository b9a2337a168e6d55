"""A small volume runs full: pushes wait, queries go on, nothing acknowledged is lost, and it goes on by itself.

Needs to mount a tmpfs, so root; skipped elsewhere. SKALD_DISK_CYCLES sets how often the disk is filled and emptied.
"""
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import BINARY, Server

BASE_NS = 1_768_471_200 * 10**9
CYCLES = int(os.environ.get("SKALD_DISK_CYCLES", "3"))
VOLUME_MIB = 64
RESUME_S = 10
CONFIG = """
auth_enabled: false
ingester:
  chunk_target_size: 65536
  chunk_idle_period: 2s
  max_chunk_age: 4h
  flush_check_period: 300ms
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
"""


class Volume:
    """A tmpfs where the server keeps its data; its log and configuration stay outside."""

    def __init__(self, case):
        self.directory = tempfile.mkdtemp(prefix="skald-disk-")
        self.path = os.path.join(self.directory, "data")
        os.mkdir(self.path)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % VOLUME_MIB, "tmpfs", self.path], capture_output=True, text=True)
        if mounted.returncode != 0:
            os.rmdir(self.path)
            os.rmdir(self.directory)
            case.skipTest("no tmpfs can be mounted here (needs root): " + mounted.stderr.strip())
        self.hog = os.path.join(self.path, "hog")

    def free(self):
        info = os.statvfs(self.path)
        return info.f_bavail * info.f_frsize

    def fill(self, leave_bytes):
        """Takes all space but so much."""
        block = b"h" * (1 << 20)
        with open(self.hog, "ab", buffering=0) as f:
            while self.free() > leave_bytes:
                try:
                    f.write(block[:min(len(block), self.free() - leave_bytes)])
                except OSError:
                    return

    def empty(self):
        os.unlink(self.hog)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class Ledger:
    def __init__(self, server):
        self.server, self.next, self.acknowledged, self.sent = server, 0, {}, {}
        self.rng = random.Random(5)

    def push(self, lines=50):
        batch = [(BASE_NS + (self.next + i) * 1_000_000, "line %d %032x" % (self.next + i, self.rng.getrandbits(128))) for i in range(lines)]
        self.next += lines
        self.sent.update(batch)
        body = [({"app": "disk"}, batch)]
        status, answer = self.server.push(body)
        if status == 204:
            self.acknowledged.update(batch)
        return status, answer

    def check(self, case, when):
        rows = self.server.read_all('{app="disk"}', BASE_NS, BASE_NS + (self.next + 1) * 1_000_000)
        found = dict(rows)
        case.assertEqual(len(rows), len(found), when + ": lines show twice")
        missing = [t for t in self.acknowledged if t not in found]
        case.assertEqual(missing[:3], [], when + ": %d acknowledged lines are missing" % len(missing))
        altered = [t for t, line in found.items() if self.sent.get(t) != line]
        case.assertEqual(altered[:3], [], when + ": lines nobody sent")


class DiskFull(unittest.TestCase):
    def start(self, extra=""):
        self.volume = Volume(self)
        self.addCleanup(self.volume.close)
        self.server = Server(CONFIG + extra, directory=self.volume.directory)
        self.addCleanup(self.stop)
        self.server.start()
        self.ledger = Ledger(self.server)

    def stop(self):
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.kill()
        self.server.log.close()

    def push_until(self, status, within_s):
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            got, answer = self.ledger.push()
            if got == status:
                return answer
            self.assertIn(got, (204, 503), answer)
            time.sleep(0.1)
        self.fail("no %d within %d s; last answer %d %s" % (status, within_s, got, answer))

    def wait_for(self, condition, what):
        deadline = time.monotonic() + RESUME_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "never: " + what)
            time.sleep(0.1)

    def metric(self, name):
        text = self.server.request("GET", "/metrics")[1].decode()
        return [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name + "{")]

    def fsck(self):
        done = subprocess.run([BINARY, "fsck", self.volume.path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_below_the_reserve_pushes_wait_and_queries_go_on(self):
        self.start()
        for cycle in range(CYCLES):
            self.push_until(204, RESUME_S)
            self.volume.fill(leave_bytes=10 << 20)   # the reserve is a quarter of this volume, 16 MiB
            self.push_until(503, RESUME_S)   # by the log's own check or by that of all volumes, whichever looks first
            self.wait_for(lambda: "1" in self.metric("skald_disk_reserve_reached"), "the reserve is reached")
            status, body, headers = self.server.request("POST", "/loki/api/v1/push", b"{}", {"Content-Type": "application/json"})
            self.assertEqual((status, headers.get("Retry-After")), (503, "5"))
            for part in (self.volume.path, "MiB free", "reserve of 16 MiB", "retry later"):
                self.assertIn(part, body.decode())
            self.ledger.check(self, "cycle %d, disk nearly full" % cycle)
            self.server.flush()   # the reserve is there for this
            self.ledger.check(self, "cycle %d, flushed into the reserve" % cycle)
            self.volume.empty()
            self.push_until(204, RESUME_S)
            self.wait_for(lambda: set(self.metric("skald_disk_reserve_reached")) == {"0"}, "the reserve is there again")
            self.server.kill()
            self.server.start()
            self.ledger.check(self, "cycle %d, killed and started" % cycle)
        self.assertEqual(self.server.stop(), 0)
        self.fsck()

    def test_a_disk_without_a_byte_loses_nothing(self):
        self.start("storage_config:\n  filesystem:\n    reserve_percent: 0\n    reserve_bytes: 0\n")
        for cycle in range(CYCLES):
            self.push_until(204, RESUME_S)
            self.volume.fill(leave_bytes=0)
            deadline = time.monotonic() + 60
            status = 204
            while status == 204 and time.monotonic() < deadline:   # what was reserved for the log's segment goes first
                status, answer = self.ledger.push(500)
            self.assertEqual(status, 503, answer)
            for _ in range(20):
                self.ledger.push(500)
            self.ledger.check(self, "cycle %d, disk full" % cycle)
            self.server.kill()
            self.server.start()   # on the full disk
            self.ledger.check(self, "cycle %d, started on the full disk" % cycle)
            self.volume.empty()
            self.push_until(204, RESUME_S)
            self.ledger.check(self, "cycle %d, with space again" % cycle)
            self.server.flush()
            self.ledger.check(self, "cycle %d, flushed" % cycle)
        self.server.kill()
        self.fsck()


class SizeLimit(unittest.TestCase):
    def test_the_oldest_shards_go_when_the_bucket_is_too_large(self):
        limit = 300_000
        server = Server(CONFIG + "storage_config: {filesystem: {max_size_bytes: %dB}}\ncompactor: {compaction_interval: 1s, lease_period: 2s}\n" % limit)
        self.addCleanup(server.close)
        server.start()
        rng = random.Random(6)
        shards = 8
        for shard in range(shards):   # two hours each, about 64 KB that do not compress
            start = BASE_NS + shard * 7200 * 10**9
            lines = [(start + i * 10**6, "shard %d %0128x" % (shard, rng.getrandbits(512))) for i in range(1000)]
            self.assertEqual(server.push([({"app": "size"}, lines)])[0], 204)
        server.flush()
        chunks = os.path.join(server.directory, "data", "chunks")

        def size():
            return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(chunks) for f in files)

        self.assertGreater(size(), limit)
        deadline = time.monotonic() + 60
        while size() > limit:
            self.assertLess(time.monotonic(), deadline, "%d bytes are left" % size())
            time.sleep(0.2)
        rows = server.read_all('{app="size"}', BASE_NS, BASE_NS + shards * 7200 * 10**9)
        left = sorted({int(line.split()[1]) for _, line in rows})
        self.assertGreater(len(left), 1)
        self.assertEqual(left, list(range(left[0], shards)))   # the newest, without a gap
        self.assertEqual(len(rows), 1000 * len(left))          # and whole
        self.assertEqual(server.stop(), 0)
        done = subprocess.run([BINARY, "fsck", os.path.join(server.directory, "data")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
