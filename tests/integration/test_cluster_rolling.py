"""All members are restarted one after the other, then the writers grow from three to five and shrink again, under load: no push and no
query fails twice, the ledger is exact.

SKALD_SEED, SKALD_RING=memberlist|etcd|consul, SKALD_ROUNDS (1): how often each."""
import os
import time
import unittest

import cluster
import cluster_load

SEED = int(os.environ.get("SKALD_SEED", "1"))
ROUNDS = int(os.environ.get("SKALD_ROUNDS", "1"))


class Rolling(unittest.TestCase):
    def setUp(self):
        cluster.need()
        self.cluster = cluster.Cluster().__enter__()
        self.addCleanup(self.cluster.close)
        self.cluster.wait_whole(30)
        self.ledger = cluster_load.gentle(seed=SEED)
        self.ledger.start(self.cluster.client, readers=3)
        self.addCleanup(self.ledger.stop)
        time.sleep(1)

    def clean(self, when):
        self.ledger.check_now(when)
        self.assertEqual(self.ledger.failed, [], when)
        self.assertEqual(self.ledger.failed_queries, [], when)

    def finish(self, what):
        self.ledger.stop()
        self.clean("at the end")
        self.ledger.check(self.cluster.front, "memory")
        self.cluster.flush()
        self.ledger.check(self.cluster.front, "flushed")
        print("\n%s, %s: %s" % (self.cluster.ring_kind, what, self.ledger.line_of_figures()), flush=True)

    def test_every_member_is_restarted_and_nobody_notices(self):
        here, times = self.cluster, []
        for _ in range(ROUNDS):
            for member in list(here.members):
                began = time.monotonic()
                self.assertEqual(member.stop(), 0, member.tail_log())
                member.restart()
                times.append("%s %.1f s" % (member.name, time.monotonic() - began))
                if member.target == "write":
                    here.wait_whole(30)
                self.ledger.check_counts(here.front, "after " + member.name)
                self.clean("after " + member.name)
        self.finish("rolling restart (%s)" % ", ".join(times))

    def leave_by_shutdown(self, member):
        """POST /ingester/shutdown: it flushes, gives its tokens up and ends."""
        status, body = member.ask("/ingester/shutdown?flush=true&delete_ring_tokens=true&terminate=true", timeout_s=60, method="POST")
        self.assertIn(status, (200, 204), body)
        member.process.wait(60)

    def leave_by_prepare(self, member):
        """What a scale-down does: prepare_shutdown, then SIGTERM."""
        status, body = member.ask("/ingester/prepare_shutdown", timeout_s=30, method="POST")
        self.assertIn(status, (200, 204), body)
        self.assertEqual(member.ask("/ingester/prepare_shutdown")[1].strip(), b"set")
        self.assertEqual(member.stop(), 0, member.tail_log())

    def test_three_to_five_and_back(self):
        here, times = self.cluster, []
        for _ in range(ROUNDS):
            for name in ("write-4", "write-5"):
                began = time.monotonic()
                here.grow(name, "write")
                here.wait_whole(30)
                times.append("%s joined in %.1f s" % (name, time.monotonic() - began))
                time.sleep(2)
                self.ledger.check_counts(here.front, name + " joined")
                self.clean(name + " joined")
            for name, leave in (("write-5", self.leave_by_prepare), ("write-4", self.leave_by_shutdown)):
                member = here.member(name)
                began = time.monotonic()
                leave(member)
                self.addCleanup(member.close)
                here.remove(member)
                here.wait_whole(30)
                times.append("%s left in %.1f s" % (name, time.monotonic() - began))
                member.lose_disk()   # nothing on it is needed any more
                self.ledger.check_counts(here.front, name + " left")
                self.clean(name + " left")
        self.finish("3 to 5 to 3 (%s)" % ", ".join(times))


if __name__ == "__main__":
    unittest.main()
