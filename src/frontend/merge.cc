#include "frontend/merge.h"

#include <algorithm>
#include <tuple>

namespace skald::frontend {

namespace {

void append_sized(std::string& out, const std::string& text) {
  // Lengths rather than separators: values may hold any byte.
  const auto size = static_cast<std::uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += text;
}

}  // namespace

std::string label_key(const model::Labels& labels) {
  std::string out;
  for (const model::Label& label : labels.pairs()) {
    append_sized(out, label.name);
    append_sized(out, label.value);
  }
  return out;
}

std::string label_key(const engine::ResultLabels& labels) {
  std::string out;
  for (const engine::ResultLabel& label : labels.labels) {
    append_sized(out, label.name);
    append_sized(out, label.value);
    out += static_cast<char>(label.category);
  }
  return out;
}

bool SeriesMerger::append(std::vector<engine::Series>&& part) {
  std::vector<std::size_t> seen;
  for (engine::Series& series : part) {
    const auto [at, fresh] = index_.try_emplace(label_key(series.labels), series_.size());
    seen.push_back(at->second);
    if (fresh) {
      series_.push_back(std::move(series));
      continue;
    }
    std::vector<engine::Sample>& samples = series_[at->second].samples;
    samples.insert(samples.end(), series.samples.begin(), series.samples.end());
  }
  std::sort(seen.begin(), seen.end());
  return std::adjacent_find(seen.begin(), seen.end()) == seen.end();
}

bool SeriesMerger::fold(std::vector<engine::Series>&& part, double (*combine)(double, double)) {
  for (engine::Series& series : part) {
    if (series.samples.size() != 1) return false;
    const auto [at, fresh] = index_.try_emplace(label_key(series.labels), series_.size());
    if (fresh) {
      series_.push_back(std::move(series));
      continue;
    }
    double& value = series_[at->second].samples[0].value;
    value = combine(value, series.samples[0].value);
  }
  return true;
}

std::vector<engine::Series> SeriesMerger::take() {
  std::sort(series_.begin(), series_.end(), [](const engine::Series& a, const engine::Series& b) { return a.labels < b.labels; });
  return std::move(series_);
}

void LogMerger::append(engine::LogResult&& part) {
  struct Place {
    std::uint32_t order = 0, stream = 0;
    engine::LogEntry* entry = nullptr;
  };
  std::vector<Place> places;
  for (engine::LogStream& stream : part.streams) {
    const auto [at, fresh] = index_.try_emplace(label_key(stream.labels), static_cast<std::uint32_t>(streams_.size()));
    if (fresh) streams_.push_back(std::move(stream.labels));
    for (engine::LogEntry& entry : stream.entries) places.push_back({entry.order, at->second, &entry});
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.order < b.order; });
  for (const Place& place : places) {
    if (full()) break;
    entries_.push_back({place.entry->timestamp_ns, place.stream, std::move(place.entry->line)});
  }
}

void LogMerger::thin(std::int64_t interval_ns, bool backward) {
  if (interval_ns <= 0 || entries_.empty()) return;
  std::size_t kept = 1;
  for (std::size_t i = 1; i < entries_.size(); ++i) {
    const std::int64_t previous = entries_[kept - 1].timestamp_ns, ts = entries_[i].timestamp_ns;
    if (backward ? ts > previous - interval_ns : ts < previous + interval_ns) continue;
    if (kept != i) entries_[kept] = std::move(entries_[i]);
    ++kept;
  }
  entries_.resize(kept);
}

engine::LogResult LogMerger::take() {
  std::vector<engine::LogStream> all(streams_.size());
  for (std::size_t i = 0; i < streams_.size(); ++i) all[i].labels = std::move(streams_[i]);
  std::uint32_t order = 0;
  for (Entry& entry : entries_) all[entry.stream].entries.push_back({entry.timestamp_ns, std::move(entry.line), order++});
  std::erase_if(all, [](const engine::LogStream& stream) { return stream.entries.empty(); });
  std::sort(all.begin(), all.end(), [](const engine::LogStream& a, const engine::LogStream& b) {
    return std::lexicographical_compare(a.labels.labels.begin(), a.labels.labels.end(), b.labels.labels.begin(), b.labels.labels.end(),
                                        [](const engine::ResultLabel& x, const engine::ResultLabel& y) {
                                          return std::tie(x.name, x.value, x.category) < std::tie(y.name, y.value, y.category);
                                        });
  });
  return {std::move(all)};
}

}  // namespace skald::frontend
