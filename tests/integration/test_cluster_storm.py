"""A dashboard of thirty panels is opened by sixteen users at the same time, through the gateway: nobody is refused, equal questions have
equal answers, no process outgrows its memory.

SKALD_STORM_LINES (60000), SKALD_STORM_USERS (16), SKALD_STORM_ROUNDS (1), SKALD_RSS_MB (256: what the chart asks for each process)."""
import collections
import json
import os
import unittest

import cluster
import cluster_storm

LINES = int(os.environ.get("SKALD_STORM_LINES", "60000"))
USERS = int(os.environ.get("SKALD_STORM_USERS", "16"))
ROUNDS = int(os.environ.get("SKALD_STORM_ROUNDS", "1"))
RSS_MIB = int(os.environ.get("SKALD_RSS_MB", "256"))
SPAN_S = 3600


class Storm(unittest.TestCase):
    layout, kind = cluster.COMPOSE, cluster.Cluster

    def setUp(self):
        cluster.need(self.layout)
        self.cluster = self.kind(heartbeat_s=1, timeout_s=20, compact="10m").__enter__()   # a storm is no reason to be thought dead
        self.addCleanup(self.cluster.close)
        self.cluster.wait_whole(30)

    def test_thirty_panels_for_each_of_sixteen_users(self):
        here = self.cluster
        front = here.front
        first, middle = cluster_storm.fill(front, LINES // 2, SPAN_S)
        here.flush()
        _, last = cluster_storm.fill(front, LINES // 2, SPAN_S // 2, seed=8)   # half of it, and the newest, in memory
        # Two users each ask for the very same time, as with a dashboard on the wall; the pairs a second apart.
        dashboards = [cluster_storm.panels(first - (u // 2) * 10**9, last - (u // 2) * 10**9) for u in range(USERS)]
        for round_number in range(ROUNDS):
            before = here.cpu()
            answers = cluster_storm.storm(here.front.port, USERS, dashboards)
            after = here.cpu()
            self.judge(answers, {name: after[name] - before[name] for name in after}, round_number)
        for m in here.members:
            self.assertTrue(m.running, m.tail_log())

    def judge(self, answers, cpu, round_number):
        statuses = collections.Counter(status for _, _, status, _, _ in answers)
        seconds = [s for *_, s in answers]
        memory = self.cluster.memory()
        print("\nround %d: %d requests at once: %s; p50 %.2f s, p99 %.2f s, slowest %.2f s" % (
            round_number + 1, len(answers), dict(statuses), cluster_storm.percentile(seconds, 0.5), cluster_storm.percentile(seconds, 0.99), max(seconds)), flush=True)
        print("CPU seconds: " + ", ".join("%s %.1f" % pair for pair in sorted(cpu.items())), flush=True)
        print("RSS (peak) in MiB: " + ", ".join("%s %.0f (%.0f)" % (name, now, peak) for name, (now, peak) in sorted(memory.items())), flush=True)
        slowest = sorted(answers, key=lambda a: -a[4])[:3]
        print("slowest: " + ", ".join("%s %.2f s" % (title, s) for _, title, _, _, s in slowest), flush=True)
        bad = [(user, title, status, body[:300]) for user, title, status, body, _ in answers if status != 200]
        self.assertEqual(bad[:3], [], "%d of %d" % (len(bad), len(answers)))
        found = {(user, title): self.content(title, body) for user, title, _, body, _ in answers}
        for (user, title), content in found.items():
            self.assertTrue(content, (user, title))
            if user % 2:
                self.assertEqual(content, found[user - 1, title], title)
        for m in self.cluster.members:
            self.assertLessEqual(memory[m.name][1], RSS_MIB, "%s outgrew its memory" % m.name)

    @staticmethod
    def content(title, body):
        """What an answer says, without statistics and without order where none is promised."""
        answer = json.loads(body)
        if title == "fields":
            return sorted(f["label"] for f in answer["fields"])
        data = answer["data"]
        if title.startswith(("metric", "instant")):   # sums of parts in another order differ in the last digits
            for series in data["result"]:
                for sample in series.get("values") or [series["value"]]:
                    sample[1] = "%.9g" % float(sample[1])
        if isinstance(data, dict):
            return sorted(json.dumps(r, sort_keys=True) for r in data["result"]) if not title.startswith("logs") else sum(len(s["values"]) for s in data["result"])
        return sorted(json.dumps(d, sort_keys=True) for d in data)


class StormOnOneProcess(Storm):
    """The same questions to the single binary: what the figures are compared with."""
    layout, kind = cluster.ALONE, cluster.One


if __name__ == "__main__":
    unittest.main()
