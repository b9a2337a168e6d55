#include "values.h"

#include <fmt/format.h>

#include <charconv>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "skald/model/time.h"
#include "skald/obs/log.h"

namespace skald::config {
namespace {

Error bad(std::string message) { return Error(ErrorCode::kInvalidArgument, std::move(message)); }

const char* yaml_tag(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "!!null";
    case YamlNode::Kind::kSequence: return "!!seq";
    case YamlNode::Kind::kMap: return "!!map";
    case YamlNode::Kind::kScalar: break;
  }
  if (node.quoted) return "!!str";
  if (node.scalar == "true" || node.scalar == "false") return "!!bool";
  double number = 0;
  const char* end = node.scalar.data() + node.scalar.size();
  const auto [at, error] = std::from_chars(node.scalar.data(), end, number);
  if (error != std::errc() || at != end) return "!!str";
  return node.scalar.find_first_of(".eE") == std::string::npos ? "!!int" : "!!float";
}

const char* go_type(Kind kind) {
  switch (kind) {
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kFloat: return "float64";
    case Kind::kDuration:
    case Kind::kPromDuration: return "duration";
    case Kind::kSize: return "size";
    case Kind::kList: return "list of strings";
    default: return "string";
  }
}

std::optional<double> parse_number(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double number = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || at != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::int64_t> parse_whole(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  std::int64_t number = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && at == text.data() + text.size()) return number;
  const std::optional<double> real = parse_number(text);
  if (!real || !std::isfinite(*real) || std::floor(*real) != *real || std::abs(*real) > 9e18) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

std::optional<bool> parse_bool(std::string_view text) {
  for (const std::string_view yes : {"true", "t", "T", "1", "TRUE", "True", "yes", "on"})
    if (text == yes) return true;
  for (const std::string_view no : {"false", "f", "F", "0", "FALSE", "False", "no", "off"})
    if (text == no) return false;
  return std::nullopt;
}

// Up to the last '@', in case the secret was not escaped.
std::string without_password(const std::string& url) {
  const std::size_t begin = url.find("://");
  if (url.empty()) return url;
  if (begin == std::string::npos) return "********";
  const std::size_t at = url.rfind('@');
  if (at == std::string::npos || at < begin + 3) return url;
  const std::size_t colon = url.find(':', begin + 3);
  if (colon == std::string::npos || colon > at) return url.substr(0, begin + 3) + "********" + url.substr(at);
  return url.substr(0, colon + 1) + "********" + url.substr(at);
}

std::int64_t& as_int(void* p) { return *static_cast<std::int64_t*>(p); }
std::string& as_string(void* p) { return *static_cast<std::string*>(p); }
std::vector<std::string>& as_list(void* p) { return *static_cast<std::vector<std::string>*>(p); }

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) out.emplace_back(part);
  }
  return out;
}

Result<std::int64_t> parse_size(std::string_view text) {
  const std::string shown(text);
  std::size_t digits = 0;
  while (digits < text.size() && (std::isdigit(static_cast<unsigned char>(text[digits])) || std::strchr("+.", text[digits]))) ++digits;
  // An exponent belongs to the number only when nothing else follows: 1.5e+06, but 1EB is not a size of ours.
  if (const std::optional<std::int64_t> whole = parse_whole(text)) return *whole;
  const std::optional<double> number = parse_number(text.substr(0, digits));
  std::string unit;
  for (const char c : text.substr(digits)) unit += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (unit.size() == 3 && unit[1] == 'I') unit.erase(1, 1);
  int shift = -1;
  if (unit == "B") shift = 0;
  else if (unit == "KB" || unit == "K") shift = 10;
  else if (unit == "MB" || unit == "M") shift = 20;
  else if (unit == "GB" || unit == "G") shift = 30;
  else if (unit == "TB" || unit == "T") shift = 40;
  else if (unit == "PB" || unit == "P") shift = 50;
  if (!number || shift < 0) return bad("strconv.UnmarshalText: parsing \"" + shown + "\": invalid syntax; a size is a number of bytes or a number with B, KB, MB, GB or TB");
  const double bytes = std::ldexp(*number, shift);
  if (bytes > 9e18) return bad("size \"" + shown + "\" is out of range");
  return static_cast<std::int64_t>(bytes);
}

std::string format_size(std::int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  int unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit < 5) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

Result<std::int64_t> parse_duration(std::string_view text) {
  if (const auto go = model::parse_go_duration(text)) return *go;
  if (const auto prometheus = model::parse_prom_duration(text)) return *prometheus;
  const std::string shown(text);
  if (parse_number(text)) return bad("time: missing unit in duration \"" + shown + "\"; write 90s, 15m, 1h30m or 7d");
  return bad("time: invalid duration \"" + shown + "\"; write 90s, 15m, 1h30m or 7d");
}

