#include "skald/logql/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "skald/model/labels.h"

namespace skald::logql {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f'); }

bool equals_folded(std::string_view text, std::string_view lower_case) {
  if (text.size() != lower_case.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (lower(text[i]) != lower_case[i]) return false;
  return true;
}

// Underscores may stand only between digits, or between a base prefix and a digit.
bool underscores_ok(std::string_view text, bool hex) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') continue;
    if (i == 0 || i + 1 == text.size()) return false;
    const auto digit = [&](char c) { return hex ? is_hex(c) : is_digit(c); };
    const bool after_prefix = hex && i == 2;
    if (!(digit(text[i - 1]) || after_prefix) || !digit(text[i + 1])) return false;
  }
  return true;
}

// digits [. digits] [e [sign] digits], at least one digit before the exponent; all of `text`.
bool float_shape(std::string_view text, bool hex) {
  std::size_t at = 0, digits = 0;
  const auto digit = [&](char c) { return hex ? is_hex(c) : is_digit(c); };
  while (at < text.size() && (digit(text[at]) || text[at] == '_')) digits += text[at++] != '_';
  if (at < text.size() && text[at] == '.') {
    ++at;
    while (at < text.size() && (digit(text[at]) || text[at] == '_')) digits += text[at++] != '_';
  }
  if (digits == 0) return false;
  if (at < text.size() && lower(text[at]) == (hex ? 'p' : 'e')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (at == text.size() || !is_digit(text[at])) return false;
    while (at < text.size() && (is_digit(text[at]) || text[at] == '_')) ++at;
  } else if (hex) {
    return false;  // a hex mantissa needs its exponent
  }
  return at == text.size();
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::uint64_t kK = 1000, kKi = 1024;
constexpr std::array<Unit, 26> kHumanUnits{{
    {"", 1}, {"b", 1},
    {"k", kK}, {"kb", kK}, {"ki", kKi}, {"kib", kKi},
    {"m", kK * kK}, {"mb", kK * kK}, {"mi", kKi * kKi}, {"mib", kKi * kKi},
    {"g", kK * kK * kK}, {"gb", kK * kK * kK}, {"gi", kKi * kKi * kKi}, {"gib", kKi * kKi * kKi},
    {"t", kK * kK * kK * kK}, {"tb", kK * kK * kK * kK}, {"ti", kKi * kKi * kKi * kKi}, {"tib", kKi * kKi * kKi * kKi},
    {"p", kK * kK * kK * kK * kK}, {"pb", kK * kK * kK * kK * kK}, {"pi", kKi * kKi * kKi * kKi * kKi},
    {"pib", kKi * kKi * kKi * kKi * kKi},
    {"e", kK * kK * kK * kK * kK * kK}, {"eb", kK * kK * kK * kK * kK * kK},
    {"ei", kKi * kKi * kKi * kKi * kKi * kKi}, {"eib", kKi * kKi * kKi * kKi * kKi * kKi},
}};

std::string quoted(std::string_view text) {
  std::string out;
  model::append_go_quoted(out, text);
  return out;
}

}  // namespace

FloatStatus parse_go_float(std::string_view text, double& value) {
  value = 0;
  // The common case first: plain decimal text.
  std::string_view body = text;
  bool negative = false;
  if (!body.empty() && (body[0] == '+' || body[0] == '-')) {
    negative = body[0] == '-';
    body.remove_prefix(1);
  }
  if (body.empty()) return FloatStatus::kSyntax;
  if (!is_digit(body[0]) && body[0] != '.') {
    if (equals_folded(body, "inf") || equals_folded(body, "infinity")) {
      value = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
      return FloatStatus::kOk;
    }
    if (body.size() == text.size() && equals_folded(body, "nan")) {
      value = std::numeric_limits<double>::quiet_NaN();
      return FloatStatus::kOk;
    }
    return FloatStatus::kSyntax;
  }
  const bool hex = body.size() > 2 && body[0] == '0' && lower(body[1]) == 'x';
  std::string without;
  std::string_view digits = body;
  if (body.find('_') != std::string_view::npos) {
    if (!underscores_ok(body, hex)) return FloatStatus::kSyntax;
    for (const char c : body)
      if (c != '_') without += c;
    digits = without;
  }
  if (hex) digits.remove_prefix(2);
  if (!float_shape(digits, hex)) return FloatStatus::kSyntax;
  double parsed = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), parsed,
                                      hex ? std::chars_format::hex : std::chars_format::general);
  if (result.ec == std::errc::result_out_of_range) {
    // Too large or too small; only the former is an error in Go.
    const std::string copy = (hex ? "0x" : "") + std::string(digits);
    parsed = std::strtod(copy.c_str(), nullptr);
  } else if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) {
    return FloatStatus::kSyntax;
  }
  value = negative ? -parsed : parsed;
  return std::isinf(value) ? FloatStatus::kRange : FloatStatus::kOk;
}

std::string go_float_error(std::string_view text, FloatStatus status) {
  return "strconv.ParseFloat: parsing " + quoted(text) +
         (status == FloatStatus::kRange ? ": value out of range" : ": invalid syntax");
}

