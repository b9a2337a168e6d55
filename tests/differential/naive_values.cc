// Numbers, durations, sizes and addresses of the naive evaluator.
#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "naive_row.h"

namespace skald::differential {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// 16 bytes, v4 addresses marked by the first element.
std::optional<std::vector<unsigned char>> address_of(const std::string& text) {
  unsigned char raw[16];
  if (inet_pton(AF_INET, text.c_str(), raw) == 1) {
    std::vector<unsigned char> out{4};
    out.insert(out.end(), raw, raw + 4);
    return out;
  }
  if (inet_pton(AF_INET6, text.c_str(), raw) == 1) {
    std::vector<unsigned char> out{6};
    out.insert(out.end(), raw, raw + 16);
    return out;
  }
  return std::nullopt;
}

bool in_set(const std::string& filter, const std::vector<unsigned char>& address) {
  if (const std::size_t slash = filter.find('/'); slash != std::string::npos) {
    const auto base = *address_of(filter.substr(0, slash));
    const int bits = std::atoi(filter.c_str() + slash + 1);
    if (base[0] != address[0]) return false;
    for (int bit = 0; bit < bits; ++bit) {
      const std::size_t byte = static_cast<std::size_t>(1 + bit / 8);
      const int mask = 0x80 >> (bit % 8);
      if ((base[byte] & mask) != (address[byte] & mask)) return false;
    }
    return true;
  }
  if (const std::size_t dash = filter.find('-'); dash != std::string::npos) {
    const auto first = *address_of(filter.substr(0, dash)), last = *address_of(filter.substr(dash + 1));
    return first[0] == address[0] && first <= address && address <= last;
  }
  return *address_of(filter) == address;
}

}  // namespace

bool ip_text_matches(std::string_view filter, std::string_view text, bool& is_address) {
  const auto address = address_of(std::string(text));
  is_address = address.has_value();
  return address && in_set(std::string(filter), *address);
}

bool ip_line_matches(std::string_view filter, std::string_view line) {
  // Candidates: maximal runs of characters an address may hold. v4 and v6 are looked for separately.
  const auto scan = [&](const auto& legal) {
    for (std::size_t i = 0; i < line.size();) {
      if (!legal(line[i])) { ++i; continue; }
      std::size_t end = i;
      while (end < line.size() && legal(line[end])) ++end;
      bool is_address = false;
      if (ip_text_matches(filter, line.substr(i, end - i), is_address)) return true;
      for (std::size_t at = i + 1; !is_address && at < end; ++at)
        if (bool ignored; ip_text_matches(filter, line.substr(at, end - at), ignored)) throw Undefined("an address with digits glued to it");
      i = end;
    }
    return false;
  };
  return scan([](char c) { return std::isdigit(static_cast<unsigned char>(c)) || c == '.'; }) ||
         scan([](char c) { return std::isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.'; });
}

std::optional<double> number_of(std::string_view text) {
  std::string s;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') { s += text[i]; continue; }
    const auto digit = [&](std::size_t at) { return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])); };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
  }
  if (s.empty()) return std::nullopt;
  const std::string bare = lower(s[0] == '-' || s[0] == '+' ? s.substr(1) : s);
  if (bare == "inf" || bare == "infinity") return s[0] == '-' ? -INFINITY : INFINITY;
  if (bare == "nan") return s.size() == 3 ? std::optional<double>(NAN) : std::nullopt;
  for (char c : bare)
    if (!std::isdigit(static_cast<unsigned char>(c)) && c != '.' && c != 'e' && c != '-' && c != '+') return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(s.c_str(), &end);
  if (end != s.c_str() + s.size() || std::isinf(value)) return std::nullopt;
  return value;
}

std::optional<double> duration_seconds_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double sign = 1;
  if (text[0] == '-' || text[0] == '+') {
    sign = text[0] == '-' ? -1 : 1;
    text.remove_prefix(1);
  }
  if (text == "0") return 0.0;
  if (text.empty()) return std::nullopt;
  static const std::map<std::string, double> kUnits = {{"ns", 1}, {"us", 1e3}, {"\xC2\xB5s", 1e3}, {"\xCE\xBCs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  double total = 0;
  std::size_t i = 0;
  while (i < text.size()) {
    std::string digits, unit;
    while (i < text.size() && (std::isdigit(static_cast<unsigned char>(text[i])) || text[i] == '.')) digits += text[i++];
    while (i < text.size() && !std::isdigit(static_cast<unsigned char>(text[i])) && text[i] != '.') unit += text[i++];
    if (digits.empty() || digits == "." || std::count(digits.begin(), digits.end(), '.') > 1 || !kUnits.count(unit)) return std::nullopt;
    total += std::strtod(digits.c_str(), nullptr) * kUnits.at(unit);
  }
  return sign * std::trunc(total) / 1e9;
}

std::optional<double> bytes_of(std::string_view text) {
  std::string digits;
  std::size_t i = 0;
  while (i < text.size() && (std::isdigit(static_cast<unsigned char>(text[i])) || text[i] == '.' || text[i] == ',')) {
    if (text[i] != ',') digits += text[i];
    ++i;
  }
  auto number = number_of(digits);
  if (!number) return std::nullopt;
  while (i < text.size() && text[i] == ' ') ++i;
  static const std::map<std::string, double> kUnits = {
      {"", 1}, {"b", 1}, {"k", 1e3}, {"kb", 1e3}, {"m", 1e6}, {"mb", 1e6}, {"g", 1e9}, {"gb", 1e9}, {"t", 1e12}, {"tb", 1e12},
      {"ki", 1024}, {"kib", 1024}, {"mi", 1048576}, {"mib", 1048576}, {"gi", 1073741824}, {"gib", 1073741824}};
  auto unit = kUnits.find(lower(text.substr(i)));
  if (unit == kUnits.end()) return std::nullopt;
  return std::trunc(*number * unit->second);
}

}  // namespace skald::differential
