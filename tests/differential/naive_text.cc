// Parsers of the naive evaluator: json, logfmt, pattern, unpack, decolorize.
#include <cctype>

#include "naive_row.h"
#include "skald/logql/json_path.h"

namespace skald::differential {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t skip_space(std::string_view s, std::size_t at) {
  while (at < s.size() && is_space(s[at])) ++at;
  return at;
}

void append_utf8(std::string& out, unsigned rune) {
  if (rune < 0x80) out += static_cast<char>(rune);
  else if (rune < 0x800) { out += static_cast<char>(0xC0 | (rune >> 6)); out += static_cast<char>(0x80 | (rune & 63)); }
  else if (rune < 0x10000) {
    out += static_cast<char>(0xE0 | (rune >> 12)); out += static_cast<char>(0x80 | ((rune >> 6) & 63)); out += static_cast<char>(0x80 | (rune & 63));
  } else {
    out += static_cast<char>(0xF0 | (rune >> 18)); out += static_cast<char>(0x80 | ((rune >> 12) & 63));
    out += static_cast<char>(0x80 | ((rune >> 6) & 63)); out += static_cast<char>(0x80 | (rune & 63));
  }
}

std::optional<unsigned> hex4(std::string_view s, std::size_t at) {
  if (at + 4 > s.size()) return std::nullopt;
  unsigned value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    if (!std::isxdigit(static_cast<unsigned char>(s[i]))) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(s[i] <= '9' ? s[i] - '0' : (s[i] | 32) - 'a' + 10);
  }
  return value;
}

// Text between the quotes → string; nullopt for an escape that means nothing.
std::optional<std::string> json_unescape(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') { out += s[i]; continue; }
    if (++i == s.size()) return std::nullopt;
    switch (s[i]) {
      case '"': out += '"'; break;
      case '\\': out += '\\'; break;
      case '/': out += '/'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        auto high = hex4(s, i + 1);
        if (!high) return std::nullopt;
        i += 4;
        if (*high >= 0xD800 && *high <= 0xDFFF) {
          if (*high >= 0xDC00 || i + 2 >= s.size() || s[i + 1] != '\\' || s[i + 2] != 'u') return std::nullopt;
          auto low = hex4(s, i + 3);
          if (!low || *low < 0xDC00 || *low > 0xDFFF) return std::nullopt;
          i += 6;
          append_utf8(out, 0x10000 + ((*high - 0xD800) << 10) + (*low - 0xDC00));
        } else {
          append_utf8(out, *high);
        }
        break;
      }
      default: return std::nullopt;
    }
  }
  return out;
}

// A value of JSON text and where it ends; kind: o a s n b z(null).
struct JsonToken {
  char kind = 0;
  std::string_view raw;   // strings: between the quotes
  std::size_t end = 0;
};

std::optional<std::size_t> string_end(std::string_view s, std::size_t at) {  // at: behind the opening quote
  for (; at < s.size(); ++at) {
    if (s[at] == '\\') ++at;
    else if (s[at] == '"') return at;
  }
  return std::nullopt;
}

std::optional<JsonToken> json_token(std::string_view s, std::size_t at) {
  if (at >= s.size()) return std::nullopt;
  JsonToken token;
  if (s[at] == '"') {
    auto end = string_end(s, at + 1);
    if (!end) return std::nullopt;
    return JsonToken{'s', s.substr(at + 1, *end - at - 1), *end + 1};
  }
  if (s[at] == '{' || s[at] == '[') {
    const char open = s[at], close = open == '{' ? '}' : ']';
    int depth = 0;
    for (std::size_t i = at; i < s.size(); ++i) {
      if (s[i] == '"') {
        auto end = string_end(s, i + 1);
        if (!end) return std::nullopt;
        i = *end;
      } else if (s[i] == open) {
        ++depth;
      } else if (s[i] == close && --depth == 0) {
        return JsonToken{open == '{' ? 'o' : 'a', s.substr(at, i + 1 - at), i + 1};
      }
    }
    return std::nullopt;
  }
  std::size_t end = at;
  while (end < s.size() && !is_space(s[end]) && s[end] != ',' && s[end] != '}' && s[end] != ']') ++end;
  token.raw = s.substr(at, end - at);
  token.end = end;
  if (token.raw.empty()) return std::nullopt;
  if (token.raw == "true" || token.raw == "false") token.kind = 'b';
  else if (token.raw == "null") token.kind = 'z';
  else if (token.raw[0] == '-' || std::isdigit(static_cast<unsigned char>(token.raw[0]))) token.kind = 'n';
  else return std::nullopt;
  return token;
}

