#include "logql/go_time.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <vector>

namespace skald::logql {
namespace {

constexpr std::array<std::string_view, 12> kMonths{"January", "February", "March", "April", "May", "June", "July",
                                                  "August", "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kDays{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

struct Civil {
  std::int64_t year = 1;
  int month = 1, day = 1, hour = 0, minute = 0, second = 0;
  int weekday = 0, year_day = 1;
};

// Howard Hinnant's chrono-compatible date algorithms (https://howardhinnant.github.io/date_algorithms.html).
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t of_era = year - era * 400;
  const std::int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool leap(std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }
int days_in(int month, std::int64_t year) {
  constexpr int kLengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && leap(year) ? 29 : kLengths[month - 1];
}

Civil civil_from(std::int64_t local_seconds) {
  std::int64_t days = local_seconds / 86400, rest = local_seconds % 86400;
  if (rest < 0) { rest += 86400; --days; }
  Civil c;
  c.hour = static_cast<int>(rest / 3600);
  c.minute = static_cast<int>(rest / 60 % 60);
  c.second = static_cast<int>(rest % 60);
  c.weekday = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const std::int64_t z = days + 719468;
  const std::int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const std::int64_t of_era = z - era * 146097;
  const std::int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const std::int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t mp = (5 * of_year + 2) / 153;
  c.day = static_cast<int>(of_year - (153 * mp + 2) / 5 + 1);
  c.month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  c.year = year_of_era + era * 400 + (c.month <= 2);
  c.year_day = static_cast<int>(days - days_from_civil(c.year, 1, 1)) + 1;
  return c;
}

enum class Part {
  kNone, kLongMonth, kMonth, kNumMonth, kZeroMonth, kLongWeekday, kWeekday, kDay, kUnderDay, kZeroDay, kUnderYearDay,
  kZeroYearDay, kHour, kHour12, kZeroHour12, kMinute, kZeroMinute, kSecond, kZeroSecond, kLongYear, kYear, kUpperPm,
  kLowerPm, kZoneName, kZone, kFraction0, kFraction9,
};
struct Chunk {
  std::string_view prefix;  // literal text in front
  Part part = Part::kNone;
  std::string_view spelling;  // of the part, for zones and fractions
  std::string_view rest;
};

bool digit_at(std::string_view text, std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; }

Chunk next_chunk(std::string_view layout) {
  const auto found = [&](std::size_t at, std::size_t length, Part part) {
    return Chunk{layout.substr(0, at), part, layout.substr(at, length), layout.substr(at + length)};
  };
  const auto starts = [&](std::size_t at, std::string_view word) { return layout.substr(at, word.size()) == word; };
  const auto lower_at = [&](std::size_t at) { return at < layout.size() && layout[at] >= 'a' && layout[at] <= 'z'; };
  for (std::size_t i = 0; i < layout.size(); ++i) {
    switch (layout[i]) {
      case 'J':
        if (starts(i, "January")) return found(i, 7, Part::kLongMonth);
        if (starts(i, "Jan") && !lower_at(i + 3)) return found(i, 3, Part::kMonth);
        break;
      case 'M':
        if (starts(i, "Monday")) return found(i, 6, Part::kLongWeekday);
        if (starts(i, "Mon") && !lower_at(i + 3)) return found(i, 3, Part::kWeekday);
        if (starts(i, "MST")) return found(i, 3, Part::kZoneName);
        break;
      case '0':
        if (i + 1 < layout.size() && layout[i + 1] >= '1' && layout[i + 1] <= '6') {
          constexpr Part kParts[] = {Part::kZeroMonth, Part::kZeroDay, Part::kZeroHour12, Part::kZeroMinute,
                                     Part::kZeroSecond, Part::kYear};
          return found(i, 2, kParts[layout[i + 1] - '1']);
        }
        if (starts(i, "002")) return found(i, 3, Part::kZeroYearDay);
        break;
      case '1':
        if (starts(i, "15")) return found(i, 2, Part::kHour);
        return found(i, 1, Part::kNumMonth);
      case '2':
        if (starts(i, "2006")) return found(i, 4, Part::kLongYear);
        return found(i, 1, Part::kDay);
      case '_':
        if (starts(i, "_2006")) return found(i + 1, 4, Part::kLongYear);
        if (starts(i, "_2")) return found(i, 2, Part::kUnderDay);
        if (starts(i, "__2")) return found(i, 3, Part::kUnderYearDay);
        break;
      case '3': return found(i, 1, Part::kHour12);
      case '4': return found(i, 1, Part::kMinute);
      case '5': return found(i, 1, Part::kSecond);
      case 'P':
        if (starts(i, "PM")) return found(i, 2, Part::kUpperPm);
        break;
      case 'p':
        if (starts(i, "pm")) return found(i, 2, Part::kLowerPm);
        break;
      case '-':
      case 'Z':
        for (const std::string_view form : {"070000", "07:00:00", "0700", "07:00", "07"})
          if (starts(i + 1, form)) return found(i, form.size() + 1, Part::kZone);
        break;
      case '.':
      case ',':
        if (i + 1 < layout.size() && (layout[i + 1] == '0' || layout[i + 1] == '9')) {
          const char c = layout[i + 1];
          std::size_t end = i + 1;
          while (end < layout.size() && layout[end] == c) ++end;
          if (!digit_at(layout, end)) return found(i, end - i, c == '0' ? Part::kFraction0 : Part::kFraction9);
        }
        break;
      default: break;
    }
  }
  return {layout, Part::kNone, {}, {}};
}

void append_number(std::string& out, std::int64_t value, int width, char pad = '0') {
  char text[32];
  if (value < 0) {
    out += '-';
    value = -value;
  }
  const int length = std::snprintf(text, sizeof text, "%lld", static_cast<long long>(value));
  for (int i = length; i < width; ++i) out += pad;
  out.append(text, static_cast<std::size_t>(length));
}

void append_offset(std::string& out, int offset_s, std::string_view spelling) {
  if (spelling[0] == 'Z' && offset_s == 0) {
    out += 'Z';
    return;
  }
  const std::string_view form = spelling.substr(1);
  out += offset_s < 0 ? '-' : '+';
  const int a = offset_s < 0 ? -offset_s : offset_s;
  const char* colon = form.find(':') != std::string_view::npos ? ":" : "";
  append_number(out, a / 3600, 2);
  if (form.size() > 2) {
    out += colon;
    append_number(out, a / 60 % 60, 2);
  }
  if (form.size() >= 6) {
    out += colon;
    append_number(out, a % 60, 2);
  }
}

}  // namespace

GoTime GoTime::from_unix(std::int64_t seconds, std::int32_t nanos) {
  GoTime t;
  t.seconds = seconds;
  t.nanos = nanos;
  return t;
}

GoTime GoTime::from_unix_ns(std::int64_t ns) {
  std::int64_t s = ns / 1'000'000'000, rest = ns % 1'000'000'000;
  if (rest < 0) { rest += 1'000'000'000; --s; }
  return from_unix(s, static_cast<std::int32_t>(rest));
}

std::int64_t GoTime::unix_ns() const {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(seconds) * 1'000'000'000u + static_cast<std::uint64_t>(nanos));
}

std::string GoTime::to_string() const {
  std::string out;
  append_go_time(out, "2006-01-02 15:04:05.999999999 -0700 MST", *this);
  return out;
}

void append_go_time(std::string& out, std::string_view layout, const GoTime& time) {
  const Civil c = civil_from(time.seconds + time.offset_s);
  const int hour12 = c.hour % 12 == 0 ? 12 : c.hour % 12;
  while (true) {
    const Chunk chunk = next_chunk(layout);
    out += chunk.prefix;
    if (chunk.part == Part::kNone) return;
    layout = chunk.rest;
    switch (chunk.part) {
      case Part::kNone: break;
      case Part::kLongMonth: out += kMonths[static_cast<std::size_t>(c.month - 1)]; break;
      case Part::kMonth: out += kMonths[static_cast<std::size_t>(c.month - 1)].substr(0, 3); break;
      case Part::kNumMonth: append_number(out, c.month, 0); break;
      case Part::kZeroMonth: append_number(out, c.month, 2); break;
      case Part::kLongWeekday: out += kDays[static_cast<std::size_t>(c.weekday)]; break;
      case Part::kWeekday: out += kDays[static_cast<std::size_t>(c.weekday)].substr(0, 3); break;
      case Part::kDay: append_number(out, c.day, 0); break;
      case Part::kUnderDay: append_number(out, c.day, 2, ' '); break;
      case Part::kZeroDay: append_number(out, c.day, 2); break;
      case Part::kUnderYearDay: append_number(out, c.year_day, 3, ' '); break;
      case Part::kZeroYearDay: append_number(out, c.year_day, 3); break;
      case Part::kHour: append_number(out, c.hour, 2); break;
      case Part::kHour12: append_number(out, hour12, 0); break;
      case Part::kZeroHour12: append_number(out, hour12, 2); break;
      case Part::kMinute: append_number(out, c.minute, 0); break;
      case Part::kZeroMinute: append_number(out, c.minute, 2); break;
      case Part::kSecond: append_number(out, c.second, 0); break;
      case Part::kZeroSecond: append_number(out, c.second, 2); break;
      case Part::kLongYear: append_number(out, c.year, 4); break;
      case Part::kYear: append_number(out, (c.year % 100 + 100) % 100, 2); break;
      case Part::kUpperPm: out += c.hour >= 12 ? "PM" : "AM"; break;
      case Part::kLowerPm: out += c.hour >= 12 ? "pm" : "am"; break;
      case Part::kZoneName:
        if (time.zone[0] != '\0') out += time.zone;
        else append_offset(out, time.offset_s, "-0700");
        break;
      case Part::kZone: append_offset(out, time.offset_s, chunk.spelling); break;
      case Part::kFraction0:
      case Part::kFraction9: {
        char digits[16];
        std::snprintf(digits, sizeof digits, "%09d", time.nanos);
        std::size_t length = std::min<std::size_t>(chunk.spelling.size() - 1, 9);
        if (chunk.part == Part::kFraction9) {
          while (length > 0 && digits[length - 1] == '0') --length;
          if (length == 0) break;
        }
        out += chunk.spelling[0];
        out.append(digits, length);
        break;
      }
    }
  }
}

// ---- zones: TZif files, RFC 8536

class TimeZone {
 public:
  struct Type {
    std::int32_t offset_s = 0;
    char name[8] = "";
  };
  static std::unique_ptr<TimeZone> read(const std::string& bytes);
  const Type& at_utc(std::int64_t seconds) const {
    std::size_t low = 0, high = transitions_.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (transitions_[middle] <= seconds) low = middle + 1;
      else high = middle;
    }
    return types_[low == 0 ? 0 : kinds_[low - 1]];
  }
  // As Go's time.Date: guess with the offset of that moment taken as UTC, then correct once.
  const Type& at_local(std::int64_t local_seconds) const {
    const Type& guess = at_utc(local_seconds);
    if (guess.offset_s == 0) return guess;
    const Type& better = at_utc(local_seconds - guess.offset_s);
    return better;
  }

 private:
  std::vector<std::int64_t> transitions_;
  std::vector<std::uint8_t> kinds_;
  std::vector<Type> types_;
};

std::unique_ptr<TimeZone> TimeZone::read(const std::string& bytes) {
  const auto number = [&](std::size_t at, std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  std::size_t at = 0;
  std::size_t width = 4;
  std::size_t counts[6] = {};
  for (int pass = 0; pass < 2; ++pass) {
    if (at + 44 > bytes.size() || bytes.compare(at, 4, "TZif") != 0) return nullptr;
    for (std::size_t i = 0; i < 6; ++i) counts[i] = static_cast<std::size_t>(number(at + 20 + 4 * i, 4));
    const bool has_second = bytes[at + 4] >= '2';
    at += 44;
    // counts: isut, isstd, leap, time, type, char
    if (counts[3] > 10'000 || counts[4] > 256 || counts[5] > 4096) return nullptr;
    if (pass == 0 && has_second) {
      at += counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0];
      width = 8;
      continue;
    }
    break;
  }
  if (counts[4] == 0 || at + counts[3] * (width + 1) + counts[4] * 6 + counts[5] > bytes.size()) return nullptr;
  auto zone = std::make_unique<TimeZone>();
  for (std::size_t i = 0; i < counts[3]; ++i) {
    const std::uint64_t raw = number(at + i * width, width);
    zone->transitions_.push_back(width == 8 ? static_cast<std::int64_t>(raw) : static_cast<std::int32_t>(raw));
  }
  at += counts[3] * width;
  for (std::size_t i = 0; i < counts[3]; ++i) {
    zone->kinds_.push_back(static_cast<std::uint8_t>(bytes[at + i]));
    if (zone->kinds_.back() >= counts[4]) return nullptr;
  }
  at += counts[3];
  const std::size_t names = at + counts[4] * 6;
  for (std::size_t i = 0; i < counts[4]; ++i) {
    Type type;
    type.offset_s = static_cast<std::int32_t>(number(at + i * 6, 4));
    std::size_t name = static_cast<unsigned char>(bytes[at + i * 6 + 5]);
    for (std::size_t j = 0; j + 1 < sizeof type.name && name < counts[5] && bytes[names + name] != '\0'; ++j, ++name)
      type.name[j] = bytes[names + name];
    zone->types_.push_back(type);
  }
  return zone;
}

const TimeZone* find_time_zone(std::string_view name) {
  static const TimeZone* const utc = [] {
    std::string bytes("TZif", 4);
    bytes.resize(44, '\0');
    bytes[39] = 1;  // one type
    bytes[43] = 4;  // four bytes of names
    bytes.append(6, '\0');
    bytes.append("UTC\0", 4);
    return TimeZone::read(bytes).release();
  }();
  if (name.empty() || name == "UTC" || name == "Local") return utc;
  if (name.size() > 64 || name[0] == '/' || name.find("..") != std::string_view::npos) return nullptr;
  for (const char c : name) {
    const char l = static_cast<char>(c | 32);
    if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+' || c == '/')) return nullptr;
  }
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<TimeZone>, std::less<>> known;  // guarded by mutex; null: no such zone
  const std::lock_guard lock(mutex);
  if (const auto it = known.find(name); it != known.end()) return it->second.get();
  if (known.size() >= 1024) return nullptr;  // names come from rows; the database has some 600
  std::unique_ptr<TimeZone> zone;
  std::ifstream file("/usr/share/zoneinfo/" + std::string(name), std::ios::binary);
  if (file) {
    std::string bytes(64 * 1024, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    zone = TimeZone::read(bytes);
  }
  return known.emplace(std::string(name), std::move(zone)).first->second.get();
}

// ---- parsing

namespace {

// Literal text of the layout; a blank there stands for any number of blanks.
bool skip(std::string_view& value, std::string_view prefix) {
  while (!prefix.empty()) {
    if (prefix[0] == ' ') {
      if (!value.empty() && value[0] != ' ') return false;
      while (!prefix.empty() && prefix[0] == ' ') prefix.remove_prefix(1);
      while (!value.empty() && value[0] == ' ') value.remove_prefix(1);
      continue;
    }
    if (value.empty() || value[0] != prefix[0]) return false;
    prefix.remove_prefix(1);
    value.remove_prefix(1);
  }
  return true;
}

bool number(std::string_view& value, std::size_t least, std::size_t most, int& out) {
  std::size_t length = 0;
  out = 0;
  while (length < most && digit_at(value, length)) out = out * 10 + (value[length++] - '0');
  if (length < least) return false;
  value.remove_prefix(length);
  return true;
}

template <std::size_t N>
bool named(std::string_view& value, const std::array<std::string_view, N>& names, bool full, int& out) {
  for (std::size_t i = 0; i < N; ++i) {
    const std::string_view name = full ? names[i] : names[i].substr(0, 3);
    if (value.size() < name.size()) continue;
    bool same = true;
    for (std::size_t j = 0; j < name.size(); ++j) same &= (value[j] | 32) == (name[j] | 32);
    if (!same) continue;
    value.remove_prefix(name.size());
    out = static_cast<int>(i);
    return true;
  }
  return false;
}

bool fraction(std::string_view& value, std::size_t digits, std::int32_t& nanos) {
  nanos = 0;
  for (std::size_t i = 0; i < 9; ++i) nanos = nanos * 10 + (i < digits ? value[1 + i] - '0' : 0);
  value.remove_prefix(1 + digits);
  return true;
}

bool zone_offset(std::string_view& value, std::string_view spelling, int& offset_s) {
  if (spelling[0] == 'Z' && !value.empty() && value[0] == 'Z') {
    value.remove_prefix(1);
    offset_s = 0;
    return true;
  }
  if (value.empty() || (value[0] != '+' && value[0] != '-')) return false;
  const int sign = value[0] == '-' ? -1 : 1;
  value.remove_prefix(1);
  const std::string_view form = spelling.substr(1);
  const bool colon = form.find(':') != std::string_view::npos;
  int parts[3] = {};
  const std::size_t count = form.size() == 2 ? 1 : form.size() <= 5 ? 2 : 3;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0 && colon) {
      if (value.empty() || value[0] != ':') return false;
      value.remove_prefix(1);
    }
    if (!number(value, 2, 2, parts[i])) return false;
  }
  if (parts[0] > 24 || parts[1] > 60 || parts[2] > 60) return false;
  offset_s = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
  return true;
}

// "UTC", "CEST", "GMT+3"
std::size_t zone_name_length(std::string_view value) {
  if (value.substr(0, 3) == "GMT") {
    if (value.size() > 4 && (value[3] == '+' || value[3] == '-') && digit_at(value, 4)) {
      std::size_t end = 5;
      while (digit_at(value, end)) ++end;
      return end;
    }
    return 3;
  }
  std::size_t length = 0;
  while (length < value.size() && length < 6 && value[length] >= 'A' && value[length] <= 'Z') ++length;
  if (length == 3 || (length == 4 && (value[3] == 'T' || value.substr(0, 4) == "WITA")) || (length == 5 && value[4] == 'T'))
    return length;
  return 0;
}

}  // namespace

std::optional<GoTime> parse_go_time(std::string_view layout, std::string_view value, const TimeZone* zone) {
  if (zone == nullptr) zone = find_time_zone("");
  int year = 0, month = -1, day = -1, year_day = -1, hour = 0, minute = 0, second = 0;
  std::int32_t nanos = 0;
  bool pm_set = false, am_set = false;
  std::optional<int> offset;
  std::string_view zone_name;
  while (true) {
    const Chunk chunk = next_chunk(layout);
    if (!skip(value, chunk.prefix)) return std::nullopt;
    if (chunk.part == Part::kNone) {
      if (!value.empty()) return std::nullopt;
      break;
    }
    layout = chunk.rest;
    int ignored = 0;
    switch (chunk.part) {
      case Part::kNone: break;
      case Part::kYear:
        if (!number(value, 2, 2, year)) return std::nullopt;
        year += year >= 69 ? 1900 : 2000;
        break;
      case Part::kLongYear:
        if (!number(value, 4, 4, year)) return std::nullopt;
        break;
      case Part::kMonth:
      case Part::kLongMonth:
        if (!named(value, kMonths, chunk.part == Part::kLongMonth, month)) return std::nullopt;
        ++month;
        break;
      case Part::kNumMonth:
      case Part::kZeroMonth:
        if (!number(value, chunk.part == Part::kZeroMonth ? 2 : 1, 2, month) || month < 1 || month > 12) return std::nullopt;
        break;
      case Part::kWeekday:
      case Part::kLongWeekday:
        if (!named(value, kDays, chunk.part == Part::kLongWeekday, ignored)) return std::nullopt;
        break;
      case Part::kDay:
      case Part::kUnderDay:
      case Part::kZeroDay:
        if (chunk.part == Part::kUnderDay && !value.empty() && value[0] == ' ') value.remove_prefix(1);
        if (!number(value, chunk.part == Part::kZeroDay ? 2 : 1, 2, day)) return std::nullopt;
        break;
      case Part::kUnderYearDay:
      case Part::kZeroYearDay: {
        std::size_t blanks = 0;
        while (chunk.part == Part::kUnderYearDay && blanks < 2 && !value.empty() && value[0] == ' ') {
          value.remove_prefix(1);
          ++blanks;
        }
        if (!number(value, 3 - blanks, 3 - blanks, year_day)) return std::nullopt;
        break;
      }
      case Part::kHour:
        if (!number(value, 1, 2, hour) || hour > 23) return std::nullopt;
        break;
      case Part::kHour12:
      case Part::kZeroHour12:
        if (!number(value, chunk.part == Part::kZeroHour12 ? 2 : 1, 2, hour) || hour > 12) return std::nullopt;
        break;
      case Part::kMinute:
      case Part::kZeroMinute:
        if (!number(value, chunk.part == Part::kZeroMinute ? 2 : 1, 2, minute) || minute > 59) return std::nullopt;
        break;
      case Part::kSecond:
      case Part::kZeroSecond: {
        if (!number(value, chunk.part == Part::kZeroSecond ? 2 : 1, 2, second) || second > 59) return std::nullopt;
        // Fractions are accepted even where the layout has none.
        const Chunk following = next_chunk(layout);
        const bool layout_has = following.prefix.empty() && (following.part == Part::kFraction0 || following.part == Part::kFraction9);
        if (!layout_has && value.size() >= 2 && (value[0] == '.' || value[0] == ',') && digit_at(value, 1)) {
          std::size_t digits = 1;
          while (digit_at(value, digits + 1)) ++digits;
          fraction(value, digits, nanos);
        }
        break;
      }
      case Part::kUpperPm:
      case Part::kLowerPm: {
        const std::string_view mark = value.substr(0, 2);
        const bool upper = chunk.part == Part::kUpperPm;
        if (mark == (upper ? "PM" : "pm")) pm_set = true;
        else if (mark == (upper ? "AM" : "am")) am_set = true;
        else return std::nullopt;
        value.remove_prefix(2);
        break;
      }
      case Part::kZone: {
        int seconds = 0;
        if (!zone_offset(value, chunk.spelling, seconds)) return std::nullopt;
        offset = seconds;
        if (seconds == 0 && chunk.spelling[0] == 'Z') zone_name = "UTC";
        break;
      }
      case Part::kZoneName: {
        const std::size_t length = zone_name_length(value);
        if (length == 0) return std::nullopt;
        zone_name = value.substr(0, length);
        value.remove_prefix(length);
        break;
      }
      case Part::kFraction0: {
        const std::size_t digits = chunk.spelling.size() - 1;
        if (value.size() < digits + 1 || (value[0] != '.' && value[0] != ',')) return std::nullopt;
        for (std::size_t i = 1; i <= digits; ++i)
          if (!digit_at(value, i)) return std::nullopt;
        fraction(value, digits, nanos);
        break;
      }
      case Part::kFraction9: {
        if (value.size() < 2 || (value[0] != '.' && value[0] != ',') || !digit_at(value, 1)) break;
        std::size_t digits = 1;
        while (digit_at(value, digits + 1)) ++digits;
        fraction(value, digits, nanos);
        break;
      }
    }
  }
  if (pm_set && hour < 12) hour += 12;
  else if (am_set && hour == 12) hour = 0;
  if (year_day >= 0) {
    if (year_day < 1 || year_day > (leap(year) ? 366 : 365)) return std::nullopt;
    const Civil c = civil_from((days_from_civil(year, 1, 1) + year_day - 1) * 86400);
    if ((month >= 0 && month != c.month) || (day >= 0 && day != c.day)) return std::nullopt;
    month = c.month;
    day = c.day;
  }
  if (month < 0) month = 1;
  if (day < 0) day = 1;
  if (day < 1 || day > days_in(month, year)) return std::nullopt;

  const std::int64_t local = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
  GoTime time;
  time.nanos = nanos;
  const auto show_in = [&](const TimeZone::Type& type) {
    time.offset_s = type.offset_s;
    std::memcpy(time.zone, type.name, sizeof time.zone);
  };
  if (offset) {
    time.seconds = local - *offset;
    const TimeZone::Type& here = zone->at_utc(time.seconds);
    if (here.offset_s == *offset && (zone_name.empty() || zone_name == here.name)) {
      show_in(here);
    } else {
      time.offset_s = *offset;
      std::memset(time.zone, 0, sizeof time.zone);
      zone_name.substr(0, sizeof time.zone - 1).copy(time.zone, sizeof time.zone - 1);
    }
    return time;
  }
  if (!zone_name.empty()) {
    const TimeZone::Type& here = zone->at_local(local);
    if (zone_name == here.name) {
      time.seconds = local - here.offset_s;
      show_in(here);
      return time;
    }
    // An unknown abbreviation names a zone with offset 0, GMT+n one with n hours.
    int hours = 0;
    if (zone_name.size() > 4 && zone_name.substr(0, 3) == "GMT") hours = std::atoi(std::string(zone_name.substr(3)).c_str());
    if (hours < -23 || hours > 23) return std::nullopt;
    time.seconds = local - hours * 3600;
    time.offset_s = hours * 3600;
    std::memset(time.zone, 0, sizeof time.zone);
    zone_name.substr(0, sizeof time.zone - 1).copy(time.zone, sizeof time.zone - 1);
    return time;
  }
  const TimeZone::Type& here = zone->at_local(local);
  time.seconds = local - here.offset_s;
  show_in(here);
  return time;
}

}  // namespace skald::logql
