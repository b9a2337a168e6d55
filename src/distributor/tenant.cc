#include "distributor/tenant.h"

#include <algorithm>
#include <atomic>

#include "skald/base/clock.h"

namespace skald::distributor {
namespace {

const char* format_name(bool otlp) { return otlp ? "otlp" : "loki"; }

std::uint64_t next_generation() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace

bool TokenBucket::take(double amount, double rate_per_s, double burst, std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (!started_) {
    started_ = true;
    tokens_ = burst;
    last_ns_ = now_ns;
  }
  if (now_ns > last_ns_) {
    tokens_ += static_cast<double>(now_ns - last_ns_) / kNanosPerSecond * rate_per_s;
    last_ns_ = now_ns;
  }
  tokens_ = std::min(tokens_, burst);
  if (amount > tokens_) return false;
  tokens_ -= amount;
  return true;
}

Metrics::Metrics(obs::Registry& registry)
    : bytes_received(registry.counter_family("loki_distributor_bytes_received_total",
                                             "Bytes of lines and structured metadata received per tenant.",
                                             {"tenant", "retention_hours", "is_internal_stream", "policy", "format"})),
      metadata_bytes_received(
          registry.counter_family("loki_distributor_structured_metadata_bytes_received_total",
                                  "Bytes of structured metadata received per tenant.",
                                  {"tenant", "retention_hours", "is_internal_stream", "policy", "format"})),
      lines_received(registry.counter_family("loki_distributor_lines_received_total", "Lines received per tenant.",
                                             {"tenant", "is_internal_stream", "policy", "format"})),
      discarded_samples(registry.counter_family("loki_discarded_samples_total", "Lines refused, by reason.",
                                                {"reason", "tenant", "retention_hours", "policy", "format"})),
      discarded_bytes(registry.counter_family("loki_discarded_bytes_total", "Bytes of lines refused, by reason.",
                                              {"reason", "tenant", "retention_hours", "policy", "format"})),
      mutated_samples(
          registry.counter_family("loki_mutated_samples_total", "Lines changed on the way in.", {"reason", "truncated"})),
      mutated_bytes(registry.counter_family("loki_mutated_bytes_total", "Bytes cut off lines on the way in.",
                                            {"reason", "truncated"})),
      appends(registry.counter_family("loki_distributor_ingester_appends_total", "Batches sent to ingesters.", {"ingester"})),
      append_failures(registry.counter_family("loki_distributor_ingester_append_failures_total",
                                              "Batches that ingesters failed to take.", {"ingester"})) {}

std::shared_ptr<const TenantSettings> Tenant::settings(config::LimitsPtr limits) {
  const std::lock_guard lock(mutex_);
  if (settings_ == nullptr || (settings_->limits != limits && !(*settings_->limits == *limits)))
    settings_ = std::make_shared<const TenantSettings>(std::move(limits), next_generation());
  return settings_;
}

void Tenant::count_received(Metrics& metrics, bool otlp, const config::Limits& limits, std::uint64_t line_bytes,
                            std::uint64_t metadata_bytes, std::uint64_t lines) {
  const std::lock_guard lock(mutex_);
  Counters& counters = counters_[otlp ? 1 : 0];
  const std::string hours = retention_hours(limits);
  if (counters.bytes == nullptr || counters.retention_hours != hours) {
    counters.retention_hours = hours;
    counters.bytes = &metrics.bytes_received.with({name_, hours, "false", "", format_name(otlp)});
    counters.metadata_bytes = &metrics.metadata_bytes_received.with({name_, hours, "false", "", format_name(otlp)});
    counters.lines = &metrics.lines_received.with({name_, "false", "", format_name(otlp)});
  }
  counters.bytes->add(static_cast<double>(line_bytes + metadata_bytes));
  counters.metadata_bytes->add(static_cast<double>(metadata_bytes));
  counters.lines->add(static_cast<double>(lines));
}

std::shared_ptr<Tenant> Tenants::get(const std::string& name) {
  {
    const std::shared_lock lock(mutex_);
    if (const auto it = tenants_.find(name); it != tenants_.end()) return it->second;
  }
  const std::unique_lock lock(mutex_);
  auto& tenant = tenants_[name];
  if (tenant == nullptr) tenant = std::make_shared<Tenant>(name);
  return tenant;
}

std::string retention_hours(const config::Limits& limits) { return std::to_string(limits.retention_period / kNanosPerHour); }

void count_discards(Metrics& metrics, const std::string& tenant, const config::Limits& limits, bool otlp,
                    const DiscardCounts& discards) {
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    if (discards.samples[i] == 0 && discards.bytes[i] == 0) continue;
    const std::vector<std::string> labels = {std::string(reason_name(static_cast<Reason>(i))), tenant,
                                             retention_hours(limits), "", format_name(otlp)};
    metrics.discarded_samples.with(labels).add(static_cast<double>(discards.samples[i]));
    metrics.discarded_bytes.with(labels).add(static_cast<double>(discards.bytes[i]));
  }
}

}  // namespace skald::distributor
