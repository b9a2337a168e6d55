#!/usr/bin/env python3
"""Writes monitoring/dashboards/*.json. One line per panel here, Grafana's JSON there; a test fails when they differ.

monitoring/generate.py          writes the files
monitoring/generate.py --check  exits 1 when a file is not what would be written
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "dashboards")
SELECT = 'cluster=~"$cluster", namespace=~"$namespace"'
TENANT = SELECT + ', tenant=~"$tenant"'
PUSH = 'route=~"loki_api_v1_push|api_prom_push|otlp_v1_logs"'
READ = ('route=~"loki_api_v1_(query|query_range|labels?|label_name_values|series|index_.*|patterns|detected_.*)|api_prom_(query|labels?|label_name_values|series)"')


def s(text):
    """`§` stands for the labels every panel selects by, `¶` for those and the tenant."""
    return text.replace("§", SELECT).replace("¶", TENANT)


def rate(metric, by="", labels="§", function="rate"):
    return s("sum%s(%s(%s{%s}[$__rate_interval]))" % (" by (%s) " % by if by else " ", function, metric, labels)).replace("sum (", "sum(")


def quantile(q, metric, by="", labels="§"):
    return s("histogram_quantile(%s, sum by (le%s) (rate(%s_bucket{%s}[$__rate_interval])))" % (q, ", " + by if by else "", metric, labels))


def quantiles(metric, labels="§"):
    return [(quantile(q, metric, "", labels), name) for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))]


def ratio(part, whole):
    return "%s / (%s > 0)" % (part, whole)


class Dashboard:
    """Panels laid out left to right on Grafana's grid of 24 columns."""

    def __init__(self, name, title, about):
        self.name, self.title, self.about = name, title, about
        self.panels, self.x, self.y, self.height = [], 0, 0, 0

    def place(self, width, height):
        if self.x + width > 24:
            self.x, self.y, self.height = 0, self.y + self.height, 0
        at = {"h": height, "w": width, "x": self.x, "y": self.y}
        self.x, self.height = self.x + width, max(self.height, height)
        return at

    def row(self, title):
        self.y, self.x, self.height = self.y + self.height, 0, 0
        self.panels.append({"id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": 24, "x": 0, "y": self.y}})
        self.y += 1

    def add(self, kind, title, targets, unit, about, width, height, field, options):
        targets = [targets] if isinstance(targets, tuple) else targets
        panel = {
            "id": len(self.panels) + 1, "type": kind, "title": title, "datasource": {"type": "prometheus", "uid": "$datasource"}, "gridPos": self.place(width, height),
            "targets": [{"refId": chr(65 + i), "expr": s(expr), "legendFormat": legend, "datasource": {"type": "prometheus", "uid": "$datasource"},
                         **({"instant": True, "range": False} if kind in ("stat", "table") else {})} for i, (expr, legend) in enumerate(targets)],
            "fieldConfig": {"defaults": dict({"unit": unit}, **field), "overrides": []}, "options": options}
        if kind == "table":
            for target in panel["targets"]:
                target["format"] = "table"
            panel["transformations"] = [{"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True, "__name__": True}}}]
        if about:
            panel["description"] = about
        self.panels.append(panel)

    def graph(self, title, targets, unit="short", about="", width=8, stack=False, maximum=None):
        custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stack else 8, "showPoints": "never", "spanNulls": False,
                  "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
        field = {"custom": custom, "min": 0}
        if maximum is not None:
            field["max"] = maximum
        self.add("timeseries", title, targets, unit, about, width, 7, field,
                 {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}})

    def stat(self, title, target, unit="short", about="", width=4, thresholds=None):
        steps = [{"color": "green", "value": None}] + [{"color": color, "value": value} for value, color in thresholds or ()]
        self.add("stat", title, (target, ""), unit, about, width, 4, {"thresholds": {"mode": "absolute", "steps": steps}},
                 {"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}})

    def table(self, title, target, about="", width=24):
        self.add("table", title, (target, ""), "short", about, width, 6, {}, {"showHeader": True})

    def json(self):
        def variable(name, query, label):
            return {"name": name, "label": label, "type": "query", "datasource": {"type": "prometheus", "uid": "$datasource"}, "query": {"query": query, "refId": name},
                    "definition": query, "includeAll": True, "allValue": ".*", "multi": True, "refresh": 2, "sort": 1, "current": {"text": "All", "value": "$__all"}}
        variables = [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1},
                     variable("cluster", "label_values(loki_build_info, cluster)", "Cluster"),
                     variable("namespace", 'label_values(loki_build_info{cluster=~"$cluster"}, namespace)', "Namespace")]
        if any("$tenant" in t["expr"] for p in self.panels for t in p.get("targets", ())):
            variables.append(variable("tenant", "label_values(loki_distributor_lines_received_total{%s}, tenant)" % SELECT, "Tenant"))
        return {"uid": "skald-" + self.name, "title": "Skald / " + self.title, "description": self.about, "tags": ["skald", "logs"], "schemaVersion": 39, "version": 1,
                "editable": True, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
                "links": [{"type": "dashboards", "title": "Skald", "tags": ["skald"], "asDropdown": True, "includeVars": True, "keepTime": True}],
                "templating": {"list": variables}, "annotations": {"list": []}, "panels": self.panels}


def overview():
    d = Dashboard("overview", "Overview", "Whether logs come in, come back and are kept; where to look when not.")
    d.row("Now")
    d.stat("Lines in", rate("loki_distributor_lines_received_total"), "cps")
    d.stat("Bytes in", rate("loki_distributor_bytes_received_total"), "Bps")
    d.stat("Streams in memory", s("sum(loki_ingester_memory_streams{§})"), "short", "Each copy counts: with replication 3 a stream counts three times.")
    d.stat("Failed pushes", "(%s or vector(0)) / (%s > 0)" % (rate("loki_request_duration_seconds_count", "", '§, %s, status_code=~"5.."' % PUSH), rate("loki_request_duration_seconds_count", "", "§, " + PUSH)),
           "percentunit", "Share of pushes answered with 5xx.", thresholds=[(0.001, "orange"), (0.01, "red")])
    d.stat("Queries p99", quantile(0.99, "loki_request_duration_seconds", "", "§, " + READ), "s", thresholds=[(5, "orange"), (20, "red")])
    d.stat("Members up", s("count(loki_build_info{§})"))
    d.row("Requests")
    d.graph("Pushes by status", (rate("loki_request_duration_seconds_count", "status_code", "§, " + PUSH), "{{status_code}}"), "reqps", stack=True)
    d.graph("Push duration", quantiles("loki_request_duration_seconds", "§, " + PUSH), "s")
    d.graph("Refused lines by reason", (rate("loki_discarded_samples_total", "reason"), "{{reason}}"), "cps", "docs/runbooks/SkaldLinesRefused.md", stack=True)
    d.graph("Reads by route", (rate("loki_request_duration_seconds_count", "route", "§, " + READ), "{{route}}"), "reqps", stack=True)
    d.graph("Read duration p99 by route", (quantile(0.99, "loki_request_duration_seconds", "route", "§, " + READ), "{{route}}"), "s")
    d.graph("Answers by status", (rate("loki_request_duration_seconds_count", "status_code"), "{{status_code}}"), "reqps", stack=True)
    d.row("Room")
    d.graph("Memory", (s("sum by (job, instance) (process_resident_memory_bytes{§} and on (instance, job) loki_build_info{§})"), "{{job}} {{instance}}"), "bytes")
    d.graph("CPU", (s("sum by (job, instance) (rate(process_cpu_seconds_total{§}[$__rate_interval]) and on (instance, job) loki_build_info{§})"), "{{job}} {{instance}}"), "short", "Cores.")
    d.graph("Disk of the write-ahead log", (s("max by (job, instance) (loki_ingester_wal_disk_usage_percent{§})"), "{{job}} {{instance}}"), "percentunit", "docs/runbooks/SkaldWalDiskFilling.md", maximum=1)
    d.graph("Waiting to be flushed", (s("sum by (instance) (loki_ingester_flush_queue_length{§})"), "{{instance}}"))
    d.graph("Panics", (rate("loki_panic_total", "job, instance", function="increase"), "{{job}} {{instance}}"), "short", "docs/runbooks/LokiRequestPanics.md")
    d.graph("Open files", (s("max by (job, instance) (process_open_fds{§} and on (instance, job) loki_build_info{§})"), "{{job}} {{instance}}"))
    d.row("Builds")
    d.table("Versions", s("sum by (job, instance, version, revision) (loki_build_info{§})"))
    return d


def writes():
    d = Dashboard("writes", "Writes", "From the push to the acknowledged line.")
    d.row("Tenants")
    d.graph("Bytes in by tenant", (s("topk(10, sum by (tenant) (rate(loki_distributor_bytes_received_total{¶}[$__rate_interval])))"), "{{tenant}}"), "Bps", stack=True)
    d.graph("Lines in by tenant", (s("topk(10, sum by (tenant) (rate(loki_distributor_lines_received_total{¶}[$__rate_interval])))"), "{{tenant}}"), "cps", stack=True)
    d.graph("Structured metadata by tenant", (s("topk(10, sum by (tenant) (rate(loki_distributor_structured_metadata_bytes_received_total{¶}[$__rate_interval])))"), "{{tenant}}"), "Bps", stack=True)
    d.graph("Refused lines by tenant and reason", (s("topk(10, sum by (tenant, reason) (rate(loki_discarded_samples_total{¶}[$__rate_interval])))"), "{{tenant}} {{reason}}"), "cps", stack=True)
    d.graph("Refused bytes by tenant and reason", (s("topk(10, sum by (tenant, reason) (rate(loki_discarded_bytes_total{¶}[$__rate_interval])))"), "{{tenant}} {{reason}}"), "Bps", stack=True)
    d.graph("Streams in memory by tenant", (s("topk(10, sum by (tenant) (loki_ingester_memory_streams{¶}))"), "{{tenant}}"), stack=True)
    d.row("Pushes")
    d.graph("By status", (rate("loki_request_duration_seconds_count", "status_code", "§, " + PUSH), "{{status_code}}"), "reqps", stack=True)
    d.graph("Duration", quantiles("loki_request_duration_seconds", "§, " + PUSH), "s")
    d.graph("Duration p99 by member", (quantile(0.99, "loki_request_duration_seconds", "instance", "§, " + PUSH), "{{instance}}"), "s")
    d.graph("Body size", quantiles("loki_request_message_bytes", "§, " + PUSH), "bytes", "As sent, compressed.")
    d.graph("In flight", (s("sum by (instance) (loki_inflight_requests{§, %s})" % PUSH), "{{instance}}"))
    d.graph("Failures", (ratio(rate("loki_request_duration_seconds_count", "route", '§, %s, status_code=~"5..|429"' % PUSH), rate("loki_request_duration_seconds_count", "route", "§, " + PUSH)), "{{route}}"), "percentunit",
            "Share of 429 and 5xx. Empty while there are none.")
    d.row("Copies")
    d.graph("Batches sent by ingester", (rate("loki_distributor_ingester_appends_total", "ingester"), "{{ingester}}"), "cps")
    d.graph("Batches failed by ingester", (rate("loki_distributor_ingester_append_failures_total", "ingester"), "{{ingester}}"), "cps", "docs/runbooks/SkaldReplicaWritesFailing.md")
    d.graph("Members of the ring by state", (s('sum by (state) (max by (name, state) (loki_ring_members{§, name="ingester"}))'), "{{state}}"), stack=True)
    d.row("Ingesters")
    d.graph("Streams made", (rate("loki_ingester_streams_created_total", "instance"), "{{instance}}"), "cps", "Many: labels change too often.")
    d.graph("Streams removed", (rate("loki_ingester_streams_removed_total", "instance"), "{{instance}}"), "cps")
    d.graph("Chunks in memory", (s("sum by (instance) (loki_ingester_memory_chunks{§})"), "{{instance}}"))
    d.graph("Label bytes in memory", (s("sum by (instance) (loki_ingester_memory_streams_labels_bytes{§})"), "{{instance}}"), "bytes")
    d.graph("Allocated", (s("sum by (instance) (skald_allocator_in_use_bytes{§})"), "{{instance}}"), "bytes")
    d.graph("Resident", (s("sum by (instance) (process_resident_memory_bytes{§} and on (instance, job) loki_ingester_limiter_enabled{§})"), "{{instance}}"), "bytes")
    d.row("Write-ahead log")
    d.graph("Records", (rate("loki_ingester_wal_records_logged_total", "instance"), "{{instance}}"), "cps")
    d.graph("Bytes", (rate("loki_ingester_wal_logged_bytes_total", "instance"), "{{instance}}"), "Bps")
    d.graph("On disk", (s("sum by (instance) (loki_ingester_wal_bytes_in_use{§})"), "{{instance}}"), "bytes")
    d.graph("Disk in use", (s("max by (instance) (loki_ingester_wal_disk_usage_percent{§})"), "{{instance}}"), "percentunit", maximum=1)
    d.graph("Free space", (s("min by (instance) (skald_disk_free_bytes{§})"), "{{instance}}"), "bytes", "Of the volumes of data directories.")
    d.graph("Pushes refused for lack of space", (s("max by (instance) (skald_disk_reserve_reached{§})"), "{{instance}}"), "short", "docs/runbooks/SkaldWalDiskFilling.md", maximum=1)
    d.graph("Writes that found the disk full", (rate("loki_ingester_wal_disk_full_failures_total", "instance", function="increase"), "{{instance}}"))
    d.graph("Damaged records", (rate("loki_ingester_wal_corruptions_total", "instance, type", function="increase"), "{{instance}} {{type}}"), "short", "docs/runbooks/SkaldWalCorrupt.md")
    d.graph("Last replay", (s("max by (instance) (loki_ingester_wal_replay_duration_seconds{§})"), "{{instance}}"), "s")
    d.graph("Replaying now", (s("max by (instance) (loki_ingester_wal_replay_active{§})"), "{{instance}}"), maximum=1)
    d.graph("Lines recovered", (s("max by (instance) (loki_ingester_wal_recovered_entries_total{§})"), "{{instance}}"))
    return d


def reads():
    d = Dashboard("reads", "Reads", "Queries: how many, how long, where they wait, what they touch.")
    d.row("Requests")
    d.graph("By route", (rate("loki_request_duration_seconds_count", "route", "§, " + READ), "{{route}}"), "reqps", stack=True)
    d.graph("By status", (rate("loki_request_duration_seconds_count", "status_code", "§, " + READ), "{{status_code}}"), "reqps", stack=True)
    d.graph("In flight", (s("sum by (instance) (loki_inflight_requests{§, %s})" % READ), "{{instance}}"))
    d.graph("Duration", quantiles("loki_request_duration_seconds", "§, " + READ), "s")
    d.graph("Duration p99 by route", (quantile(0.99, "loki_request_duration_seconds", "route", "§, " + READ), "{{route}}"), "s")
    d.graph("Answer size p99 by route", (quantile(0.99, "loki_response_message_bytes", "route", "§, " + READ), "{{route}}"), "bytes")
    d.row("Queries")
    d.graph("By kind", (rate("loki_logql_querystats_latency_seconds_count", "type, range"), "{{type}} {{range}}"), "reqps", stack=True)
    d.graph("Duration p99 by kind", (quantile(0.99, "loki_logql_querystats_latency_seconds", "type, range"), "{{type}} {{range}}"), "s")
    d.graph("Bytes looked at by tenant", (s("topk(10, sum by (tenant) (rate(loki_logql_querystats_bytes_processed_total{¶}[$__rate_interval])))"), "{{tenant}}"), "Bps", stack=True)
    d.graph("Speed of a query", quantiles("loki_logql_querystats_bytes_processed_per_seconds"), "Bps")
    d.graph("Evaluation p99 by kind", (quantile(0.99, "logql_query_duration_seconds", "query_type"), "{{query_type}}"), "s")
    d.graph("Lines from memory", (rate("loki_logql_querystats_ingester_sent_lines_total"), "lines"), "cps")
    d.row("Queue")
    d.graph("Waiting by tenant", (s("topk(10, sum by (user) (loki_query_scheduler_queue_length{§}))"), "{{user}}"), stack=True)
    d.graph("Wait", quantiles("loki_query_scheduler_queue_duration_seconds"), "s", "docs/runbooks/SkaldQueriesWait.md")
    d.graph("Refused because the queue was full", (rate("loki_query_scheduler_discarded_requests_total", "user"), "{{user}}"), "reqps")
    d.graph("Waiting and running", (s('max by (quantile) (loki_query_scheduler_inflight_requests{§})'), "{{quantile}}"), "short", "What the autoscaler of read looks at (quantile 0.75).")
    d.graph("Readers at work", (s("sum by (instance) (loki_query_scheduler_connected_querier_clients{§})"), "{{instance}}"))
    d.graph("Retries", (rate("loki_query_frontend_retries_sum"), "retries"), "cps")
    d.row("What is touched")
    d.graph("Index look-ups p99", (quantile(0.99, "loki_index_request_duration_seconds", "operation", '§, operation!="index_chunk"'), "{{operation}}"), "s")
    d.graph("Chunks", (rate("loki_index_chunk_refs_total", "status"), "{{status}}"), "cps", "Found by the index, and left out by time and filters.")
    d.graph("Parts of chunks fetched", (rate("loki_chunk_fetcher_fetched_size_bytes_sum", "source"), "{{source}}"), "Bps")
    d.graph("Cache hits", (ratio(rate("loki_cache_hits", "name"), rate("loki_cache_fetched_keys", "name")), "{{name}}"), "percentunit", maximum=1)
    d.graph("Cache in memory", (s("sum by (cache) (loki_embeddedcache_memory_bytes{§})"), "{{cache}}"), "bytes")
    d.graph("Memcached p99", (quantile(0.99, "loki_memcache_request_duration_seconds", "method, name"), "{{name}} {{method}}"), "s")
    d.row("Live")
    d.graph("Tails", (s("sum by (instance) (loki_querier_tail_active{§})"), "{{instance}}"))
    d.graph("Bytes to tails", (rate("loki_querier_tail_bytes_total"), "bytes"), "Bps")
    d.graph("Blocked queries", (rate("loki_blocked_queries", "user"), "{{user}}"), "cps")
    d.row("Rules")
    d.graph("Evaluations", (rate("loki_prometheus_rule_evaluations_total", "user"), "{{user}}"), "cps")
    d.graph("Failed evaluations", (rate("loki_prometheus_rule_evaluation_failures_total", "rule_group"), "{{rule_group}}"), "cps", "docs/runbooks/SkaldRulesFailing.md")
    d.graph("Missed evaluations", (rate("loki_prometheus_rule_group_iterations_missed_total", "rule_group"), "{{rule_group}}"), "cps")
    return d


def storage():
    d = Dashboard("storage", "Storage and compaction", "What goes to the object store, how it looks there, what is merged and deleted.")
    d.row("Flush")
    d.graph("Chunks by reason", (rate("loki_ingester_chunks_flushed_total", "reason"), "{{reason}}"), "cps", "Many idle ones: streams are too small, use fewer labels.", stack=True)
    d.graph("Bytes stored", (rate("loki_ingester_chunk_stored_bytes_total", "instance"), "{{instance}}"), "Bps", stack=True)
    d.graph("Failures", (rate("loki_ingester_chunks_flush_failures_total", "instance"), "{{instance}}"), "cps", "docs/runbooks/SkaldFlushFailing.md")
    d.graph("Waiting", (s("sum by (instance) (loki_ingester_flush_queue_length{§})"), "{{instance}}"))
    d.graph("Chunk size", quantiles("loki_ingester_chunk_size_bytes"), "bytes")
    d.graph("Chunk age", quantiles("loki_ingester_chunk_age_seconds"), "s")
    d.graph("Lines per chunk", quantiles("loki_ingester_chunk_entries"))
    d.graph("Filled", quantiles("loki_ingester_chunk_utilization"), "percentunit", "Of the target size.")
    d.graph("Compression", quantiles("loki_ingester_chunk_compression_ratio"))
    d.row("Object store")
    d.graph("Operations", (rate("loki_objstore_bucket_operations_total", "operation"), "{{operation}}"), "ops", stack=True)
    d.graph("Failures", (rate("loki_objstore_bucket_operation_failures_total", "operation"), "{{operation}}"), "ops", "docs/runbooks/SkaldObjectStoreFailing.md")
    d.graph("Duration p99", (quantile(0.99, "loki_objstore_bucket_operation_duration_seconds", "operation"), "{{operation}}"), "s")
    d.graph("Bytes read", (rate("loki_objstore_bucket_operation_fetched_bytes_total", "operation"), "{{operation}}"), "Bps")
    d.graph("S3 by status", (rate("loki_s3_request_duration_seconds_count", "operation, status_code"), "{{operation}} {{status_code}}"), "reqps")
    d.graph("Azure by status", (rate("loki_azure_blob_request_duration_seconds_count", "operation, status_code"), "{{operation}} {{status_code}}"), "reqps")
    d.graph("GCS by status", (rate("loki_gcs_request_duration_seconds_count", "operation, status_code"), "{{operation}} {{status_code}}"), "reqps")
    d.graph("Index objects written", (rate("loki_tsdb_shipper_tables_upload_operation_total", "status"), "{{status}}"), "cps")
    d.graph("Index look-outs", (rate("loki_tsdb_shipper_tables_sync_operation_total", "status, trigger"), "{{status}} {{trigger}}"), "cps")
    d.row("Compaction")
    d.graph("Since the last good run", (s("time() - max by (cluster, namespace) (loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds{§} > 0)"), "{{namespace}}"), "s",
            "docs/runbooks/LokiCompactorHasNotSuccessfullyRunCompaction.md")
    d.graph("Runs", (rate("loki_boltdb_shipper_compact_tables_operation_total", "status", function="increase"), "{{status}}"))
    d.graph("Duration", (s("max by (instance) (loki_boltdb_shipper_compact_tables_operation_duration_seconds{§})"), "{{instance}}"), "s")
    d.graph("Running", (s("sum by (instance) (loki_boltdb_shipper_compactor_running{§})"), "{{instance}}"), "short", "docs/runbooks/LokiTooManyCompactorsRunning.md")
    d.graph("Tables skipped because locked", (s("max by (table_name) (loki_compactor_locked_table_successive_compaction_skips{§})"), "{{table_name}}"))
    d.graph("Days still to look at", (s("max by (instance) (skald_compactor_days_left{§})"), "{{instance}}"))
    d.graph("Bytes of chunks", [(rate("skald_compactor_read_bytes_total"), "read"), (rate("skald_compactor_written_bytes_total"), "written")], "Bps")
    d.graph("Objects", [(rate("skald_compactor_objects_replaced_total"), "replaced"), (rate("skald_compactor_objects_written_total"), "written"),
                        (rate("skald_compactor_orphans_deleted_total"), "left behind, deleted"), (rate("skald_compactor_objects_adopted_total"), "found again")], "cps")
    d.graph("Rows stored by more than one replica, removed", (rate("skald_compactor_duplicate_rows_total"), "rows"), "cps")
    d.graph("Changes given up: another compactor was first", (rate("skald_compactor_commits_lost_total", "instance"), "{{instance}}"), "cps")
    d.graph("Objects to be deleted", (s("max by (instance) (skald_compactor_retired_objects{§})"), "{{instance}}"))
    d.row("Retention and deletion")
    d.graph("Retention passes", (rate("loki_compactor_apply_retention_operation_total", "status", function="increase"), "{{status}}"))
    d.graph("Since the last good pass", (s("time() - max by (cluster, namespace) (loki_compactor_apply_retention_operation_last_successful_run_timestamp_seconds{§} > 0)"), "{{namespace}}"), "s")
    d.graph("Chunks marked", (rate("loki_boltdb_shipper_retention_marker_count_total"), "marked"), "cps")
    d.graph("Chunks deleted", (rate("loki_boltdb_shipper_retention_sweeper_chunk_deleted_duration_seconds_count", "status"), "{{status}}"), "cps")
    d.graph("Delete requests waiting", (s("max by (cluster, namespace) (loki_compactor_pending_delete_requests_count{§})"), "{{namespace}}"))
    d.graph("Oldest one", (s("max by (cluster, namespace) (loki_compactor_oldest_pending_delete_request_age_seconds{§})"), "{{namespace}}"), "s", "docs/runbooks/SkaldDeleteRequestsStuck.md")
    d.graph("Failures", (rate("loki_compactor_delete_processing_fails_total"), "failures"), "cps")
    d.graph("Lines deleted by tenant", (rate("loki_compactor_deleted_lines", "user"), "{{user}}"), "cps")
    return d


def ring():
    d = Dashboard("ring", "Ring", "Who is a member, in which state, and how they hear of each other.")
    d.row("Members")
    d.stat("Active ingesters", s('max(loki_ring_members{§, name="ingester", state="ACTIVE"})'))
    d.stat("Unhealthy", s('sum(max by (name) (loki_ring_members{§, state="Unhealthy"}))'), about="docs/runbooks/SkaldRingMemberUnhealthy.md", thresholds=[(1, "red")])
    d.stat("Gossip members", s("min(loki_memberlist_client_cluster_members_count{§})"))
    d.stat("Health score", s("max(loki_memberlist_client_cluster_node_health_score{§})"), about="0 is well.", thresholds=[(1, "orange"), (4, "red")])
    d.stat("Replication", s("max(loki_distributor_replication_factor{§})"))
    d.stat("Not ready", s('count(up{§} == 0) or vector(0)'), thresholds=[(1, "red")])
    d.row("Rings")
    d.graph("Members by ring and state", (s("max by (name, state) (loki_ring_members{§})"), "{{name}} {{state}}"))
    d.graph("As each member sees the ingesters", (s('max by (instance, state) (loki_ring_members{§, name="ingester", state!="ACTIVE"})'), "{{instance}} {{state}}"), "short", "They should agree.")
    d.graph("Tokens", (s("max by (name) (loki_ring_tokens_total{§})"), "{{name}}"))
    d.graph("Heartbeats", (rate("loki_ring_member_heartbeats_total", "name, instance"), "{{name}} {{instance}}"), "cps")
    d.graph("Oldest heartbeat", (s("time() - min by (name, state) (loki_ring_oldest_member_timestamp{§} > 0)"), "{{name}} {{state}}"), "s")
    d.graph("Forgotten by themselves", (rate("loki_ingester_autoforget_unhealthy_ingesters_total", function="increase"), "members"))
    d.row("Gossip")
    d.graph("Members as each one sees it", (s("min by (instance) (loki_memberlist_client_cluster_members_count{§})"), "{{instance}}"), "short", "docs/runbooks/SkaldGossipSplit.md")
    d.graph("Messages", [(rate("loki_memberlist_client_received_broadcasts_total"), "received"), (rate("loki_memberlist_client_received_broadcasts_invalid_total"), "invalid"),
                         (rate("loki_memberlist_client_messages_to_broadcast_dropped_total"), "dropped")], "cps")
    d.graph("Queue", (s("sum by (instance) (loki_memberlist_client_messages_in_broadcast_queue{§})"), "{{instance}}"))
    d.graph("Packets", [(rate("loki_memberlist_tcp_transport_packets_sent_total"), "sent"), (rate("loki_memberlist_tcp_transport_packets_received_total"), "received")], "pps")
    d.graph("Packet failures", [(rate("loki_memberlist_tcp_transport_packets_sent_errors_total"), "sent"), (rate("loki_memberlist_tcp_transport_packets_received_errors_total"), "received")], "pps")
    d.graph("Conflicting updates", [(rate("loki_memberlist_client_cas_attempt_total"), "tried"), (rate("loki_memberlist_client_cas_failure_total"), "failed")], "cps")
    d.row("Key-value store")
    d.graph("Duration p99", (quantile(0.99, "loki_kv_request_duration_seconds", "kv_name, operation"), "{{kv_name}} {{operation}}"), "s")
    d.graph("By status", (rate("loki_kv_request_duration_seconds_count", "operation, status_code"), "{{operation}} {{status_code}}"), "reqps")
    d.graph("Names looked up", [(rate("loki_dns_lookups_total"), "looked up"), (rate("loki_dns_failures_total"), "failed")], "cps")
    return d


ALL = [overview, writes, reads, storage, ring]


def text_of(dashboard):
    return json.dumps(dashboard.json(), indent=1, ensure_ascii=False) + "\n"


def main():
    stale = []
    for make in ALL:
        dashboard = make()
        path = os.path.join(FOLDER, "skald-%s.json" % dashboard.name)
        text = text_of(dashboard)
        if "--check" in sys.argv:
            if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
                stale.append(path)
            continue
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    if stale:
        print("not what monitoring/generate.py writes: " + ", ".join(stale), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
