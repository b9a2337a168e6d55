#include "engine/json_text.h"

#include "engine/label_text.h"

namespace skald::engine {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// \uXXXX at raw[at]; false when it is not one.
bool read_unicode_escape(std::string_view raw, std::size_t at, std::uint32_t& rune) {
  if (at + 6 > raw.size() || raw[at] != '\\' || raw[at + 1] != 'u') return false;
  rune = 0;
  for (std::size_t i = at + 2; i < at + 6; ++i) {
    const int digit = hex_digit(raw[i]);
    if (digit < 0) return false;
    rune = rune * 16 + static_cast<std::uint32_t>(digit);
  }
  return true;
}

}  // namespace

std::string_view json_error_text(JsonError error) {
  switch (error) {
    case JsonError::kNone: return {};
    case JsonError::kObject: return "Value looks like object, but can't find closing '}' symbol";
    case JsonError::kArray: return "Value is array, but can't find closing ']' symbol";
    case JsonError::kString: return "Value is string, but can't find closing '\"' symbol";
    case JsonError::kMalformed: return "Malformed JSON error";
    case JsonError::kUnknownType: return "Unknown value type";
    case JsonError::kEscape: return "Encountered an invalid escape sequence in a string";
  }
  return {};
}

const char* skip_json_block(const char* at, const char* end, char open, char close) {
  int depth = 0;
#if defined(__SSE2__)
  const __m128i quotes = _mm_set1_epi8('"'), opens = _mm_set1_epi8(open), closes = _mm_set1_epi8(close);
  while (at < end) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    auto stops = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(
        _mm_cmpeq_epi8(block, quotes), _mm_or_si128(_mm_cmpeq_epi8(block, opens), _mm_cmpeq_epi8(block, closes)))));
    const char* next = at + 16;
    while (stops != 0) {
      const char* const here = at + __builtin_ctz(stops);
      if (here >= end) return nullptr;
      if (*here == '"') {
        const JsonString string = scan_json_string(here + 1, end);
        if (string.close == nullptr) return nullptr;
        next = string.close + 1;   // start over behind the string
        break;
      }
      if (*here == open) ++depth;
      else if (--depth == 0) return here + 1;
      stops &= stops - 1;
    }
    at = next;
  }
#else
  for (; at < end; ++at) {
    if (*at == '"') {
      const JsonString string = scan_json_string(at + 1, end);
      if (string.close == nullptr) return nullptr;
      at = string.close;
    } else if (*at == open) {
      ++depth;
    } else if (*at == close && --depth == 0) {
      return at + 1;
    }
  }
#endif
  return nullptr;
}

std::string_view unescape_json(std::string_view raw, Arena& arena) {
  char* const begin = arena.allocate(raw.size() + 1);   // never grows: the shortest escape makes one byte of two
  char* out = begin;
  const auto fail = [&]() -> std::string_view {
    arena.shrink(begin);
    return {};
  };
  for (std::size_t i = 0; i < raw.size();) {
    if (raw[i] != '\\') {
      *out++ = raw[i++];
      continue;
    }
    if (i + 1 >= raw.size()) return fail();
    switch (raw[i + 1]) {
      case '"': *out++ = '"'; break;
      case '\\': *out++ = '\\'; break;
      case '/': *out++ = '/'; break;
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'n': *out++ = '\n'; break;
      case 'r': *out++ = '\r'; break;
      case 't': *out++ = '\t'; break;
      case 'u': {
        std::uint32_t rune = 0;
        if (!read_unicode_escape(raw, i, rune)) return fail();
        i += 6;
        if (rune >= 0xD800 && rune <= 0xDFFF) {
          std::uint32_t low = 0;
          if (rune >= 0xDC00 || !read_unicode_escape(raw, i, low) || low < 0xDC00 || low > 0xDFFF) return fail();
          i += 6;
          rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
        }
        append_utf8(out, rune);
        continue;
      }
      default: return fail();
    }
    i += 2;
  }
  arena.shrink(out);
  return {begin, static_cast<std::size_t>(out - begin)};
}

std::string_view json_string_value(std::string_view raw, bool escaped, bool non_ascii, Arena& arena) {
  if (escaped) {
    raw = unescape_json(raw, arena);
    if (raw.data() == nullptr) return {"", 0};
    return clean_value(raw, arena);
  }
  return non_ascii ? clean_value(raw, arena) : raw;
}

}  // namespace skald::engine
