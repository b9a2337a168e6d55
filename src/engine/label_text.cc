#include "engine/label_text.h"

#include <cstdint>

namespace skald::engine {
namespace {

bool is_name_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_continuation(unsigned char c) { return (c & 0xC0) == 0x80; }

}  // namespace

std::size_t rune_length(std::string_view text, std::size_t at, bool& valid) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned lead = byte(at);
  valid = true;
  if (lead < 0x80) return 1;
  const unsigned second = byte(at + 1);
  if (lead >= 0xC2 && lead <= 0xDF && is_continuation(static_cast<unsigned char>(second))) return 2;
  if (lead >= 0xE0 && lead <= 0xEF && is_continuation(static_cast<unsigned char>(byte(at + 2)))) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;   // no overlong, no surrogates
    if (second >= low && second <= high) return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4 && is_continuation(static_cast<unsigned char>(byte(at + 2))) &&
      is_continuation(static_cast<unsigned char>(byte(at + 3)))) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
    if (second >= low && second <= high) return 4;
  }
  valid = false;
  return 1;
}

bool is_label_name(std::string_view key) {
  if (key.empty() || (key[0] >= '0' && key[0] <= '9')) return false;
  for (const char c : key) {
    if (!is_name_byte(c)) return false;
  }
  return true;
}

void append_label_name(std::string& out, std::string_view key) {
  while (!key.empty() && is_space(key.front())) key.remove_prefix(1);
  while (!key.empty() && is_space(key.back())) key.remove_suffix(1);
  if (key.empty()) return;
  if (out.empty() && key[0] >= '0' && key[0] <= '9') out.push_back('_');
  for (std::size_t i = 0; i < key.size();) {
    if (is_name_byte(key[i])) {
      out.push_back(key[i++]);
    } else {
      bool valid = false;
      out.push_back('_');
      i += rune_length(key, i, valid);
    }
  }
}

bool has_replacement_rune(std::string_view value) {
  std::size_t ascii = 0;   // eight bytes a time: nearly all values are ASCII
  for (; ascii + 8 <= value.size(); ascii += 8) {
    if ((load_le<std::uint64_t>(value.data() + ascii) & 0x8080808080808080ULL) != 0) break;
  }
  for (std::size_t i = ascii; i < value.size();) {
    if (static_cast<unsigned char>(value[i]) < 0x80) {
      ++i;
      continue;
    }
    bool valid = false;
    const std::size_t size = rune_length(value, i, valid);
    if (!valid || value.substr(i, size) == "\xEF\xBF\xBD") return true;
    i += size;
  }
  return false;
}

std::string_view clean_value(std::string_view value, Arena& arena) {
  if (!has_replacement_rune(value)) return value;
  char* const begin = arena.allocate(value.size());
  char* out = begin;
  for (std::size_t i = 0; i < value.size();) {
    bool valid = false;
    const std::size_t size = rune_length(value, i, valid);
    if (!valid || value.substr(i, size) == "\xEF\xBF\xBD") {
      *out++ = ' ';
    } else {
      std::memcpy(out, value.data() + i, size);
      out += size;
    }
    i += size;
  }
  arena.shrink(out);
  return {begin, static_cast<std::size_t>(out - begin)};
}

void append_utf8(char*& out, std::uint32_t rune) {
  if (rune < 0x80) {
    *out++ = static_cast<char>(rune);
  } else if (rune < 0x800) {
    *out++ = static_cast<char>(0xC0 | (rune >> 6));
    *out++ = static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    *out++ = static_cast<char>(0xE0 | (rune >> 12));
    *out++ = static_cast<char>(0x80 | ((rune >> 6) & 0x3F));
    *out++ = static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    *out++ = static_cast<char>(0xF0 | (rune >> 18));
    *out++ = static_cast<char>(0x80 | ((rune >> 12) & 0x3F));
    *out++ = static_cast<char>(0x80 | ((rune >> 6) & 0x3F));
    *out++ = static_cast<char>(0x80 | (rune & 0x3F));
  }
}

}  // namespace skald::engine
