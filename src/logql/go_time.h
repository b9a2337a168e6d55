// Times with a zone, and Go's reference-time layouts ("2006-01-02 15:04:05.999 -0700 MST").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skald::logql {

// An instant and the zone it is shown in. The zero value is Go's zero time, year 1 UTC.
struct GoTime {
  std::int64_t seconds = -62135596800;  // since 1970-01-01T00:00:00Z
  std::int32_t nanos = 0;
  std::int32_t offset_s = 0;            // east of UTC
  char zone[8] = "UTC";                 // abbreviation; "" when only the offset is known

  static GoTime from_unix_ns(std::int64_t ns);
  static GoTime from_unix(std::int64_t seconds, std::int32_t nanos = 0);
  // Nanoseconds since 1970; wraps for years beyond 1678–2262, as Go's UnixNano does.
  std::int64_t unix_ns() const;
  // 2006-01-02 15:04:05.999999999 -0700 MST
  std::string to_string() const;
};

void append_go_time(std::string& out, std::string_view layout, const GoTime& time);

// A zone of the system's database by name; "", "UTC" and "Local" are UTC. nullopt: unknown name.
class TimeZone;
const TimeZone* find_time_zone(std::string_view name);  // lives for ever; thread-safe; nullptr: unknown

// The instant `value` names by `layout`, in `zone` where the text has no zone of its own (nullptr: UTC).
std::optional<GoTime> parse_go_time(std::string_view layout, std::string_view value, const TimeZone* zone);

}  // namespace skald::logql
