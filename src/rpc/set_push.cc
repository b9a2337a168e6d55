#include "rpc/set_push.h"

#include <utility>

namespace skald::rpc {
namespace {

// What another try elsewhere cannot change.
bool is_client_error(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kResourceExhausted || code == ErrorCode::kUnprocessable || code == ErrorCode::kTooLarge ||
         code == ErrorCode::kPermissionDenied;
}

}  // namespace

void SetPush::add_stream(std::size_t min_success, std::size_t max_failures) {
  streams_.push_back({.needed = min_success, .failures_left = max_failures});
  ++unsettled_;
}

void SetPush::refuse(Error error) {
  auto done = std::exchange(done_, nullptr);
  done(std::move(error));
}

void SetPush::answered(const std::vector<std::uint32_t>& streams, Result<model::PushOutcome> outcome) {
  std::function<void(Result<model::PushOutcome>)> done;
  std::optional<Result<model::PushOutcome>> verdict;
  {
    const std::lock_guard lock(mutex_);
    if (!done_) return;   // answered already; this was a straggler
    ++answers_;
    if (outcome.ok()) {
      if (outcome->error.has_value()) {
        ++refusals_;
        if (outcome->refused >= worst_.refused) worst_ = *std::move(outcome);
      }
      for (const std::uint32_t i : streams) {
        Stream& stream = streams_[i];
        if (stream.settled || --stream.needed > 0) continue;
        stream.settled = true;
        --unsettled_;
      }
    } else {
      std::optional<Error>& kept = is_client_error(outcome.error().code()) ? client_error_ : server_error_;
      if (!kept) kept = outcome.error();
      for (const std::uint32_t i : streams) {
        Stream& stream = streams_[i];
        if (stream.settled || stream.failures_left-- > 0) continue;
        // Too many: the stream has no quorum. 4xx is told when that was the trouble.
        verdict = client_error_ ? *client_error_ : *server_error_;
        break;
      }
    }
    if (!verdict && unsettled_ == 0) {
      model::PushOutcome result;
      // Entries that most replicas refused are not stored by a quorum; what one alone refused is.
      if (2 * refusals_ > answers_) result = std::move(worst_);
      else result.accepted = batch_->entries.size();
      verdict = std::move(result);
    }
    if (!verdict) return;
    done = std::exchange(done_, nullptr);
  }
  done(*std::move(verdict));
}

std::shared_ptr<const model::PushBatch> part_of(const std::shared_ptr<const model::PushBatch>& batch, const std::vector<std::uint32_t>& streams) {
  // Views stay valid: the part keeps the whole alive.
  struct Part {
    model::PushBatch batch;
    std::shared_ptr<const model::PushBatch> whole;
  };
  auto part = std::make_shared<Part>();
  part->whole = batch;
  model::PushBatch& out = part->batch;
  out.tenant = batch->tenant;
  for (const std::uint32_t i : streams) {
    const model::PushStream& stream = batch->streams[i];
    const auto begin = static_cast<std::uint32_t>(out.entries.size());
    for (std::uint32_t e = stream.entries_begin; e < stream.entries_end; ++e) {
      model::PushEntry entry = batch->entries[e];
      const auto metadata_begin = static_cast<std::uint32_t>(out.metadata.size());
      for (std::uint32_t m = entry.metadata_begin; m < entry.metadata_end; ++m) {
        out.metadata.push_back(batch->metadata[m]);
        out.metadata_bytes += batch->metadata[m].name.size() + batch->metadata[m].value.size();
      }
      entry.metadata_begin = metadata_begin;
      entry.metadata_end = static_cast<std::uint32_t>(out.metadata.size());
      out.line_bytes += entry.line.size();
      out.entries.push_back(entry);
    }
    out.streams.push_back({stream.labels, begin, static_cast<std::uint32_t>(out.entries.size())});
  }
  return std::shared_ptr<const model::PushBatch>(part, &part->batch);
}

}  // namespace skald::rpc
