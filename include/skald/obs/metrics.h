// Metrics registry in Prometheus' text form. Names and labels: reference metrics (docs/metrics.md).
//
// Get the metric once (at construction), keep the reference, touch it with relaxed atomics. A family with labels:
//   auto& family = registry.counter_family("loki_x_total", "help", {"tenant"}); family.with({"fake"}).add(1);
// with() takes a short lock; keep the returned reference where it is hot. References live as long as the registry.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace skald::obs {

class Counter {
 public:
  void add(double by = 1.0) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Gauge {
 public:
  void set(double v) { value_.store(v, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);
  void observe(double v);
  const std::vector<double>& upper_bounds() const { return bounds_; }
  std::vector<std::uint64_t> bucket_counts() const;  // per bucket, not cumulative; the last is +Inf
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

// One name, any number of label values. Thread-safe.
template <class Metric>
class Family {
 public:
  Family(std::vector<std::string> label_names, std::function<std::unique_ptr<Metric>()> make)
      : label_names_(std::move(label_names)), make_(std::move(make)) {}
  Metric& with(const std::vector<std::string>& label_values);
  void remove(const std::vector<std::string>& label_values);
  const std::vector<std::string>& label_names() const { return label_names_; }
  void for_each(const std::function<void(const std::vector<std::string>&, const Metric&)>& f) const;

 private:
  const std::vector<std::string> label_names_;
  const std::function<std::unique_ptr<Metric>()> make_;
  mutable std::mutex mutex_;  // guards metrics_
  std::map<std::vector<std::string>, std::unique_ptr<Metric>> metrics_;
};
using CounterFamily = Family<Counter>;
using GaugeFamily = Family<Gauge>;
using HistogramFamily = Family<Histogram>;

// Asking twice for one name gives the same metric (same kind and labels, else abort). Thread-safe.
class Registry {
 public:
  Registry();
  ~Registry();
  Counter& counter(std::string_view name, std::string_view help);
  Gauge& gauge(std::string_view name, std::string_view help);
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds);
  CounterFamily& counter_family(std::string_view name, std::string_view help, std::vector<std::string> labels);
  GaugeFamily& gauge_family(std::string_view name, std::string_view help, std::vector<std::string> labels);
  HistogramFamily& histogram_family(std::string_view name, std::string_view help, std::vector<std::string> labels,
                                    std::vector<double> upper_bounds);
  // A gauge read at exposition time; `read` is called from the exposing thread.
  void gauge_function(std::string_view name, std::string_view help, std::function<double()> read);
  // As above for a total that somebody else counts: `read` never goes down.
  void counter_function(std::string_view name, std::string_view help, std::function<double()> read);

  std::string expose_text() const;  // text format 0.0.4, families sorted by name

 private:
  struct Entry;
  Entry& find_or_add(std::string_view name, std::string_view help, int kind);
  mutable std::mutex mutex_;  // guards entries_
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
};

Registry& default_registry();

}  // namespace skald::obs
