// String functions of line_format and label_format (reference logql.md §9).
#include <locale.h>
#include <re2/re2.h>
#include <wctype.h>

#include <algorithm>

#include "logql/template_functions.h"
#include "model/utf8.h"
#include "skald/logql/regex.h"
#include "skald/model/labels.h"

namespace skald::logql {
namespace {

bool is_space_rune(std::uint32_t r) {
  return (r >= 9 && r <= 13) || r == ' ' || r == 0x85 || r == 0xA0 || r == 0x1680 || (r >= 0x2000 && r <= 0x200A) ||
         r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F || r == 0x3000;
}

// Case mapping of the C library's Unicode tables; ASCII only when they are missing.
locale_t unicode_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr));
  return locale;
}
std::uint32_t to_upper(std::uint32_t r) {
  if (r < 0x80) return r >= 'a' && r <= 'z' ? r - 32 : r;
  const locale_t locale = unicode_locale();
  return locale == static_cast<locale_t>(nullptr) ? r : static_cast<std::uint32_t>(towupper_l(static_cast<wint_t>(r), locale));
}
std::uint32_t to_lower(std::uint32_t r) {
  if (r < 0x80) return r >= 'A' && r <= 'Z' ? r + 32 : r;
  const locale_t locale = unicode_locale();
  return locale == static_cast<locale_t>(nullptr) ? r : static_cast<std::uint32_t>(towlower_l(static_cast<wint_t>(r), locale));
}
bool is_letter_or_digit(std::uint32_t r) {
  if (r < 0x80) return (r >= '0' && r <= '9') || ((r | 32) >= 'a' && (r | 32) <= 'z');
  const locale_t locale = unicode_locale();
  return locale != static_cast<locale_t>(nullptr) && iswalnum_l(static_cast<wint_t>(r), locale) != 0;
}

// Calls f(rune, bytes) for each rune; bytes that are not UTF-8 come one by one as U+FFFD.
void each_rune(std::string_view text, auto f) {
  for (std::size_t at = 0; at < text.size();) {
    const model::Rune rune = model::decode_rune(text.substr(at));
    const std::size_t length = std::max<std::size_t>(rune.length, 1);
    f(rune.length == 0 ? 0xFFFDu : rune.value, text.substr(at, length));
    at += length;
  }
}

std::string mapped(std::string_view text, std::uint32_t (*map)(std::uint32_t)) {
  std::string out;
  out.reserve(text.size());
  each_rune(text, [&](std::uint32_t r, std::string_view) { model::append_rune(out, map(r)); });
  return out;
}

// Offsets of the first and behind the last rune for which `cut` is false.
std::string_view trimmed(std::string_view text, auto cut, bool left, bool right) {
  std::size_t first = text.size(), last = 0;
  each_rune(text, [&](std::uint32_t r, std::string_view bytes) {
    if (cut(r)) return;
    const auto at = static_cast<std::size_t>(bytes.data() - text.data());
    first = std::min(first, at);
    last = at + bytes.size();
  });
  if (first == text.size()) return {};  // nothing left, from either side
  const std::size_t from = left ? first : 0, to = right ? last : text.size();
  return text.substr(from, to - from);
}
std::string_view trimmed_space(std::string_view text) { return trimmed(text, is_space_rune, true, true); }
std::string_view trimmed_set(std::string_view text, std::string_view cutset, bool left, bool right) {
  return trimmed(
      text,
      [cutset](std::uint32_t r) {
        bool found = false;
        each_rune(cutset, [&](std::uint32_t c, std::string_view) { found |= c == r; });
        return found;
      },
      left, right);
}

FunctionResult replaced(Run& run, std::string_view text, std::string_view old, std::string_view with, std::int64_t count) {
  std::string out;
  if (old.empty()) {  // in front of each rune, and at the end
    std::int64_t done = 0;
    const auto insert = [&] {
      if (count < 0 || done < count) out += with;
      ++done;
    };
    bool too_large = false;
    each_rune(text, [&](std::uint32_t, std::string_view bytes) {
      if ((too_large |= out.size() > kTemplateOutputMax)) return;
      insert();
      out += bytes;
    });
    if (too_large) return function_error("result is too large");
    insert();
    return keep(run, std::move(out));
  }
  std::size_t at = 0;
  for (std::int64_t done = 0; count < 0 || done < count; ++done) {
    const std::size_t hit = text.find(old, at);
    if (hit == std::string_view::npos) break;
    out += text.substr(at, hit - at);
    out += with;
    at = hit + old.size();
    if (out.size() > kTemplateOutputMax) return function_error("result is too large");
  }
  if (at == 0) return Value::of(text);
  out += text.substr(at);
  return keep(run, std::move(out));
}

