#include "skald/api/params.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "skald/base/clock.h"
#include "skald/model/labels.h"
#include "skald/model/time.h"

namespace skald::api {

namespace {

Error bad(std::string text) { return Error(ErrorCode::kInvalidArgument, std::move(text)); }

std::string quoted(std::string_view text) {
  std::string out;
  model::append_go_quoted(out, text);
  return out;
}

// Go's strconv.ParseInt(text, 10, 64); `function` names it in errors.
Result<std::int64_t> parse_integer(std::string_view text, const char* function) {
  std::string_view digits = text;
  if (!digits.empty() && digits.front() == '+') digits.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool signs_twice = digits.size() != text.size() && !digits.empty() && digits.front() == '-';
  if (digits.empty() || signs_twice || end != digits.data() + digits.size() || error == std::errc::invalid_argument)
    return bad(std::string("strconv.") + function + ": parsing " + quoted(text) + ": invalid syntax");
  if (error == std::errc::result_out_of_range)
    return bad(std::string("strconv.") + function + ": parsing " + quoted(text) + ": value out of range");
  return value;
}

bool parse_float(std::string_view text, double& value) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  if (text.empty() || text.front() == '+') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string_view param(const http::Params& form, std::string_view name) {
  const std::string* value = form.get(name);
  return value ? std::string_view(*value) : std::string_view();
}

Result<std::int64_t> parse_timestamp(std::string_view text, std::int64_t fallback_ns) {
  // Far enough (1823 to 2116) for every log, near enough that differences of two times never overflow.
  static constexpr std::int64_t kFarthest = (std::int64_t{1} << 62) - 1;
  const auto clamp = [](std::int64_t ns) { return std::clamp(ns, -kFarthest, kFarthest); };
  if (text.empty()) return fallback_ns;
  double seconds = 0;
  if (text.find('.') != std::string_view::npos && parse_float(text, seconds) && std::abs(seconds) < 9.2e9) {
    double whole = 0;
    const double fraction = std::round(std::modf(seconds, &whole) * 1000) / 1000;
    return clamp(static_cast<std::int64_t>(whole) * kNanosPerSecond + static_cast<std::int64_t>(fraction * 1e9));
  }
  Result<std::int64_t> number = parse_integer(text, "ParseInt");
  if (!number.ok()) {
    if (const auto time = model::parse_rfc3339(text)) return clamp(*time);
    return number;
  }
  if (text.size() <= 10) return clamp(std::clamp<std::int64_t>(*number, -kFarthest / kNanosPerSecond, kFarthest / kNanosPerSecond) * kNanosPerSecond);
  return clamp(*number);
}

Result<std::int64_t> parse_seconds_or_duration(std::string_view text) {
  double seconds = 0;
  if (parse_float(text, seconds)) {
    const double ns = seconds * 1e9;
    if (!(ns < 9.2e18 && ns > -9.2e18)) return bad("cannot parse " + quoted(text) + " to a valid duration. It overflows int64");
    return static_cast<std::int64_t>(ns);
  }
  if (const auto duration = model::parse_prom_duration(text)) return *duration;
  return bad("cannot parse " + quoted(text) + " to a valid duration");
}

Result<std::int64_t> parse_atoi(std::string_view text) { return parse_integer(text, "Atoi"); }

Result<Bounds> parse_bounds(const http::Params& form, std::int64_t now_ns) {
  std::int64_t since_ns = kNanosPerHour;
  if (const std::string_view since = param(form, "since"); !since.empty()) {
    const auto duration = model::parse_prom_duration(since);
    if (!duration) return bad("could not parse 'since' parameter: not a valid duration string: " + quoted(since));
    since_ns = *duration;
  }
  Bounds bounds;
  Result<std::int64_t> end = parse_timestamp(param(form, "end"), now_ns);
  if (!end.ok()) return end.error().with_prefix("could not parse 'end' parameter");
  bounds.end_ns = *end;
  Result<std::int64_t> start = parse_timestamp(param(form, "start"), std::min(bounds.end_ns, now_ns) - since_ns);
  if (!start.ok()) return start.error().with_prefix("could not parse 'start' parameter");
  bounds.start_ns = *start;
  return bounds;
}

Result<std::uint32_t> parse_limit(const http::Params& form, const char* name, std::uint32_t fallback) {
  const std::string_view text = param(form, name);
  if (text.empty()) return fallback;
  SKALD_TRY(const std::int64_t value, parse_atoi(text));
  if (value <= 0) return bad("limit must be a positive value");
  return static_cast<std::uint32_t>(std::min<std::int64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

Result<engine::Direction> parse_direction(const http::Params& form) {
  const std::string_view text = param(form, "direction");
  if (text.empty()) return engine::Direction::kBackward;
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (lower == "forward") return engine::Direction::kForward;
  if (lower == "backward") return engine::Direction::kBackward;
  return bad("invalid direction '" + std::string(text) + "'");
}

Result<std::int64_t> parse_step(const http::Params& form, const Bounds& bounds) {
  const std::string_view text = param(form, "step");
  if (!text.empty()) return parse_seconds_or_duration(text);
  const std::int64_t seconds = (bounds.end_ns - bounds.start_ns) / (250 * kNanosPerSecond);
  return std::max<std::int64_t>(seconds, 1) * kNanosPerSecond;
}

Result<RangeParams> parse_range_params(const http::Params& form, std::int64_t now_ns) {
  RangeParams params;
  params.query = std::string(param(form, "query"));
  SKALD_TRY(const Bounds bounds, parse_bounds(form, now_ns));
  params.start_ns = bounds.start_ns;
  params.end_ns = bounds.end_ns;
  if (params.end_ns < params.start_ns) return bad("end timestamp must not be before or equal to start time");
  SKALD_TRY(params.limit, parse_limit(form, "limit", 100));
  SKALD_TRY(params.direction, parse_direction(form));
  SKALD_TRY(params.step_ns, parse_step(form, bounds));
  if (params.step_ns <= 0) return bad("zero or negative query resolution step widths are not accepted. Try a positive integer");
  // Bounds the work of one query: 11,000 points are a minute's resolution for a week, or an hour's for a year.
  if ((params.end_ns - params.start_ns) / params.step_ns > 11000)
    return bad("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter");
  if (const std::string_view interval = param(form, "interval"); !interval.empty()) {
    SKALD_TRY(params.interval_ns, parse_seconds_or_duration(interval));
    if (params.interval_ns < 0) return bad("interval must be >= 0");
  }
  return params;
}

Result<InstantParams> parse_instant_params(const http::Params& form, std::int64_t now_ns) {
  InstantParams params;
  params.query = std::string(param(form, "query"));
  SKALD_TRY(params.time_ns, parse_timestamp(param(form, "time"), now_ns));
  SKALD_TRY(params.limit, parse_limit(form, "limit", 100));
  SKALD_TRY(params.direction, parse_direction(form));
  return params;
}

}  // namespace skald::api
