// /loki/api/v1/patterns: mined when asked, over the rows in range, so that it answers for data of any age and costs
// nothing at ingest (docs/decisions/002-patterns-at-query-time.md).
#include <algorithm>
#include <map>

#include "api/limited_source.h"
#include "api/query_limits.h"
#include "api/read_context.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/logql/parser.h"
#include "skald/model/level.h"
#include "skald/pattern/miner.h"

namespace skald::api {
namespace {

constexpr std::int64_t kSampleResolutionNs = 10 * kNanosPerSecond;
constexpr std::uint64_t kRowsMax = 2'000'000;   // about two seconds of mining; newer blocks come first

struct Mined {
  std::string pattern;
  std::uint8_t level = 0;
  std::map<std::int64_t, std::uint64_t> samples;   // bucket start, seconds → lines
  std::uint64_t total = 0;
};

// One service's lines are mined together, levels apart, as clients show them.
class Mining {
 public:
  Mining(std::int64_t start_ns, std::int64_t end_ns, std::int64_t step_ns) : start_ns_(start_ns), end_ns_(end_ns), step_ns_(step_ns) {}

  Result<void> add(const chunk::BlockSlice& slice, const CallContext& ctx) {
    SKALD_TRY(const auto columns, slice.block->load(chunk::kTimestamps | chunk::kLevels | chunk::kLines, ctx));
    for (std::uint32_t row = slice.first_row; row < slice.first_row + slice.rows; ++row) {
      const std::int64_t ts = columns->timestamps_ns[row];
      if (ts < start_ns_ || ts >= end_ns_) continue;
      const std::uint8_t level = columns->levels.empty() ? 0 : columns->levels[row];
      Level& bucket = levels_[level];
      const std::uint32_t cluster = bucket.miner.add(columns->line(row));
      if (cluster == pattern::Miner::kNone) continue;
      if (bucket.samples.size() <= cluster) bucket.samples.resize(cluster + 1);
      const std::int64_t start = ts / step_ns_ * step_ns_ / kNanosPerSecond;
      ++bucket.samples[cluster][start];
    }
    return {};
  }

  std::vector<Mined> finish() const {
    // Two clusters may have grown into the same text.
    std::map<std::pair<std::string, std::uint8_t>, Mined> merged;
    for (const auto& [level, bucket] : levels_) {
      for (std::uint32_t i = 0; i < bucket.samples.size(); ++i) {
        std::string text = bucket.miner.text(i);
        Mined& mined = merged[{text, level}];
        mined.pattern = std::move(text);
        mined.level = level;
        for (const auto& [at, count] : bucket.samples[i]) {
          mined.samples[at] += count;
          mined.total += count;
        }
      }
    }
    std::vector<Mined> out;
    for (auto& [key, mined] : merged) out.push_back(std::move(mined));
    std::stable_sort(out.begin(), out.end(), [](const Mined& a, const Mined& b) { return a.total > b.total; });
    return out;
  }

 private:
  struct Level {
    pattern::Miner miner;
    std::vector<std::map<std::int64_t, std::uint64_t>> samples;   // per cluster
  };
  const std::int64_t start_ns_, end_ns_, step_ns_;
  std::map<std::uint8_t, Level> levels_;
};

std::string to_json(const std::vector<Mined>& patterns) {
  std::string out = R"({"status":"success","data":[)";
  bool first = true;
  for (const Mined& mined : patterns) {
    if (!first) out += ',';
    first = false;
    out += "{\"pattern\":";
    append_json_string(out, mined.pattern);
    out += ",\"level\":";
    append_json_string(out, mined.level == 0 ? "unknown" : model::level_text(static_cast<model::Level>(mined.level)));
    out += ",\"samples\":[";
    bool first_sample = true;
    for (const auto& [at, count] : mined.samples) {
      if (!first_sample) out += ',';
      first_sample = false;
      out += '[';
      append_json_integer(out, at);
      out += ',';
      append_json_unsigned(out, count);
      out += ']';
    }
    out += "]}";
  }
  return out + "]}\n";
}

Result<http::Response> handle_patterns(ReadService& service, const ReadRequest& request) {
  SKALD_TRY(Bounds bounds, parse_bounds(request.form, request.now_ns));
  SKALD_TRY(const auto matchers, logql::parse_selector(param(request.form, "query")));
  std::int64_t step_ns = kSampleResolutionNs;
  if (!param(request.form, "step").empty()) {
    SKALD_TRY(step_ns, parse_seconds_or_duration(param(request.form, "step")));
    step_ns = std::max(step_ns / kSampleResolutionNs * kSampleResolutionNs, kSampleResolutionNs);
  }
  SKALD_TRY_VOID(check_length(*request.limits, bounds.end_ns - bounds.start_ns));
  if (!clamp_to_lookback(*request.limits, request.now_ns, bounds.start_ns, bounds.end_ns)) return http::Response::json(to_json({}));
  LimitedSource source(service.querier, *request.limits, true);
  SKALD_TRY(const chunk::SelectResult selected, source.select(request.ctx, {matchers, bounds.start_ns, bounds.end_ns}));
  std::vector<const chunk::BlockSlice*> slices;
  for (const auto& stream : selected.streams) {
    for (const auto& slice : stream.blocks) slices.push_back(&slice);
  }
  std::stable_sort(slices.begin(), slices.end(), [](const auto* a, const auto* b) { return a->max_ts_ns > b->max_ts_ns; });
  Mining mining(bounds.start_ns, bounds.end_ns, step_ns);
  std::uint64_t rows = 0;
  for (const auto* slice : slices) {
    if ((rows += slice->rows) > kRowsMax && rows != slice->rows) break;
    SKALD_TRY_VOID(request.ctx.check());
    SKALD_TRY_VOID(mining.add(*slice, request.ctx));
  }
  return http::Response::json(to_json(mining.finish()));
}

}  // namespace

// Without the pattern ingester the path is unknown, as in Loki: 404 with an empty body.
void add_pattern_routes(http::Server& server, ReadService& service) {
  if (service.options.patterns) return add_query_route(server, service, "/loki/api/v1/patterns", "loki_api_v1_patterns", handle_patterns);
  http::Route route;
  route.methods = {"GET", "POST"};
  route.pattern = "/loki/api/v1/patterns";
  route.name = "loki_api_v1_patterns";
  route.run_on = http::RunOn::kIo;
  route.handler = [](const std::shared_ptr<http::Request>&, const http::Responder& respond) { respond(http::Response::empty(404)); };
  server.add(std::move(route));
}

}  // namespace skald::api
