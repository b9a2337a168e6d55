"""Partitions, pauses, clock steps and kills of a cluster under load: whatever is answered is exact, what was acknowledged stays, and
afterwards no entry is stuck in the ring.

SKALD_FAULTS (12; 200 and more before a release), SKALD_SEED, SKALD_RING=memberlist|etcd|consul. At most one writer is disturbed at a
time, a reader or backend besides. Partitions need root for network namespaces, clock steps need libfaketime; what is missing is said."""
import collections
import os
import random
import time
import unittest

import cluster
import cluster_faults
import cluster_load
import cluster_net

FAULTS = int(os.environ.get("SKALD_FAULTS", "12"))
SEED = int(os.environ.get("SKALD_SEED", "1"))
HEARTBEAT_S, TIMEOUT_S = 1, 5


class Faults(unittest.TestCase):
    def setUp(self):
        cluster.need()
        net = cluster_net.best()
        net.__enter__()
        self.addCleanup(net.__exit__)
        if not cluster.FAKETIME:
            print("\nno clock steps: no libfaketime (Debian package faketime)", flush=True)
        self.cluster = cluster.Cluster(net=net, clocks=bool(cluster.FAKETIME), heartbeat_s=HEARTBEAT_S, timeout_s=TIMEOUT_S).__enter__()
        self.addCleanup(self.cluster.close)

    def test_ledger_stays_clean(self):
        rng = random.Random(SEED)
        here = self.cluster
        here.wait_whole(30)
        ledger = cluster_load.gentle(seed=SEED)
        ledger.start(here.client, readers=2)
        self.addCleanup(ledger.stop)
        done, bags = collections.Counter(), {"write": [], "other": []}
        while sum(done.values()) < FAULTS:
            faults = [cluster_faults.plan(here, rng, here.writers, bags["write"])]
            if rng.random() < 0.4:
                faults.append(cluster_faults.plan(here, rng, here.of("read") + here.of("backend"), bags["other"]))
            for fault in faults:
                fault.inject()
                done[fault.kind] += 1
            names = ", ".join(f.name for f in faults)
            time.sleep(rng.choice((0.5, 1.5, 3.0, TIMEOUT_S + 2.0)))
            if rng.random() < 0.2:
                self.flush_some(rng)
            for fault in faults:
                fault.heal()
            for m in here.members:
                self.assertTrue(m.running, "%s ended by itself during %s: %s" % (m.name, names, m.tail_log()))
            self.assertEqual(ledger.faults, [], "wrong answers after %s (fault %d, seed %d)" % (names, sum(done.values()), SEED))
            ledger.check_now("after " + names)
            if rng.random() < 0.5:   # else the next one meets a cluster that is not whole yet
                here.wait_whole(60)
                ledger.check_counts(here.front, "after " + names)
            if FAULTS > 30:
                print("%d %s: %s" % (sum(done.values()), names, ledger.line_of_figures()), flush=True)
        whole_s = here.wait_whole(60)
        ledger.stop()
        ledger.check(here.front, "memory")
        self.flush_until_done()
        ledger.check(here.front, "flushed")
        print("\n%s: %d faults (%s); %s; %s; whole %.1f s after the last" % (
            here.ring_kind, sum(done.values()), ", ".join("%s %d" % pair for pair in sorted(done.items())), ledger.summary(), ledger.line_of_figures(), whole_s), flush=True)
        print(ledger.failures(), flush=True)
        self.assertGreater(ledger.acknowledged, 100 * FAULTS)
        self.other_rings_are_clean()

    def flush_some(self, rng):
        member = rng.choice(self.cluster.writers)
        if member.running and not member.paused:
            member.ask("/flush", timeout_s=2, method="POST")   # an error is an honest answer here

    def flush_until_done(self):
        deadline = time.monotonic() + 60
        for m in self.cluster.writers:
            while True:
                status, body = m.ask("/flush", timeout_s=60, method="POST")
                if status in (200, 204):
                    break
                self.assertLess(time.monotonic(), deadline, (m.name, status, body))
                time.sleep(0.5)

    def other_rings_are_clean(self):
        """Whatever ring a member shows: only members that there are, all of them ACTIVE, within two timeouts of a machine that is busy."""
        deadline = time.monotonic() + 4 * TIMEOUT_S
        while True:
            found = self.stuck()
            if not found:
                return
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.5)

    def stuck(self):
        """(member, page, what it shows) of pages that show anything else."""
        names = {m.name for m in self.cluster.members}
        found = []
        for m in self.cluster.members:
            for page in ("/ring", "/distributor/ring", "/scheduler/ring", "/compactor/ring", "/indexgateway/ring", "/ruler/ring"):
                seen = m.ring(page)
                if seen and (not set(seen) <= names or set(seen.values()) != {"ACTIVE"}):
                    found.append((m.name, page, seen))
        return found


if __name__ == "__main__":
    unittest.main()
