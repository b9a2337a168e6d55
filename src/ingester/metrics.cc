#include "ingester/metrics.h"

namespace skald::ingester {
namespace {

std::vector<double> doubling(double first, int count) {
  std::vector<double> bounds;
  for (int i = 0; i < count; ++i, first *= 2) bounds.push_back(first);
  return bounds;
}

}  // namespace

Metrics::Metrics(obs::Registry& r)
    : memory_streams(r.gauge_family("loki_ingester_memory_streams", "The total number of streams in memory per tenant.", {"tenant"})),
      streams_created(r.counter_family("loki_ingester_streams_created_total", "The total number of streams created per tenant.", {"tenant"})),
      streams_removed(r.counter_family("loki_ingester_streams_removed_total", "The total number of streams removed per tenant.", {"tenant"})),
      memory_chunks(r.gauge("loki_ingester_memory_chunks", "The total number of chunks in memory.")),
      labels_bytes(r.gauge("loki_ingester_memory_streams_labels_bytes", "Total bytes of labels of the streams in memory.")),
      flush_queue_length(r.gauge("loki_ingester_flush_queue_length", "The total number of chunks waiting to be flushed.")),
      chunks_created(r.counter("loki_ingester_chunks_created_total", "The total number of chunks created in the ingester.")),
      chunks_flushed(r.counter_family("loki_ingester_chunks_flushed_total", "Total flushed chunks per reason.", {"reason"})),
      flush_requests(r.counter("loki_ingester_chunks_flush_requests_total", "Attempts to write an object of chunks.")),
      flush_failures(r.counter("loki_ingester_chunks_flush_failures_total", "Failed attempts to write an object of chunks.")),
      chunks_stored(r.counter_family("loki_ingester_chunks_stored_total", "Total chunks written to the store per tenant.", {"tenant"})),
      chunk_stored_bytes(r.counter_family("loki_ingester_chunk_stored_bytes_total", "Total bytes of chunks written to the store per tenant.", {"tenant"})),
      chunk_age(r.histogram("loki_ingester_chunk_age_seconds", "Distribution of chunk ages when flushed.",
                            {60, 300, 600, 1800, 3600, 7200, 14400, 36000, 43200, 57600})),
      chunk_bounds(r.histogram("loki_ingester_chunk_bounds_hours", "Distribution of chunk end - start durations.", {1, 2, 3, 4, 5, 6, 7, 8})),
      chunk_entries(r.histogram("loki_ingester_chunk_entries", "Distribution of stored lines per chunk.", doubling(200, 9))),
      chunk_size(r.histogram("loki_ingester_chunk_size_bytes", "Distribution of stored chunk sizes.", doubling(20000, 10))),
      chunk_utilization(r.histogram("loki_ingester_chunk_utilization", "Distribution of stored chunk size against its target.",
                                    {0, 0.2, 0.4, 0.6000000000000001, 0.8, 1})),
      compression_ratio(r.histogram("loki_ingester_chunk_compression_ratio", "Compression ratio of chunks.",
                                    {.75, 2.75, 4.75, 6.75, 8.75, 10.75, 12.75, 14.75, 16.75, 18.75})),
      index_entries_per_chunk(r.histogram("loki_chunk_store_index_entries_per_chunk", "Number of index entries per chunk.", {1, 2, 4, 8, 16})),
      deduped_chunks(r.counter("loki_chunk_store_deduped_chunks_total", "Chunks that another replica had stored already.")),
      discarded_samples(r.counter_family("loki_discarded_samples_total", "Lines refused, by reason.",
                                         {"reason", "tenant", "retention_hours", "policy", "format"})),
      rows_handed_over(r.counter("skald_ingester_rows_handed_over_total", "Rows that successors took when this ingester left.")),
      rows_taken_over(r.counter("skald_ingester_rows_taken_over_total", "Rows taken from ingesters that left, without those held already.")),
      shutdown_marker(r.gauge("loki_ingester_shutdown_marker", "1 if prepare_shutdown has been called, 0 otherwise.")),
      limiter_enabled(r.gauge("loki_ingester_limiter_enabled", "Whether limits are enforced (0 during replay).")),
      wal_disk_full(r.counter("loki_ingester_wal_disk_full_failures_total", "Appends refused because the disk was full.")),
      wal_disk_usage(r.gauge("loki_ingester_wal_disk_usage_percent", "Share of the write-ahead log's disk that is in use, 0 to 1.")),
      wal_corruptions(r.counter_family("loki_ingester_wal_corruptions_total", "Damaged places met in the write-ahead log.", {"type"})),
      wal_replay_active(r.gauge("loki_ingester_wal_replay_active", "Whether the write-ahead log is being replayed.")),
      wal_replay_duration(r.gauge("loki_ingester_wal_replay_duration_seconds", "Time the replay of the write-ahead log took.")),
      wal_bytes_in_use(r.gauge("loki_ingester_wal_bytes_in_use", "Bytes of all segments of the write-ahead log.")),
      wal_recovered_streams(r.counter("loki_ingester_wal_recovered_streams_total", "Streams recovered from the write-ahead log.")),
      wal_recovered_entries(r.counter("loki_ingester_wal_recovered_entries_total", "Entries recovered from the write-ahead log.")) {
  for (const char* type : {"checkpoint", "segment"}) wal_corruptions.with({type});
  for (const char* reason : {"full", "idle", "max_age", "forced", "synced", "not_owned"}) chunks_flushed.with({reason});
}

}  // namespace skald::ingester
