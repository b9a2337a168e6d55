#include "skald/model/time.h"

#include <array>
#include <cstdio>
#include <limits>

#include "skald/base/clock.h"

namespace skald::model {
namespace {

// Days since 1970-01-01 of a proleptic Gregorian date, and back (Howard Hinnant's public-domain algorithms).
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t of_era = year - era * 400;
  const std::int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct Civil {
  std::int64_t year;
  int month, day;
};
Civil civil_from_days(std::int64_t days) {
  days += 719468;
  const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const std::int64_t of_era = days - era * 146097;
  const std::int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const std::int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted = (5 * of_year + 2) / 153;
  const int day = static_cast<int>(of_year - (153 * shifted + 2) / 5 + 1);
  const int month = static_cast<int>(shifted < 10 ? shifted + 3 : shifted - 9);
  return {year_of_era + era * 400 + (month <= 2), month, day};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Exactly `count` digits at `at`.
bool digits(std::string_view text, std::size_t& at, std::size_t count, int& out) {
  if (text.size() - at < count) return false;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_digit(text[at + i])) return false;
    value = value * 10 + (text[at + i] - '0');
  }
  at += count;
  out = value;
  return true;
}

bool expect(std::string_view text, std::size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  ++at;
  return true;
}

struct Unit {
  std::string_view name;
  std::int64_t ns;
};

}  // namespace

std::string format_rfc3339_nano(std::int64_t ns) {
  std::int64_t seconds = ns / kNanosPerSecond, fraction = ns % kNanosPerSecond;
  if (fraction < 0) {
    fraction += kNanosPerSecond;
    --seconds;
  }
  std::int64_t days = seconds / 86400, of_day = seconds % 86400;
  if (of_day < 0) {
    of_day += 86400;
    --days;
  }
  const Civil civil = civil_from_days(days);
  std::array<char, 40> buffer;
  int length = std::snprintf(buffer.data(), buffer.size(), "%04d-%02d-%02dT%02d:%02d:%02d", static_cast<int>(civil.year),
                             civil.month, civil.day, static_cast<int>(of_day / 3600),
                             static_cast<int>(of_day / 60 % 60), static_cast<int>(of_day % 60));
  std::string out(buffer.data(), static_cast<std::size_t>(length));
  if (fraction != 0) {
    length = std::snprintf(buffer.data(), buffer.size(), ".%09d", static_cast<int>(fraction));
    while (buffer[static_cast<std::size_t>(length) - 1] == '0') --length;
    out.append(buffer.data(), static_cast<std::size_t>(length));
  }
  out += 'Z';
  return out;
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  std::size_t at = 0;
  int year, month, day, hour, minute, second;
  if (!digits(text, at, 4, year) || !expect(text, at, '-') || !digits(text, at, 2, month) || !expect(text, at, '-') ||
      !digits(text, at, 2, day) || !expect(text, at, 'T') || !digits(text, at, 2, hour) || !expect(text, at, ':') ||
      !digits(text, at, 2, minute) || !expect(text, at, ':') || !digits(text, at, 2, second))
    return std::nullopt;
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day < 1 || day > kDays[month - 1] + (month == 2 && leap ? 1 : 0)) return std::nullopt;
  std::int64_t fraction = 0;
  if (at < text.size() && (text[at] == '.' || text[at] == ',')) {
    ++at;
    std::size_t count = 0;
    while (at < text.size() && is_digit(text[at])) {
      if (count < 9) fraction = fraction * 10 + (text[at] - '0');
      ++count;
      ++at;
    }
    if (count == 0) return std::nullopt;
    for (; count < 9; ++count) fraction *= 10;
  }
  std::int64_t zone_s = 0;
  if (at < text.size() && text[at] == 'Z') {
    ++at;
  } else if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
    const bool west = text[at++] == '-';
    int zone_hour, zone_minute;
    if (!digits(text, at, 2, zone_hour) || !expect(text, at, ':') || !digits(text, at, 2, zone_minute) ||
        zone_hour > 24 || zone_minute > 59)
      return std::nullopt;
    zone_s = (zone_hour * 60 + zone_minute) * 60 * (west ? -1 : 1);
  } else {
    return std::nullopt;
  }
  if (at != text.size()) return std::nullopt;
  const std::int64_t seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone_s;
  std::int64_t ns = 0;
  if (__builtin_mul_overflow(seconds, kNanosPerSecond, &ns) || __builtin_add_overflow(ns, fraction, &ns))
    return std::nullopt;
  return ns;
}

