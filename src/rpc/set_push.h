// One push on its way to a ring's members: counts answers per stream, and answers itself once every stream has its quorum.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "skald/rpc/ingester_client.h"
#include "skald/rpc/wire.h"

namespace skald::rpc {

// Thread-safe once the streams are added.
class SetPush {
 public:
  SetPush(std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) : batch_(std::move(batch)), done_(std::move(done)) {}

  void add_stream(std::size_t min_success, std::size_t max_failures);   // in order, before the first answer
  void refuse(Error error);                                             // instead of sending anything
  // A member's answer for the streams it was sent.
  void answered(const std::vector<std::uint32_t>& streams, Result<model::PushOutcome> outcome);

 private:
  struct Stream {
    std::size_t needed = 0, failures_left = 0;
    bool settled = false;
  };
  const std::shared_ptr<const model::PushBatch> batch_;   // what stragglers still read
  std::mutex mutex_;                                      // guards all below
  std::function<void(Result<model::PushOutcome>)> done_;
  std::vector<Stream> streams_;
  std::size_t unsettled_ = 0;
  std::size_t answers_ = 0, refusals_ = 0;
  model::PushOutcome worst_;                              // of the answers that refused entries
  std::optional<Error> client_error_, server_error_;
};

// The same entries of some streams as a batch of their own.
std::shared_ptr<const model::PushBatch> part_of(const std::shared_ptr<const model::PushBatch>& batch, const std::vector<std::uint32_t>& streams);

}  // namespace skald::rpc
