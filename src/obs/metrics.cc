#include "skald/obs/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "skald/base/check.h"

namespace skald::obs {
namespace {

enum Kind { kCounterKind, kGaugeKind, kHistogramKind, kGaugeFunctionKind, kCounterFunctionKind };

std::string escape_label_value(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\') out += "\\\\";
    else if (c == '"') out += "\\\"";
    else if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

// Shortest text that round-trips, as Go's strconv prints 'g' with precision -1: exponent form below 1e-4 and from 1e+06
// on: "0.005", "262144", "1.048576e+06". Dashboards filter on the text of `le`.
std::string format_number(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer - 1, v, std::chars_format::scientific).ptr;
  *end = 0;   // for atoi
  const std::string_view scientific(buffer, static_cast<std::size_t>(end - buffer));
  const int exponent = std::atoi(scientific.data() + scientific.find('e') + 1);
  if (exponent < -4 || exponent >= 6) return std::string(scientific);
  const auto fixed_end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed).ptr;
  return std::string(buffer, fixed_end);
}

void append_labels(std::string& out, const std::vector<std::string>& names, const std::vector<std::string>& values,
                   std::string_view extra_name = {}, std::string_view extra_value = {}) {
  if (names.empty() && extra_name.empty()) return;
  out += '{';
  bool first = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!first) out += ',';
    first = false;
    out += names[i];
    out += "=\"";
    out += escape_label_value(values[i]);
    out += '"';
  }
  if (!extra_name.empty()) {
    if (!first) out += ',';
    out += extra_name;
    out += "=\"";
    out += extra_value;
    out += '"';
  }
  out += '}';
}

void append_sample(std::string& out, std::string_view name, const std::vector<std::string>& label_names,
                   const std::vector<std::string>& label_values, double value) {
  out += name;
  append_labels(out, label_names, label_values);
  out += ' ';
  out += format_number(value);
  out += '\n';
}

void append_histogram(std::string& out, const std::string& name, const std::vector<std::string>& label_names,
                      const std::vector<std::string>& label_values, const Histogram& histogram) {
  const std::vector<std::uint64_t> counts = histogram.bucket_counts();
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    out += name;
    out += "_bucket";
    append_labels(out, label_names, label_values, "le",
                  i < histogram.upper_bounds().size() ? format_number(histogram.upper_bounds()[i]) : "+Inf");
    out += ' ';
    out += std::to_string(cumulative);
    out += '\n';
  }
  append_sample(out, name + "_sum", label_names, label_values, histogram.sum());
  append_sample(out, name + "_count", label_names, label_values, static_cast<double>(cumulative));
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds)
    : bounds_(std::move(upper_bounds)), counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {}

void Histogram::observe(double v) {
  const auto bucket = static_cast<std::size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), v) - bounds_.begin());
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(v, std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::bucket_counts() const {
  std::vector<std::uint64_t> counts(bounds_.size() + 1);
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
  return counts;
}

template <class Metric>
Metric& Family<Metric>::with(const std::vector<std::string>& label_values) {
  SKALD_CHECK(label_values.size() == label_names_.size());
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Metric>& slot = metrics_[label_values];
  if (slot == nullptr) slot = make_();
  return *slot;
}

template <class Metric>
void Family<Metric>::remove(const std::vector<std::string>& label_values) {
  const std::lock_guard lock(mutex_);
  metrics_.erase(label_values);
}

template <class Metric>
void Family<Metric>::for_each(const std::function<void(const std::vector<std::string>&, const Metric&)>& f) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [values, metric] : metrics_) f(values, *metric);
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

struct Registry::Entry {
  int kind = kCounterKind;
  std::string help;
  std::unique_ptr<CounterFamily> counters;
  std::unique_ptr<GaugeFamily> gauges;
  std::unique_ptr<HistogramFamily> histograms;
  std::vector<std::function<double()>> functions;
};

Registry::Registry() = default;
Registry::~Registry() = default;

