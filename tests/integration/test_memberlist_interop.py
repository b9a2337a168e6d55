"""Our gossip and Loki's meet in one cluster: a small Go program over Grafana's dskit (tests/interop/memberlist) and a node
of ours (a test of skald_ring_tests that waits for standard input to end). Skipped without Go or without that test binary."""
import glob
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
import unittest

import tools

ROOT = os.path.dirname(os.path.dirname(tools.HERE))


def ring_tests():
    named = os.environ.get("SKALD_RING_TESTS")
    found = [named] if named else glob.glob(os.path.join(ROOT, "build", "*", "tests", "skald_ring_tests"))
    return max(found, key=os.path.getmtime) if found else None


def go_member():
    """Path of the Go program, newer than its sources."""
    path, source = os.path.join(tools.BIN, "skald-memberlist-interop"), os.path.join(ROOT, "tests", "interop", "memberlist")
    newest = max(os.path.getmtime(os.path.join(source, f)) for f in os.listdir(source))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        os.makedirs(tools.BIN, exist_ok=True)
        tools.run_go(["build", "-p", "1", "-o", path, "."], source)
    return path


class Member:
    """A process that prints PORT, RING and MEMBERS lines and leaves when its standard input ends."""

    def __init__(self, command, environment=None):
        self.errors = tempfile.TemporaryFile("a+")   # appended to: reading it moves no writer
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=dict(os.environ, **(environment or {})))
        self.latest, self.lines = {}, queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.wait_for(lambda: "PORT" in self.latest, "its port")
        self.address = "127.0.0.1:" + self.latest["PORT"]

    def _read(self):
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line)
        self.lines.put(None)

    def log(self):
        self.errors.seek(0)
        return self.errors.read()[-4000:]

    def wait_for(self, condition, what, timeout_s=60):
        until = time.monotonic() + timeout_s
        while not condition():
            try:
                line = self.lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError("no %s; last: %s\n%s" % (what, self.latest, self.log())) from None
            if line is None:
                raise AssertionError("ended before %s\n%s" % (what, self.log()))
            word, _, rest = line.strip().partition(" ")
            self.latest[word] = rest

    def ring(self):
        return json.loads(self.latest.get("RING", "{}"))

    def members(self):
        return json.loads(self.latest.get("MEMBERS", "{}"))

    def wait_ring(self, ids):
        self.wait_for(lambda: set(self.ring()) == set(ids), "ring of %s" % sorted(ids))
        return self.ring()

    def leave(self):
        self.process.stdin.close()
        self.wait_for(lambda: "LEFT" in self.latest, "farewell")
        if self.process.wait(timeout=60):
            raise AssertionError("ended with %d\n%s" % (self.process.returncode, self.log()))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.errors.close()


@unittest.skipUnless(tools.go(), "no Go toolchain")
@unittest.skipUnless(ring_tests(), "skald_ring_tests is not built")
class MemberlistInterop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.go_program = go_member()

    def go_node(self, name, *arguments):
        member = Member([self.go_program, "-id", name, *arguments])
        self.addCleanup(member.close)
        return member

    def our_node(self, name, **environment):
        settings = {"SKALD_TEST_GOSSIP_" + key.upper(): value for key, value in environment.items()}
        member = Member([ring_tests(), "--gtest_filter=GossipLive.Node"], dict(settings, SKALD_TEST_GOSSIP_NODE=name))
        self.addCleanup(member.close)
        return member

    def test_ours_joins_theirs(self):
        theirs = self.go_node("go-1")
        ours = self.our_node("cc-1", join=theirs.address)
        for member in (ours, theirs):
            ring = member.wait_ring(["go-1", "cc-1"])
            self.assertEqual(ring["go-1"]["addr"], "10.9.8.7:9095")
            self.assertEqual(ring["cc-1"]["zone"], "zone-cc")
            self.assertEqual(ring["cc-1"]["state"], "JOINING")
            # Both claim token 70; the smaller name keeps it, everywhere.
            member.wait_for(lambda m=member: m.ring()["go-1"]["tokens"] == [7, 4294967295], "the settled token")
            self.assertEqual(member.ring()["cc-1"]["tokens"], [5, 70, 4000000000])
        ours.leave()
        theirs.wait_ring(["go-1"])

    def test_theirs_joins_ours(self):
        ours = self.our_node("cc-1")
        ours.wait_for(lambda: ours.members() == {"cc-1": "alive"}, "itself")
        theirs = self.go_node("go-1", "-join", ours.address)
        plain = self.go_node("go-2", "-join", ours.address, "-compress=false")
        for member in (ours, theirs, plain):
            member.wait_ring(["cc-1", "go-1", "go-2"])
        ours.wait_for(lambda: set(ours.members().items()) == {("cc-1", "alive"), ("go-1", "alive"), ("go-2", "alive")}, "members")
        theirs.leave()
        for member in (ours, plain):
            member.wait_ring(["cc-1", "go-2"])
        ours.wait_for(lambda: ours.members().get("go-1") == "left", "word that it left")
        self.assertEqual(ours.members()["go-2"], "alive")
        # Probes go both ways by now; nobody suspects anybody.
        time.sleep(12)
        ours.wait_for(lambda: ours.members()["go-2"] == "alive", "life", timeout_s=1)
        for member in (ours, plain):
            self.assertNotIn("uspect", member.log())
            self.assertNotIn("Conflicting address", member.log())

    def test_a_killed_one_of_theirs_is_found_dead(self):
        ours = self.our_node("cc-1")
        theirs = self.go_node("go-1", "-join", ours.address)
        ours.wait_ring(["cc-1", "go-1"])
        theirs.process.kill()
        ours.wait_for(lambda: ours.members().get("go-1") == "suspect", "suspicion")
        ours.wait_for(lambda: ours.members().get("go-1") == "dead", "death", timeout_s=90)

    def test_labels(self):
        ours = self.our_node("cc-1", label="prod")
        theirs = self.go_node("go-1", "-join", ours.address, "-label", "prod")
        for member in (ours, theirs):
            member.wait_ring(["cc-1", "go-1"])
        stranger = self.our_node("cc-2", label="test", join=theirs.address)
        stranger.wait_for(lambda: stranger.members() == {"cc-2": "alive"}, "itself")
        time.sleep(2)
        ours.wait_for(lambda: set(ours.members()) == {"cc-1", "go-1"}, "members without the stranger")
        self.assertIn("does not answer", stranger.log())

    def test_tls(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        cert, key = os.path.join(folder.name, "cert.pem"), os.path.join(folder.name, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=skald test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        ours = self.our_node("cc-1", cert=cert, key=key)
        theirs = self.go_node("go-1", "-join", ours.address, "-cert", cert, "-key", key)
        for member in (ours, theirs):
            member.wait_ring(["cc-1", "go-1"])
        theirs.leave()
        ours.wait_ring(["cc-1"])


if __name__ == "__main__":
    unittest.main()