// Walks the members of the object at `at` ('{'); `member` gets key and value. False: malformed.
template <class Member>
bool each_member(std::string_view s, std::size_t at, const Member& member) {
  at = skip_space(s, at + 1);
  while (true) {
    if (at >= s.size()) return false;
    if (s[at] == '}') return true;
    if (s[at] != '"') return false;
    auto key_end = string_end(s, at + 1);
    if (!key_end) return false;
    auto key = json_unescape(s.substr(at + 1, *key_end - at - 1));
    if (!key) return false;
    at = skip_space(s, *key_end + 1);
    if (at >= s.size() || s[at] != ':') return false;
    at = skip_space(s, at + 1);
    auto value = json_token(s, at);
    if (!value) return false;
    if (!member(*key, *value)) return false;
    at = skip_space(s, value->end);
    if (at >= s.size()) return false;
    if (s[at] == ',') at = skip_space(s, at + 1);
    else if (s[at] != '}') return false;
  }
}

std::string scalar_text(const JsonToken& token) {
  if (token.kind != 's') return std::string(token.raw);
  auto text = json_unescape(token.raw);
  return text ? bad_utf8_to_spaces(*text) : "";
}

bool flatten(std::string_view object, const std::string& prefix, std::vector<Field>& out) {
  return each_member(object, 0, [&](const std::string& key, const JsonToken& value) {
    std::string part = label_name_part(key);
    std::string name = prefix.empty() ? part : part.empty() ? prefix : prefix + "_" + part;
    if (value.kind == 'o') return flatten(value.raw, name, out);
    if (value.kind == 'a' || value.kind == 'z' || name.empty()) return true;
    if (std::isdigit(static_cast<unsigned char>(name[0]))) name = "_" + name;
    out.push_back({name, scalar_text(value)});
    return true;
  });
}

// Whether the text is plain JSON without duplicate keys, so that every reader agrees on what lies at a path.
bool clean_json(std::string_view s, std::size_t& at) {
  at = skip_space(s, at);
  auto token = json_token(s, at);
  if (!token) return false;
  if (token->kind == 'o') {
    std::set<std::string> keys;
    bool fine = each_member(s, at, [&](const std::string& key, const JsonToken& value) {
      std::size_t inner = static_cast<std::size_t>(value.raw.data() - s.data()) - (value.kind == 's' ? 1 : 0);
      return keys.insert(key).second && clean_json(s, inner);
    });
    if (!fine) return false;
  } else if (token->kind == 'a') {
    std::size_t i = skip_space(s, at + 1);
    while (s[i] != ']') {
      if (!clean_json(s, i)) return false;
      i = skip_space(s, i);
      if (s[i] == ',') i = skip_space(s, i + 1);
      else if (s[i] != ']') return false;
    }
  }
  at = token->end;
  return true;
}

}  // namespace

