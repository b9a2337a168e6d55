#include "engine/logfmt_text.h"

#include "engine/json_text.h"
#include "engine/label_text.h"

namespace skald::engine {
namespace {

bool is_separator(char c) { return static_cast<unsigned char>(c) <= ' '; }

int hex_value(std::string_view text, std::size_t at) {
  if (at + 4 > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    int digit = 0;
    if (c >= '0' && c <= '9') digit = c - '0';
    else if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    else return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace

LogfmtReader::Outcome LogfmtReader::fail(const char* at, const char* text) {
  error_at_ = at;
  error_text_ = text;
  at_ = at;
  while (at_ < end_ && !is_separator(*at_)) ++at_;
  return Outcome::kError;
}

LogfmtReader::Outcome LogfmtReader::next(LogfmtPair& pair) {
  while (at_ < end_ && is_separator(*at_)) ++at_;
  if (at_ == end_) return Outcome::kEnd;
  const char* const key = at_;
  const char* at = scan_logfmt_word(at_, end_);
  if (at < end_ && *at == '"') return fail(at, "unexpected '\"'");
  if (at == key) return fail(at, "unexpected '='");
  pair.key = {key, static_cast<std::size_t>(at - key)};
  pair.value = {at, 0};
  pair.quoted = false;
  pair.escaped = false;
  if (at == end_ || *at != '=') {   // a bare key
    at_ = at;
    return Outcome::kPair;
  }
  ++at;
  if (at < end_ && *at == '"') {
    const JsonString text = scan_json_string(at + 1, end_);
    if (text.close == nullptr) return fail(end_, "unterminated quoted value");
    pair.value = {at + 1, static_cast<std::size_t>(text.close - at - 1)};
    pair.quoted = true;
    pair.escaped = text.escaped;
    at_ = text.close + 1;
    return Outcome::kPair;
  }
  const char* const value = at;
  at = scan_logfmt_word(at, end_);
  if (at < end_ && *at == '=') return fail(at, "unexpected '='");
  if (at < end_ && *at == '"') return fail(at, "unexpected '\"'");
  pair.value = {value, static_cast<std::size_t>(at - value)};
  at_ = at;
  return Outcome::kPair;
}

std::string_view unquote_logfmt(std::string_view raw, Arena& arena) {
  char* const begin = arena.allocate(raw.size() + 4);
  char* out = begin;
  const auto fail = [&]() -> std::string_view {
    arena.shrink(begin);
    return {};
  };
  for (std::size_t i = 0; i < raw.size();) {
    const char c = raw[i];
    if (static_cast<unsigned char>(c) < ' ') return fail();   // control characters must be escaped where escapes are used
    if (c != '\\') {
      *out++ = c;
      ++i;
      continue;
    }
    if (i + 1 >= raw.size()) return fail();
    switch (raw[i + 1]) {
      case '"': case '\\': case '/': case '\'': *out++ = raw[i + 1]; break;
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'n': *out++ = '\n'; break;
      case 'r': *out++ = '\r'; break;
      case 't': *out++ = '\t'; break;
      case 'u': {
        int rune = hex_value(raw, i + 2);
        if (rune < 0) return fail();
        i += 6;
        if (rune >= 0xD800 && rune <= 0xDFFF) {
          const int low = i + 1 < raw.size() && raw[i] == '\\' && raw[i + 1] == 'u' ? hex_value(raw, i + 2) : -1;
          if (rune < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF) {
            rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
            i += 6;
          } else {
            rune = 0xFFFD;
          }
        }
        append_utf8(out, static_cast<std::uint32_t>(rune));
        continue;
      }
      default: return fail();
    }
    i += 2;
  }
  arena.shrink(out);
  return {begin, static_cast<std::size_t>(out - begin)};
}

}  // namespace skald::engine
