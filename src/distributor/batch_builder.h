// From decoded rows to a validated PushBatch, in Loki's order of checks.
#pragma once

#include <memory>
#include <string>

#include "distributor/decoded.h"
#include "distributor/discards.h"
#include "distributor/label_cache.h"
#include "skald/model/push.h"

namespace skald::distributor {

struct BuiltBatch {
  std::shared_ptr<model::PushBatch> batch;  // without received_body and tenant
  GroupedErrors errors;                     // refused streams and rows
  DiscardCounts discards;
  std::uint64_t truncated_lines = 0, truncated_bytes = 0;
  // The batch is exactly what walking the body again yields: nothing refused, dropped, changed or reordered.
  bool as_received = true;
};

struct BuildContext {
  const std::string& tenant;
  const TenantSettings& settings;
  LabelCache& cache;
  std::string_view backfill_shard;
  std::int64_t now_ns;
};

// Consumes `decoded`. An Error refuses the whole request; refused rows are in BuiltBatch::errors.
Result<BuiltBatch> build_batch(Decoded decoded, const BuildContext& context);

}  // namespace skald::distributor
