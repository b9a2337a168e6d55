// How long calls of a ring store take, as Loki counts them.
#pragma once

#include <string>

#include "skald/base/clock.h"
#include "skald/obs/metrics.h"

namespace skald::ring {

// Thread-safe.
class KvTimes {
 public:
  // `type`: memberlist, etcd, consul.
  KvTimes(obs::Registry& registry, std::string type)
      : type_(std::move(type)),
        seconds_(registry.histogram_family("loki_kv_request_duration_seconds", "Time of calls of the store of rings.", {"kv_name", "operation", "role", "status_code", "type"},
                                           {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})) {}

  // `operation`: CAS, GET.
  template <class Call>
  auto measure(const char* operation, const std::string& key, Call call) {
    const std::int64_t begin_ns = system_clock().monotonic_ns();
    auto result = call();
    const std::size_t slash = key.rfind('/');
    seconds_.with({slash == std::string::npos ? key : key.substr(slash + 1), operation, "primary", result.ok() ? "200" : "500", type_})
        .observe(static_cast<double>(system_clock().monotonic_ns() - begin_ns) / 1e9);
    return result;
  }

 private:
  const std::string type_;
  obs::HistogramFamily& seconds_;
};

}  // namespace skald::ring
