// What a query may read, checked when its chunks are known and before any is opened: the number of streams and chunks, and
// the bytes they hold.
#pragma once

#include <atomic>
#include <cstdint>

#include "skald/config/limits.h"
#include "skald/engine/source.h"

namespace skald::api {

// One per query; bytes and chunks add up over its selectors. Thread-safe.
class LimitedSource final : public engine::Source {
 public:
  // `source` and `limits` outlive it. `splits_apart`: the query reads day by day (or whatever split_queries_by_interval
  // says), so that max_querier_bytes_read holds for each part rather than for all.
  LimitedSource(engine::Source& source, const config::Limits& limits, bool splits_apart)
      : source_(source), limits_(limits), splits_apart_(splits_apart) {}

  // kInvalidArgument with Loki's texts.
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  engine::Deletions deletions(const std::string& tenant) override { return source_.deletions(tenant); }
  std::uint64_t bytes() const { return bytes_; }   // estimated so far
  std::uint64_t streams() const { return streams_; }

 private:
  engine::Source& source_;
  const config::Limits& limits_;
  const bool splits_apart_;
  std::atomic<std::uint64_t> bytes_{0}, chunks_{0}, streams_{0};
};

}  // namespace skald::api
