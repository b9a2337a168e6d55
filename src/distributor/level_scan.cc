#include "distributor/level_scan.h"

#include <charconv>
#include <cstring>
#ifdef __SSSE3__
#include <tmmintrin.h>
#endif

#include "distributor/json_cursor.h"

namespace skald::distributor {
namespace {

using model::Level;

constexpr std::uint8_t kLeft = 1;    // may stand before a level word
constexpr std::uint8_t kRight = 2;   // may stand behind one
constexpr std::uint8_t kFirst = 4;   // first letter of one

constexpr std::array<std::uint8_t, 256> kClass = [] {
  std::array<std::uint8_t, 256> table{};
  for (const char c : std::string_view(" \t\n[({\"'=|")) table[static_cast<std::uint8_t>(c)] |= kLeft;
  for (const char c : std::string_view(" \t\n[](){}:,!\"'=|")) table[static_cast<std::uint8_t>(c)] |= kRight;
  for (const char c : std::string_view("tdfcewiTDFCEWI")) table[static_cast<std::uint8_t>(c)] |= kFirst;
  return table;
}();

std::uint8_t class_of(char c) { return kClass[static_cast<std::uint8_t>(c)]; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equal_fold(std::string_view text, std::string_view lower_word) {
  if (text.size() != lower_word.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (lower(text[i]) != lower_word[i]) return false;
  return true;
}

// The level word that starts at `at` and is bounded on the right; kNone if none.
Level word_at(std::string_view line, std::size_t at) {
  const auto is = [&](std::string_view word) {
    const std::size_t end = at + word.size();
    return end <= line.size() && equal_fold(line.substr(at, word.size()), word) &&
           (end == line.size() || (class_of(line[end]) & kRight) != 0);
  };
  switch (lower(line[at])) {
    case 't': return is("trace") ? Level::kTrace : Level::kNone;
    case 'd': return is("debug") ? Level::kDebug : Level::kNone;
    case 'f': return is("fatal") ? Level::kFatal : Level::kNone;
    case 'c': return is("critical") ? Level::kCritical : Level::kNone;
    case 'e': return is("error") || is("err") ? Level::kError : Level::kNone;
    case 'w': return is("warn") || is("warning") ? Level::kWarn : Level::kNone;
    case 'i': return is("info") ? Level::kInfo : Level::kNone;
    default: return Level::kNone;
  }
}

// Depth-first in document order. True: stop; `out` is the level of the first field found, kNone for an unknown word.
// Malformed JSON stops too, with kNone. Brackets are counted, not recursed into.
void json_level(std::string_view line, const LevelFields& fields, std::int64_t depth_max, Level& out) {
  out = Level::kNone;
  JsonCursor cursor(line);
  if (!cursor.take('{')) return;
  std::int64_t depth = 1;
  if (cursor.take('}')) return;
  while (true) {
    RawString key, value;
    if (cursor.peek() != '"' || !cursor.string(key) || !cursor.take(':')) return;
    switch (cursor.peek()) {
      case '"':
        if (!cursor.string(value)) return;
        if (!key.escaped && fields.exact(key.text)) {
          out = level_from_word(value.text);
          return;
        }
        break;
      case '{':
        if (depth_max <= 0 || depth < depth_max) {
          ++cursor.at;
          if (cursor.take('}')) break;
          ++depth;
          continue;
        }
        if (!cursor.skip_value()) return;
        break;
      case '[':
        if (!cursor.skip_value()) return;
        break;
      default:
        if (cursor.bare().empty()) return;
    }
    while (!cursor.take(',')) {
      if (!cursor.take('}') || --depth == 0) return;
    }
  }
}

// Pairs until the text stops being logfmt; the pair whose field stands earliest in the list wins.
Level logfmt_level(std::string_view line, const LevelFields& fields) {
  std::size_t best = LevelFields::kNone;
  std::string_view found;
  const char* at = line.data();
  const char* const end = at + line.size();
  const auto is_gap = [](char c) { return static_cast<std::uint8_t>(c) <= ' '; };
  while (true) {
    while (at < end && is_gap(*at)) ++at;
    if (at == end) break;
    const char* const key_begin = at;
    while (at < end && *at != '=' && !is_gap(*at) && *at != '"') ++at;
    const std::string_view key(key_begin, static_cast<std::size_t>(at - key_begin));
    if (at == end) break;
    if (is_gap(*at)) continue;         // a key without a value
    if (*at == '"' || key.empty()) break;
    ++at;                              // '='
    std::string_view value;
    if (at < end && *at == '"') {
      const char* const value_begin = ++at;
      while (true) {
        at = JsonCursor::find_quote_or_backslash(at, end);
        if (at == end || *at == '"') break;
        at = end - at < 2 ? end : at + 2;
      }
      if (at == end) break;            // not terminated
      value = std::string_view(value_begin, static_cast<std::size_t>(at - value_begin));
      ++at;
      if (at < end && !is_gap(*at)) break;
    } else {
      const char* const value_begin = at;
      while (at < end && !is_gap(*at) && *at != '=' && *at != '"') ++at;
      if (at < end && !is_gap(*at)) break;
      value = std::string_view(value_begin, static_cast<std::size_t>(at - value_begin));
    }
    const std::size_t place = fields.fold(key);
    if (place < best) {
      best = place;
      found = value;
      if (place == 0) break;
    }
  }
  return best == LevelFields::kNone ? Level::kNone : level_from_word(found);
}

}  // namespace

LevelFields::LevelFields(const std::vector<std::string>& names) : names_(names) {
  for (const std::string& name : names_)
    if (name.size() < by_length_.size()) by_length_[name.size()] = 1;
}

bool LevelFields::slow_exact(std::string_view key) const {
  for (const std::string& name : names_)
    if (name == key) return true;
  return false;
}

std::size_t LevelFields::slow_fold(std::string_view key) const {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (names_[i].size() != key.size()) continue;
    std::size_t same = 0;
    while (same < key.size() && lower(names_[i][same]) == lower(key[same])) ++same;
    if (same == key.size()) return i;
  }
  return kNone;
}

model::Level level_from_word(std::string_view word) {
  struct Known {
    std::string_view word;
    Level level;
  };
  static constexpr Known kKnown[] = {
      {"info", Level::kInfo},        {"error", Level::kError},      {"warn", Level::kWarn},   {"debug", Level::kDebug},
      {"warning", Level::kWarn},     {"trace", Level::kTrace},      {"err", Level::kError},   {"fatal", Level::kFatal},
      {"critical", Level::kCritical}, {"information", Level::kInfo}, {"inf", Level::kInfo},    {"wrn", Level::kWarn},
      {"dbg", Level::kDebug},        {"trc", Level::kTrace}};
  for (const Known& known : kKnown)
    if (equal_fold(word, known.word)) return known.level;
  return Level::kNone;
}

model::Level level_from_severity_number(std::string_view text) {
  std::int64_t number = 0;
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size()) return Level::kInfo;
  if (number == 0) return Level::kUnknown;
  if (number <= 4) return Level::kTrace;
  if (number <= 8) return Level::kDebug;
  if (number <= 12) return Level::kInfo;
  if (number <= 16) return Level::kWarn;
  if (number <= 20) return Level::kError;
  if (number <= 24) return Level::kFatal;
  return Level::kUnknown;
}

model::Level scan_keywords_plain(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if ((class_of(line[i]) & kFirst) == 0 || (i > 0 && (class_of(line[i - 1]) & kLeft) == 0)) continue;
    if (const Level level = word_at(line, i); level != Level::kNone) return level;
  }
  return Level::kUnknown;
}

