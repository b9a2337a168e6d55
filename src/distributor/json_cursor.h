// A forward cursor over JSON text for the few shapes a push has: no tree, no copies, strings as views.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "distributor/decoded.h"

namespace skald::distributor {

struct RawString {
  std::string_view text;  // between the quotes, escapes as written
  bool escaped = false;
};

// Where decoded strings live. The capacity is taken once, when the first escape is met, and never grows: views stay valid.
class UnescapeArena {
 public:
  // `bytes_max`: no string decoded here is longer in sum than the text it comes from.
  UnescapeArena(std::deque<std::string>& owned, std::size_t bytes_max) : owned_(owned), bytes_max_(bytes_max) {}
  // False when the escapes are malformed.
  bool text(const RawString& raw, std::string_view& out);

 private:
  std::deque<std::string>& owned_;
  std::size_t bytes_max_;
  char* next_ = nullptr;
};

// Appends the decoded form; lone surrogates become U+FFFD. False on a malformed escape.
bool append_unescaped(std::string& out, std::string_view raw);

struct JsonCursor {
  const char* begin;
  const char* at;
  const char* end;

  explicit JsonCursor(std::string_view text) : begin(text.data()), at(text.data()), end(text.data() + text.size()) {}

  void skip_space() {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
  }
  // The next significant byte, not taken; 0 at the end.
  char peek() {
    skip_space();
    return at < end ? *at : '\0';
  }
  bool take(char c) {
    if (peek() != c || at == end) return false;
    ++at;
    return true;
  }
  // At '"'. Leaves the cursor behind the closing quote.
  bool string(RawString& out) {
    if (at == end || *at != '"') return false;
    const char* const first = ++at;
    out.escaped = false;
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    while (end - at > 16) {  // an escape in the last place takes a 17th byte
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
      std::ptrdiff_t step = 16;
      while (hits != 0) {
        const int place = __builtin_ctz(static_cast<unsigned>(hits));
        if (at[place] == '"') {
          out.text = std::string_view(first, static_cast<std::size_t>(at + place - first));
          at += place + 1;
          return true;
        }
        out.escaped = true;
        if (place == 15) step = 17;
        hits &= ~(3 << place);
      }
      at += step;
    }
#endif
    while (true) {
      at = find_quote_or_backslash(at, end);
      if (at == end) return false;
      if (*at == '"') break;
      out.escaped = true;
      if (end - at < 2) {
        at = end;
        return false;
      }
      at += 2;
    }
    out.text = std::string_view(first, static_cast<std::size_t>(at - first));
    ++at;
    return true;
  }
  // Number, true, false, null: everything up to a separator.
  std::string_view bare() {
    const char* const first = at;
    while (at < end && *at != ',' && *at != ']' && *at != '}' && *at != ' ' && *at != '\n' && *at != '\r' && *at != '\t' &&
           *at != ':' && *at != '"' && *at != '[' && *at != '{')
      ++at;
    return std::string_view(first, static_cast<std::size_t>(at - first));
  }
  bool literal(std::string_view word) {
    if (static_cast<std::size_t>(end - at) < word.size() || std::memcmp(at, word.data(), word.size()) != 0) return false;
    at += word.size();
    return true;
  }
  // Any value; brackets must pair. No recursion, so depth costs nothing but kDepthMax bits.
  bool skip_value();

  static const char* find_quote_or_backslash(const char* from, const char* to) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (; to - from >= 16; from += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      const int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
      if (hits != 0) return from + __builtin_ctz(static_cast<unsigned>(hits));
    }
#endif
    while (from < to && *from != '"' && *from != '\\') ++from;
    return from;
  }
};

// "<what>, error found in #n byte of ...|10 bytes around|..., bigger context ...|50 bytes around|...": the wording of
// Loki's JSON reader, with the cursor where that reader stands.
Error reader_error(const JsonCursor& cursor, const std::string& what);
// The same for "<what>c", where c is the byte at the cursor, which the reader has taken.
Error reader_error_after(JsonCursor cursor, const std::string& what);
std::string shown_byte(const JsonCursor& cursor);

}  // namespace skald::distributor
