// logfmt tokens: key=value, key="quoted", bare key, separated by bytes up to and including the space.
#pragma once

#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "engine/arena.h"

namespace skald::engine {

struct LogfmtPair {
  std::string_view key;
  std::string_view value;      // between the quotes, still escaped
  bool quoted = false;
  bool escaped = false;
};

// Pulls pairs out of one line. After an error the rest up to the next space is skipped, so that reading can go on.
// The line must have kBufferSlack readable bytes behind it.
class LogfmtReader {
 public:
  explicit LogfmtReader(std::string_view line) : begin_(line.data()), at_(begin_), end_(begin_ + line.size()) {}

  enum class Outcome : std::uint8_t { kPair, kEnd, kError };
  Outcome next(LogfmtPair& pair);
  // Of the latest kError. `position` counts from 1.
  std::uint64_t error_position() const { return static_cast<std::uint64_t>(error_at_ - begin_) + 1; }
  const char* error_text() const { return error_text_; }
  // For errors found later (bad escapes): the position behind the latest pair.
  std::uint64_t position() const { return static_cast<std::uint64_t>(at_ - begin_) + 1; }

  const char* begin() const { return begin_; }

 private:
  Outcome fail(const char* at, const char* text);

  const char* begin_;
  const char* at_;
  const char* end_;
  const char* error_at_ = nullptr;
  const char* error_text_ = "";
};

// First byte of [at, end) that is '=', '"' or at most the space.
inline const char* scan_logfmt_word(const char* at, const char* end) {
#if defined(__SSE2__)
  const __m128i equals = _mm_set1_epi8('='), quote = _mm_set1_epi8('"'), space = _mm_set1_epi8(' ');
  for (; at < end; at += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, space), block);
    const auto stops = static_cast<unsigned>(_mm_movemask_epi8(
        _mm_or_si128(control, _mm_or_si128(_mm_cmpeq_epi8(block, equals), _mm_cmpeq_epi8(block, quote)))));
    if (stops != 0) {
      at += __builtin_ctz(stops);
      return at < end ? at : end;
    }
  }
  return end;
#else
  while (at < end && *at != '=' && *at != '"' && static_cast<unsigned char>(*at) > ' ') ++at;
  return at;
#endif
}

// Go-ish escapes of a quoted value; data() == nullptr: invalid. Lone surrogates become U+FFFD.
std::string_view unquote_logfmt(std::string_view raw, Arena& arena);

}  // namespace skald::engine
