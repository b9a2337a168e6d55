"""Real log lines through each push format, read back byte for byte: from memory, after a flush, after a restart.

Two formats a file by default, all ten with SKALD_ALL_FORMATS=1.
"""
import glob
import os
import random
import unittest

from harness import ENCODERS, ROOT, Server

BASE_NS = 1_768_471_200 * 10**9   # 2026-01-15T10:00:00Z
CONFIG = """
auth_enabled: false
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
"""


def corpora():
    """The lines of every sample log at hand (SKALD_LOGS names a directory), and lines made to be awkward."""
    directory = os.environ.get("SKALD_LOGS", os.path.join(os.path.dirname(ROOT), "shared", "data", "loghub"))
    for path in sorted(glob.glob(os.path.join(directory, "*.log"))):
        with open(path, encoding="utf-8", errors="replace", newline="") as f:
            yield os.path.basename(path).split(".")[0].lower(), f.read().split("\n")
    rng = random.Random(7)
    yield "awkward", (["", " ", "\t", "\x00", "a\nb", "\r\n", "\u2028", "\U0001f600 emoji", '"quoted" \\back\\slash', "\x01\x02\x03\x04", "x" * 200_000]
                      + ["".join(chr(rng.choice([32, 65, 97, 0xE9, 0x4E2D, 10, 0x1F600])) for _ in range(rng.randrange(300))) for _ in range(500)])


class Formats(unittest.TestCase):
    def test_every_format_keeps_every_byte(self):
        server = Server(CONFIG).start()
        self.addCleanup(server.close)
        expected = {}
        formats = sorted(ENCODERS)
        for number, (name, lines) in enumerate(corpora()):
            how_many = formats if name in ("awkward", "apache_2k") or os.environ.get("SKALD_ALL_FORMATS") else [formats[number % len(formats)], formats[(number + 3) % len(formats)]]
            for how in how_many:
                app = "%s-%s" % (name, how)
                entries = [(BASE_NS + i * 1_000_003, line) for i, line in enumerate(lines)]
                # OTLP drops nothing either; its label comes from a resource attribute of the default index list.
                labels = {"service.name": app} if how.startswith("otlp") else {"service_name": app}
                for at in range(0, len(entries), 700):
                    status, answer = server.push([(labels, entries[at:at + 700])], how)
                    self.assertEqual(status, 204, (app, answer[:300]))
                expected[app] = entries
        self.assertGreater(len(expected), 9)
        self.check(server, expected, "memory")
        server.flush()
        self.check(server, expected, "flushed")
        self.assertEqual(server.stop(), 0, server.tail_log())
        server.start()
        self.check(server, expected, "restarted")
        server.kill()
        server.start()
        self.check(server, expected, "killed")

    def check(self, server, expected, phase):
        for app, entries in expected.items():
            got = server.read_all('{service_name="%s"}' % app, BASE_NS, BASE_NS + 3600 * 10**9, page=2500)
            self.assertEqual(len(got), len(entries), (phase, app))
            self.assertEqual(got, entries, (phase, app))


class Metadata(unittest.TestCase):
    def test_structured_metadata_comes_back_with_its_line(self):
        server = Server(CONFIG).start()
        self.addCleanup(server.close)
        entries = [(BASE_NS + i, "line %d" % i, {"trace_id": "%032x" % (i * 7919), "user": "u%d" % (i % 3)}) for i in range(1000)]
        for how in ("proto", "json"):
            self.assertEqual(server.push([({"app": how}, entries)], how)[0], 204)
        for phase in ("memory", "flushed"):
            for how in ("proto", "json"):
                rows = server.query_range('{app="%s"} | trace_id="%032x"' % (how, 500 * 7919), BASE_NS, BASE_NS + 10**9)
                self.assertEqual([v[1] for s in rows for v in s["values"]], ["line 500"], phase)
                self.assertEqual(rows[0]["stream"]["user"], "u2")
            server.flush()


if __name__ == "__main__":
    unittest.main()
