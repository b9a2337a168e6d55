#!/usr/bin/env python3
"""End-to-end tests: run.py --binary build/release/skald [name …]. Standard library only."""
import argparse
import os
import sys
import unittest

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser()
parser.add_argument("--binary", default="build/release/skald")
parser.add_argument("names", nargs="*", help="test modules, without test_ and .py")
args = parser.parse_args()
os.environ["SKALD_BINARY"] = os.path.abspath(args.binary)
sys.path.insert(0, here)
suite = unittest.TestSuite()
for name in args.names or sorted(f[5:-3] for f in os.listdir(here) if f.startswith("test_") and f.endswith(".py")):
    suite.addTests(unittest.defaultTestLoader.loadTestsFromName("test_" + name))
result = unittest.TextTestRunner(verbosity=2).run(suite)
failed = len(result.failures) + len(result.errors)
print("%d passed, %d failed" % (result.testsRun - failed - len(result.skipped), failed))
sys.exit(1 if failed or not result.testsRun else 0)
