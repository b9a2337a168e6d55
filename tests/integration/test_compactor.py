"""Two processes on one bucket, both compacting every second (where the store has conditional creation), killed at random:
nothing is lost, nothing doubled, and in the end nothing is in the bucket that no index lists. The graces are shorter than some
runs of the compactor here, so that work comes too late now and then and must be given up.

SKALD_ROUNDS is the number of rounds per store (8; 200 before a release), SKALD_STORES the stores, SKALD_SEED the seed."""
import json
import os
import random
import re
import subprocess
import time
import unittest

import servers
from harness import BINARY, Server
from ledger import OPEN_LIMITS, Ledger

ROUNDS = int(os.environ.get("SKALD_ROUNDS", "8"))
SEED = int(os.environ.get("SKALD_SEED", "1"))
CONDITIONAL = ("minio", "azurite", "fake-gcs")   # docs/design/object-stores.md
REST = "auth_enabled: false\n" + OPEN_LIMITS + """ingester:
  chunk_target_size: 65536
  chunk_idle_period: 1s
  max_chunk_age: 4h
  flush_check_period: 300ms
compactor:
  compaction_interval: %s
  retention_enabled: true
  retention_delete_delay: 4s
  lease_period: 3s
  orphan_grace_period: 5s
  delete_request_store: %s
"""


def fsck(server):
    """(exit status, report) of the bucket and directories of a server's configuration."""
    done = subprocess.run([BINARY, "fsck", "-config.file=" + os.path.join(server.directory, "config.yaml")], capture_output=True, text=True, cwd=server.directory, timeout=300)
    return done.returncode, done.stdout + done.stderr


def metric(server, name):
    text = server.request("GET", "/metrics")[1].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.split("\n") if line.startswith((name + "{", name + " ")))


class CompactorCase:
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[cls.name]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)

    def test_two_compactors_killed_at_random(self):
        rng = random.Random(SEED)
        members, ledgers = [], []
        for i in range(2):
            # A store without conditional creation wants one compactor; the other process writes and reads only.
            compacts = i == 0 or self.name in CONDITIONAL
            member = Server(self.store.config() + REST % ("1s" if compacts else "24h", self.store.kind))
            self.addCleanup(member.close)
            member.start()
            members.append(member)
            # A line every four seconds: a few hundred lines a round cross time shards, many rounds days.
            ledgers.append(Ledger(streams=4, seed=SEED * 10 + i, step_ns=4 * 10**9, sizes=(1, 5, 20), text_bytes=300, pause_s=0.15, prefix="m%d-" % i))
        kills = 0
        peak = 0
        for round_number in range(ROUNDS):
            for member, ledger in zip(members, ledgers):
                ledger.start(member, readers=1)
            time.sleep(rng.uniform(0.3, 1.5))
            for member in members:
                if rng.random() < 0.5:
                    self.flush_quietly(member)
            time.sleep(rng.uniform(0.0, 2.5))   # both compact now
            for member in members:
                self.assertIsNone(member.process.poll(), "ended by itself: " + member.tail_log())
            victims = rng.choice(([0], [1], [0, 1], []))
            for v in victims:
                members[v].kill()
                kills += 1
            for ledger in ledgers:
                ledger.stop()
                self.assertEqual(ledger.faults, [], "round %d (seed %d)" % (round_number, SEED))
            for v in victims:
                members[v].start()
            peak = max(peak, len(self.store.client().list("fake/")))
            if round_number % 10 == 9:
                for member, ledger in zip(members, ledgers):
                    ledger.check(member, "%s, round %d" % (self.name, round_number))
        for member in members:
            member.flush()
        self.settle(members)
        for i, member in enumerate(members):
            for j, ledger in enumerate(ledgers):   # each reads what the other wrote
                ledger.check(member, "%s, at rest, lines of %d read by %d" % (self.name, j, i))
        keys = self.store.client().keys("fake/")
        chunks = [k for k in keys if "/chunks/" in k]
        merged = sum(metric(m, "loki_boltdb_shipper_compact_tables_operation_total") for m in members)
        print("\n%s: %d rounds, %d kills, %s; %s; %d objects at most, %d in the end (%d of chunks), %d runs of the compactors since their last start" % (
            self.name, ROUNDS, kills, ledgers[0].summary(), ledgers[1].summary(), peak, len(keys), len(chunks), merged), flush=True)
        for member in members:
            self.assertEqual(member.stop(), 0, member.tail_log())
        status, report = fsck(members[0])
        self.assertEqual(status, 0, report)
        self.assertRegex(report, r"rows; 0 in no index yet, 0 retired\)")   # no orphans, nothing that waits to be deleted
        self.assertRegex(report, r"indexes \(0 replaced\)")
        other = Server(self.store.config() + REST % ("1s", self.store.kind)).start()
        self.addCleanup(other.close)
        for ledger in ledgers:
            ledger.check(other, "%s, bucket only" % self.name)

    def test_any_process_answers_for_delete_requests(self):
        config = self.store.config() + REST % ("1s", self.store.kind)
        one, two = (Server(config).start() for _ in range(2))
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        now = time.time_ns()
        self.assertEqual(one.push([({"app": "d"}, [(now - 10**9, "keep"), (now - 2 * 10**9, "drop")])])[0], 204)
        one.flush()
        self.eventually(lambda: sorted(line for _, line in two.read_all('{app="d"}', now - 10**10, now)), ["drop", "keep"])
        self.assertEqual(two.request("POST", "/loki/api/v1/delete", params={"query": '{app="d"} |= "drop"', "start": now // 10**9 - 60, "end": now // 10**9 + 1})[0], 204)
        self.assertEqual([line for _, line in two.read_all('{app="d"}', now - 10**10, now)], ["keep"])   # at once here
        self.eventually(lambda: [line for _, line in one.read_all('{app="d"}', now - 10**10, now)], ["keep"])   # soon there
        self.assertEqual(json.loads(one.request("GET", "/loki/api/v1/delete")[1])[0]["query"], '{app="d"} |= "drop"')

    def eventually(self, what, expected, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while what() != expected and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual(what(), expected)

    rest_s = 16

    def settle(self, members, timeout_s=300):
        """Waits until the bucket's keys stay the same for longer than the graces and a run."""
        deadline = time.monotonic() + timeout_s
        before, since = None, time.monotonic()
        while time.monotonic() - since < self.rest_s:
            self.assertLess(time.monotonic(), deadline, "the bucket does not come to rest")
            keys = {k for k in self.store.client().keys("fake/") if re.search("/(chunks|index)/", k)}
            if keys != before:
                before, since = keys, time.monotonic()
            time.sleep(0.5)

    @staticmethod
    def flush_quietly(server):
        try:
            server.request("POST", "/flush")
        except Exception:
            pass


for store_name in servers.chosen_stores("swift,minio"):
    class_name = "Compactor" + "".join(w.capitalize() for w in store_name.split("-"))
    globals()[class_name] = type(class_name, (CompactorCase, unittest.TestCase), {"name": store_name, "__module__": __name__})


if __name__ == "__main__":
    unittest.main()
