// The answering side of an index gateway: what a store knows, for readers in other processes.
#pragma once

#include <memory>

#include "skald/base/clock.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/index_client.h"

namespace skald::rpc {

struct IndexServiceOptions {
  std::uint64_t page_bytes = 16 << 20;   // about so much of references goes into one answer; a stream stays whole
};

// Thread-safe.
class IndexService {
 public:
  // `index` and `registry` outlive the routes.
  IndexService(IndexClient& index, obs::Registry& registry, const Clock& clock = system_clock(), IndexServiceOptions options = {});
  ~IndexService();
  // POST /skald.rpc.v1/index/{refs,series,volumes,label-names,label-values}
  void add_routes(http::Server& server);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace skald::rpc
