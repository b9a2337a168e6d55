// Who works on a tenant: one small object per holder. It only saves work; that nothing is lost or doubled when two
// compactors work on one tenant is the commit's doing (day.h).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "skald/base/context.h"
#include "skald/base/random.h"
#include "skald/objstore/object_store.h"

namespace skald::compactor {

// <tenant>/compactor/<epoch>: the holder's name and a number that it changes with each renewal. A lease is taken over by
// creating the next epoch once nothing changed for lease_ns by the observer's own clock: no two clocks are compared.
// Thread-safe.
class Leases {
 public:
  Leases(objstore::ObjectStore& objects, std::string holder, std::int64_t lease_ns) : objects_(objects), holder_(std::move(holder)), lease_ns_(lease_ns) {}

  // True: this process holds the lease now, by renewal or anew. With lease_ns 0 always.
  Result<bool> hold(const CallContext& ctx, const std::string& tenant);
  // Renews what has not been for a third of the lease. Cheap otherwise.
  Result<bool> keep(const CallContext& ctx, const std::string& tenant);
  // Gives back everything; errors do not matter, others take over after lease_ns.
  void release_all(const CallContext& ctx);

 private:
  struct Held {
    std::uint64_t epoch = 0;
    std::uint64_t renewals = 0;
    std::int64_t renewed_ns = 0;   // monotonic
  };
  struct Seen {
    std::uint64_t epoch = 0;
    Bytes content;
    std::int64_t since_ns = 0;     // monotonic
  };
  std::string key_of(const std::string& tenant, std::uint64_t epoch) const;
  Bytes content_of(const Held& held) const;
  Result<bool> renew(const CallContext& ctx, const std::string& tenant, Held& held);
  Result<bool> take(const CallContext& ctx, const std::string& tenant, std::uint64_t epoch);

  objstore::ObjectStore& objects_;
  const std::string holder_;
  const std::int64_t lease_ns_;
  std::mutex mutex_;   // guards what follows
  std::map<std::string, Held> held_;
  std::map<std::string, Seen> seen_;
};

}  // namespace skald::compactor
