#include "compactor/metrics.h"

namespace skald::compactor {
namespace {

std::vector<double> doubling(double first, int edges) {
  std::vector<double> bounds;
  for (int i = 0; i < edges; ++i, first *= 2) bounds.push_back(first);
  return bounds;
}

}  // namespace

Metrics::Metrics(obs::Registry& registry)
    : running(registry.gauge("loki_boltdb_shipper_compactor_running", "1 on the compactor that leads: the one that holds the lease of the first tenant.")),
      compactions(registry.counter_family("loki_boltdb_shipper_compact_tables_operation_total", "Compaction runs.", {"status"})),
      compaction_seconds(registry.gauge("loki_boltdb_shipper_compact_tables_operation_duration_seconds", "How long the last compaction run took.")),
      last_compaction_s(registry.gauge("loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds", "When the last compaction run ended well.")),
      retentions(registry.counter_family("loki_compactor_apply_retention_operation_total", "Runs that applied retention.", {"status"})),
      retention_seconds(registry.gauge("loki_compactor_apply_retention_operation_duration_seconds", "How long the last run that applied retention took.")),
      last_retention_s(registry.gauge("loki_compactor_apply_retention_operation_last_successful_run_timestamp_seconds", "When the last run that applied retention ended well.")),
      tables_processed(registry.counter_family("loki_boltdb_shipper_retention_marker_table_processed_total", "Days that retention looked at.", {"table", "user_id", "action"})),
      marked(registry.counter_family("loki_boltdb_shipper_retention_marker_count_total", "Index entries of chunks that expired.", {"table"})),
      table_seconds(registry.histogram_family("loki_boltdb_shipper_retention_marker_table_processed_duration_seconds", "Time spent on a day.", {"table", "status"},
                                              {1, 2.5, 5, 10, 20, 40, 90, 360, 600, 1800})),
      sweep_seconds(registry.histogram_family("loki_boltdb_shipper_retention_sweeper_chunk_deleted_duration_seconds", "Time spent on deleting a batch of objects.", {"status"},
                                              doubling(.1, 8))),
      marker_files(registry.gauge_family("loki_boltdb_shipper_retention_sweeper_marker_files_current", "Days with objects that wait for their deletion.", {"from"})),
      marker_time(registry.gauge_family("loki_boltdb_shipper_retention_sweeper_marker_file_processing_current_time", "When what was deleted last had been retired.", {"from"})),
      locked_tables(registry.gauge_family("loki_compactor_locked_table_successive_compaction_skips", "Runs in a row that left a tenant to another compactor.", {"table_name"})),
      requests_received(registry.counter_family("loki_compactor_delete_requests_received_total", "Delete requests accepted.", {"user"})),
      requests_processed(registry.counter_family("loki_compactor_delete_requests_processed_total", "Delete requests carried out.", {"user"})),
      load_attempts(registry.counter_family("loki_compactor_load_pending_requests_attempts_total", "Reads of the delete requests.", {"status"})),
      oldest_request_s(registry.gauge("loki_compactor_oldest_pending_delete_request_age_seconds", "Age of the oldest delete request that may be carried out and is not yet.")),
      pending_requests(registry.gauge("loki_compactor_pending_delete_requests_count", "Delete requests that may be carried out and are not yet.")),
      deleted_lines(registry.counter_family("loki_compactor_deleted_lines", "Entries removed by delete requests.", {"user"})),
      chunks_selected(registry.counter_family("loki_compactor_delete_requests_chunks_selected_total", "Chunks that delete requests may touch.", {"user"})),
      delete_failures(registry.counter("loki_compactor_delete_processing_fails_total", "Days that could not be worked on for a delete request.")),
      bytes_in(registry.counter("skald_compactor_read_bytes_total", "Bytes of chunks read for rewriting.")),
      bytes_out(registry.counter("skald_compactor_written_bytes_total", "Bytes of chunk objects written.")),
      objects_in(registry.counter("skald_compactor_objects_replaced_total", "Chunk objects replaced.")),
      objects_out(registry.counter("skald_compactor_objects_written_total", "Chunk objects written.")),
      duplicate_rows(registry.counter("skald_compactor_duplicate_rows_total", "Rows that replicas had stored again.")),
      orphans(registry.counter("skald_compactor_orphans_deleted_total", "Chunk objects that an interrupted compactor left behind.")),
      adopted(registry.counter("skald_compactor_objects_adopted_total", "Chunk objects that no index listed and that are listed again.")),
      commits_lost(registry.counter("skald_compactor_commits_lost_total", "Changes given up because another compactor was first.")),
      days_left(registry.gauge("skald_compactor_days_left", "Days still to be looked at in this run.")),
      retired_objects(registry.gauge("skald_compactor_retired_objects", "Objects deleted or waiting for it in the days looked at last.")) {
  running.set(0);
  last_compaction_s.set(0);
  for (const char* status : {"success", "failure"}) {
    compactions.with({status});
    retentions.with({status});
    load_attempts.with({status});
  }
  marker_files.with({""});
  marker_time.with({""});
}

}  // namespace skald::compactor
