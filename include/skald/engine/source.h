// Where the engine gets rows from: the querier's merge of ingesters and store, or a test's vector of lines.
#pragma once

#include "skald/base/context.h"
#include "skald/chunk/block.h"
#include "skald/rpc/ingester_client.h"

namespace skald::engine {

// Thread-safe.
class Source {
 public:
  virtual ~Source() = default;
  virtual Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) = 0;
};

}  // namespace skald::engine