Result<std::int64_t> parse_go_duration_text(std::string_view text) {
  const auto invalid = [&] { return Error(ErrorCode::kInvalidArgument, "time: invalid duration " + quoted(text)); };
  std::string_view rest = text;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") return std::int64_t{0};
  if (rest.empty()) return invalid();
  constexpr std::uint64_t kMost = std::uint64_t{1} << 63;  // -2^63 is a duration, 2^63 is not
  std::uint64_t total = 0;
  while (!rest.empty()) {
    if (rest[0] != '.' && !is_digit(rest[0])) return invalid();
    std::uint64_t whole = 0;
    std::size_t at = 0;
    for (; at < rest.size() && is_digit(rest[at]); ++at) {
      if (whole > kMost / 10) return invalid();
      whole = whole * 10 + static_cast<std::uint64_t>(rest[at] - '0');
      if (whole > kMost) return invalid();
    }
    bool any = at > 0;
    std::uint64_t fraction = 0;
    double scale = 1;
    if (at < rest.size() && rest[at] == '.') {
      ++at;
      bool overflow = false;
      for (; at < rest.size() && is_digit(rest[at]); ++at) {
        any = true;
        if (overflow) continue;
        if (fraction > (kMost - 1) / 10) { overflow = true; continue; }
        const std::uint64_t next = fraction * 10 + static_cast<std::uint64_t>(rest[at] - '0');
        if (next > kMost) { overflow = true; continue; }
        fraction = next;
        scale *= 10;
      }
    }
    if (!any) return invalid();
    const std::size_t unit_at = at;
    while (at < rest.size() && rest[at] != '.' && !is_digit(rest[at])) ++at;
    const std::string_view unit = rest.substr(unit_at, at - unit_at);
    if (unit.empty()) return Error(ErrorCode::kInvalidArgument, "time: missing unit in duration " + quoted(text));
    std::uint64_t factor = 0;
    if (unit == "ns") factor = 1;
    else if (unit == "us" || unit == "\xC2\xB5s" || unit == "\xCE\xBCs") factor = 1'000;
    else if (unit == "ms") factor = 1'000'000;
    else if (unit == "s") factor = 1'000'000'000;
    else if (unit == "m") factor = 60ull * 1'000'000'000;
    else if (unit == "h") factor = 3600ull * 1'000'000'000;
    else
      return Error(ErrorCode::kInvalidArgument, "time: unknown unit " + quoted(unit) + " in duration " + quoted(text));
    if (whole > kMost / factor) return invalid();
    std::uint64_t part = whole * factor;
    if (fraction > 0) {
      part += static_cast<std::uint64_t>(static_cast<double>(fraction) * (static_cast<double>(factor) / scale));
      if (part > kMost) return invalid();
    }
    total += part;
    if (total > kMost) return invalid();
    rest.remove_prefix(at);
  }
  if (negative) return static_cast<std::int64_t>(~total + 1);
  if (total > kMost - 1) return invalid();
  return static_cast<std::int64_t>(total);
}

Result<std::uint64_t> parse_humanized_bytes(std::string_view text) {
  std::size_t at = 0;
  bool comma = false;
  while (at < text.size() && (is_digit(text[at]) || text[at] == '.' || text[at] == ',')) comma |= text[at++] == ',';
  std::string_view number = text.substr(0, at);
  std::string without;
  if (comma) {
    for (const char c : number)
      if (c != ',') without += c;
    number = without;
  }
  double value = 0;
  if (const FloatStatus status = parse_go_float(number, value); status != FloatStatus::kOk)
    return Error(ErrorCode::kInvalidArgument, go_float_error(number, status));
  std::string_view unit = text.substr(at);
  while (!unit.empty() && (unit.front() == ' ' || (unit.front() >= '\t' && unit.front() <= '\r'))) unit.remove_prefix(1);
  while (!unit.empty() && (unit.back() == ' ' || (unit.back() >= '\t' && unit.back() <= '\r'))) unit.remove_suffix(1);
  for (const Unit& known : kHumanUnits) {
    if (!equals_folded(unit, known.name)) continue;
    value *= static_cast<double>(known.factor);
    if (value >= 18446744073709551615.0)
      return Error(ErrorCode::kInvalidArgument, "too large: " + std::string(text));
    return static_cast<std::uint64_t>(value);
  }
  std::string folded(unit);
  for (char& c : folded) c = lower(c);
  return Error(ErrorCode::kInvalidArgument, "unhandled size name: " + folded);
}

std::optional<std::uint64_t> parse_query_bytes(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && (is_digit(text[at]) || text[at] == '.')) ++at;
  static constexpr std::array<std::string_view, 24> kUnits{"B",  "kB", "KB",  "MB",  "GB",  "TB",  "PB", "KiB",
                                                          "MiB", "GiB", "TiB", "PiB", "k",   "K",   "M",  "G",
                                                          "T",   "P",  "Ki",  "Mi",  "Gi",  "Ti",  "Pi", "kiB"};
  const std::string_view unit = text.substr(at);
  bool known = false;
  for (const std::string_view candidate : kUnits) known |= unit == candidate;
  if (!known) return std::nullopt;
  auto bytes = parse_humanized_bytes(text);
  if (!bytes) return std::nullopt;
  return *bytes;
}

std::string format_humanized_bytes(std::uint64_t bytes) {
  if (bytes < 10) return std::to_string(bytes) + "B";
  static constexpr const char* kNames[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  const double exponent = std::floor(std::log(static_cast<double>(bytes)) / std::log(1000.0));
  const double value = std::floor(static_cast<double>(bytes) / std::pow(1000.0, exponent) * 10 + 0.5) / 10;
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.1f%s" : "%.0f%s", value, kNames[static_cast<int>(exponent)]);
  return text;
}

std::string format_go_float_f(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[400];
  const auto result = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed);
  return std::string(text, result.ptr);
}

std::string format_go_float_g(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == 0) return std::signbit(value) ? "-0" : "0";
  char text[64];
  const auto result = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
  std::string scientific(text, result.ptr);
  const std::size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  // Shortest digits: the exponent form from 1e6 on and below 1e-4.
  if (exponent >= -4 && exponent < 6) return format_go_float_f(value);
  return scientific;
}

}  // namespace skald::logql
