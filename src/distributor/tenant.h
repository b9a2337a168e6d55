// What the distributor remembers of each tenant: derived limits, the rate bucket and its counters.
#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include "distributor/discards.h"
#include "distributor/stream_rules.h"
#include "skald/config/limits.h"
#include "skald/obs/metrics.h"

namespace skald::distributor {

// Refills continuously up to `burst`. Thread-safe.
class TokenBucket {
 public:
  // Takes all or nothing.
  bool take(double amount, double rate_per_s, double burst, std::int64_t now_ns);

 private:
  std::mutex mutex_;  // guards all below
  double tokens_ = 0;
  std::int64_t last_ns_ = 0;
  bool started_ = false;
};

struct Metrics {
  explicit Metrics(obs::Registry& registry);
  obs::CounterFamily& bytes_received;
  obs::CounterFamily& metadata_bytes_received;
  obs::CounterFamily& lines_received;
  obs::CounterFamily& discarded_samples;
  obs::CounterFamily& discarded_bytes;
  obs::CounterFamily& mutated_samples;
  obs::CounterFamily& mutated_bytes;
  obs::CounterFamily& appends;
  obs::CounterFamily& append_failures;
};

class Tenant {
 public:
  explicit Tenant(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }
  // The settings for `limits`; the same object as long as the limits are equal.
  std::shared_ptr<const TenantSettings> settings(config::LimitsPtr limits);
  TokenBucket& bucket() { return bucket_; }
  void count_received(Metrics& metrics, bool otlp, const config::Limits& limits, std::uint64_t line_bytes,
                      std::uint64_t metadata_bytes, std::uint64_t lines);

 private:
  struct Counters {
    std::string retention_hours;
    obs::Counter* bytes = nullptr;
    obs::Counter* metadata_bytes = nullptr;
    obs::Counter* lines = nullptr;
  };
  const std::string name_;
  std::mutex mutex_;  // guards settings_ and counters_
  std::shared_ptr<const TenantSettings> settings_;
  Counters counters_[2];  // loki, otlp
  TokenBucket bucket_;
};

class Tenants {
 public:
  std::shared_ptr<Tenant> get(const std::string& name);

 private:
  std::shared_mutex mutex_;  // guards tenants_
  std::unordered_map<std::string, std::shared_ptr<Tenant>> tenants_;
};

std::string retention_hours(const config::Limits& limits);
void count_discards(Metrics& metrics, const std::string& tenant, const config::Limits& limits, bool otlp,
                    const DiscardCounts& discards);

}  // namespace skald::distributor
