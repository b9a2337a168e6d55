// Where ring values live: in this process, gossiped between processes (memberlist), in etcd or in Consul.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "skald/base/context.h"
#include "skald/base/result.h"
#include "skald/ring/desc.h"

namespace skald::ring {

// Thread-safe. Keys are prefix and name ("collectors/ring"). Values carry no tombstones: those are the store's own affair.
class KvStore {
 public:
  virtual ~KvStore() = default;

  // Absent: an empty Desc.
  virtual Result<Desc> get(const std::string& key, const CallContext& ctx) = 0;

  // Reads, lets `change` edit, writes if nobody else wrote in between, else begins anew (so `change` may run several
  // times, and must look at what it is given). `change` returns false to leave everything as it is. An instance it erases
  // has left. kUnavailable: the store cannot be reached, or too many others write.
  using Change = std::function<Result<bool>(Desc& desc)>;
  virtual Result<void> update(const std::string& key, const Change& change, const CallContext& ctx) = 0;

  // Calls `on_change` with the present value and then after each change, from a thread of the store, one call at a time, the
  // latest value only. Until the handle is dropped, which waits for a running call.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  virtual std::unique_ptr<Watch> watch(const std::string& key, std::function<void(const Desc&)> on_change) = 0;
};

// One process alone.
std::unique_ptr<KvStore> make_memory_kv();

}  // namespace skald::ring
