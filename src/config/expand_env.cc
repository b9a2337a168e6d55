// ${V} and its operators on the raw text of a file. Only the braced form is special; $$ is a dollar sign.
#include <charconv>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "skald/config/load.h"

namespace skald::config {
namespace {

constexpr int kNestingMax = 16;

bool glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string trim_prefix(const std::string& value, std::string_view pattern, bool longest) {
  for (std::size_t i = 0; i <= value.size(); ++i) {
    const std::size_t length = longest ? value.size() - i : i;
    if (glob(pattern, std::string_view(value).substr(0, length))) return value.substr(length);
  }
  return value;
}

std::string trim_suffix(const std::string& value, std::string_view pattern, bool longest) {
  for (std::size_t i = 0; i <= value.size(); ++i) {
    const std::size_t length = longest ? value.size() - i : i;
    if (glob(pattern, std::string_view(value).substr(value.size() - length))) return value.substr(0, value.size() - length);
  }
  return value;
}

std::string replace(std::string value, const std::string& from, const std::string& to, bool all) {
  if (from.empty()) return value;
  std::size_t at = 0;
  while ((at = value.find(from, at)) != std::string::npos) {
    value.replace(at, from.size(), to);
    at += to.size();
    if (!all) break;
  }
  return value;
}

char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }
char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

Error unsupported(std::string_view expression) {
  return Error(ErrorCode::kInvalidArgument, "unsupported substitution ${" + std::string(expression) + "}");
}

Result<std::string> substring(const std::string& value, std::string_view expression, std::string_view arguments) {
  const std::size_t colon = arguments.find(':');
  const auto number = [](std::string_view text, std::size_t& out) {
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && at == text.data() + text.size();
  };
  std::size_t from = 0, count = std::string::npos;
  if (!number(arguments.substr(0, colon), from)) return unsupported(expression);
  if (colon != std::string_view::npos && !number(arguments.substr(colon + 1), count)) return unsupported(expression);
  return from >= value.size() ? std::string() : value.substr(from, count);
}

// What stands between the braces, with nested expansions already applied.
Result<std::string> evaluate(std::string_view expression, const GetEnv& get_env) {
  const auto lookup = [&](std::string_view name) -> std::string {
    const char* value = get_env(std::string(name).c_str());
    return value ? value : "";
  };
  if (expression.size() > 1 && expression.front() == '#') return std::to_string(lookup(expression.substr(1)).size());
  std::size_t end = 0;
  while (end < expression.size() && (std::isalnum(static_cast<unsigned char>(expression[end])) || expression[end] == '_')) ++end;
  if (end == 0) return unsupported(expression);
  const std::string value = lookup(expression.substr(0, end));
  const std::string_view rest = expression.substr(end);
  const auto argument = [&](std::size_t skip) { return std::string(rest.substr(skip)); };
  if (rest.empty()) return value;
  if (rest.starts_with(":-") || rest.starts_with(":=")) return value.empty() ? argument(2) : value;
  if (rest.starts_with("=")) return value.empty() ? argument(1) : value;
  if (rest.starts_with(":?") || rest.starts_with(":+")) return unsupported(expression);
  if (rest.starts_with(":")) return substring(value, expression, rest.substr(1));
  if (rest == "^^" || rest == ",," || rest == "^" || rest == ",") {
    std::string out = value;
    const std::size_t count = rest.size() == 2 ? out.size() : std::min<std::size_t>(1, out.size());
    for (std::size_t i = 0; i < count; ++i) out[i] = rest[0] == '^' ? upper(out[i]) : lower(out[i]);
    return out;
  }
  if (rest.starts_with("##")) return trim_prefix(value, rest.substr(2), true);
  if (rest.starts_with("#")) return trim_prefix(value, rest.substr(1), false);
  if (rest.starts_with("%%")) return trim_suffix(value, rest.substr(2), true);
  if (rest.starts_with("%")) return trim_suffix(value, rest.substr(1), false);
  if (rest.starts_with("/")) {
    const bool all = rest.starts_with("//"), front = rest.starts_with("/#"), back = rest.starts_with("/%");
    const std::string_view body = rest.substr(all || front || back ? 2 : 1);
    const std::size_t slash = body.find('/');
    const std::string from(body.substr(0, slash));
    const std::string to(slash == std::string_view::npos ? std::string_view() : body.substr(slash + 1));
    if (front) return value.starts_with(from) ? to + value.substr(from.size()) : value;
    if (back) return value.ends_with(from) ? value.substr(0, value.size() - from.size()) + to : value;
    return replace(value, from, to, all);
  }
  return unsupported(expression);
}

// Expands text[at…] up to the end, or to the brace that closes the expression we are in.
Result<std::string> expand(std::string_view text, std::size_t& at, bool inside, int depth, const GetEnv& get_env) {
  if (depth > kNestingMax) return Error(ErrorCode::kInvalidArgument, "substitutions are nested too deeply");
  std::string out;
  while (at < text.size()) {
    const char c = text[at];
    if (inside && c == '}') {
      ++at;
      return out;
    }
    if (c != '$' || at + 1 >= text.size()) {
      out += c;
      ++at;
    } else if (text[at + 1] == '$') {
      out += '$';
      at += 2;
    } else if (text[at + 1] == '{') {
      at += 2;
      SKALD_TRY(const std::string expression, expand(text, at, true, depth + 1, get_env));
      SKALD_TRY(const std::string value, evaluate(expression, get_env));
      out += value;
    } else {
      out += c;
      ++at;
    }
  }
  if (inside) return Error(ErrorCode::kInvalidArgument, "missing closing brace");
  return out;
}

}  // namespace

Result<std::string> expand_environment(const std::string& text, const GetEnv& get_env) {
  std::size_t at = 0;
  return expand(text, at, false, 0, get_env);
}

}  // namespace skald::config