FunctionResult fn_line(Run& run, Args) { return Value::of(run.input->line()); }
FunctionResult fn_lower(Run& run, Args a) { return keep(run, mapped(a[0].text, to_lower)); }
FunctionResult fn_upper(Run& run, Args a) { return keep(run, mapped(a[0].text, to_upper)); }
FunctionResult fn_title(Run& run, Args a) {
  std::string out;
  bool in_word = false;
  each_rune(a[0].text, [&](std::uint32_t r, std::string_view bytes) {
    if (!in_word) model::append_rune(out, to_upper(r));
    else out += bytes;
    // Beyond ASCII only white space separates words.
    in_word = r < 0x80 ? is_letter_or_digit(r) || r == '_' : is_letter_or_digit(r) || !is_space_rune(r);
  });
  return keep(run, std::move(out));
}
FunctionResult fn_trim_space(Run&, Args a) { return Value::of(trimmed_space(a[0].text)); }
FunctionResult fn_go_trim(Run&, Args a) { return Value::of(trimmed_set(a[0].text, a[1].text, true, true)); }
FunctionResult fn_go_trim_left(Run&, Args a) { return Value::of(trimmed_set(a[0].text, a[1].text, true, false)); }
FunctionResult fn_go_trim_right(Run&, Args a) { return Value::of(trimmed_set(a[0].text, a[1].text, false, true)); }
FunctionResult fn_trim_all(Run&, Args a) { return Value::of(trimmed_set(a[1].text, a[0].text, true, true)); }

std::string_view without_prefix(std::string_view text, std::string_view affix) {
  return text.starts_with(affix) ? text.substr(affix.size()) : text;
}
std::string_view without_suffix(std::string_view text, std::string_view affix) {
  return text.ends_with(affix) ? text.substr(0, text.size() - affix.size()) : text;
}
FunctionResult fn_go_trim_prefix(Run&, Args a) { return Value::of(without_prefix(a[0].text, a[1].text)); }
FunctionResult fn_go_trim_suffix(Run&, Args a) { return Value::of(without_suffix(a[0].text, a[1].text)); }
FunctionResult fn_trim_prefix(Run&, Args a) { return Value::of(without_prefix(a[1].text, a[0].text)); }
FunctionResult fn_trim_suffix(Run&, Args a) { return Value::of(without_suffix(a[1].text, a[0].text)); }
FunctionResult fn_go_replace(Run& run, Args a) { return replaced(run, a[0].text, a[1].text, a[2].text, a[3].integer); }
FunctionResult fn_replace(Run& run, Args a) { return replaced(run, a[2].text, a[0].text, a[1].text, -1); }

FunctionResult fn_trunc(Run&, Args a) {
  const std::int64_t n = a[0].integer;
  const std::string_view s = a[1].text;
  const auto size = static_cast<std::int64_t>(s.size());
  if (n < 0 && n > -size) return Value::of(s.substr(static_cast<std::size_t>(size + n)));
  if (n >= 0 && n < size) return Value::of(s.substr(0, static_cast<std::size_t>(n)));
  return Value::of(s);
}
FunctionResult fn_substr(Run&, Args a) {
  const std::int64_t start = a[0].integer, end = a[1].integer;
  const std::string_view s = a[2].text;
  const auto size = static_cast<std::int64_t>(s.size());
  const auto out_of_range = [] { return function_error("runtime error: slice bounds out of range"); };
  if (start < 0) {
    if (end < 0 || end > size) return out_of_range();
    return Value::of(s.substr(0, static_cast<std::size_t>(end)));
  }
  if (end < 0 || end > size) {
    if (start > size) return out_of_range();
    return Value::of(s.substr(static_cast<std::size_t>(start)));
  }
  if (start > end) return out_of_range();
  return Value::of(s.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(end - start)));
}
FunctionResult fn_contains(Run&, Args a) { return Value::of(a[1].text.find(a[0].text) != std::string_view::npos); }
FunctionResult fn_has_prefix(Run&, Args a) { return Value::of(a[1].text.starts_with(a[0].text)); }
FunctionResult fn_has_suffix(Run&, Args a) { return Value::of(a[1].text.ends_with(a[0].text)); }

