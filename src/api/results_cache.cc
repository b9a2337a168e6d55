#include "api/results_cache.h"

#include <algorithm>
#include <map>
#include <optional>

#include "skald/base/random.h"
#include "skald/codec/compress.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"
#include "skald/logql/format.h"

namespace skald::api {
namespace {

constexpr std::uint64_t kExtentBytesMax = 64 << 20;
constexpr std::int64_t kStepsPerBucketMin = 128;   // so that a key is worth its round trip
constexpr std::size_t kBucketsMax = 4096;          // of one query; beyond, it is not cached
constexpr std::size_t kKeyBytesMax = 8 << 10;
constexpr std::size_t kRunsMax = 4;                // of missing steps; scattered ones are computed in one go
constexpr char kVersion = 1;

std::int64_t floor_to(std::int64_t value, std::int64_t unit) {
  const std::int64_t rest = value % unit;
  return value - (rest < 0 ? rest + unit : rest);
}

void append_sized(Bytes& out, std::string_view text) {
  codec::append_varint(out, text.size());
  out.append(text);
}

// Steps in [first, last]; empty when last < first.
struct Range {
  std::int64_t first_ns = 0, last_ns = 0;
};

struct Bucket {
  std::string key;
  std::int64_t begin_ns = 0, end_ns = 0;   // [begin, end)
  Range wanted;                            // of the query's steps
  std::optional<Extent> extent;
};

engine::Series slice(const engine::Series& from, const Range& range) {
  engine::Series part{from.labels, {}};
  for (const engine::Sample& sample : from.samples) {
    const std::int64_t ts_ns = sample.timestamp_ms * kNanosPerMilli;
    if (ts_ns >= range.first_ns && ts_ns <= range.last_ns) part.samples.push_back(sample);
  }
  return part;
}

// Series by labels, samples appended in any order of time.
class Merger {
 public:
  void add(const engine::Series& series) {
    if (series.samples.empty()) return;
    std::string key = series.labels.to_string();
    const auto [at, fresh] = index_.try_emplace(std::move(key), all_.size());
    if (fresh) all_.push_back({series.labels, {}});
    std::vector<engine::Sample>& samples = all_[at->second].samples;
    samples.insert(samples.end(), series.samples.begin(), series.samples.end());
  }
  std::vector<engine::Series> take() {
    for (engine::Series& series : all_)
      std::sort(series.samples.begin(), series.samples.end(), [](const auto& a, const auto& b) { return a.timestamp_ms < b.timestamp_ms; });
    std::sort(all_.begin(), all_.end(), [](const engine::Series& a, const engine::Series& b) { return a.labels < b.labels; });
    return std::move(all_);
  }

