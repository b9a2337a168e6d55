// Request parameters of the read routes, parsed as Loki does (reference: http-api.md §2). Errors are kInvalidArgument
// with Loki's text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/base/result.h"
#include "skald/engine/engine.h"
#include "skald/http/message.h"

namespace skald::api {

// "" → `fallback_ns`; a dot → float seconds; up to ten digits → seconds, more → nanoseconds; else RFC 3339.
Result<std::int64_t> parse_timestamp(std::string_view text, std::int64_t fallback_ns);
// Float seconds, or a Prometheus duration.
Result<std::int64_t> parse_seconds_or_duration(std::string_view text);
// Go's strconv.Atoi.
Result<std::int64_t> parse_atoi(std::string_view text);

struct Bounds {
  std::int64_t start_ns = 0, end_ns = 0;
};
// start, end, since. Does not compare start with end.
Result<Bounds> parse_bounds(const http::Params& form, std::int64_t now_ns);
// Positive integer, `fallback` when absent or empty.
Result<std::uint32_t> parse_limit(const http::Params& form, const char* name, std::uint32_t fallback);
Result<engine::Direction> parse_direction(const http::Params& form);
std::string_view param(const http::Params& form, std::string_view name);   // "" when absent

struct RangeParams {
  std::string query;
  std::int64_t start_ns = 0, end_ns = 0, step_ns = 0, interval_ns = 0;
  std::uint32_t limit = 100;
  engine::Direction direction = engine::Direction::kBackward;
};
Result<RangeParams> parse_range_params(const http::Params& form, std::int64_t now_ns);

struct InstantParams {
  std::string query;
  std::int64_t time_ns = 0;
  std::uint32_t limit = 100;
  engine::Direction direction = engine::Direction::kBackward;
};
Result<InstantParams> parse_instant_params(const http::Params& form, std::int64_t now_ns);

// Step of a request: as given, or a 250th of the range in whole seconds, at least one.
Result<std::int64_t> parse_step(const http::Params& form, const Bounds& bounds);

}  // namespace skald::api