std::size_t rune_length(std::string_view s, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const unsigned c = byte(at);
  const auto tail = [&](std::size_t i) { return (byte(at + i) & 0xC0) == 0x80; };
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return tail(1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    if (c == 0xE0 && byte(at + 1) < 0xA0) return 0;
    if (c == 0xED && byte(at + 1) > 0x9F) return 0;
    return 3;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (c == 0xF0 && byte(at + 1) < 0x90) return 0;
    if (c == 0xF4 && byte(at + 1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

std::string bad_utf8_to_spaces(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = rune_length(text, i);
    if (n == 0) { out += ' '; ++i; continue; }
    if (text.substr(i, n) == "\xEF\xBF\xBD") out += ' ';
    else out += text.substr(i, n);
    i += n;
  }
  return out;
}

bool valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = rune_length(text, i);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

std::string label_name_part(std::string_view key) {
  while (!key.empty() && std::isspace(static_cast<unsigned char>(key.front()))) key.remove_prefix(1);
  while (!key.empty() && std::isspace(static_cast<unsigned char>(key.back()))) key.remove_suffix(1);
  std::string out;
  for (std::size_t i = 0; i < key.size();) {
    const std::size_t n = rune_length(key, i);
    const char c = key[i];
    out += n == 1 && (std::isalnum(static_cast<unsigned char>(c)) || c == '_') ? c : '_';
    i += n ? n : 1;
  }
  return out;
}

std::string label_name(std::string_view key) {
  std::string name = label_name_part(key);
  if (!name.empty() && std::isdigit(static_cast<unsigned char>(name[0]))) name = "_" + name;
  return name;
}

ParsedFields json_fields(std::string_view line) {
  ParsedFields out;
  const std::size_t at = skip_space(line, 0);
  out.failed = at >= line.size() || line[at] != '{' || !flatten(line.substr(at), "", out.fields);
  return out;
}

std::optional<std::string> json_at(std::string_view line, std::string_view path_text) {
  std::size_t end = 0;
  if (!clean_json(line, end) || skip_space(line, end) != line.size()) throw Undefined("json path over text that is no clean JSON");
  auto path = logql::parse_json_path(path_text);
  if (!path.ok()) throw NaiveError(false, path.error().message());
  std::string_view text = line;
  std::size_t at = 0;
  std::optional<JsonToken> token = json_token(text, at);
  for (const logql::JsonPathStep& step : *path) {
    std::optional<JsonToken> next;
    if (step.is_index) {
      if (token->kind != 'a') return std::nullopt;
      std::string_view array = token->raw;
      std::size_t i = skip_space(array, 1);
      for (std::uint64_t n = 0; array[i] != ']'; ++n) {
        auto element = json_token(array, i);
        if (n == step.index) { next = element; break; }
        i = skip_space(array, element->end);
        if (array[i] == ',') i = skip_space(array, i + 1);
      }
    } else {
      if (token->kind != 'o') return std::nullopt;
      each_member(token->raw, 0, [&](const std::string& key, const JsonToken& value) {
        if (key == step.key && !next) next = value;
        return true;
      });
    }
    if (!next) return std::nullopt;
    token = next;
  }
  if (token->kind == 'z') return "";
  if (token->kind == 'o' || token->kind == 'a') return std::string(token->raw);
  return scalar_text(*token);
}

ParsedFields unpacked_fields(std::string_view line) {
  ParsedFields out;
  if (line.empty() || line[0] != '{') { out.failed = true; return out; }
  out.failed = !each_member(line, 0, [&](const std::string& key, const JsonToken& value) {
    if (value.kind == 's') out.fields.push_back({key, scalar_text(value)});
    return true;
  });
  return out;
}

LogfmtPairs logfmt_pairs(std::string_view line, bool strict) {
  LogfmtPairs out;
  const auto blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  std::size_t i = 0;
  const auto bad = [&](bool to_end) {
    if (to_end) i = line.size();
    while (i < line.size() && !blank(line[i])) ++i;
    if (strict) out.failed = true;
  };
  while (!out.failed) {
    while (i < line.size() && blank(line[i])) ++i;
    if (i >= line.size()) break;
    const std::size_t start = i;
    while (i < line.size() && !blank(line[i]) && line[i] != '=' && line[i] != '"') ++i;
    const std::string_view key = line.substr(start, i - start);
    if (i < line.size() && line[i] == '"') { bad(false); continue; }
    if (key.empty()) { bad(false); continue; }            // =value
    if (!valid_utf8(key)) { bad(false); continue; }       // invalid key
    LogfmtPair pair{std::string(key), "", true};
    if (i < line.size() && line[i] == '=') {
      pair.bare = false;
      ++i;
      if (i < line.size() && line[i] == '"') {
        auto end = string_end(line, i + 1);
        if (!end) { bad(true); continue; }
        auto text = json_unescape(line.substr(i + 1, *end - i - 1));
        if (!text) throw Undefined("escape of a quoted logfmt value");
        pair.value = *text;
        i = *end + 1;
      } else {
        const std::size_t value_start = i;
        while (i < line.size() && !blank(line[i]) && line[i] != '=' && line[i] != '"') ++i;
        if (i < line.size() && !blank(line[i])) { bad(false); continue; }
        pair.value = line.substr(value_start, i - value_start);
      }
    }
    out.pairs.push_back(std::move(pair));
  }
  return out;
}

namespace {
struct PatternPiece {
  bool capture = false;
  std::string text;
};
std::vector<PatternPiece> pattern_pieces(std::string_view pattern) {
  std::vector<PatternPiece> out;
  std::string literal;
  for (std::size_t i = 0; i < pattern.size();) {
    if (pattern[i] == '<') {
      std::size_t end = i + 1;
      while (end < pattern.size() && (std::isalnum(static_cast<unsigned char>(pattern[end])) || pattern[end] == '_')) ++end;
      if (end < pattern.size() && pattern[end] == '>' && end > i + 1 && !std::isdigit(static_cast<unsigned char>(pattern[i + 1]))) {
        if (!literal.empty()) out.push_back({false, literal});
        literal.clear();
        out.push_back({true, std::string(pattern.substr(i + 1, end - i - 1))});
        i = end + 1;
        continue;
      }
    }
    literal += pattern[i++];
  }
  if (!literal.empty()) out.push_back({false, literal});
  return out;
}
}  // namespace

std::vector<Field> pattern_fields(std::string_view pattern, std::string_view line) {
  std::vector<Field> out;
  const auto pieces = pattern_pieces(pattern);
  std::size_t at = 0, piece = 0;
  if (!pieces.empty() && !pieces[0].capture) {
    if (line.substr(0, pieces[0].text.size()) != pieces[0].text) return out;
    at = pieces[0].text.size();
    piece = 1;
  }
  for (; piece < pieces.size(); piece += 2) {   // captures and literals alternate
    std::size_t end = std::string_view::npos;
    if (piece + 1 < pieces.size()) end = line.find(pieces[piece + 1].text, at);
    const std::string value(line.substr(at, end == std::string_view::npos ? end : end - at));
    if (pieces[piece].text != "_") out.push_back({pieces[piece].text, value});
    if (end == std::string_view::npos) break;
    at = end + pieces[piece + 1].text.size();
  }
  return out;
}

bool line_pattern_matches(std::string_view pattern, std::string_view line) {
  const auto pieces = pattern_pieces(pattern);
  if (pieces.empty()) return line.empty();
  if (pieces.size() == 1 && !pieces[0].capture) return line == pieces[0].text;
  std::size_t at = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].capture) continue;
    const std::size_t found = line.find(pieces[i].text, at);
    if (found == std::string_view::npos) return false;
    if (i > 0 && found == at) return false;   // the <_> in front holds at least one byte
    at = found + pieces[i].text.size();
  }
  return pieces.back().capture ? at < line.size() : at == line.size();
}

std::string decolorized(std::string_view line) {
  std::string out;
  for (std::size_t i = 0; i < line.size();) {
    if (line[i] == '\x1b' && i + 1 < line.size() && line[i + 1] == '[') {
      std::size_t end = i + 2;
      while (end < line.size() && (std::isdigit(static_cast<unsigned char>(line[end])) || line[end] == ';')) ++end;
      if (end < line.size() && line[end] == 'm') { i = end + 1; continue; }
    }
    if (line[i] == '\x1b') throw Undefined("an unusual escape sequence");
    out += line[i++];
  }
  return out;
}

}  // namespace skald::differential
