// Tolerant JSON tokens: just enough grammar to find keys and values the way Loki does, which accepts a good deal that is
// not JSON. Text must have kBufferSlack readable bytes behind `end`.
#pragma once

#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "engine/arena.h"

namespace skald::engine {

enum class JsonError : std::uint8_t { kNone, kObject, kArray, kString, kMalformed, kUnknownType, kEscape };
std::string_view json_error_text(JsonError error);

inline bool is_json_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
inline const char* skip_json_space(const char* at, const char* end) {
  while (at < end && is_json_space(*at)) ++at;
  return at;
}

struct JsonString {
  const char* close = nullptr;   // the closing quote; nullptr: unterminated
  bool escaped = false;
  bool non_ascii = false;
};

// `at` is behind the opening quote.
inline JsonString scan_json_string(const char* at, const char* end) {
  JsonString result;
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
  while (at < end) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto stops = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash))));
    const auto high = static_cast<unsigned>(_mm_movemask_epi8(block));
    if (stops == 0) {
      result.non_ascii |= high != 0;
      at += 16;
      continue;
    }
    const int index = __builtin_ctz(stops);
    result.non_ascii |= (high & ((1U << index) - 1)) != 0;
    at += index;
    if (at >= end) return result;
    if (*at == '"') {
      result.close = at;
      return result;
    }
    result.escaped = true;
    at += 2;
  }
#else
  for (; at < end; ++at) {
    if (*at == '"') {
      result.close = at;
      return result;
    }
    if (static_cast<unsigned char>(*at) >= 0x80) result.non_ascii = true;
    if (*at == '\\') {
      result.escaped = true;
      ++at;
    }
  }
#endif
  return result;
}

// End of a number, true, false, null: the first separator, or `end`.
inline const char* scan_json_token(const char* at, const char* end) {
  while (at < end && *at != ',' && *at != '}' && *at != ']' && !is_json_space(*at)) ++at;
  return at;
}

// One past the bracket that closes the one at `at`, strings skipped; nullptr: none. Other kinds of brackets do not count.
const char* skip_json_block(const char* at, const char* end, char open, char close);

// Unescaped text; data() == nullptr for an escape JSON does not know or a lone surrogate.
std::string_view unescape_json(std::string_view raw, Arena& arena);

// Label value of a string member: unescaped ("" when that fails), invalid bytes as spaces.
std::string_view json_string_value(std::string_view raw, bool escaped, bool non_ascii, Arena& arena);

}  // namespace skald::engine