FunctionResult indented(Run& run, std::int64_t n, std::string_view text, std::string out) {
  if (n < 0) return function_error("strings: negative Repeat count");
  if (n > static_cast<std::int64_t>(kTemplateOutputMax)) return function_error("result is too large");
  const std::string blanks(static_cast<std::size_t>(n), ' ');
  out += blanks;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += blanks;
    if (out.size() > kTemplateOutputMax) return function_error("result is too large");
  }
  return keep(run, std::move(out));
}
FunctionResult fn_indent(Run& run, Args a) { return indented(run, a[0].integer, a[1].text, ""); }
FunctionResult fn_nindent(Run& run, Args a) { return indented(run, a[0].integer, a[1].text, "\n"); }

FunctionResult fn_repeat(Run& run, Args a) {
  const std::int64_t n = a[0].integer;
  const std::string_view s = a[1].text;
  if (n < 0) return function_error("strings: negative Repeat count");
  if (s.empty() || n == 0) return Value::of(std::string_view());
  if (static_cast<std::uint64_t>(n) > kTemplateOutputMax / s.size()) return function_error("result is too large");
  std::string out;
  out.reserve(s.size() * static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) out += s;
  return keep(run, std::move(out));
}

FunctionResult aligned(Run& run, std::int64_t n, std::string_view text, bool left) {
  if (n < 0) return Value::of(text);
  if (n > static_cast<std::int64_t>(kTemplateOutputMax)) return function_error("result is too large");
  const auto want = static_cast<std::size_t>(n);
  std::size_t runes = 0;
  each_rune(text, [&](std::uint32_t, std::string_view) { ++runes; });
  if (runes == want) return Value::of(text);
  if (runes < want) {
    const std::string blanks(want - runes, ' ');
    return keep(run, left ? std::string(text) + blanks : blanks + std::string(text));
  }
  std::size_t index = 0, from = 0, to = text.size();
  each_rune(text, [&](std::uint32_t, std::string_view bytes) {
    const auto at = static_cast<std::size_t>(bytes.data() - text.data());
    if (left && index == want) to = at;
    if (!left && index == runes - want) from = at;
    ++index;
  });
  if (!left && want == 0) from = text.size();
  return Value::of(text.substr(from, to - from));
}
FunctionResult fn_align_left(Run& run, Args a) { return aligned(run, a[0].integer, a[1].text, true); }
FunctionResult fn_align_right(Run& run, Args a) { return aligned(run, a[0].integer, a[1].text, false); }

// ---- regexes, with Go's rules for empty matches

Result<std::shared_ptr<const re2::RE2>> regex_for(std::string_view pattern) {
  // Patterns that are not literals are mostly the same from row to row.
  thread_local std::string last_pattern;
  thread_local std::shared_ptr<const re2::RE2> last;
  if (!last || last_pattern != pattern) {
    SKALD_TRY(auto compiled, compile_regex(pattern));
    last = std::move(compiled);
    last_pattern = pattern;
  }
  return last;
}

std::size_t rune_length(std::string_view text, std::size_t at) {
  return at >= text.size() ? 1 : std::max<std::size_t>(model::decode_rune(text.substr(at)).length, 1);
}

