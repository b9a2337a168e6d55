// Where the engine gets rows from: the querier's merge of ingesters and store, or a test's vector of lines.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/context.h"
#include "skald/chunk/block.h"
#include "skald/logql/ast.h"
#include "skald/rpc/ingester_client.h"

namespace skald::engine {

// Entries a delete request hides: those of `selector` (stages included) in [start_ns, end_ns].
struct Deletion {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  logql::LogSelector selector;
};
using Deletions = std::shared_ptr<const std::vector<Deletion>>;

// Thread-safe.
class Source {
 public:
  virtual ~Source() = default;
  virtual Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) = 0;
  // May be null: nothing is hidden.
  virtual Deletions deletions(const std::string& tenant) { (void)tenant; return nullptr; }
};

}  // namespace skald::engine
