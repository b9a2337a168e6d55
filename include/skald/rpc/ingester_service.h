// The answering side of an ingester for other processes: rpc/wire.h over the HTTP server.
#pragma once

#include <memory>

#include "skald/base/clock.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/ingester_client.h"
#include "skald/rpc/wire.h"

namespace skald::rpc {

// Label texts of known streams → interned labels. Bounded: the oldest half is dropped when it is full. Thread-safe.
class LabelTexts {
 public:
  explicit LabelTexts(std::size_t entries_max = 200'000);
  ~LabelTexts();
  Result<model::LabelsPtr> intern(std::string_view text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct IngesterServiceOptions {
  std::int64_t handle_idle_ns = kNanosPerMinute;         // a select's rows are let go when nobody fetched for so long
  std::uint64_t inline_bytes = 2 << 20;                  // rows sent along with a select, small blocks first come
  std::uint64_t inline_block_bytes = 64 << 10;
  std::uint64_t answer_bytes = 8 << 20;                  // rows in one answer to a fetch
  std::size_t tail_entries_max = 100'000;                // waiting for a slow reader; beyond: dropped
};

// Thread-safe.
class IngesterService {
 public:
  // `ingester` outlives the service.
  IngesterService(IngesterClient& ingester, obs::Registry& registry, const Clock& clock = system_clock(), IngesterServiceOptions options = {});
  ~IngesterService();   // after the server has stopped
  // POST /skald.rpc.v1/ingester/{push,select,blocks,release,series,volumes,tail,tail-next,tail-stop}
  void add_routes(http::Server& server);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// What a call says of itself: tenant, time left, cancellation by the caller's disconnect.
CallContext context_of(const http::Request& request, const Clock& clock);
http::Response answer(Result<Bytes> message);

}  // namespace skald::rpc
