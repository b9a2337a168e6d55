"""kill -9 at random moments under load: no acknowledged line is lost, none shows twice.

SKALD_KILL_ROUNDS sets the number of rounds (12 by default; 100 and more before a release), SKALD_KILL_SEED the seed.
The ledger lives here, outside the process: what was acknowledged must be found; what was sent but not acknowledged may be
found or not, but only once.
"""
import os
import random
import threading
import time
import unittest

from harness import Server

BASE_NS = 1_768_471_200 * 10**9
ROUNDS = int(os.environ.get("SKALD_KILL_ROUNDS", "12"))
SEED = int(os.environ.get("SKALD_KILL_SEED", "1"))
STREAMS = 6
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


class Writer(threading.Thread):
    """Pushes numbered lines to one stream until the server dies; a failed push is sent again in the next round."""

    def __init__(self, server, number, state):
        super().__init__(daemon=True)
        self.server, self.number, self.state = server, number, state
        self.stop_flag = threading.Event()

    def run(self):
        rng = random.Random(SEED * 1000 + self.number + self.state["next"])
        while not self.stop_flag.is_set():
            batch = self.state["unacknowledged"]
            if not batch:
                size = rng.choice([1, 3, 20, 200])
                batch = [(BASE_NS + (self.state["next"] + i) * 1000,
                          "stream %d line %d %s" % (self.number, self.state["next"] + i, "x" * rng.randrange(120))) for i in range(size)]
                self.state["next"] += size
                self.state["unacknowledged"] = batch
            how = rng.choice(["proto", "proto", "json", "otlp-json"])
            labels = {"service.name": "w%d" % self.number} if how.startswith("otlp") else {"service_name": "w%d" % self.number}
            try:
                status, answer = self.server.push([(labels, batch)], how)
            except OSError:
                return   # killed: sent again next round, as a shipper would
            except Exception:   # http.client's view of a connection cut in the middle
                return
            if status != 204:
                self.state["errors"].append((status, answer[:200]))
                return
            self.state["acknowledged"] += batch
            self.state["unacknowledged"] = []


class Kill(unittest.TestCase):
    def test_acknowledged_lines_survive_and_show_once(self):
        rng = random.Random(SEED)
        server = Server(CONFIG)
        self.addCleanup(server.close)
        states = [{"next": 0, "acknowledged": [], "unacknowledged": [], "errors": []} for _ in range(STREAMS)]
        server.start()
        for round_number in range(ROUNDS):
            writers = [Writer(server, i, states[i]) for i in range(STREAMS)]
            for w in writers:
                w.start()
            time.sleep(rng.uniform(0.05, 1.2))
            if rng.random() < 0.3:
                threading.Thread(target=self.flush_quietly, args=(server,), daemon=True).start()
                time.sleep(rng.uniform(0, 0.1))
            if rng.random() < 0.15:
                for w in writers:
                    w.stop_flag.set()
                for w in writers:
                    w.join()
                self.assertEqual(server.stop(), 0, server.tail_log())   # a graceful restart must be as exact
            else:
                server.kill()
            for w in writers:
                w.stop_flag.set()
                w.join()
            for state in states:
                self.assertEqual(state["errors"], [], server.tail_log())
            server.start()
            if round_number % 10 == 9 or round_number == ROUNDS - 1:
                self.check(server, states, "after round %d (seed %d)" % (round_number, SEED))
        server.flush()
        self.check(server, states, "after the last flush (seed %d)" % SEED)
        total = sum(len(s["acknowledged"]) for s in states)
        print("\n%d rounds, %d acknowledged lines, 0 lost, 0 doubled" % (ROUNDS, total), flush=True)

    @staticmethod
    def flush_quietly(server):
        try:
            server.flush()
        except Exception:   # the server is about to be killed
            pass

    def check(self, server, states, when):
        for number, state in enumerate(states):
            got = server.read_all('{service_name="w%d"}' % number, BASE_NS, BASE_NS + 3600 * 10**9)
            lines = [line for _, line in got]
            acknowledged = [line for _, line in state["acknowledged"]]
            maybe = {line for _, line in state["unacknowledged"]}
            self.assertEqual(len(lines), len(set(lines)), "doubled lines in stream %d %s" % (number, when))
            missing = set(acknowledged) - set(lines)
            self.assertFalse(missing, "%d lost lines in stream %d %s, e.g. %r" % (len(missing), number, when, sorted(missing)[:3]))
            foreign = set(lines) - set(acknowledged) - maybe
            self.assertFalse(foreign, "unexpected lines in stream %d %s" % (number, when))
            count = server.instant('count_over_time({service_name="w%d"}[2h])' % number, BASE_NS + 3600 * 10**9)
            self.assertEqual(sum(int(s["value"][1]) for s in count), len(lines), "count differs in stream %d %s" % (number, when))


if __name__ == "__main__":
    unittest.main()