 private:
  std::map<std::string, std::size_t> index_;
  std::vector<engine::Series> all_;
};

void add_stats(engine::QueryStats& into, const engine::QueryStats& from) {
  into.bytes_processed += from.bytes_processed;
  into.lines_processed += from.lines_processed;
  into.metadata_bytes_processed += from.metadata_bytes_processed;
  into.post_filter_lines += from.post_filter_lines;
  into.exec_ns += from.exec_ns;
  into.streams = std::max(into.streams, from.streams);
  into.select.ingester_chunks_matched += from.select.ingester_chunks_matched;
  into.select.store_chunk_refs += from.select.store_chunk_refs;
  into.select.store_chunks_matched += from.select.store_chunks_matched;
  into.select.chunk_refs_lookup_ns += from.select.chunk_refs_lookup_ns;
  into.ingester_lines += from.ingester_lines;
  into.ingester_bytes += from.ingester_bytes;
  into.store_lines += from.store_lines;
  into.store_decompressed_bytes += from.store_decompressed_bytes;
  into.store_compressed_bytes += from.store_compressed_bytes;
  into.store_chunks_downloaded += from.store_chunks_downloaded;
  into.store_download_ns += from.store_download_ns;
}

std::vector<Bucket> make_buckets(const ResultsCache::Query& query, std::int64_t last_step_ns) {
  const std::int64_t steps = std::max(kStepsPerBucketMin, (query.bucket_ns + query.step_ns - 1) / query.step_ns);
  const std::int64_t bucket_ns = steps * query.step_ns, phase_ns = query.start_ns - floor_to(query.start_ns, query.step_ns);
  const std::string prefix = "r/" + query.tenant + "/" + query.generation + "/" + std::to_string(query.step_ns) + "/" + std::to_string(phase_ns) + "/" +
                             std::to_string(bucket_ns) + "/";
  std::vector<Bucket> buckets;
  if (prefix.size() + query.text.size() > kKeyBytesMax) return buckets;
  for (std::int64_t at = query.start_ns; at <= last_step_ns;) {
    Bucket bucket;
    bucket.begin_ns = floor_to(at - phase_ns, bucket_ns) + phase_ns;
    bucket.end_ns = bucket.begin_ns + bucket_ns;
    bucket.wanted = {.first_ns = at, .last_ns = std::min(last_step_ns, bucket.end_ns - query.step_ns)};
    bucket.key = prefix + std::to_string(bucket.begin_ns) + "/" + query.text;
    at = bucket.end_ns;
    buckets.push_back(std::move(bucket));
    if (buckets.size() > kBucketsMax) return {};
  }
  return buckets;
}

// Steps that no extent covers, neighbours together.
std::vector<Range> missing_steps(const std::vector<Bucket>& buckets, std::int64_t step_ns) {
  std::vector<Range> missing;
  const auto add = [&](std::int64_t first_ns, std::int64_t last_ns) {
    if (last_ns < first_ns) return;
    if (!missing.empty() && missing.back().last_ns + step_ns == first_ns) missing.back().last_ns = last_ns;
    else missing.push_back({first_ns, last_ns});
  };
  for (const Bucket& bucket : buckets) {
    if (!bucket.extent.has_value()) {
      add(bucket.wanted.first_ns, bucket.wanted.last_ns);
      continue;
    }
    add(bucket.wanted.first_ns, std::min(bucket.wanted.last_ns, bucket.extent->first_ns - step_ns));
    add(std::max(bucket.wanted.first_ns, bucket.extent->last_ns + step_ns), bucket.wanted.last_ns);
  }
  if (missing.size() > kRunsMax) return {{missing.front().first_ns, missing.back().last_ns}};
  return missing;
}

}  // namespace

Bytes encode_extent(const Extent& extent) {
  Bytes raw;
  codec::append_zigzag(raw, extent.first_ns);
  codec::append_zigzag(raw, extent.last_ns);
  codec::append_varint(raw, extent.series.size());
  for (const engine::Series& series : extent.series) {
    codec::append_varint(raw, series.labels.pairs().size());
    for (const model::Label& label : series.labels.pairs()) {
      append_sized(raw, label.name);
      append_sized(raw, label.value);
    }
    codec::append_varint(raw, series.samples.size());
    std::int64_t previous_ms = extent.first_ns / kNanosPerMilli;
    for (const engine::Sample& sample : series.samples) {
      codec::append_zigzag(raw, sample.timestamp_ms - previous_ms);
      append_le(raw, sample.value);
      previous_ms = sample.timestamp_ms;
    }
  }
  Bytes out(1, kVersion);
  append_le<std::uint64_t>(out, raw.size());
  if (raw.size() > kExtentBytesMax || !codec::compress_append(codec::Compression::kZstd, codec::kDefaultLevel, raw, out).ok()) return {};
  return out;
}

std::optional<Extent> decode_extent(ByteView bytes, std::int64_t bucket_begin_ns, std::int64_t bucket_end_ns) {
  constexpr std::size_t kHeaderBytes = 9;
  if (bytes.size() < kHeaderBytes || bytes[0] != kVersion) return std::nullopt;
  const auto raw_bytes = load_le<std::uint64_t>(bytes.data() + 1);
  if (raw_bytes > kExtentBytesMax) return std::nullopt;
  const auto raw = codec::decompress_exact(codec::Compression::kZstd, bytes.substr(kHeaderBytes), static_cast<std::size_t>(raw_bytes));
  if (!raw.ok()) return std::nullopt;
  codec::ByteReader in(*raw);
  Extent extent;
  extent.first_ns = in.zigzag();
  extent.last_ns = in.zigzag();
  const std::uint64_t series_count = in.varint();
  if (!in.ok() || extent.first_ns < bucket_begin_ns || extent.last_ns >= bucket_end_ns || extent.last_ns < extent.first_ns || series_count > in.remaining())
    return std::nullopt;
  for (std::uint64_t s = 0; s < series_count; ++s) {
    engine::Series& series = extent.series.emplace_back();
    const std::uint64_t label_count = in.varint();
    if (!in.ok() || label_count > in.remaining()) return std::nullopt;
    std::vector<model::Label> labels;
    for (std::uint64_t l = 0; l < label_count && in.ok(); ++l) {
      std::string name(in.sized_bytes()), value(in.sized_bytes());
      labels.push_back({std::move(name), std::move(value)});
    }
    series.labels = model::Labels::from_pairs(std::move(labels));
    const std::uint64_t sample_count = in.varint();
    if (!in.ok() || sample_count > in.remaining() / 9) return std::nullopt;
    std::int64_t previous_ms = extent.first_ns / kNanosPerMilli;
    series.samples.reserve(sample_count);
    for (std::uint64_t i = 0; i < sample_count; ++i) {
      std::int64_t ms = 0;
      if (__builtin_add_overflow(previous_ms, in.zigzag(), &ms)) return std::nullopt;
      previous_ms = ms;
      series.samples.push_back({ms, in.fixed<double>()});
    }
  }
  if (!in.at_end()) return std::nullopt;
  return extent;
}

ResultsCache::ResultsCache(std::shared_ptr<cache::Cache> cache, obs::Registry& registry)
    : cache_(std::move(cache)), process_(Ulid::make(system_clock().now_ns(), system_random()).to_string()),
      hits_(registry.counter_family("skald_results_cache_queries_total", "Metric range queries by what the results cache had of them.", {"result"}).with({"hit"})),
      partial_hits_(registry.counter_family("skald_results_cache_queries_total", "Metric range queries by what the results cache had of them.", {"result"}).with({"partial"})),
      misses_(registry.counter_family("skald_results_cache_queries_total", "Metric range queries by what the results cache had of them.", {"result"}).with({"miss"})) {}

bool ResultsCache::can_cache(const logql::Query& query, std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns) {
  if (query.is_log() || step_ns <= 0 || end_ns < start_ns) return false;
  // Answers carry milliseconds; a finer grid cannot be told from them.
  if (step_ns % kNanosPerMilli != 0 || start_ns % kNanosPerMilli != 0) return false;
  // Far from the ends of time, where bucket arithmetic would overflow.
  constexpr std::int64_t kFar = INT64_MAX / 4;
  if (start_ns < -kFar || end_ns > kFar || step_ns > kFar / (2 * kStepsPerBucketMin)) return false;
  const std::string text = logql::format_line(query);
  // A negative offset reads what lies after the step, however new; approximate answers and variants are not pointwise.
  return text.find("offset -") == std::string::npos && text.find("approx_topk") == std::string::npos && !text.starts_with("variants");
}

std::string ResultsCache::generation(const std::string& tenant, const engine::Deletions& deletions, const std::string& given) {
  std::uint64_t hash = 0;
  if (given.empty() && deletions != nullptr) {
    for (const engine::Deletion& deletion : *deletions) {
      const std::uint64_t selector = codec::xxh3_64(logql::format_line(logql::Query{deletion.selector}));
      hash += codec::xxh3_words(static_cast<std::uint64_t>(deletion.start_ns), static_cast<std::uint64_t>(deletion.end_ns), selector);
    }
  }
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = generations_.try_emplace(tenant);
  Generation& known = at->second;
  if (fresh) known.changes = hash == 0 ? 0U : 1U;
  else if (known.hash != hash) ++known.changes;
  known.hash = hash;
  // Without a deletion in sight all processes share their answers.
  const std::uint64_t own = known.changes + known.increases;
  std::string text = given.empty() ? "-" : given;
  if (own != 0) text += "." + process_ + "." + std::to_string(own);
  return text;
}

void ResultsCache::increase_generation(const std::string& tenant) {
  const std::lock_guard lock(mutex_);
  ++generations_[tenant].increases;
}

Result<engine::QueryResult> ResultsCache::run(const CallContext& ctx, const Query& query, const Compute& compute) {
  const std::int64_t last_step_ns = query.start_ns + (query.end_ns - query.start_ns) / query.step_ns * query.step_ns;
  std::vector<Bucket> buckets = make_buckets(query, last_step_ns);
  if (buckets.empty()) return compute(query.start_ns, query.end_ns);
  std::vector<std::string> keys;
  for (const Bucket& bucket : buckets) keys.push_back(bucket.key);
  const std::vector<SharedBytes> values = cache_->fetch(ctx, keys);
  for (std::size_t i = 0; i < buckets.size(); ++i)
    if (values[i] != nullptr) buckets[i].extent = decode_extent(*values[i], buckets[i].begin_ns, buckets[i].end_ns);
  const std::vector<Range> missing = missing_steps(buckets, query.step_ns);
  const bool nothing_known = missing.size() == 1 && missing.front().first_ns == query.start_ns && missing.front().last_ns == last_step_ns;
  (missing.empty() ? hits_ : nothing_known ? misses_ : partial_hits_).add();

  engine::QueryResult result;
  std::vector<engine::Series> computed;
  for (const Range& range : missing) {
    SKALD_TRY(engine::QueryResult part, compute(range.first_ns, range.last_ns));
    auto* matrix = std::get_if<engine::MatrixResult>(&part.data);
    // A part of the truth (too many series) is nothing to keep or to put together.
    if (matrix == nullptr || !part.warnings.empty()) return nothing_known ? std::move(part) : compute(query.start_ns, query.end_ns);
    add_stats(result.stats, part.stats);
    if (missing.size() == 1) computed = std::move(matrix->series);
    else computed.insert(computed.end(), std::make_move_iterator(matrix->series.begin()), std::make_move_iterator(matrix->series.end()));
  }

  // What is put back: of each bucket the steps known now, where they are one run.
  std::vector<cache::Item> items;
  for (Bucket& bucket : buckets) {
    Range fresh{.first_ns = INT64_MAX, .last_ns = INT64_MIN};
    for (const Range& range : missing) {
      const Range inside{std::max(range.first_ns, bucket.begin_ns), std::min(range.last_ns, bucket.end_ns - query.step_ns)};
      if (inside.last_ns < inside.first_ns) continue;
      fresh = {std::min(fresh.first_ns, inside.first_ns), std::max(fresh.last_ns, inside.last_ns)};
    }
    if (fresh.last_ns < fresh.first_ns) continue;
    const bool joins = bucket.extent.has_value() && bucket.extent->first_ns <= fresh.last_ns + query.step_ns &&
                       bucket.extent->last_ns + query.step_ns >= fresh.first_ns;
    Extent known{fresh.first_ns, fresh.last_ns, {}};
    if (joins) {
      known.first_ns = std::min(known.first_ns, bucket.extent->first_ns);
      known.last_ns = std::max(known.last_ns, bucket.extent->last_ns);
    }
    const std::int64_t until_ns = query.start_ns + floor_to(query.keep_until_ns - query.start_ns, query.step_ns);
    known.last_ns = std::min(known.last_ns, until_ns);
    if (known.last_ns < known.first_ns) continue;
    Merger merger;
    for (const Range& range : missing)
      for (const engine::Series& series : computed)
        merger.add(slice(series, {std::max(range.first_ns, known.first_ns), std::min(range.last_ns, known.last_ns)}));
    if (joins) {
      // Steps that were computed again (scattered ones are, in one go) count once.
      const auto again = [&](const engine::Sample& sample) {
        const std::int64_t ts_ns = sample.timestamp_ms * kNanosPerMilli;
        return ts_ns > known.last_ns || std::any_of(missing.begin(), missing.end(), [&](const Range& range) { return ts_ns >= range.first_ns && ts_ns <= range.last_ns; });
      };
      for (engine::Series series : bucket.extent->series) {
        std::erase_if(series.samples, again);
        merger.add(series);
      }
    }
    known.series = merger.take();
    Bytes encoded = encode_extent(known);
    if (!encoded.empty()) items.push_back({.key = bucket.key, .value = std::make_shared<const Bytes>(std::move(encoded))});
  }
  if (!items.empty()) cache_->store(std::move(items));

  if (nothing_known) {   // as the engine gave it
    result.data = engine::MatrixResult{std::move(computed)};
  } else {
    Merger merger;
    for (const engine::Series& series : computed) merger.add(series);
    for (const Bucket& bucket : buckets) {
      if (!bucket.extent.has_value()) continue;
      for (const engine::Series& series : bucket.extent->series) {
        engine::Series part = slice(series, bucket.wanted);
        std::erase_if(part.samples, [&](const engine::Sample& sample) {
          const std::int64_t ts_ns = sample.timestamp_ms * kNanosPerMilli;
          return std::any_of(missing.begin(), missing.end(), [&](const Range& range) { return ts_ns >= range.first_ns && ts_ns <= range.last_ns; });
        });
        merger.add(part);
      }
    }
    std::vector<engine::Series> all = merger.take();
    if (query.series_max > 0 && static_cast<std::int64_t>(all.size()) > query.series_max) return compute(query.start_ns, query.end_ns);
    result.data = engine::MatrixResult{std::move(all)};
  }
  result.stats.entries_returned = std::get<engine::MatrixResult>(result.data).series.size();
  return result;
}

}  // namespace skald::api
