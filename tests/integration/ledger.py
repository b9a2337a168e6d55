"""The client's own record of what was acknowledged, compared with what is read back.

Writers push numbered lines, one stream each; a push that was not acknowledged is sent again, as a shipper does it. Lines of
a stream have times of their own, step_ns apart, so each line is found again by its time:

  missing      acknowledged, not read back
  altered      its time is there with another text
  unexpected   never sent
  doubled      read back more than once

What was sent but not acknowledged may be there or not, but once."""
import collections
import json
import random
import threading
import time

BASE_NS = 1_768_471_200 * 10**9   # 2026-01-15T10:00Z
KINDS = ("missing", "altered", "unexpected", "doubled")
OPEN_LIMITS = """limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
  max_global_streams_per_user: 0
  max_entries_limit_per_query: 5000
"""


class Stream:
    def __init__(self, name, base_ns, step_ns):
        self.name, self.base_ns, self.step_ns = name, base_ns, step_ns
        self.next = 0
        self.acknowledged = {}      # time -> line
        self.unacknowledged = []    # the batch under way
        self.end_ns = base_ns       # everything before is acknowledged

    @property
    def selector(self):
        return '{service_name="%s"}' % self.name


class Ledger:
    def __init__(self, streams=6, seed=1, base_ns=BASE_NS, step_ns=1000, sizes=(1, 3, 20, 200), text_bytes=120, prefix="w", pause_s=0.0, hows=("proto", "proto", "json")):
        self.streams = [Stream("%s%d" % (prefix, i), base_ns, step_ns) for i in range(streams)]
        self.seed, self.sizes, self.text_bytes, self.pause_s, self.hows = seed, sizes, text_bytes, pause_s, hows
        self.refused = collections.Counter()   # by status; 0: no answer
        self.errors = []                       # answers that no retry would change
        self.queries = collections.Counter()   # right, refused
        self.stale_reads = []                  # answers that an object is missing; they must pass
        self.faults = []                       # what probes found
        self.threads = []
        self.stop_flag = threading.Event()

    @property
    def acknowledged(self):
        return sum(len(s.acknowledged) for s in self.streams)

    # ---- writing

    def line(self, rng, stream, number):
        return "stream %s line %d level=%s id=%016x %s" % (stream.name, number, rng.choice(("info", "info", "warn", "error")), rng.getrandbits(64), "".join(
            rng.choice("abcdefghij ") for _ in range(rng.randrange(self.text_bytes))))

    def batch(self, rng, stream):
        if not stream.unacknowledged:
            size = rng.choice(self.sizes)
            stream.unacknowledged = [(stream.base_ns + (stream.next + i) * stream.step_ns, self.line(rng, stream, stream.next + i)) for i in range(size)]
            stream.next += size
        return stream.unacknowledged

    def push(self, server, stream, rng):
        """One push; True when acknowledged."""
        batch = self.batch(rng, stream)
        try:
            status, answer = server.push([({"service_name": stream.name}, batch)], rng.choice(self.hows))
        except Exception:   # killed, or http.client's view of a connection cut in the middle
            self.refused[0] += 1
            return False
        if status == 204:
            stream.acknowledged.update(batch)
            stream.unacknowledged = []
            stream.end_ns = stream.base_ns + stream.next * stream.step_ns
            return True
        self.refused[status] += 1
        if status < 500 and status != 429:
            self.errors.append((status, answer[:200]))
        return False

    def write(self, server, stream):
        rng = random.Random("%s %s %d" % (self.seed, stream.name, stream.next))
        while not self.stop_flag.is_set() and not self.errors:
            if not self.push(server, stream, rng):
                time.sleep(0.05)
            if self.pause_s:
                time.sleep(self.pause_s * rng.random())

    def start(self, server, readers=0):
        """Writers, one per stream, and readers that check at random what is acknowledged, until stop(). `server` may be a
        callable that names the one to use at the moment."""
        self.stop_flag.clear()
        pick = server if callable(server) else lambda: server
        self.threads = [threading.Thread(target=self.write, args=(pick(), s), daemon=True) for s in self.streams]
        self.threads += [threading.Thread(target=self.read, args=(pick(), i), daemon=True) for i in range(readers)]
        for t in self.threads:
            t.start()

    def stop(self):
        self.stop_flag.set()
        for t in self.threads:
            t.join()
        self.threads = []

    # ---- reading

    def read(self, server, number):
        rng = random.Random("%s reader %d %f" % (self.seed, number, time.monotonic()))
        while not self.stop_flag.is_set():
            self.probe(server, rng)
            time.sleep(0.05 * rng.random())

    def probe(self, server, rng):
        """One query over a window of which every line is acknowledged: the answer is an error or exact."""
        stream = rng.choice(self.streams)
        lines = (stream.end_ns - stream.base_ns) // stream.step_ns
        if not lines:
            return
        first = rng.randrange(lines)
        start = stream.base_ns + first * stream.step_ns
        end = stream.base_ns + min(lines, first + rng.choice((1, 50, 1000, 4000))) * stream.step_ns
        try:
            status, body, _ = server.request("GET", "/loki/api/v1/query_range", params={"query": stream.selector, "start": start, "end": end, "limit": 5000, "direction": "forward"})
        except Exception:
            self.queries["no answer"] += 1
            return
        if status != 200:
            self.queries[status] += 1
            return
        got = [(int(v[0]), v[1]) for s in json.loads(body)["data"]["result"] for v in s["values"]]
        found = compare({t: stream.acknowledged[t] for t in range(start, end, stream.step_ns)}, {}, got)
        self.queries["right" if not any(found.values()) else "wrong"] += 1
        if any(found.values()):
            self.faults.append("%s from %d to %d: %s" % (stream.selector, start, end, describe(found)))

    def differences(self, server):
        """{kind: [examples]} over all streams, and counts from a metric query that differ."""
        total = {kind: [] for kind in KINDS}
        total["miscounted"] = []
        for stream in self.streams:
            end = stream.base_ns + (stream.next + 1) * stream.step_ns
            got = self.read_back(server, stream, end)
            for kind, examples in compare(stream.acknowledged, dict(stream.unacknowledged), got).items():
                total[kind] += examples
            window_s = (end - stream.base_ns) // 10**9 + 2
            count = server.instant("sum(count_over_time(%s[%ds]))" % (stream.selector, window_s), stream.base_ns + (window_s - 1) * 10**9)
            counted = int(count[0]["value"][1]) if count else 0
            if counted != len(got):
                total["miscounted"].append((stream.name, "%d read, %d counted" % (len(got), counted)))
        return total

    def read_back(self, server, stream, end):
        """All rows of a stream. A query may meet an object that compaction has just deleted, as the tests' delete delay is a few
        seconds: that is an honest error, counted in stale_reads, and must pass."""
        for _ in range(5):
            try:
                return server.read_all(stream.selector, stream.base_ns, end)
            except AssertionError as e:
                if "an object that is missing" not in str(e):
                    raise
                self.stale_reads.append(str(e)[:300])
                time.sleep(3)
        raise AssertionError("does not pass: " + self.stale_reads[-1])

    def check(self, server, when=""):
        """Raises AssertionError unless everything acknowledged is read back as it was, once, and nothing else."""
        assert not self.errors, "%s: refused for good: %s" % (when, self.errors[:3])
        assert not self.faults, "%s: wrong answers: %s" % (when, self.faults[:3])
        found = self.differences(server)
        assert not any(found.values()), "%s (seed %s, %d acknowledged): %s" % (when, self.seed, self.acknowledged, describe(found))

    def summary(self):
        refused = ", ".join("%s %d" % (k, n) for k, n in sorted(self.queries.items(), key=str) if k != "right")
        return "%d lines acknowledged, 0 lost, 0 altered, 0 doubled; %d reads right, refused: %s; %d reads of a deleted object" % (
            self.acknowledged, self.queries["right"], refused or "none", len(self.stale_reads))


def compare(acknowledged, maybe, got):
    """{kind: [(time, what)]} of rows read back against what was acknowledged and what may or may not be there."""
    found = {kind: [] for kind in KINDS}
    seen = collections.Counter()
    for t, line in got:
        expected = acknowledged.get(t, maybe.get(t))
        if expected is None:
            found["unexpected"].append((t, line[:80]))
        elif line != expected:
            found["altered"].append((t, line[:80]))
        else:
            seen[t] += 1
            if seen[t] == 2:
                found["doubled"].append((t, line[:80]))
    found["missing"] = [(t, line[:80]) for t, line in acknowledged.items() if t not in seen]
    return found


def describe(found):
    return "; ".join("%d %s, e.g. %r" % (len(v), kind, v[:2]) for kind, v in found.items() if v)
