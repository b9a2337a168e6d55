"""The conformance suite through the gateway, in memory and after POST /flush on every writer. SKALD_CONFORMANCE names the suite;
SKALD_RING=memberlist|etcd|consul; SKALD_ONLY restricts the cases."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import cluster
import tools

SUITE = os.environ.get("SKALD_CONFORMANCE")
# What the suite asks and no gateway passes on: taken from a writer.
INNER = "".join("location = %s { proxy_pass $write$request_uri; }\n" % path for path in ("/ready", "/metrics", "/services"))


def settings(suite):
    """The blocks under which the answers were recorded, over an S3 bucket."""
    with open(os.path.join(suite, "loki-equivalent.yaml")) as f:
        config = tools.yaml.safe_load(f)
    kept = {key: config[key] for key in ("auth_enabled", "ingester", "querier", "query_range", "pattern_ingester", "compactor", "limits_config", "schema_config") if key in config}
    for period in kept["schema_config"]["configs"]:
        period["object_store"] = "s3"
        period["from"] = str(period["from"])
    kept["compactor"].pop("working_directory", None)
    kept["compactor"]["delete_request_store"] = "s3"
    return kept


@unittest.skipUnless(SUITE, "SKALD_CONFORMANCE does not name the suite")
class Conformance(unittest.TestCase):
    def test_both_phases_through_the_gateway(self):
        cluster.need()
        here = cluster.Cluster(settings=settings(SUITE))
        here.gateway_values["GATEWAY_SERVER_SNIPPET"] = INNER
        here.__enter__()
        self.addCleanup(here.close)
        here.wait_whole(30)
        totals = {}
        for phase, more in (("memory", ()), ("flushed", ("--skip-push", "--skip-flush"))):
            if phase == "flushed":
                here.flush()
            with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
                only = ("--only", os.environ["SKALD_ONLY"]) if os.environ.get("SKALD_ONLY") else ()
                done = subprocess.run([sys.executable, os.path.join(SUITE, "run.py"), "--url", "http://127.0.0.1:%d" % here.front.port, "--phase", phase, "--jobs", "4",
                                       "--json", report.name, *only, *more], capture_output=True, text=True, timeout=1800)
                text = report.read()
            self.assertTrue(text, done.stdout[-3000:] + done.stderr[-3000:])
            results = json.loads(text)
            totals[phase] = (results["passed"], results["failed"])
            print("\n%s, %s: %d passed, %d failed" % (here.ring_kind, phase, *totals[phase]), flush=True)
            for r in [r for r in results["results"] if not r["ok"]][:40]:
                print("  %s: %s" % (r["id"], r["reason"][:300]), flush=True)
        for m in here.members:
            self.assertTrue(m.running, m.tail_log())
        self.assertEqual([failed for _, failed in totals.values()], [0, 0])
        self.assertGreater(totals["memory"][0], 0)


if __name__ == "__main__":
    unittest.main()
