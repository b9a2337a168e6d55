"""`skald fsck` of a bucket: each injected damage is reported with its key, and a sound bucket is sound."""
import os
import random
import subprocess
import time
import unittest

import servers
from harness import BINARY, Server
from ledger import OPEN_LIMITS, Ledger

FLIPS = int(os.environ.get("SKALD_FLIPS", "6"))   # per object
REST = "auth_enabled: false\n" + OPEN_LIMITS + "ingester: {flush_check_period: 300ms, chunk_target_size: 65536}\n"


class FsckCase:
    name = ""

    @classmethod
    def setUpClass(cls):
        cls.store = servers.STORES[cls.name]()
        cls.store.__enter__()
        cls.addClassCleanup(cls.store.close)
        cls.server = Server(cls.store.config() + REST).start()
        cls.addClassCleanup(cls.server.close)
        ledger = Ledger(streams=3, step_ns=10**9, sizes=(200,))
        for _ in range(2):   # two objects and two indexes at least
            ledger.start(cls.server)
            before = ledger.acknowledged
            while ledger.acknowledged < before + 6000 and not ledger.errors:
                time.sleep(0.01)
            ledger.stop()
            cls.server.flush()
        assert cls.server.stop() == 0
        cls.client = cls.store.client()
        cls.keys = [k for k in cls.client.keys("fake/") if "/chunks/" in k or "/index/" in k]
        assert len({k.split("/")[1] for k in cls.keys}) == 2, cls.keys

    def fsck(self):
        done = subprocess.run([BINARY, "fsck", "-config.file=" + os.path.join(self.server.directory, "config.yaml")], capture_output=True, text=True, cwd=self.server.directory, timeout=120)
        self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
        return done.returncode, done.stdout + done.stderr

    def damaged(self, key, body, what):
        """fsck names `key` while its object is `body` (None: gone), and nothing once it is back."""
        original = self.client.get(key)
        try:
            if body is None:
                self.client.delete(key)
            else:
                self.client.put(key, body)
            status, report = self.fsck()
        finally:
            self.client.put(key, original)
        self.assertEqual(status, 1, "%s of %s not found:\n%s" % (what, key, report))
        self.assertIn(key.rsplit("/", 1)[1], report, what)

    def test_sound_bucket_is_sound(self):
        status, report = self.fsck()
        self.assertEqual(status, 0, report)

    def test_flipped_bits(self):
        rng = random.Random(1)
        for key in self.keys:
            original = self.client.get(key)
            for _ in range(FLIPS):
                body = bytearray(original)
                at = rng.randrange(len(body))
                body[at] ^= 1 << rng.randrange(8)
                self.damaged(key, bytes(body), "byte %d of %d" % (at, len(body)))
        status, report = self.fsck()
        self.assertEqual(status, 0, report)

    def test_cut_emptied_and_missing_objects(self):
        for key in self.keys:
            original = self.client.get(key)
            self.damaged(key, original[:len(original) // 2], "half")
            self.damaged(key, original[:-1], "last byte")
            self.damaged(key, original + b"\0", "one byte more")
            self.damaged(key, b"", "emptied")
        for key in self.keys:
            if "/chunks/" in key:   # a missing index object leaves nothing that names it
                self.damaged(key, None, "gone")

    def test_exchanged_objects(self):
        chunks = [k for k in self.keys if "/chunks/" in k]
        self.damaged(chunks[0], self.client.get(chunks[-1]), "another object's bytes")


for store_name in servers.chosen_stores("filesystem,swift", remote=False):
    class_name = "Fsck" + "".join(w.capitalize() for w in store_name.split("-"))
    globals()[class_name] = type(class_name, (FsckCase, unittest.TestCase), {"name": store_name, "__module__": __name__})


if __name__ == "__main__":
    unittest.main()