model::Level scan_keywords(std::string_view line) {
#ifdef __SSSE3__
  // A byte's class is the AND of two 16-entry tables, by its low and its high nibble. Each high nibble that has members
  // gets one bit: boundaries 0x09/0A, 0x2., 0x3D, 0x5B, 0x7B/7C take bits 0-4; first letters of rows 4 and 6 share bit 5
  // (same low nibbles), those of rows 5 and 7 bit 6.
  //                                    low: 0     1  2     3     4     5     6     7           8     9           A     B           C     D  E  F
  const __m128i low_table = _mm_setr_epi8(0x02, 0, 0x02, 0x20, 0x60, 0x20, 0x20, 0x42, 0x02, 0x21, 0x01, 0x18, 0x10, 0x04, 0, 0);
  const __m128i high_table = _mm_setr_epi8(0x01, 0, 0x02, 0x04, 0x20, 0x48, 0x20, 0x50, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i nibble = _mm_set1_epi8(0x0F);
  const __m128i boundary_bits = _mm_set1_epi8(0x1F), letter_bits = _mm_set1_epi8(0x60), zero = _mm_setzero_si128();
  std::uint32_t carry = 1;  // the start of the line is a boundary
  std::size_t base = 0;
  for (; base + 16 <= line.size(); base += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(line.data() + base));
    const __m128i classes = _mm_and_si128(_mm_shuffle_epi8(low_table, _mm_and_si128(bytes, nibble)),
                                          _mm_shuffle_epi8(high_table, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble)));
    const auto no_boundary =
        static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(classes, boundary_bits), zero)));
    const auto no_letter =
        static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(classes, letter_bits), zero)));
    const std::uint32_t boundary = ~no_boundary & 0xFFFF;
    std::uint32_t starts = (boundary << 1 | carry) & ~no_letter & 0xFFFF;
    carry = boundary >> 15;
    for (; starts != 0; starts &= starts - 1) {
      const Level level = word_at(line, base + static_cast<std::size_t>(__builtin_ctz(starts)));
      if (level != Level::kNone) return level;
    }
  }
  for (std::size_t i = base; i < line.size(); ++i) {
    if ((class_of(line[i]) & kFirst) == 0 || (i > 0 && (class_of(line[i - 1]) & kLeft) == 0)) continue;
    if (const Level level = word_at(line, i); level != Level::kNone) return level;
  }
  return Level::kUnknown;
#else
  return scan_keywords_plain(line);
#endif
}

model::Level detect_line_level(std::string_view line, const LevelFields& fields, std::int64_t json_depth_max) {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  std::size_t first = 0, last = line.size();
  while (first < last && is_space(line[first])) ++first;
  while (last > first && is_space(line[last - 1])) --last;
  Level level = Level::kNone;
  if (last - first >= 2 && line[first] == '{' && line[last - 1] == '}') {
    json_level(line.substr(first, last - first), fields, json_depth_max, level);
  } else if (std::memchr(line.data() == nullptr ? "" : line.data(), '=', line.size()) != nullptr) {
    level = logfmt_level(line, fields);
  }
  return level != Level::kNone ? level : scan_keywords(line);
}

}  // namespace skald::distributor
