#include "distributor/json_cursor.h"

#include <algorithm>
#include <array>
#include <bitset>

#include "skald/codec/compress.h"

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
  if (raw.size() < at + 4) return false;
  out = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const int digit = hex_digit(raw[at + i]);
    if (digit < 0) return false;
    out = out << 4 | static_cast<std::uint32_t>(digit);
  }
  return true;
}

char* put_rune(char* out, std::uint32_t rune) {
  if (rune < 0x80) {
    *out++ = static_cast<char>(rune);
  } else if (rune < 0x800) {
    *out++ = static_cast<char>(0xC0 | rune >> 6);
    *out++ = static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    *out++ = static_cast<char>(0xE0 | rune >> 12);
    *out++ = static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    *out++ = static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    *out++ = static_cast<char>(0xF0 | rune >> 18);
    *out++ = static_cast<char>(0x80 | (rune >> 12 & 0x3F));
    *out++ = static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    *out++ = static_cast<char>(0x80 | (rune & 0x3F));
  }
  return out;
}

// What the letter behind a backslash stands for; 0: not a one-letter escape.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> table{};
  table['"'] = '"';
  table['\\'] = '\\';
  table['/'] = '/';
  table['b'] = '\b';
  table['f'] = '\f';
  table['n'] = '\n';
  table['r'] = '\r';
  table['t'] = '\t';
  return table;
}();

// Bytes that may be written behind the end of the decoded text.
constexpr std::size_t kWriteSlack = 16;

// Writes the decoded form of `raw`, which is never longer than `raw`, and returns its end; null on a bad escape. JSON in
// JSON has an escape every few bytes, so the copy between escapes is one unconditional 16-byte store.
char* unescape_to(char* out, std::string_view raw) {
  const char* from = raw.data();
  const char* const end = from + raw.size();
  while (from < end) {
#ifdef __SSE2__
    if (end - from >= 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
      const int hits = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
      const int plain = hits == 0 ? 16 : __builtin_ctz(static_cast<unsigned>(hits));
      from += plain;
      out += plain;
      if (hits == 0) continue;
    }
#endif
    if (*from != '\\') {
      *out++ = *from++;
      continue;
    }
    if (end - from < 2) return nullptr;
    const char letter = from[1];
    if (const char meant = kEscapes[static_cast<std::uint8_t>(letter)]; meant != 0) {
      *out++ = meant;
      from += 2;
      continue;
    }
    const std::string_view rest(from, static_cast<std::size_t>(end - from));
    std::uint32_t rune = 0, low = 0;
    if (letter != 'u' || !hex4(rest, 2, rune)) return nullptr;
    from += 6;
    if (rune >= 0xD800 && rune < 0xE000) {
      if (rune < 0xDC00 && rest.substr(6, 2) == "\\u" && hex4(rest, 8, low) && low >= 0xDC00 && low < 0xE000) {
        from += 6;
        rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
      } else {
        rune = 0xFFFD;
      }
    }
    out = put_rune(out, rune);
  }
  return out;
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
  const std::size_t before = out.size();
  out.resize(before + raw.size() + kWriteSlack);
  const char* const end = unescape_to(out.data() + before, raw);
  if (end == nullptr) return false;
  out.resize(static_cast<std::size_t>(end - out.data()));
  return true;
}

bool UnescapeArena::text(const RawString& raw, std::string_view& out) {
  if (!raw.escaped) {
    out = raw.text;
    return true;
  }
  if (next_ == nullptr) next_ = owned_.emplace_back(codec::make_buffer(bytes_max_ + kWriteSlack)).data();
  const char* const begin = next_;
  char* const end = unescape_to(next_, raw.text);
  if (end == nullptr) return false;
  next_ = end;
  out = std::string_view(begin, static_cast<std::size_t>(end - begin));
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