Result<void> set_from_text(Kind kind, const std::string& text, void* target) {
  switch (kind) {
    case Kind::kBool: {
      const auto value = parse_bool(text);
      if (!value) return bad("invalid boolean value \"" + text + "\"");
      *static_cast<bool*>(target) = *value;
      return {};
    }
    case Kind::kInt: {
      const auto value = parse_whole(text);
      if (!value) return bad("invalid value \"" + text + "\": not a whole number");
      as_int(target) = *value;
      return {};
    }
    case Kind::kFloat: {
      const auto value = parse_number(text);
      if (!value) return bad("invalid value \"" + text + "\": not a number");
      *static_cast<double*>(target) = *value;
      return {};
    }
    case Kind::kDuration:
    case Kind::kPromDuration: {
      SKALD_TRY(as_int(target), parse_duration(text));
      return {};
    }
    case Kind::kSize: {
      SKALD_TRY(as_int(target), parse_size(text));
      return {};
    }
    case Kind::kList: as_list(target) = split_list(text); return {};
    case Kind::kLogLevel: {
      log::Level level;
      if (!log::parse_level(text, level)) return bad("unrecognized log level \"" + text + "\"; one of debug, info, warn, error");
      as_string(target) = text;
      return {};
    }
    case Kind::kString:
    case Kind::kSecret:
    case Kind::kSecretUrl: as_string(target) = text; return {};
    case Kind::kAny: return {};
  }
  return {};
}

Result<void> set_from_yaml(Kind kind, const YamlNode& node, void* target) {
  if (node.is_null() || kind == Kind::kAny) return {};
  const std::string at = "line " + std::to_string(node.line) + ": ";
  if (kind == Kind::kList && node.kind == YamlNode::Kind::kSequence) {
    std::vector<std::string> out;
    for (const YamlNode& item : node.items) {
      if (item.kind != YamlNode::Kind::kScalar)
        return bad("line " + std::to_string(item.line) + ": cannot construct " + yaml_tag(item) + " into string");
      out.push_back(item.scalar);
    }
    as_list(target) = std::move(out);
    return {};
  }
  const auto mismatch = [&] {
    return bad(at + "cannot construct " + yaml_tag(node) + (node.kind == YamlNode::Kind::kScalar ? " `" + node.scalar + "`" : std::string()) + " into " + go_type(kind));
  };
  if (node.kind != YamlNode::Kind::kScalar) return mismatch();
  // A quoted text is never a number or truth value, as in Go's YAML.
  const bool number_like = kind == Kind::kInt || kind == Kind::kFloat || kind == Kind::kBool;
  if (number_like && node.quoted) return mismatch();
  if (Result<void> set = set_from_text(kind, node.scalar, target); !set.ok())
    return number_like ? mismatch() : bad(at + set.error().message());
  return {};
}

std::string to_text(Kind kind, const void* member) {
  void* p = const_cast<void*>(member);
  switch (kind) {
    case Kind::kBool: return *static_cast<const bool*>(member) ? "true" : "false";
    case Kind::kInt: return std::to_string(as_int(p));
    case Kind::kFloat: return fmt::format("{}", *static_cast<const double*>(member));
    case Kind::kDuration: return model::format_go_duration(as_int(p));
    case Kind::kPromDuration:
      return as_int(p) < 0 ? model::format_go_duration(as_int(p)) : model::format_prom_duration(as_int(p));
    case Kind::kSize: return format_size(as_int(p));
    case Kind::kList: return fmt::format("{}", fmt::join(as_list(p), ","));
    case Kind::kString:
    case Kind::kSecret:
    case Kind::kSecretUrl:
    case Kind::kLogLevel: return as_string(p);
    case Kind::kAny: break;
  }
  return {};
}

std::string to_yaml(Kind kind, const void* member) {
  switch (kind) {
    case Kind::kFloat: {
      std::string text = to_text(kind, member);
      return text;
    }
    case Kind::kSecret: return static_cast<const std::string*>(member)->empty() ? "''" : "'********'";
    case Kind::kSecretUrl: return yaml_quote(without_password(*static_cast<const std::string*>(member)));
    case Kind::kString:
    case Kind::kLogLevel: return yaml_quote(*static_cast<const std::string*>(member));
    case Kind::kList: {
      std::string out = "[";
      for (const std::string& item : *static_cast<const std::vector<std::string>*>(member))
        out += (out.size() > 1 ? ", " : "") + yaml_quote(item);
      return out + "]";
    }
    default: return to_text(kind, member);
  }
}

Result<std::string> canonical_text(Kind kind, const YamlNode& node) {
  bool flag = false;
  std::int64_t number = 0;
  double real = 0;
  std::string text;
  std::vector<std::string> list;
  void* target = &text;
  if (kind == Kind::kBool) target = &flag;
  else if (kind == Kind::kInt || kind == Kind::kDuration || kind == Kind::kPromDuration || kind == Kind::kSize) target = &number;
  else if (kind == Kind::kFloat) target = &real;
  else if (kind == Kind::kList) target = &list;
  SKALD_TRY_VOID(set_from_yaml(kind, node, target));
  return to_text(kind, target);
}

}  // namespace skald::config
