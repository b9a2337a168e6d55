"""Load on a cluster with the ledger of cluster tests: a push or query that failed is sent once more, half a second later, as shippers
and Grafana do; what fails again counts as failed. When each push was acknowledged is kept, so that a stall can be told."""
import json
import random
import time

from ledger import Ledger, compare, describe

RETRY_AFTER_S = 0.5
MS = 10**6   # lines of a stream are whole milliseconds apart: the shortest unit of a range


class ClusterLedger(Ledger):
    def __init__(self, **options):
        super().__init__(step_ns=MS, **options)
        self.acks = []              # monotonic times
        self.retried = 0            # pushes that needed their second try
        self.failed = []            # (monotonic time, stream, status of both tries): both tries failed
        self.failed_queries = []    # the same of reads
        self.retried_queries = 0
        self.slowest_push_s = self.slowest_query_s = 0.0

    # ---- pushes

    def push(self, server, stream, rng):
        """One push with at most one more try; what failed twice is kept and goes out with the next."""
        for attempt in (1, 2):
            before, began = dict(self.refused), time.monotonic()
            if super().push(server, stream, rng):
                now = time.monotonic()
                self.slowest_push_s = max(self.slowest_push_s, now - began)
                self.acks.append(now)
                self.retried += attempt - 1
                return True
            if attempt == 1:
                time.sleep(RETRY_AFTER_S)
        changed = [status for status in self.refused if self.refused[status] != before.get(status, 0)]
        self.failed.append((time.monotonic(), stream.name, changed))
        return False

    def stall_s(self, since, until):
        """The longest time without an acknowledged push between two monotonic times."""
        times = [since] + [t for t in list(self.acks) if since <= t <= until] + [until]
        return max(b - a for a, b in zip(times, times[1:]))

    def acked_after(self, moment):
        return next((t for t in list(self.acks) if t > moment), None)

    # ---- reads under load: exact, or an error that one more try heals

    def ask(self, server, path, params):
        """The parsed answer, or None when both tries failed."""
        seen = []
        for attempt in (1, 2):
            began = time.monotonic()
            try:
                status, body, _ = server.request("GET", path, params=params)
            except Exception as e:   # http.client's view of a connection cut in the middle
                status, body = 0, str(e).encode()
            if status == 200:
                self.slowest_query_s = max(self.slowest_query_s, time.monotonic() - began)
                self.retried_queries += attempt - 1
                return json.loads(body)["data"]["result"]
            self.queries[status or "no answer"] += 1
            seen.append((status, body[:200]))
            if attempt == 1:
                time.sleep(RETRY_AFTER_S)
        self.failed_queries.append((time.monotonic(), seen))
        return None

    def probe(self, server, rng):
        stream = rng.choice(self.streams)
        lines = (stream.end_ns - stream.base_ns) // stream.step_ns
        if not lines:
            return
        if rng.random() < 0.3:
            self.probe_count(server, stream, lines)
            return
        first = rng.randrange(lines) if rng.random() < 0.5 else max(0, lines - 500)   # the newest are where replicas differ
        start = stream.base_ns + first * stream.step_ns
        end = stream.base_ns + min(lines, first + rng.choice((1, 50, 1000, 4000))) * stream.step_ns
        result = self.ask(server, "/loki/api/v1/query_range", {"query": stream.selector, "start": start, "end": end, "limit": 5000, "direction": "forward"})
        if result is None:
            return
        got = [(int(v[0]), v[1]) for s in result for v in s["values"]]
        found = compare({t: stream.acknowledged[t] for t in range(start, end, stream.step_ns)}, {}, got)
        self.judge(any(found.values()), "%s from %d to %d: %s" % (stream.selector, start, end, describe(found)))

    def probe_count(self, server, stream, lines):
        """count_over_time over exactly what is acknowledged: the range leaves out its beginning and includes its end."""
        first = max(0, lines - 20000)
        end = stream.base_ns + (lines - 1) * stream.step_ns
        span = (lines - first) * stream.step_ns
        result = self.ask(server, "/loki/api/v1/query", {"query": "sum(count_over_time(%s[%dms]))" % (stream.selector, span // MS), "time": end})
        if result is not None:
            counted = int(result[0]["value"][1]) if result else 0
            self.judge(counted != lines - first, "%s: %d counted, %d acknowledged from line %d on" % (stream.selector, counted, lines - first, first))

    def judge(self, wrong, text):
        self.queries["wrong" if wrong else "right"] += 1
        if wrong:
            self.faults.append("%s %s" % (time.strftime("%H:%M:%S"), text))

    # ---- checks between faults, while load goes on

    def check_counts(self, server, when=""):
        """Of every stream as many lines as were acknowledged by now; the last batch, which may be under way, is left out."""
        for stream in self.streams:
            lines = (stream.end_ns - stream.base_ns) // stream.step_ns
            if not lines:
                continue
            for _ in range(3):   # that a query fails is counted elsewhere; here it is about what it says
                result = self.ask(server, "/loki/api/v1/query", {"query": "sum(count_over_time(%s[%dms]))" % (stream.selector, lines * stream.step_ns // MS), "time": stream.base_ns + (lines - 1) * stream.step_ns})
                if result is not None:
                    break
            assert result is not None, "%s: no count of %s: %s" % (when, stream.name, self.failed_queries[-1:])
            counted = int(result[0]["value"][1]) if result else 0
            assert counted == lines, "%s: %s has %d lines, %d were acknowledged" % (when, stream.name, counted, lines)

    def check_now(self, when=""):
        assert not self.errors, "%s: refused for good: %s" % (when, self.errors[:3])
        assert not self.faults, "%s: wrong answers: %s" % (when, self.faults[:3])

    def failures(self, count=3):
        """The first of what failed twice, told."""
        return "failed pushes: %s; failed queries: %s" % ([f[1:] for f in self.failed[:count]], [f[1] for f in self.failed_queries[:count]])

    def line_of_figures(self):
        return "%d lines in %d pushes, %d retried once, %d failed; %d reads exact, %d retried once, %d failed; slowest push %.1f s, query %.1f s" % (
            self.acknowledged, len(self.acks), self.retried, len(self.failed), self.queries["right"], self.retried_queries, len(self.failed_queries),
            self.slowest_push_s, self.slowest_query_s)


def gentle(**options):
    """About a thousand lines a second from six pushers, so that reading everything back does not take longer than the test."""
    options.setdefault("sizes", (1, 3, 20, 60))
    options.setdefault("pause_s", 0.2)
    options.setdefault("streams", 6)
    return ClusterLedger(**options)


def settle(seconds, rng=random):
    time.sleep(seconds * (0.5 + rng.random()))
