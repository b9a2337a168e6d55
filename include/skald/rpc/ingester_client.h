// What distributors, queriers and operators ask of an ingester. In process this is the ingester itself; split, it is
// HTTP/protobuf. Both run the same contract tests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/context.h"
#include "skald/base/result.h"
#include "skald/chunk/block.h"
#include "skald/model/labels.h"
#include "skald/model/matcher.h"
#include "skald/model/push.h"

namespace skald::rpc {

class CountTaker;   // count_taker.h

struct SelectRequest {
  std::vector<model::Matcher> matchers;  // empty: all streams of the tenant
  std::int64_t start_ns = 0;             // [start, end]: both inclusive; callers cut exactly
  std::int64_t end_ns = 0;
  CountTaker* counts = nullptr;          // select() of a store in this process only; null: all rows are wanted as they are
  // For volumes(). So many ingesters may have stored the same rows; and chunks that reach to here or beyond are told one by
  // one, since others may tell of the same ones.
  std::uint32_t copies = 1;
  std::int64_t spans_since_ns = INT64_MAX;
  // For select() of one of `turns` ingesters that hold copies: rows come along only from the one whose turn the stream is
  // (hash modulo turns), unless they cannot be told from other rows (BlockSlice::content_id). 0: from this one.
  std::uint32_t turn = 0, turns = 0;
  bool has_turn(std::uint64_t stream_hash) const { return turns == 0 || stream_hash % turns == turn; }
};

// Rows of a stream that lie together, cut to the range that was asked for.
struct VolumeSpan {
  std::uint64_t source_id = 0;           // of a stored chunk, as BlockSlice has it; 0: rows in memory
  std::uint32_t holder = 0;              // spans of one holder are different rows, those of two may be copies
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint64_t bytes = 0, entries = 0;
};

struct SeriesVolume {
  model::LabelsPtr labels;
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t chunks = 0;
  std::vector<VolumeSpan> spans;         // not in the sums above
};

struct TailEntry {
  std::int64_t timestamp_ns = 0;
  std::string line;
  std::vector<model::Label> metadata;
};

// Called from push threads right after an append with the entries just accepted; must be quick and never block.
using TailSink = std::function<void(const model::LabelsPtr&, const std::vector<TailEntry>&)>;

class IngesterClient {
 public:
  virtual ~IngesterClient() = default;
  // `done` is called exactly once, from any thread, when the configured durability holds or the push failed as a whole.
  // Refused entries are not a failure: see PushOutcome.
  virtual void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch,
                    std::function<void(Result<model::PushOutcome>)> done) = 0;
  // The same push for several ingesters, encoded once (rpc/wire.h). kUnimplemented: this one wants the batch itself.
  virtual void push_encoded(const CallContext& ctx, SharedBytes message, std::function<void(Result<model::PushOutcome>)> done) {
    (void)ctx, (void)message;
    done(Error(ErrorCode::kUnimplemented, "this ingester takes batches"));
  }
  virtual bool takes_encoded() const { return false; }
  // Streams with data in memory (heads, blocks and chunks not yet visible through the store).
  virtual Result<chunk::SelectResult> select(const CallContext& ctx, const SelectRequest& request) = 0;
  // Labels of streams that match (time range honoured by the stream's own min/max time).
  virtual Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) = 0;
  // Per stream: bytes and entries in memory that lie in the range (whole blocks may be estimated by share).
  virtual Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) = 0;
  // Live entries of matching streams until the handle is destroyed.
  virtual Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers,
                                             TailSink sink) = 0;
};

}  // namespace skald::rpc
