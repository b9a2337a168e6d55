// The names that dashboards and alerts know, and a few of our own.
#pragma once

#include <string>

#include "skald/obs/metrics.h"

namespace skald::compactor {

struct Metrics {
  explicit Metrics(obs::Registry& registry);

  obs::Gauge& running;
  obs::CounterFamily& compactions;              // status
  obs::Gauge& compaction_seconds;
  obs::Gauge& last_compaction_s;
  obs::CounterFamily& retentions;               // status
  obs::Gauge& retention_seconds;
  obs::Gauge& last_retention_s;
  obs::CounterFamily& tables_processed;         // table, user_id, action
  obs::CounterFamily& marked;                   // table
  obs::HistogramFamily& table_seconds;          // table, status
  obs::HistogramFamily& sweep_seconds;          // status
  obs::GaugeFamily& marker_files;               // from
  obs::GaugeFamily& marker_time;                // from
  obs::GaugeFamily& locked_tables;              // table_name
  obs::CounterFamily& requests_received;        // user
  obs::CounterFamily& requests_processed;       // user
  obs::CounterFamily& load_attempts;            // status
  obs::Gauge& oldest_request_s;
  obs::Gauge& pending_requests;
  obs::CounterFamily& deleted_lines;            // user
  obs::CounterFamily& chunks_selected;          // user
  obs::Counter& delete_failures;

  // Our own.
  obs::Counter& bytes_in;
  obs::Counter& bytes_out;
  obs::Counter& objects_in;
  obs::Counter& objects_out;
  obs::Counter& duplicate_rows;
  obs::Counter& orphans;
  obs::Counter& adopted;
  obs::Counter& commits_lost;
  obs::Gauge& days_left;
  obs::Gauge& retired_objects;
};

}  // namespace skald::compactor
