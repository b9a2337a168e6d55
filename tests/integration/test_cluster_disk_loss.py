"""One writer is killed and its disk with it, again and again under load: no acknowledged line is lost or doubled, no push fails twice,
and the ring is whole again within two heartbeat timeouts.

SKALD_ROUNDS (3; 50 before a release), SKALD_SEED, SKALD_RING=memberlist|etcd|consul, SKALD_FLUSH_SHARE (0.1): in how many rounds the test
itself flushes. What was written while one of three was away is on two disks only; that it is in the store before the second one is
lost is the members' own business: who comes back empty has the others flush before it is ACTIVE."""
import os
import random
import time
import unittest

import cluster
import cluster_load

ROUNDS = int(os.environ.get("SKALD_ROUNDS", "3"))
SEED = int(os.environ.get("SKALD_SEED", "1"))
FLUSH_SHARE = float(os.environ.get("SKALD_FLUSH_SHARE", "0.1"))
HEARTBEAT_S, TIMEOUT_S = 1, 5


class DiskLoss(unittest.TestCase):
    def setUp(self):
        cluster.need()
        self.cluster = cluster.Cluster(heartbeat_s=HEARTBEAT_S, timeout_s=TIMEOUT_S).__enter__()
        self.addCleanup(self.cluster.close)

    def test_acknowledged_lines_outlive_the_disk_of_any_one_writer(self):
        rng = random.Random(SEED)
        here = self.cluster
        here.wait_whole(30)
        ledger = cluster_load.gentle(seed=SEED)
        ledger.start(here.client, readers=2)
        self.addCleanup(ledger.stop)
        stalls, recoveries = [], []
        for round_number in range(ROUNDS):
            when = "round %d of %d (seed %d)" % (round_number + 1, ROUNDS, SEED)
            time.sleep(rng.uniform(0.3, 1.5))
            victim = here.writers[round_number % 3] if round_number < 3 else rng.choice(here.writers)
            killed = time.monotonic()
            victim.kill()
            victim.lose_disk()
            # Back before anybody noticed, or after the entry was given up.
            time.sleep(rng.choice((0.1, 1.0, TIMEOUT_S + 2.0)))
            began = time.monotonic()
            victim.launch()
            victim.wait_ready()
            here.wait_whole(60)
            recoveries.append(time.monotonic() - began)
            time.sleep(0.5)
            stalls.append(ledger.stall_s(killed, time.monotonic()))
            ledger.check_now(when)
            ledger.check_counts(here.front, when)
            if rng.random() < FLUSH_SHARE:
                here.flush()
                ledger.check_counts(here.front, when + ", flushed")
            self.assertEqual(ledger.failed, [], when)
            if ROUNDS > 10:
                print("%s: %s, recovered in %.1f s, longest stall %.1f s; %s" % (when, victim.name, recoveries[-1], stalls[-1], ledger.line_of_figures()), flush=True)
        ledger.stop()
        ledger.check(here.front, "at the end, memory")
        here.flush()
        ledger.check(here.front, "at the end, flushed")
        print("\n%s: %d disks lost; %s; recovery after the start %.1f s at most (median %.1f), longest stall of pushes %.1f s; %d probes retried" % (
            here.ring_kind, ROUNDS, ledger.summary(), max(recoveries), sorted(recoveries)[len(recoveries) // 2], max(stalls), ledger.retried_queries), flush=True)
        print(ledger.line_of_figures(), flush=True)
        self.assertEqual(ledger.failed, [])
        self.assertEqual(ledger.failed_queries, [])
        self.assertLessEqual(max(stalls), 2 * TIMEOUT_S)
        self.assertLessEqual(max(recoveries), 2 * TIMEOUT_S)


if __name__ == "__main__":
    unittest.main()