Registry::Entry& Registry::find_or_add(std::string_view name, std::string_view help, int kind) {
  auto found = entries_.find(name);
  if (found == entries_.end()) {
    auto entry = std::make_unique<Entry>();
    entry->kind = kind;
    entry->help = std::string(help);
    found = entries_.emplace(std::string(name), std::move(entry)).first;
  }
  SKALD_CHECK(found->second->kind == kind);
  return *found->second;
}

CounterFamily& Registry::counter_family(std::string_view name, std::string_view help, std::vector<std::string> labels) {
  const std::lock_guard lock(mutex_);
  Entry& entry = find_or_add(name, help, kCounterKind);
  if (entry.counters == nullptr) {
    entry.counters = std::make_unique<CounterFamily>(std::move(labels), [] { return std::make_unique<Counter>(); });
  } else {
    SKALD_CHECK(entry.counters->label_names() == labels);
  }
  return *entry.counters;
}

GaugeFamily& Registry::gauge_family(std::string_view name, std::string_view help, std::vector<std::string> labels) {
  const std::lock_guard lock(mutex_);
  Entry& entry = find_or_add(name, help, kGaugeKind);
  if (entry.gauges == nullptr) {
    entry.gauges = std::make_unique<GaugeFamily>(std::move(labels), [] { return std::make_unique<Gauge>(); });
  } else {
    SKALD_CHECK(entry.gauges->label_names() == labels);
  }
  return *entry.gauges;
}

HistogramFamily& Registry::histogram_family(std::string_view name, std::string_view help, std::vector<std::string> labels,
                                            std::vector<double> upper_bounds) {
  const std::lock_guard lock(mutex_);
  Entry& entry = find_or_add(name, help, kHistogramKind);
  if (entry.histograms == nullptr) {
    entry.histograms = std::make_unique<HistogramFamily>(
        std::move(labels), [bounds = std::move(upper_bounds)] { return std::make_unique<Histogram>(bounds); });
  } else {
    SKALD_CHECK(entry.histograms->label_names() == labels);
  }
  return *entry.histograms;
}

Counter& Registry::counter(std::string_view name, std::string_view help) { return counter_family(name, help, {}).with({}); }
Gauge& Registry::gauge(std::string_view name, std::string_view help) { return gauge_family(name, help, {}).with({}); }
Histogram& Registry::histogram(std::string_view name, std::string_view help, std::vector<double> upper_bounds) {
  return histogram_family(name, help, {}, std::move(upper_bounds)).with({});
}

void Registry::gauge_function(std::string_view name, std::string_view help, std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  find_or_add(name, help, kGaugeFunctionKind).functions.push_back(std::move(read));
}

void Registry::counter_function(std::string_view name, std::string_view help, std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  find_or_add(name, help, kCounterFunctionKind).functions.push_back(std::move(read));
}

std::string Registry::expose_text() const {
  std::string out;
  const std::lock_guard lock(mutex_);
  for (const auto& named : entries_) {
    // Not structured bindings: lambdas below capture these, which clang 14 refuses.
    const std::string& name = named.first;
    const std::unique_ptr<Entry>& entry = named.second;
    static constexpr const char* kTypes[] = {"counter", "gauge", "histogram", "gauge", "counter"};
    std::string samples;
    if (entry->counters != nullptr) {
      entry->counters->for_each([&](const auto& values, const Counter& metric) {
        append_sample(samples, name, entry->counters->label_names(), values, metric.value());
      });
    }
    if (entry->gauges != nullptr) {
      entry->gauges->for_each([&](const auto& values, const Gauge& metric) {
        append_sample(samples, name, entry->gauges->label_names(), values, metric.value());
      });
    }
    if (entry->histograms != nullptr) {
      entry->histograms->for_each([&](const auto& values, const Histogram& metric) {
        append_histogram(samples, name, entry->histograms->label_names(), values, metric);
      });
    }
    for (const auto& read : entry->functions) append_sample(samples, name, {}, {}, read());
    if (samples.empty()) continue;  // a labelled family appears with its first sample
    out += "# HELP " + name + " " + entry->help + "\n# TYPE " + name + " " + kTypes[entry->kind] + "\n" + samples;
  }
  return out;
}

Registry& default_registry() {
  static Registry registry;
  return registry;
}

}  // namespace skald::obs
