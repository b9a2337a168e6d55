#include "ingester/refusal.h"

#include "skald/base/clock.h"
#include "skald/model/time.h"

namespace skald::ingester {
namespace {

constexpr std::uint64_t kListedMax = 10;

std::int64_t floor_to_second(std::int64_t ns) {
  const std::int64_t rest = ((ns % kNanosPerSecond) + kNanosPerSecond) % kNanosPerSecond;
  return ns - rest;
}

}  // namespace

void StreamRefusals::add(std::int64_t timestamp_ns, const std::string& reason) {
  if (++count_ <= kListedMax) text_ += "entry with timestamp " + go_time_text(timestamp_ns) + " ignored, reason: '" + reason + "',\n";
}

void StreamRefusals::too_far_behind(std::int64_t timestamp_ns, std::int64_t oldest_ns) {
  last_was_rate_ = false;
  add(timestamp_ns, "entry too far behind, entry timestamp is: " + model::format_rfc3339_nano(floor_to_second(timestamp_ns)) +
                        ", oldest acceptable timestamp is: " + model::format_rfc3339_nano(floor_to_second(oldest_ns)));
}

void StreamRefusals::out_of_order(std::int64_t timestamp_ns) {
  last_was_rate_ = false;
  add(timestamp_ns, "entry out of order");
}

void StreamRefusals::over_rate(std::int64_t timestamp_ns, std::uint64_t limit_bytes, std::uint64_t line_bytes, const std::string& stream) {
  last_was_rate_ = true;
  add(timestamp_ns, "Per stream rate limit exceeded (limit: " + size_text(limit_bytes) + "/sec) while attempting to ingest for stream '" + stream +
                        "' totaling " + size_text(line_bytes) +
                        ", consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased");
}

Error StreamRefusals::error(const std::string& tenant, const std::string& stream, std::uint64_t entries) const {
  return Error(last_was_rate_ ? ErrorCode::kResourceExhausted : ErrorCode::kInvalidArgument,
               text_ + "user '" + tenant + "', total ignored: " + std::to_string(count_) + " out of " + std::to_string(entries) + " for stream: " + stream);
}

Error stream_limit_error(const std::string& tenant, const std::string& stream) {
  return Error(ErrorCode::kResourceExhausted,
               "maximum active stream limit exceeded when trying to create stream " + stream +
                   ", reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if "
                   "the limit can be increased, user: '" + tenant + "'");
}

std::string size_text(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (unit + 1 < std::size(kUnits) && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

std::string go_time_text(std::int64_t timestamp_ns) {
  std::string text = model::format_rfc3339_nano(timestamp_ns);  // 2026-01-01T00:00:00.5Z
  if (const auto t = text.find('T'); t != std::string::npos) text[t] = ' ';
  if (!text.empty() && text.back() == 'Z') text.pop_back();
  return text + " +0000 UTC";
}

}  // namespace skald::ingester
