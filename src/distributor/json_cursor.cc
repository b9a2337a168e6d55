#include "distributor/json_cursor.h"

#include <algorithm>
#include <bitset>

namespace skald::distributor {
namespace {

constexpr std::size_t kDepthMax = 512;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool hex4(std::string_view raw, std::size_t at, std::uint32_t& out) {
  if (raw.size() - at < 4) return false;
  out = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const int digit = hex_digit(raw[at + i]);
    if (digit < 0) return false;
    out = out << 4 | static_cast<std::uint32_t>(digit);
  }
  return true;
}

void append_rune(std::string& out, std::uint32_t rune) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xC0 | rune >> 6);
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xE0 | rune >> 12);
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | rune >> 18);
    out += static_cast<char>(0x80 | (rune >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  }
}

}  // namespace

Error reader_error(const JsonCursor& cursor, const std::string& what) {
  const auto head = static_cast<std::size_t>(cursor.at - cursor.begin);
  const std::string_view all(cursor.begin, static_cast<std::size_t>(cursor.end - cursor.begin));
  const auto around = [&](std::size_t reach) {
    const std::size_t from = head > reach ? head - reach : 0;
    return std::string(all.substr(from, std::min(head + reach, all.size()) - from));
  };
  return Error(ErrorCode::kInvalidArgument, what + ", error found in #" + std::to_string(std::min<std::size_t>(head, 10)) +
                                                " byte of ...|" + around(10) + "|..., bigger context ...|" + around(50) +
                                                "|...");
}

std::string shown_byte(const JsonCursor& cursor) { return cursor.at < cursor.end ? std::string(1, *cursor.at) : std::string(1, '\0'); }

Error reader_error_after(JsonCursor cursor, const std::string& what) {
  const std::string message = what + shown_byte(cursor);
  if (cursor.at < cursor.end) ++cursor.at;
  return reader_error(cursor, message);
}

bool append_unescaped(std::string& out, std::string_view raw) {
  std::size_t at = 0;
  while (at < raw.size()) {
    const void* const hit = std::memchr(raw.data() + at, '\\', raw.size() - at);
    const std::size_t plain =
        hit == nullptr ? raw.size() : static_cast<std::size_t>(static_cast<const char*>(hit) - raw.data());
    out.append(raw.data() + at, plain - at);
    at = plain;
    if (at == raw.size()) return true;
    if (at + 1 == raw.size()) return false;
    const char c = raw[at + 1];
    at += 2;
    switch (c) {
      case '"': out += '"'; break;
      case '\\': out += '\\'; break;
      case '/': out += '/'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        std::uint32_t rune = 0;
        if (!hex4(raw, at, rune)) return false;
        at += 4;
        if (rune >= 0xD800 && rune < 0xE000) {
          std::uint32_t low = 0;
          if (rune < 0xDC00 && raw.substr(at, 2) == "\\u" && hex4(raw, at + 2, low) && low >= 0xDC00 && low < 0xE000) {
            at += 6;
            rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
          } else {
            rune = 0xFFFD;
          }
        }
        append_rune(out, rune);
        break;
      }
      default: return false;
    }
  }
  return true;
}

bool UnescapeArena::text(const RawString& raw, std::string_view& out) {
  if (!raw.escaped) {
    out = raw.text;
    return true;
  }
  if (arena_ == nullptr) {
    arena_ = &owned_.emplace_back();
    arena_->reserve(bytes_max_);
  }
  const std::size_t begin = arena_->size();
  if (!append_unescaped(*arena_, raw.text)) return false;
  out = std::string_view(*arena_).substr(begin);
  return true;
}

bool JsonCursor::skip_value() {
  std::bitset<kDepthMax> is_object;
  std::size_t depth = 0;
  RawString ignored;
  while (true) {
    // A value starts here.
    switch (peek()) {
      case '\0': return false;
      case '"':
        if (!string(ignored)) return false;
        break;
      case '{':
      case '[': {
        const bool object = *at == '{';
        ++at;
        if (peek() == (object ? '}' : ']')) {
          ++at;
          break;
        }
        if (depth == kDepthMax) return false;
        is_object[depth++] = object;
        if (object && (peek() != '"' || !string(ignored) || !take(':'))) return false;
        continue;
      }
      default:
        if (bare().empty()) return false;
    }
    // A value has ended.
    while (true) {
      if (depth == 0) return true;
      const bool object = is_object[depth - 1];
      if (take(',')) {
        if (object && (peek() != '"' || !string(ignored) || !take(':'))) return false;
        break;
      }
      if (!take(object ? '}' : ']')) return false;
      --depth;
    }
  }
}

}  // namespace skald::distributor