FunctionResult fn_count(Run& run, Args a) {
  std::shared_ptr<const re2::RE2> owned;
  const re2::RE2* regex = run.regex;
  if (regex == nullptr) {
    SKALD_TRY(owned, regex_for(a[0].text));
    regex = owned.get();
  }
  const std::string_view s = a[1].text;
  std::int64_t count = 0;
  std::size_t previous_end = std::string_view::npos;
  for (std::size_t at = 0; at <= s.size();) {
    re2::StringPiece match;
    if (!regex->Match(re2::StringPiece(s.data(), s.size()), at, s.size(), re2::RE2::UNANCHORED, &match, 1)) break;
    const auto begin = static_cast<std::size_t>(match.data() - s.data());
    const std::size_t end = begin + match.size();
    bool accepted = true;
    if (end == at) {
      accepted = begin != previous_end;  // no empty match right behind a match
      at += rune_length(s, at);
    } else {
      at = end;
    }
    previous_end = end;
    count += accepted;
  }
  return Value::of_int(count);
}

// Appends `pattern` with $1, ${1}, $name, ${name} and $$ expanded.
void expand(std::string& out, std::string_view pattern, const re2::RE2& regex, const std::vector<re2::StringPiece>& groups) {
  while (!pattern.empty()) {
    const std::size_t dollar = std::min(pattern.find('$'), pattern.size());
    out += pattern.substr(0, dollar);
    if (dollar == pattern.size()) return;
    pattern.remove_prefix(dollar + 1);
    if (pattern.starts_with('$')) {
      out += '$';
      pattern.remove_prefix(1);
      continue;
    }
    const bool braced = pattern.starts_with('{');
    std::size_t length = braced ? 1 : 0;
    const std::size_t start = length;
    const auto word = [](char c) { return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); };
    while (length < pattern.size() && word(pattern[length])) ++length;
    const std::string name(pattern.substr(start, length - start));
    if (name.empty() || (braced && (length >= pattern.size() || pattern[length] != '}'))) {
      out += '$';  // malformed: the dollar stands for itself
      continue;
    }
    pattern.remove_prefix(length + (braced ? 1 : 0));
    std::size_t group = groups.size();
    if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      if (name.size() <= 4) group = static_cast<std::size_t>(std::stoi(name));
    } else {
      const auto& names = regex.NamedCapturingGroups();
      if (const auto it = names.find(name); it != names.end()) group = static_cast<std::size_t>(it->second);
    }
    if (group < groups.size() && groups[group].data() != nullptr) out.append(groups[group].data(), groups[group].size());
  }
}

FunctionResult replace_all(Run& run, Args a, bool literal) {
  std::shared_ptr<const re2::RE2> owned;
  const re2::RE2* regex = run.regex;
  if (regex == nullptr) {
    SKALD_TRY(owned, regex_for(a[0].text));
    regex = owned.get();
  }
  const std::string_view s = a[1].text, with = a[2].text;
  std::vector<re2::StringPiece> groups(literal ? 1 : static_cast<std::size_t>(regex->NumberOfCapturingGroups()) + 1);
  std::string out;
  std::size_t last_end = 0;
  for (std::size_t at = 0; at <= s.size();) {
    if (!regex->Match(re2::StringPiece(s.data(), s.size()), at, s.size(), re2::RE2::UNANCHORED, groups.data(),
                      static_cast<int>(groups.size())))
      break;
    const auto begin = static_cast<std::size_t>(groups[0].data() - s.data());
    const std::size_t end = begin + groups[0].size();
    out += s.substr(last_end, begin - last_end);
    if (end > last_end || begin == 0) {
      if (literal) out += with;
      else expand(out, with, *regex, groups);
    }
    last_end = end;
    at = std::max(end, at + rune_length(s, at));
    if (out.size() > kTemplateOutputMax) return function_error("result is too large");
  }
  out += s.substr(last_end);
  return keep(run, std::move(out));
}
FunctionResult fn_regex_replace(Run& run, Args a) { return replace_all(run, a, false); }
FunctionResult fn_regex_replace_literal(Run& run, Args a) { return replace_all(run, a, true); }

// ---- encodings

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = static_cast<char>(c | 32);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

FunctionResult fn_urlencode(Run& run, Args a) { return keep(run, url_encode(a[0].text)); }
FunctionResult fn_urldecode(Run& run, Args a) {
  const std::string_view s = a[0].text;
  std::string out;
  for (std::size_t at = 0; at < s.size(); ++at) {
    if (s[at] == '+') {
      out += ' ';
    } else if (s[at] != '%') {
      out += s[at];
    } else if (at + 2 < s.size() && hex_value(s[at + 1]) >= 0 && hex_value(s[at + 2]) >= 0) {
      out += static_cast<char>(hex_value(s[at + 1]) << 4 | hex_value(s[at + 2]));
      at += 2;
    } else {
      std::string message = "invalid URL escape ";
      model::append_go_quoted(message, s.substr(at, 3));
      return function_error(std::move(message));
    }
  }
  return keep(run, std::move(out));
}

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

