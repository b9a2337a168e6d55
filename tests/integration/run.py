#!/usr/bin/env python3
"""End-to-end tests: run.py --binary build/release/skald [--jobs n] [name …]. Standard library only.

With --jobs several modules run at once, each in a process of its own: most of their time they wait for servers. Modules that
measure time run alone before the others, those that start whole clusters and measure how they recover one by one after them.
What failed beside others runs once more by itself at the end, and that counts: servers that are starved of processor time miss
their deadlines. The report tells of both runs."""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor, as_completed

here = os.path.dirname(os.path.abspath(__file__))
ALONE = ["start"]
# The longest first, so that none of them is the last to begin.
LONG = ["stores", "retention", "store_faults", "compactor", "kill", "scalable", "helm", "monitoring", "formats", "disk_full", "s3_contract"]


def run_here(names):
    sys.path.insert(0, here)
    suite = unittest.TestSuite()
    for name in names:
        suite.addTests(unittest.defaultTestLoader.loadTestsFromName("test_" + name))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed, %d skipped" % (result.testsRun - failed - len(result.skipped), failed, len(result.skipped)), flush=True)
    return 1 if failed or not result.testsRun else 0


def run_apart(name, binary):
    """(name, exit code, seconds, output) of a module in a process of its own."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        code = subprocess.call([sys.executable, os.path.abspath(__file__), "--binary", binary, name], stdout=out, stderr=subprocess.STDOUT)
        out.seek(0)
        return name, code, time.monotonic() - began, out.read()


def run_several(names, binary, jobs):
    outcomes = {}

    def report(done):
        name, code, seconds, text = done
        counts = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", text, re.M)
        outcomes[name] = (code, [int(count) for count in (counts[-1] if counts else (0, 1, 0))])
        print("==== %s: %s, %.0f s\n%s" % (name, "passed" if code == 0 else "FAILED", seconds, text), flush=True)

    for name in [n for n in names if n in ALONE]:
        report(run_apart(name, binary))
    clusters = [n for n in names if n.startswith("cluster_")]
    rest = sorted((n for n in names if n not in ALONE and n not in clusters), key=lambda n: (LONG.index(n) if n in LONG else len(LONG), n))
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(run_apart, name, binary) for name in rest]):
            report(future.result())
    for name in clusters:
        report(run_apart(name, binary))
    again = sorted(name for name, (code, _) in outcomes.items() if code != 0)
    for name in again:
        report(run_apart(name, binary))
    totals = [sum(counts[i] for _, counts in outcomes.values()) for i in range(3)]
    failed = sorted(name for name, (code, _) in outcomes.items() if code != 0)
    print("%d passed, %d failed, %d skipped%s%s" % (*totals, "; run twice: " + ", ".join(again) if again else "", "; failed modules: " + ", ".join(failed) if failed else ""), flush=True)
    return 1 if failed or not totals[0] else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/release/skald")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("names", nargs="*", help="test modules, without test_ and .py")
    args = parser.parse_args()
    os.environ["SKALD_BINARY"] = os.path.abspath(args.binary)
    names = args.names or sorted(f[5:-3] for f in os.listdir(here) if f.startswith("test_") and f.endswith(".py"))
    sys.exit(run_several(names, args.binary, args.jobs) if args.jobs > 1 and len(names) > 1 else run_here(names))
