// Delete requests: kept in the object store (<tenant>/deletes/<id>), hidden from query results from the moment they are
// accepted, carried out by the compactor later.
#pragma once

#include <cstdint>
#include <functional>
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

  // What the compactor has done about it.
  std::vector<std::int64_t> days_done;   // days since 1970 without such rows, ascending; kept until all are done
  std::uint32_t days_total = 0;          // days with data in the range, as of the last look; 0: not begun
  std::int64_t finished_ms = 0;          // processed: when
  std::uint64_t lines_removed = 0;       // an entry that replicas stored several times counts once
  std::uint64_t bytes_removed = 0;       // of these lines
};

// "received", "37% Complete" or "processed".
std::string status_text(const DeleteRequest& request);
using DeleteRequests = std::shared_ptr<const std::vector<std::shared_ptr<const DeleteRequest>>>;

// Thread-safe.
class DeleteStore {
 public:
  DeleteStore(objstore::ObjectStore& objects, const Clock& clock, Random& random, std::int64_t cancel_period_ns)
      : objects_(objects), clock_(clock), random_(random), cancel_period_ns_(cancel_period_ns) {}

  // Reads the requests of these tenants. What cannot be read is named in the error and does not keep others from being read.
  Result<void> load(const CallContext& ctx, const std::vector<std::string>& tenants);
  // The same for every tenant of the bucket: what was asked of other processes shows up here. For background threads, since
  // it lists; call it every minute or so.
  Result<void> refresh(const CallContext& ctx);

  // kInvalidArgument "invalid query expression" for what is not a log query. Durable when this returns.
  Result<std::string> add(const CallContext& ctx, const std::string& query, std::int64_t start_s, std::int64_t end_s);
  // kNotFound, or kInvalidArgument once the cancel period is over (unless `force`).
  Result<void> cancel(const CallContext& ctx, const std::string& id, bool force);
  // By creation time. Never null; empty for most tenants, so that asking costs one lookup.
  DeleteRequests of(const std::string& tenant) const;
  // Those whose rows queries must hide: all but the ones that were processed so long ago (set_hide_grace) that nobody
  // reads an index any more that lists the rows.
  DeleteRequests hiding(const std::string& tenant) const;
  void set_hide_grace(std::int64_t grace_ns) { hide_grace_ns_ = grace_ns; }   // before the first use

  // Called with the tenant after each request accepted by this process; set before the first use.
  void set_received(std::function<void(const std::string& tenant)> received) { received_ = std::move(received); }

  // Stores progress of a request. kNotFound: it was cancelled meanwhile.
  Result<void> save(const CallContext& ctx, const DeleteRequest& request);
  std::int64_t cancel_period_ns() const { return cancel_period_ns_; }

 private:
  Result<void> load_tenant(const CallContext& ctx, const std::string& tenant);
  void replace(const std::string& tenant, std::vector<std::shared_ptr<const DeleteRequest>> requests);

  objstore::ObjectStore& objects_;
  const Clock& clock_;
  Random& random_;
  const std::int64_t cancel_period_ns_;
  std::int64_t hide_grace_ns_ = 3 * kNanosPerHour;
  std::function<void(const std::string&)> received_;
  std::mutex change_mutex_;    // one change of a tenant's list at a time
  mutable std::mutex mutex_;   // guards by_tenant_
  std::map<std::string, DeleteRequests> by_tenant_;
};

// A log query; `{}` is allowed here and means every stream.
Result<logql::LogSelector> parse_delete_query(const std::string& query);

}  // namespace skald::compactor
