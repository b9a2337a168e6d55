"""Members and their ring: who starts first waits, a restart keeps the entry, who is gone is forgotten, by itself or by hand; the ring's
store may be away for a while. SKALD_RING=memberlist|etcd|consul."""
import json
import time
import unittest

import cluster

TIMEOUT_S = 5


class FirstStart(unittest.TestCase):
    def test_who_comes_first_waits_and_says_so(self):
        cluster.need()
        here = cluster.Cluster()
        first = {}

        class Slow(cluster.Member):
            """The others start a while after the first writer."""

            def launch(self):
                if first:
                    first["member"].watch()
                super().launch()
                first.setdefault("member", self)

            def watch(self):
                if "done" in first:
                    return
                first["done"] = True
                deadline = time.monotonic() + 6
                while time.monotonic() < deadline:
                    first.setdefault("answers", []).append(self.ask("/ready"))
                    first["alive"] = self.running
                    time.sleep(0.3)
                first["push"] = self.push([({"app": "lonely"}, [(time.time_ns(), "x")])])

        create = here.create

        def create_slow(name, target):
            member = create(name, target)
            member.__class__ = Slow
            return member
        here.create = create_slow
        here.__enter__()
        self.addCleanup(here.close)
        member = first["member"]
        self.assertTrue(first["alive"], member.tail_log())
        status, text = first["push"]
        self.assertGreaterEqual(status, 500, text)   # one of three is no quorum
        self.assertTrue(text.strip())
        if here.ring_kind != "memberlist":   # the store answers: there is nobody to wait for
            here.wait_whole(30)
            return
        said = [line for line in member.log_lines() if any(w in line.lower() for w in ("wait", "join", "no other", "alone"))]
        self.assertTrue(said, member.tail_log())
        print("alone: /ready %s; push %d %s; log: %s" % (first["answers"][-1], status, text[:200], said[0]), end=" ", flush=True)
        here.wait_whole(30)
        self.assertEqual(here.front.push([({"app": "together"}, [(time.time_ns(), "x")])])[0], 204)


class Common:
    settings = {}

    @classmethod
    def setUpClass(cls):
        cluster.need()
        cls.cluster = cluster.Cluster(settings=cls.settings, timeout_s=TIMEOUT_S).__enter__()
        cls.addClassCleanup(cls.cluster.close)

    def setUp(self):
        self.cluster.wait_whole(30)

    def page(self, member):
        status, body = member.ask("/ring", headers={"Accept": "application/json"})
        self.assertEqual(status, 200, body)
        return {s["id"]: s for s in json.loads(body)["shards"]}

    def wait_for(self, condition, what, seconds):
        began = time.monotonic()
        while not condition():
            self.assertLess(time.monotonic() - began, seconds, "%s: %s" % (what, self.cluster.describe_rings()))
            time.sleep(0.1)
        return time.monotonic() - began

    def pushes(self, app):
        """Through every writer itself that runs."""
        for m in self.cluster.writers:
            if m.running:
                status, body = m.push([({"app": app, "through": m.name}, [(time.time_ns(), "x")])])
                self.assertEqual(status, 204, (m.name, body))


class Ring(Common, unittest.TestCase):
    def test_page_has_what_the_reference_has(self):
        for m in self.cluster.writers:
            for entry in self.page(m).values():
                self.assertLessEqual({"id", "state", "address", "timestamp", "registered_timestamp", "zone", "tokens"}, set(entry))
                self.assertEqual(len(entry["tokens"]), 128)
            status, html = m.ask("/ring")
            self.assertEqual(status, 200)
            for name in ("write-1", "write-2", "write-3", "ACTIVE", "Forget"):
                self.assertIn(name.encode(), html)
        addresses = {e["address"] for e in self.page(self.cluster.writers[0]).values()}
        self.assertEqual(addresses, {"%s:%d" % (m.address, m.port) for m in self.cluster.writers})

    def test_killed_and_started_again_it_is_the_same_entry(self):
        member = self.cluster.writers[1]
        before = self.page(self.cluster.writers[0])[member.name]
        member.kill()
        member.restart()
        self.cluster.wait_whole(30)
        after = self.page(self.cluster.writers[0])[member.name]
        self.assertEqual(sorted(before["tokens"]), sorted(after["tokens"]))
        self.assertEqual(before["registered_timestamp"], after["registered_timestamp"])

    def test_stopped_and_started_again_there_is_one_entry(self):
        member = self.cluster.writers[2]
        self.assertEqual(member.stop(), 0, member.tail_log())
        self.pushes("stopped")
        member.restart()
        self.cluster.wait_whole(30)

    def test_who_is_gone_is_forgotten_by_itself(self):
        member = self.cluster.writers[0]
        member.kill()
        others = self.cluster.writers[1:]
        took = self.wait_for(lambda: all(member.name not in (m.ring() or {member.name: 1}) for m in others), "forgotten", 60)
        print("forgotten after %.1f s (timeout %d s)" % (took, TIMEOUT_S), end=" ", flush=True)
        self.pushes("forgotten")
        member.restart()
        print("whole after %.1f s" % self.cluster.wait_whole(30), end=" ", flush=True)
        self.pushes("back")

    def test_pages_of_gossip_show_all_members(self):
        status, body = self.cluster.writers[0].ask("/memberlist", headers={"Accept": "application/json"})
        self.assertEqual(status, 200)
        if self.cluster.ring_kind == "memberlist":
            page = json.loads(body)
            # A name of a process that was killed a moment ago may be among them: suspicion takes its time.
            self.assertEqual({m["Addr"] for m in page["SortedMembers"]}, {m.address for m in self.cluster.members})
            self.assertTrue(any(key.endswith("/ring") for key in page["Store"]), page["Store"])
        else:
            self.assertIn(b"doesn't use memberlist", body)

    def test_the_store_of_the_ring_may_be_away_for_a_while(self):
        kind, kv = self.cluster.ring_kind, self.cluster.kv
        if kind == "memberlist":
            self.skipTest("gossip has no store")
        for away_s in (2, TIMEOUT_S + 3):
            if kind == "etcd":
                kv.halt()
            else:
                kv.down = True
            time.sleep(away_s)
            results = [m.push([({"app": "storeless"}, [(time.time_ns(), "x")])])[0] for m in self.cluster.writers]
            if kind == "etcd":
                kv.launch()
            else:
                kv.down = False
            print("away %d s: pushes %s, whole after %.1f s" % (away_s, results, self.cluster.wait_whole(60)), end="; ", flush=True)
            if away_s < TIMEOUT_S:
                self.assertEqual(set(results), {204})
            self.pushes("store is back")


class ByHand(Common, unittest.TestCase):
    settings = {"ingester": {"autoforget_unhealthy": False}}

    def test_forget_removes_an_unhealthy_member(self):
        member, others = self.cluster.writers[0], self.cluster.writers[1:]
        member.kill()
        self.wait_for(lambda: all((m.ring() or {}).get(member.name) == "UNHEALTHY" for m in others), "seen as unhealthy", 30)
        time.sleep(2 * TIMEOUT_S)
        self.assertTrue(all((m.ring() or {}).get(member.name) == "UNHEALTHY" for m in others), "forgotten although nobody asked: " + self.cluster.describe_rings())
        self.pushes("unhealthy")
        status, _ = cluster.forget(others[0], member.name)
        self.assertIn(status, (200, 302))
        self.wait_for(lambda: all(member.name not in (m.ring() or {member.name: 1}) for m in others), "forgotten by hand", 15)
        self.pushes("forgotten")
        member.restart()
        self.cluster.wait_whole(30)


if __name__ == "__main__":
    unittest.main()