std::string format_go_duration(std::int64_t ns) {
  if (ns == 0) return "0s";
  std::uint64_t rest = ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  std::string out = ns < 0 ? "-" : "";
  const auto with_fraction = [&](std::uint64_t value, std::uint64_t unit, int width, const char* name) {
    out += std::to_string(value / unit);
    if (value % unit != 0) {
      std::string fraction = std::to_string(value % unit);
      fraction.insert(0, static_cast<std::size_t>(width) - fraction.size(), '0');
      while (fraction.back() == '0') fraction.pop_back();
      out += '.' + fraction;
    }
    out += name;
  };
  if (rest < 1'000) {
    with_fraction(rest, 1, 0, "ns");
  } else if (rest < 1'000'000) {
    with_fraction(rest, 1'000, 3, "\xC2\xB5s");
  } else if (rest < 1'000'000'000) {
    with_fraction(rest, 1'000'000, 6, "ms");
  } else {
    const std::uint64_t minutes = rest / kNanosPerMinute;
    if (minutes >= 60) out += std::to_string(minutes / 60) + "h";
    if (minutes > 0) out += std::to_string(minutes % 60) + "m";
    with_fraction(rest % kNanosPerMinute, kNanosPerSecond, 9, "s");
  }
  return out;
}

std::optional<std::int64_t> parse_go_duration(std::string_view text) {
  static constexpr Unit kUnits[] = {{"ns", 1},
                                    {"us", kNanosPerMicro},
                                    {"\xC2\xB5s", kNanosPerMicro},
                                    {"\xCE\xBCs", kNanosPerMicro},
                                    {"ms", kNanosPerMilli},
                                    {"s", kNanosPerSecond},
                                    {"m", kNanosPerMinute},
                                    {"h", kNanosPerHour}};
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  constexpr std::uint64_t kMost = 1ULL << 63;
  std::uint64_t total = 0;
  while (!text.empty()) {
    std::uint64_t whole = 0, fraction = 0;
    double scale = 1;
    bool any = false;
    std::size_t at = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      any = true;
      if (whole > kMost / 10) return std::nullopt;
      whole = whole * 10 + static_cast<std::uint64_t>(text[at] - '0');
      if (whole > kMost) return std::nullopt;
    }
    if (at < text.size() && text[at] == '.') {
      ++at;
      bool full = false;
      for (; at < text.size() && is_digit(text[at]); ++at) {
        any = true;
        if (full || fraction > (kMost - 1) / 10) {
          full = true;
          continue;
        }
        fraction = fraction * 10 + static_cast<std::uint64_t>(text[at] - '0');
        scale *= 10;
      }
    }
    if (!any) return std::nullopt;
    std::size_t end = at;
    while (end < text.size() && text[end] != '.' && !is_digit(text[end])) ++end;
    const std::string_view name = text.substr(at, end - at);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits)
      if (candidate.name == name) unit = &candidate;
    if (unit == nullptr) return std::nullopt;
    const auto unit_ns = static_cast<std::uint64_t>(unit->ns);
    if (whole > kMost / unit_ns) return std::nullopt;
    std::uint64_t part = whole * unit_ns;
    if (fraction > 0)
      part += static_cast<std::uint64_t>(static_cast<double>(fraction) * (static_cast<double>(unit_ns) / scale));
    if (part > kMost || total + part > kMost) return std::nullopt;
    total += part;
    text.remove_prefix(end);
  }
  if (negative) return static_cast<std::int64_t>(0 - total);
  if (total > kMost - 1) return std::nullopt;
  return static_cast<std::int64_t>(total);
}

std::optional<std::int64_t> parse_prom_duration(std::string_view text) {
  static constexpr Unit kUnits[] = {{"y", 365 * kNanosPerDay}, {"w", 7 * kNanosPerDay},  {"d", kNanosPerDay},
                                    {"h", kNanosPerHour},      {"m", kNanosPerMinute},   {"s", kNanosPerSecond},
                                    {"ms", kNanosPerMilli}};
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    std::int64_t count = 0;
    std::size_t at = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      if (__builtin_mul_overflow(count, 10, &count) || __builtin_add_overflow(count, text[at] - '0', &count))
        return std::nullopt;
    }
    std::size_t end = at;
    while (end < text.size() && !is_digit(text[end])) ++end;
    if (at == 0 || end == at) return std::nullopt;
    const std::string_view name = text.substr(at, end - at);
    std::size_t unit = next_unit;
    while (unit < std::size(kUnits) && kUnits[unit].name != name) ++unit;
    if (unit == std::size(kUnits)) return std::nullopt;
    next_unit = unit + 1;
    if (__builtin_mul_overflow(count, kUnits[unit].ns, &count) || __builtin_add_overflow(total, count, &total))
      return std::nullopt;
    text.remove_prefix(end);
  }
  return total;
}

std::string format_prom_duration(std::int64_t ns) {
  std::int64_t ms = ns / kNanosPerMilli;
  if (ms == 0) return "0s";
  std::string out;
  if (ms < 0) {
    out += '-';
    ms = -ms;
  }
  const auto part = [&](const char* name, std::int64_t unit_ms, bool only_exact) {
    if (only_exact && ms % unit_ms != 0) return;
    if (const std::int64_t count = ms / unit_ms; count > 0) {
      out += std::to_string(count) + name;
      ms -= count * unit_ms;
    }
  };
  constexpr std::int64_t kDayMs = 86'400'000;
  part("y", 365 * kDayMs, true);  // years and weeks only when nothing is left over
  part("w", 7 * kDayMs, true);
  part("d", kDayMs, false);
  part("h", 3'600'000, false);
  part("m", 60'000, false);
  part("s", 1'000, false);
  part("ms", 1, false);
  return out;
}

}  // namespace skald::model
