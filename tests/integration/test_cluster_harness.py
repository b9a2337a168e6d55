"""What the cluster tests rest on, tried on dummies and on one process: partitions cut and heal, clocks step, the ledger sees lines that
are lost, doubled or altered, etcd and the double of Consul answer."""
import http.client
import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request

import cluster
import cluster_load
import cluster_net
import cluster_servers

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 8000), 1)"


class Net(unittest.TestCase):
    def reaches(self, net, number, address):
        done = subprocess.run(net.prefix(number) + [sys.executable, "-c", CONNECT, address], capture_output=True, text=True)
        return "yes" if done.returncode == 0 else done.stderr.strip().split("\n")[-1].split(":")[0]

    def test_members_are_cut_off_in_every_way_and_healed(self):
        with cluster_net.Namespaces(size=3) as net:
            server = subprocess.Popen(net.prefix(1) + [sys.executable, "-m", "http.server", "8000", "--bind", net.address(1)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                deadline = time.monotonic() + 20
                while self.reaches(net, 0, net.address(1)) != "yes" and time.monotonic() < deadline:
                    time.sleep(0.1)
                for how, expected in ((("both",), "TimeoutError"), (("in",), "TimeoutError"), (("out",), "TimeoutError"), (("in", "reject with tcp reset"), "ConnectionRefusedError")):
                    net.cut(1, [net.address(0)], *how)
                    self.assertEqual(self.reaches(net, 0, net.address(1)), expected, how)
                    self.assertEqual(self.reaches(net, 2, net.address(1)), "yes", how)
                    net.heal(1)
                    self.assertEqual(self.reaches(net, 0, net.address(1)), "yes", how)
                net.unplug(1)
                self.assertEqual(self.reaches(net, 2, net.address(1)), "TimeoutError")
                net.unplug(1, plugged=True)
                self.assertEqual(self.reaches(net, 2, net.address(1)), "yes")
            finally:
                server.kill()
                server.wait()
        left = subprocess.run([cluster_net.program("ip"), "netns", "list"], capture_output=True, text=True).stdout
        self.assertNotIn(net.tag + "-", left)


class Stores(unittest.TestCase):
    def test_etcd_answers_on_its_gateway(self):
        with cluster_servers.Etcd() as etcd:
            c = http.client.HTTPConnection(etcd.host, etcd.port, timeout=10)
            c.request("POST", "/v3/kv/put", json.dumps({"key": "aw==", "value": "dg=="}))
            self.assertEqual(c.getresponse().status, 200)
            c.close()

    def test_the_double_of_consul_answers(self):
        with cluster_servers.Consul() as consul:
            request = urllib.request.Request("http://%s/v1/kv/k" % consul.address, data=b"v", method="PUT")
            self.assertEqual(urllib.request.urlopen(request, timeout=10).read(), b"true")


class OneProcess(unittest.TestCase):
    """The ledger of clusters and the injectors on the single binary behind the same gateway and S3 server."""
    clocks = bool(cluster.FAKETIME)

    @classmethod
    def setUpClass(cls):
        cluster.need(cluster.ALONE)
        cls.one = cluster.One(clocks=cls.clocks).__enter__()
        cls.addClassCleanup(cls.one.close)

    def run_load(self, prefix, seconds, during=lambda: None):
        ledger = cluster_load.gentle(prefix=prefix, sizes=(1, 3, 20, 200))
        ledger.start(self.one.client, readers=2)
        time.sleep(seconds)
        try:
            during()
            ledger.check_counts(self.one.front, "under load")
        finally:
            ledger.stop()
        return ledger

    def test_counts_are_exact_under_load_and_after(self):
        ledger = self.run_load("exact", 2)
        ledger.check(self.one.front, "memory")
        self.one.flush()
        ledger.check(self.one.front, "flushed")
        self.assertEqual((ledger.failed, ledger.failed_queries), ([], []))
        self.assertGreater(ledger.queries["right"], 5)
        print(ledger.line_of_figures(), end=" ", flush=True)

    def test_the_ledger_sees_what_is_missing_doubled_and_altered(self):
        ledger = self.run_load("seen", 1)
        stream = ledger.streams[0]
        for change, kind in ((lambda: stream.acknowledged.update({stream.end_ns - stream.step_ns: "another"}), "altered"),
                             (lambda: stream.acknowledged.update({stream.base_ns + 5 * 10**9: "never pushed"}), "missing"),
                             (lambda: self.one.front.push([({"service_name": stream.name}, [(stream.base_ns + stream.step_ns // 2, "not ours")])]), "unexpected")):
            kept = dict(stream.acknowledged)
            change()
            with self.assertRaisesRegex(AssertionError, kind):
                ledger.check(self.one.front)
            stream.acknowledged = kept
        self.assertEqual(cluster_load.compare({1: "a"}, {}, [(1, "a"), (1, "a")])["doubled"], [(1, "a")])

    def test_a_count_that_differs_is_seen_under_load(self):
        ledger = self.run_load("count", 1)
        stream = ledger.streams[0]
        ledger.check_counts(self.one.front)
        self.assertEqual(self.one.front.push([({"service_name": stream.name}, [(stream.base_ns + stream.step_ns // 2, "one too many")])])[0], 204)
        with self.assertRaisesRegex(AssertionError, stream.name):
            ledger.check_counts(self.one.front, "one too many")
        ledger.probe_count(self.one.front, stream, (stream.end_ns - stream.base_ns) // stream.step_ns)
        self.assertRegex(ledger.faults[-1], stream.name)

    def test_a_second_failure_of_a_push_or_query_counts(self):
        ledger = cluster_load.gentle(prefix="fail", streams=1)
        member = self.one.members[0]
        ledger.start(self.one.client, readers=1)
        time.sleep(0.5)
        member.kill()
        time.sleep(2.5)
        member.restart()
        time.sleep(1.5)
        ledger.stop()
        self.assertTrue(ledger.failed)
        self.assertTrue(ledger.failed_queries)
        self.assertGreater(ledger.stall_s(ledger.acks[0], ledger.acks[-1]), 2)
        ledger.check(self.one.front, "restarted")

    def test_a_paused_process_stalls_and_goes_on(self):
        member = self.one.members[0]
        ledger = cluster_load.gentle(prefix="pause", streams=2)
        ledger.start(self.one.client)
        time.sleep(0.5)
        began = time.monotonic()
        member.pause()
        self.assertEqual(member.ask("/ready", timeout_s=1)[0], 0)
        time.sleep(1)
        member.resume()
        time.sleep(1)
        ledger.stop()
        self.assertGreater(ledger.stall_s(began, time.monotonic()), 1)
        ledger.check(self.one.front, "resumed")

    def refuses(self, minutes):
        """Lines more than ten minutes ahead of a server's clock are refused: how a test learns what time it is there."""
        return self.one.front.push([({"app": "clock"}, [(time.time_ns() + minutes * 60 * 10**9, "x")])])[0] == 400

    @unittest.skipUnless(cluster.FAKETIME, "no libfaketime (Debian package faketime)")
    def test_a_clock_steps_while_the_process_runs_and_no_line_is_lost(self):
        member = self.one.members[0]
        self.assertEqual([self.refuses(m) for m in (5, 15)], [False, True])
        ledger = cluster_load.gentle(prefix="clock", streams=2)
        ledger.start(self.one.client, readers=1)
        for minutes in (10, -10, 0):
            member.step_clock(minutes * 60)
            time.sleep(2.5)
            self.assertEqual((self.refuses(minutes + 5), self.refuses(minutes + 15)), (False, True), minutes)
        ledger.stop()
        self.one.flush()
        ledger.check(self.one.front, "after the steps")

    def test_cpu_and_memory_of_every_process_are_seen(self):
        before = self.one.cpu()
        self.run_load("cpu", 1)
        after = self.one.cpu()
        self.assertEqual(set(after), {"one", "nginx", "s3"})
        self.assertGreater(after["one"] - before["one"], 0)
        now, peak = self.one.memory()["one"]
        self.assertGreater(peak, 5)
        self.assertLessEqual(now, peak)


if __name__ == "__main__":
    unittest.main()
