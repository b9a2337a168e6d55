// The ingester's metrics, got once.
#pragma once

#include "skald/obs/metrics.h"

namespace skald::ingester {

struct Metrics {
  explicit Metrics(obs::Registry& registry);
  obs::GaugeFamily& memory_streams;
  obs::CounterFamily& streams_created;
  obs::CounterFamily& streams_removed;
  obs::Gauge& memory_chunks;
  obs::Gauge& labels_bytes;
  obs::Gauge& flush_queue_length;
  obs::Counter& chunks_created;
  obs::CounterFamily& chunks_flushed;
  obs::Counter& flush_requests;
  obs::Counter& flush_failures;
  obs::CounterFamily& chunks_stored;
  obs::CounterFamily& chunk_stored_bytes;
  obs::Histogram& chunk_age;
  obs::Histogram& chunk_bounds;
  obs::Histogram& chunk_entries;
  obs::Histogram& chunk_size;
  obs::Histogram& chunk_utilization;
  obs::Histogram& compression_ratio;
  obs::Histogram& index_entries_per_chunk;
  obs::Counter& deduped_chunks;
  obs::CounterFamily& discarded_samples;
  obs::Counter& rows_handed_over;
  obs::Counter& rows_taken_over;
  obs::Gauge& shutdown_marker;
  obs::Gauge& limiter_enabled;
  obs::Counter& wal_disk_full;
  obs::Gauge& wal_disk_usage;
  obs::CounterFamily& wal_corruptions;
  obs::Gauge& wal_replay_active;
  obs::Gauge& wal_replay_duration;
  obs::Gauge& wal_bytes_in_use;
  obs::Counter& wal_recovered_streams;
  obs::Counter& wal_recovered_entries;
};

}  // namespace skald::ingester
