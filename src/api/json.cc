#include "skald/api/json.h"

#include <array>
#include <charconv>
#include <cmath>

namespace skald::api {

namespace {

// 0: copy as it is. 1: needs a look.
constexpr std::array<std::uint8_t, 256> make_special() {
  std::array<std::uint8_t, 256> special{};
  for (int i = 0; i < 0x20; ++i) special[static_cast<std::size_t>(i)] = 1;
  for (int i = 0x80; i < 0x100; ++i) special[static_cast<std::size_t>(i)] = 1;
  special['"'] = special['\\'] = special['<'] = special['>'] = special['&'] = 1;
  return special;
}
constexpr std::array<std::uint8_t, 256> kSpecial = make_special();
constexpr char kHex[] = "0123456789abcdef";

void append_u00(std::string& out, unsigned char c) {
  out += "\\u00";
  out += kHex[c >> 4];
  out += kHex[c & 15];
}

// Length of the valid UTF-8 sequence at `at`, 0 when there is none (overlong forms and surrogates are not valid).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
  const unsigned a = byte(at), b = byte(at + 1);
  if (a >= 0xc2 && a <= 0xdf) return tail(at + 1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    if (!tail(at + 1) || !tail(at + 2)) return 0;
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f)) return 0;
    return 3;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    if (!tail(at + 1) || !tail(at + 2) || !tail(at + 3)) return 0;
    if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain = 0;   // start of what is not copied yet
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!kSpecial[c]) {
      ++i;
      continue;
    }
    if (c >= 0x80) {
      const std::size_t length = utf8_length(text, i);
      const bool separator = length == 3 && (text.compare(i, 3, "\xe2\x80\xa8") == 0 || text.compare(i, 3, "\xe2\x80\xa9") == 0);
      if (length != 0 && !separator) {
        i += length;
        continue;
      }
      out.append(text, plain, i - plain);
      out += separator ? (text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029") : "\\ufffd";
      i += length == 0 ? 1 : length;
      plain = i;
      continue;
    }
    out.append(text, plain, i - plain);
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default: append_u00(out, c);
    }
    plain = ++i;
  }
  out.append(text, plain, text.size() - plain);
  out += '"';
}

void append_json_integer(std::string& out, std::int64_t value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

void append_json_unsigned(std::string& out, std::uint64_t value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

void append_decimal(std::string& out, double value) {
  if (std::isnan(value)) { out += "NaN"; return; }
  if (std::isinf(value)) { out += value > 0 ? "+Inf" : "-Inf"; return; }
  // Fixed notation of to_chars prints every digit of large numbers; the shortest digits are in the scientific form.
  char buffer[40];
  const char* const end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  if (text.front() == '-') { out += '-'; text.remove_prefix(1); }
  const std::size_t e = text.find('e');
  std::string_view exponent_text = text.substr(e + 1);
  if (exponent_text.front() == '+') exponent_text.remove_prefix(1);
  int exponent = 0;
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  char digits[24];
  int count = 0;
  for (const char c : text.substr(0, e))
    if (c != '.') digits[count++] = c;
  if (exponent < 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-exponent - 1), '0');
    out.append(digits, static_cast<std::size_t>(count));
    return;
  }
  const int whole = exponent + 1;
  if (count <= whole) {
    out.append(digits, static_cast<std::size_t>(count));
    out.append(static_cast<std::size_t>(whole - count), '0');
    return;
  }
  out.append(digits, static_cast<std::size_t>(whole));
  out += '.';
  out.append(digits + whole, static_cast<std::size_t>(count - whole));
}

void append_json_double(std::string& out, double value) { append_decimal(out, std::isfinite(value) ? value : 0); }

void append_seconds(std::string& out, std::int64_t timestamp_ms) {
  if (timestamp_ms < 0) {
    out += '-';
    timestamp_ms = -timestamp_ms;
  }
  append_json_integer(out, timestamp_ms / 1000);
  int rest = static_cast<int>(timestamp_ms % 1000);
  if (rest == 0) return;
  out += '.';
  for (int unit = 100; rest != 0; unit /= 10) {
    out += static_cast<char>('0' + rest / unit);
    rest %= unit;
  }
}

void append_json_labels(std::string& out, std::span<const model::Label> labels) {
  out += '{';
  bool first = true;
  for (const model::Label& label : labels) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, label.name);
    out += ':';
    append_json_string(out, label.value);
  }
  out += '}';
}

}  // namespace skald::api
