// What the stores that are asked over HTTP (etcd, Consul) share: the loop of a change, watches on a thread each, base64.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "ring/kv_times.h"
#include "skald/http/client.h"
#include "skald/ring/kv.h"

namespace skald::ring {

Bytes base64_encode(ByteView bytes);
Result<Bytes> base64_decode(ByteView text);      // kCorruption

class RemoteKv : public KvStore {
 public:
  // A value with what the store knows it by. Absent: version 0, empty.
  struct Versioned {
    Desc desc;
    std::uint64_t version = 0;
    std::uint64_t index = 0;                     // of the store, for the next fetch that waits
  };

  Result<Desc> get(const std::string& key, const CallContext& ctx) final;
  Result<void> update(const std::string& key, const Change& change, const CallContext& ctx) final;
  std::unique_ptr<Watch> watch(const std::string& key, std::function<void(const Desc&)> on_change) final;

 protected:
  struct Options {
    std::string name;                            // in messages
    std::int64_t tries = 10;
    std::int64_t retry_pause_ns = 0;             // after a lost race, half to one and a half of it
    std::int64_t poll_pause_ns = 0;              // between two fetches of a watch
    std::int64_t failure_pause_ns = kNanosPerSecond, failure_pause_max_ns = 30 * kNanosPerSecond;
  };
  RemoteKv(Options options, obs::Registry& registry) : options_(std::move(options)), times_(registry, options_.name) {}

  virtual Result<Versioned> fetch(const std::string& key, const CallContext& ctx) = 0;
  // False: somebody else wrote since `version` (0: it must not exist).
  virtual Result<bool> store(const std::string& key, ByteView value, std::uint64_t version, const CallContext& ctx) = 0;
  // As fetch, for watches: may wait until something is newer than `seen` (0: nothing seen).
  virtual Result<Versioned> fetch_newer(const std::string& key, const Versioned& seen, const CallContext& ctx) = 0;

 private:
  class Poll;
  Result<void> change(const std::string& key, const Change& change, const CallContext& ctx);
  const Options options_;
  KvTimes times_;
};

}  // namespace skald::ring
