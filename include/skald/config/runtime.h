// The runtime file: limits per tenant, read again while the process runs.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/limits.h"
#include "skald/config/load.h"
#include "skald/obs/metrics.h"

namespace skald::config {

// Thread-safe. Without files it answers the global limits and starts no thread.
class RuntimeLimits final : public LimitsProvider {
 public:
  // `files`: comma-separated, merged left to right.
  RuntimeLimits(Limits global, const std::string& files, std::int64_t period_ns, ReadFile read_file, obs::Registry& registry);
  ~RuntimeLimits() override;

  // Reads the files if their content changed. On an error the last good content stays, the error is returned, and
  // loki_runtime_config_last_reload_successful is 0.
  Result<void> reload();
  void start();  // reloads every period in a thread of its own
  void stop();

  LimitsPtr for_tenant(const std::string& tenant) const override;
  LimitsPtr global() const { return global_; }
  std::vector<std::string> tenants() const;  // with overrides, sorted

 private:
  using Tenants = std::unordered_map<std::string, LimitsPtr>;
  Result<std::shared_ptr<const Tenants>> parse(const std::vector<std::string>& texts) const;

  const LimitsPtr global_;
  const std::vector<std::string> files_;
  const std::int64_t period_ns_;
  const ReadFile read_file_;
  obs::Gauge& successful_;

  std::mutex reload_mutex_;               // one reload at a time; guards content_
  std::vector<std::string> content_;      // what tenants_ was read from
  mutable std::mutex mutex_;              // guards all below
  std::shared_ptr<const Tenants> tenants_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skald::config