FunctionResult fn_b64enc(Run& run, Args a) {
  const std::string_view s = a[0].text;
  std::string out;
  out.reserve((s.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < s.size(); at += 3) {
    std::uint32_t bits = 0;
    const std::size_t count = std::min<std::size_t>(3, s.size() - at);
    for (std::size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? static_cast<unsigned char>(s[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) out += i <= count ? kBase64[bits >> (18 - 6 * i) & 63] : '=';
  }
  return keep(run, std::move(out));
}

FunctionResult fn_b64dec(Run& run, Args a) {
  const std::string_view s = a[0].text;
  std::size_t end = s.size();
  while (end > 0 && s[end - 1] == '=' && s.size() - end < 2) --end;
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  std::size_t digits = 0;
  const auto bad = [&](std::size_t at) { return keep(run, "illegal base64 data at input byte " + std::to_string(at)); };
  for (std::size_t at = 0; at < end; ++at) {
    if (s[at] == '\n' || s[at] == '\r') continue;
    const std::size_t value = kBase64.find(s[at]);
    if (value == std::string_view::npos) return bad(at);
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    ++digits;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 0xFF);
    }
  }
  if (digits % 4 == 1) return bad(end);
  return keep(run, std::move(out));
}

FunctionResult fn_from_json(Run& run, Args a) {
  Value out;
  parse_json(a[0].text, run.arena, out);  // nil when it is not JSON
  return out;
}

FunctionResult fn_default(Run&, Args a) {
  return a.size() < 2 || !truth(a[1]) ? a[0] : a[1];
}

constexpr Function kText[] = {
    {"__line__", "", 0, fn_line},
    {"ToLower", "s", 0, fn_lower}, {"ToUpper", "s", 0, fn_upper}, {"TrimSpace", "s", 0, fn_trim_space},
    {"Replace", "sssi", 0, fn_go_replace}, {"Trim", "ss", 0, fn_go_trim}, {"TrimLeft", "ss", 0, fn_go_trim_left},
    {"TrimRight", "ss", 0, fn_go_trim_right}, {"TrimPrefix", "ss", 0, fn_go_trim_prefix},
    {"TrimSuffix", "ss", 0, fn_go_trim_suffix},
    {"lower", "s", 0, fn_lower}, {"upper", "s", 0, fn_upper}, {"trim", "s", 0, fn_trim_space}, {"title", "s", 0, fn_title},
    {"replace", "sss", 0, fn_replace}, {"trimAll", "ss", 0, fn_trim_all}, {"trimPrefix", "ss", 0, fn_trim_prefix},
    {"trimSuffix", "ss", 0, fn_trim_suffix}, {"trunc", "is", 0, fn_trunc}, {"substr", "iis", 0, fn_substr},
    {"contains", "ss", 0, fn_contains}, {"hasPrefix", "ss", 0, fn_has_prefix}, {"hasSuffix", "ss", 0, fn_has_suffix},
    {"indent", "is", 0, fn_indent}, {"nindent", "is", 0, fn_nindent}, {"repeat", "is", 0, fn_repeat},
    {"alignLeft", "is", 0, fn_align_left}, {"alignRight", "is", 0, fn_align_right},
    {"count", "ss", 0, fn_count}, {"regexReplaceAll", "sss", 0, fn_regex_replace},
    {"regexReplaceAllLiteral", "sss", 0, fn_regex_replace_literal},
    {"urlencode", "s", 0, fn_urlencode}, {"urldecode", "s", 0, fn_urldecode},
    {"b64enc", "s", 0, fn_b64enc}, {"b64dec", "s", 0, fn_b64dec}, {"fromJson", "s", 0, fn_from_json},
    {"default", "a", 'a', fn_default},
};

}  // namespace

std::string url_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::span<const Function> text_functions() { return kText; }

}  // namespace skald::logql
