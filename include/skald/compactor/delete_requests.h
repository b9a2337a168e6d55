// Delete requests: kept in the object store (<tenant>/deletes/<id>), hidden from query results from the moment they are
// accepted, carried out by the compactor later.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "skald/base/random.h"
#include "skald/logql/ast.h"
#include "skald/objstore/object_store.h"

namespace skald::compactor {

enum class DeleteStatus { kReceived, kProcessed };

struct DeleteRequest {
  std::string id;                   // eight hex digits
  std::int64_t start_s = 0;         // [start, end], unix seconds
  std::int64_t end_s = 0;
  std::string query;                // as given
  logql::LogSelector selector;      // parsed
  DeleteStatus status = DeleteStatus::kReceived;
  std::int64_t created_ms = 0;
};
using DeleteRequests = std::shared_ptr<const std::vector<std::shared_ptr<const DeleteRequest>>>;

// Thread-safe.
class DeleteStore {
 public:
  DeleteStore(objstore::ObjectStore& objects, const Clock& clock, Random& random, std::int64_t cancel_period_ns)
      : objects_(objects), clock_(clock), random_(random), cancel_period_ns_(cancel_period_ns) {}

  // Reads the requests of every tenant that has a folder of them; unreadable ones are an error naming the key.
  Result<void> load(const CallContext& ctx, const std::vector<std::string>& tenants);

  // kInvalidArgument "invalid query expression" for what is not a log query. Durable when this returns.
  Result<std::string> add(const CallContext& ctx, const std::string& query, std::int64_t start_s, std::int64_t end_s);
  // kNotFound, or kInvalidArgument once the cancel period is over (unless `force`).
  Result<void> cancel(const CallContext& ctx, const std::string& id, bool force);
  // By creation time. Never null; empty for most tenants, so that asking costs one lookup.
  DeleteRequests of(const std::string& tenant) const;

 private:
  void replace(const std::string& tenant, std::vector<std::shared_ptr<const DeleteRequest>> requests);

  objstore::ObjectStore& objects_;
  const Clock& clock_;
  Random& random_;
  const std::int64_t cancel_period_ns_;
  std::mutex change_mutex_;    // one change of a tenant's list at a time
  mutable std::mutex mutex_;   // guards by_tenant_
  std::map<std::string, DeleteRequests> by_tenant_;
};

// A log query; `{}` is allowed here and means every stream.
Result<logql::LogSelector> parse_delete_query(const std::string& query);

}  // namespace skald::compactor
