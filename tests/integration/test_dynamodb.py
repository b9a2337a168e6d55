"""The daily index in DynamoDB (dynalite), chunks in a bucket: nothing of the index is in the bucket, everything is found."""
import os
import time
import unittest

import servers
from fault_proxy import FaultProxy
from harness import Server
from ledger import OPEN_LIMITS, Ledger

REST = "auth_enabled: false\n" + OPEN_LIMITS + """ingester: {flush_check_period: 300ms}
compactor: {compaction_interval: 1s, lease_period: 3s, retention_enabled: true, retention_delete_delay: 3s, delete_request_store: filesystem}
"""


class DynamoDb(unittest.TestCase):
    def setUp(self):
        self.table = servers.Dynalite()
        self.table.__enter__()
        self.addCleanup(self.table.close)
        self.store = servers.Filesystem()
        self.store.__enter__()
        self.addCleanup(self.store.close)

    def config(self, address=None):
        lines = "tsdb_shipper: {resync_interval: 1s}\naws: {dynamodb: {dynamodb_url: 'dynamodb://key:secret@%s'}}" % (address or self.table.address)
        return self.store.config(storage=lines).replace("store: tsdb", "store: dynamodb") + REST

    def fill(self, server, ledger, lines):
        ledger.start(server)
        deadline = time.monotonic() + 60
        while any(len(s.acknowledged) < lines for s in ledger.streams) and not ledger.errors and time.monotonic() < deadline:
            time.sleep(0.01)
        ledger.stop()

    def test_index_lies_in_the_table(self):
        server = Server(self.config()).start()
        self.addCleanup(server.close)
        ledger = Ledger(streams=4, step_ns=10**9)
        for round_number in range(3):
            self.fill(server, ledger, 1000 * (round_number + 1))
            server.flush()
            server.kill()
            server.start()
            ledger.check(server, "round %d" % round_number)
        time.sleep(5)   # compaction
        ledger.check(server, "compacted")
        keys = self.store.client().keys("fake/")
        self.assertTrue([k for k in keys if "/chunks/" in k])
        self.assertEqual([k for k in keys if "/index/" in k], [])
        server.kill()
        other = Server(self.config()).start()   # table and bucket, nothing else
        self.addCleanup(other.close)
        ledger.check(other, "table and bucket only")

    def test_faults_of_the_table_service(self):
        proxy = FaultProxy("127.0.0.1", self.table.port, rates={"500": 0.1, "503": 0.05, "reset": 0.05, "late-reset": 0.1, "late-500": 0.1, "cut": 0.05}, retry_after_s=(0,)).start()
        self.addCleanup(proxy.close)
        faults = int(os.environ.get("SKALD_FAULTS", "40"))
        rates, proxy.rates = proxy.rates, {}
        server = Server(self.config(proxy.address)).start()
        self.addCleanup(server.close)
        proxy.rates = rates
        ledger = Ledger(streams=4, step_ns=10**9, sizes=(20, 50))
        deadline = time.monotonic() + max(60, faults)
        round_number = 0
        while proxy.fault_count < faults and time.monotonic() < deadline:
            round_number += 1
            ledger.start(server, readers=1)
            time.sleep(0.5)
            try:
                server.request("POST", "/flush")
            except Exception:
                pass
            if round_number % 4 == 0:
                server.kill()
            ledger.stop()
            self.assertEqual(ledger.faults, [])
            if round_number % 4 == 0:
                proxy.rates = {}
                server.start()
                proxy.rates = rates
        print("\ndynamodb: %s" % proxy.describe(), flush=True)
        self.assertGreaterEqual(proxy.fault_count, faults)
        proxy.rates = {}
        time.sleep(1)
        server.flush()
        ledger.check(server, "faults over")
        server.kill()
        other = Server(self.config()).start()
        self.addCleanup(other.close)
        ledger.check(other, "table and bucket only")
        print("dynamodb: " + ledger.summary(), flush=True)


if __name__ == "__main__":
    unittest.main()
