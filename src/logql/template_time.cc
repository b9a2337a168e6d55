// Time functions of line_format and label_format. The server's local zone is UTC.
#include <algorithm>
#include <charconv>

#include "logql/go_time.h"
#include "logql/template_functions.h"
#include "skald/base/clock.h"
#include "skald/model/labels.h"

namespace skald::logql {
namespace {

GoTime now() { return GoTime::from_unix_ns(system_clock().now_ns()); }

FunctionResult fn_timestamp(Run& run, Args) { return Value::of(GoTime::from_unix_ns(run.input->timestamp_ns())); }
FunctionResult fn_now(Run&, Args) { return Value::of(now()); }

FunctionResult fn_date(Run& run, Args a) {
  GoTime time;
  if (a[1].kind == Kind::kTime) {
    time = a[1].time;
    // Shown in the local zone, whatever zone the value came with.
    time = GoTime::from_unix(time.seconds, time.nanos);
  } else if (a[1].is_integer() && a[1].kind != Kind::kUint8) {
    // Beyond any year a layout can show, arithmetic on dates would overflow.
    constexpr std::int64_t kFar = 1'000'000'000'000'000;
    time = GoTime::from_unix(std::clamp(a[1].integer, -kFar, kFar));
  } else {
    time = now();
  }
  std::string out;
  append_go_time(out, a[0].text, time);
  return keep(run, std::move(out));
}

FunctionResult fn_to_date(Run&, Args a) {
  return Value::of(parse_go_time(a[0].text, a[1].text, nullptr).value_or(GoTime()));
}
FunctionResult fn_to_date_in_zone(Run&, Args a) {
  return Value::of(parse_go_time(a[0].text, a[2].text, find_time_zone(a[1].text)).value_or(GoTime()));
}

FunctionResult fn_unix_to_time(Run&, Args a) {
  const std::string_view text = a[0].text;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::int64_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  std::string message = "unable to parse time '" + std::string(text) + "': ";
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
    message += "strconv.ParseInt: parsing ";
    model::append_go_quoted(message, text);
    message += parsed.ec == std::errc::result_out_of_range ? ": value out of range" : ": invalid syntax";
    return function_error(std::move(message));
  }
  const auto scaled = [&](std::int64_t per_second) {
    std::int64_t seconds = value / per_second, rest = value % per_second;
    if (rest < 0) { rest += per_second; --seconds; }
    return Value::of(GoTime::from_unix(seconds, static_cast<std::int32_t>(rest * (1'000'000'000 / per_second))));
  };
  switch (text.size()) {
    case 5: return Value::of(GoTime::from_unix(value * 86'400));
    case 10: return scaled(1);
    case 13: return scaled(1'000);
    case 16: return scaled(1'000'000);
    case 19: return scaled(1'000'000'000);
    default: return function_error(message + "%!w(<nil>)");
  }
}

FunctionResult fn_unix_epoch(Run& run, Args a) { return keep(run, std::to_string(a[0].time.seconds)); }
FunctionResult fn_unix_epoch_millis(Run& run, Args a) {
  const auto ms = static_cast<std::int64_t>(static_cast<std::uint64_t>(a[0].time.seconds) * 1000u) + a[0].time.nanos / 1'000'000;
  return keep(run, std::to_string(ms));
}
FunctionResult fn_unix_epoch_nanos(Run& run, Args a) { return keep(run, std::to_string(a[0].time.unix_ns())); }

constexpr Function kTimes[] = {
    {"__timestamp__", "", 0, fn_timestamp}, {"now", "", 0, fn_now}, {"date", "sa", 0, fn_date},
    {"toDate", "ss", 0, fn_to_date}, {"toDateInZone", "sss", 0, fn_to_date_in_zone},
    {"unixToTime", "s", 0, fn_unix_to_time}, {"unixEpoch", "t", 0, fn_unix_epoch},
    {"unixEpochMillis", "t", 0, fn_unix_epoch_millis}, {"unixEpochNanos", "t", 0, fn_unix_epoch_nanos},
};

}  // namespace

std::span<const Function> time_functions() { return kTimes; }

}  // namespace skald::logql
