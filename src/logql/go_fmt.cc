#include "logql/go_fmt.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "model/utf8.h"
#include "skald/logql/units.h"
#include "skald/model/labels.h"

namespace skald::logql {
namespace {

constexpr int kWidthMax = 1'000'000;

struct Flags {
  bool plus = false, minus = false, sharp = false, space = false, zero = false;
  bool has_width = false, has_precision = false;
  int width = 0, precision = 0;
};

std::size_t rune_count(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count)
    at += std::max<std::size_t>(model::decode_rune(text.substr(at)).length, 1);
  return count;
}

void pad(std::string& out, std::string_view text, const Flags& f) {
  const std::size_t count = f.has_width ? rune_count(text) : 0;
  const auto width = static_cast<std::size_t>(std::max(f.width, 0));
  const std::size_t missing = f.has_width && width > count ? width - count : 0;
  if (!f.minus) out.append(missing, f.zero ? '0' : ' ');
  out += text;
  if (f.minus) out.append(missing, ' ');
}

void append_quoted(std::string& out, std::string_view text, bool ascii) {
  if (!ascii) {
    model::append_go_quoted(out, text);
    return;
  }
  std::string quoted;
  model::append_go_quoted(quoted, text);
  for (std::size_t at = 0; at < quoted.size();) {
    const model::Rune rune = model::decode_rune(std::string_view(quoted).substr(at));
    if (rune.value < 0x80) {
      out += quoted[at++];
      continue;
    }
    char escape[16];
    std::snprintf(escape, sizeof escape, rune.value > 0xFFFF ? "\\U%08x" : "\\u%04x", rune.value);
    out += escape;
    at += std::max<std::size_t>(rune.length, 1);
  }
}

class Printer {
 public:
  Printer(std::string& out, std::size_t size_max) : out_(out), size_max_(size_max) {}

  void run(std::string_view format, std::span<const Value> args) {
    std::size_t next = 0;
    bool reordered = false;
    for (std::size_t at = 0; at < format.size() && out_.size() <= size_max_;) {
      const std::size_t percent = std::min(format.find('%', at), format.size());
      out_ += format.substr(at, percent - at);
      at = percent;
      if (at == format.size()) break;
      ++at;
      Flags f;
      bool good_index = true, after_index = false;
      const auto index = [&] {
        after_index = false;
        if (at >= format.size() || format[at] != '[') return;
        reordered = true;
        const std::size_t close = format.find(']', at);
        if (close == std::string_view::npos) {
          good_index = false;
          ++at;
          return;
        }
        int n = 0;
        const auto parsed = std::from_chars(format.data() + at + 1, format.data() + close, n);
        const bool fits = parsed.ec == std::errc() && parsed.ptr == format.data() + close && n >= 1 &&
                          static_cast<std::size_t>(n) <= args.size();
        if (fits) {
          next = static_cast<std::size_t>(n - 1);
          after_index = true;
        } else {
          good_index = false;
        }
        at = close + 1;
      };
      const auto star = [&](int& value) {  // false: not an int, or too large
        const bool fits = next < args.size() && args[next].is_integer() && args[next].integer >= -kWidthMax &&
                          args[next].integer <= kWidthMax;
        value = fits ? static_cast<int>(args[next].integer) : 0;
        if (next < args.size()) ++next;
        return fits;
      };
      const auto digits = [&](int& value) {
        bool any = false;
        value = 0;
        while (at < format.size() && format[at] >= '0' && format[at] <= '9') {
          any = true;
          value = value > kWidthMax ? value : value * 10 + (format[at] - '0');
          ++at;
        }
        if (value > kWidthMax) value = 0, any = false;
        return any;
      };
      for (bool more = true; more && at < format.size();) {
        switch (format[at]) {
          case '#': f.sharp = true; break;
          case '0': f.zero = true; break;
          case '+': f.plus = true; break;
          case '-': f.minus = true; break;
          case ' ': f.space = true; break;
          default: more = false; continue;
        }
        ++at;
      }
      index();
      if (at < format.size() && format[at] == '*') {
        ++at;
        f.has_width = star(f.width);
        if (!f.has_width) out_ += "%!(BADWIDTH)";
        if (f.width < 0) {
          f.width = -f.width;
          f.minus = true;
        }
        after_index = false;
      } else {
        f.has_width = digits(f.width);
        if (after_index && f.has_width) good_index = false;
      }
      if (at < format.size() && format[at] == '.') {
        ++at;
        if (after_index) good_index = false;
        index();
        if (at < format.size() && format[at] == '*') {
          ++at;
          f.has_precision = star(f.precision);
          if (f.precision < 0) f.precision = 0, f.has_precision = false;
          if (!f.has_precision) out_ += "%!(BADPREC)";
          after_index = false;
        } else {
          digits(f.precision);
          f.has_precision = true;
        }
      }
      if (!after_index) index();
      if (at >= format.size()) {
        out_ += "%!(NOVERB)";
        break;
      }
      if (f.minus) f.zero = false;
      const model::Rune verb = model::decode_rune(format.substr(at));
      const std::string_view verb_text = format.substr(at, std::max<std::size_t>(verb.length, 1));
      at += verb_text.size();
      if (verb.value == '%') {
        out_ += '%';
      } else if (!good_index) {
        out_ += "%!";
        out_ += verb_text;
        out_ += "(BADINDEX)";
      } else if (next >= args.size()) {
        out_ += "%!";
        out_ += verb_text;
        out_ += "(MISSING)";
      } else {
        print(args[next++], verb.length == 1 ? static_cast<char>(verb.value) : '\0', verb_text, f);
      }
    }
    if (!reordered && next < args.size()) {
      out_ += "%!(EXTRA ";
      for (std::size_t i = next; i < args.size(); ++i) {
        if (i > next) out_ += ", ";
        if (args[i].kind == Kind::kNil) {
          out_ += "<nil>";
          continue;
        }
        out_ += type_name(args[i]);
        out_ += '=';
        append_value(out_, args[i]);
      }
      out_ += ')';
    }
  }

 private:
  void bad_verb(const Value& value, std::string_view verb) {
    out_ += "%!";
    out_ += verb;
    out_ += '(';
    if (value.kind != Kind::kNil) {
      out_ += type_name(value);
      out_ += '=';
    }
    append_value(out_, value);
    out_ += ')';
  }

  void print(const Value& value, char verb, std::string_view verb_text, Flags f) {
    if (verb == 'T') return pad(out_, type_name(value), f);
    switch (value.kind) {
      case Kind::kNil:
        if (verb == 'v') return pad(out_, "<nil>", f);
        return bad_verb(value, verb_text);
      case Kind::kBool:
        if (verb == 'v' || verb == 't') return pad(out_, value.boolean ? "true" : "false", f);
        return bad_verb(value, verb_text);
      case Kind::kInt:
      case Kind::kInt64:
      case Kind::kInt32:
      case Kind::kUint8: return integer(value, verb, verb_text, f);
      case Kind::kFloat: return real(value, verb, verb_text, f);
      case Kind::kString: return string(value, value.text, verb, verb_text, f);
      case Kind::kTime: {
        const std::string text = value.time.to_string();
        return string(value, text, verb, verb_text, f);
      }
      case Kind::kList: {
        if (f.sharp && verb == 'v') out_ += "[]interface {}{";
        else out_ += '[';
        for (std::size_t i = 0; i < value.list->size(); ++i) {
          if (i > 0) out_ += f.sharp && verb == 'v' ? ", " : " ";
          print((*value.list)[i], verb, verb_text, f);
        }
        out_ += f.sharp && verb == 'v' ? '}' : ']';
        return;
      }
      case Kind::kMap: {
        const bool sharp = f.sharp && verb == 'v';
        out_ += sharp ? "map[string]interface {}{" : "map[";
        for (std::size_t i = 0; i < value.map->size(); ++i) {
          if (i > 0) out_ += sharp ? ", " : " ";
          print(Value::of((*value.map)[i].first), verb, verb_text, f);
          out_ += ':';
          print((*value.map)[i].second, verb, verb_text, f);
        }
        out_ += sharp ? '}' : ']';
        return;
      }
      case Kind::kLabels: {
        const bool sharp = f.sharp && verb == 'v';
        out_ += sharp ? "map[string]string{" : "map[";
        bool first = true;
        for (const std::string_view name : value.labels->label_names()) {
          if (!first) out_ += sharp ? ", " : " ";
          first = false;
          print(Value::of(name), verb, verb_text, f);
          out_ += ':';
          std::string_view text;
          value.labels->label(name, text);
          print(Value::of(text), verb, verb_text, f);
        }
        out_ += sharp ? '}' : ']';
        return;
      }
    }
  }

  void integer(const Value& value, char verb, std::string_view verb_text, Flags f) {
    unsigned base = 10;
    switch (verb) {
      case 'v':
      case 'd': break;
      case 'b': base = 2; break;
      case 'o':
      case 'O': base = 8; break;
      case 'x':
      case 'X': base = 16; break;
      case 'c': {
        std::string rune;
        model::append_rune(rune, static_cast<std::uint32_t>(value.integer));
        return pad(out_, rune, f);
      }
      case 'q': {
        std::string rune, quoted;
        model::append_rune(rune, static_cast<std::uint32_t>(value.integer));
        append_quoted(quoted, rune, f.plus);
        quoted = rune == "'" ? "'\\''" : rune == "\"" ? "'\"'" : "'" + quoted.substr(1, quoted.size() - 2) + "'";
        return pad(out_, quoted, f);
      }
      case 'U': {
        char text[32];
        std::snprintf(text, sizeof text, "U+%04llX", static_cast<unsigned long long>(value.integer));
        f.zero = false;
        return pad(out_, text, f);
      }
      default: return bad_verb(value, verb_text);
    }
    const bool negative = value.integer < 0;
    const std::uint64_t magnitude =
        negative ? ~static_cast<std::uint64_t>(value.integer) + 1 : static_cast<std::uint64_t>(value.integer);
    char buffer[72];
    char* end = std::to_chars(buffer, buffer + sizeof buffer, magnitude, static_cast<int>(base)).ptr;
    std::string digits(buffer, end);
    if (verb == 'X')
      for (char& c : digits) c = c >= 'a' ? static_cast<char>(c - 32) : c;
    std::size_t least = 0;
    if (f.has_precision) {
      least = static_cast<std::size_t>(f.precision);
      if (least == 0 && magnitude == 0) {
        f.zero = false;
        return pad(out_, "", f);
      }
    } else if (f.zero && f.has_width) {
      least = static_cast<std::size_t>(f.width);
      if ((negative || f.plus || f.space) && least > 0) --least;
    }
    if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
    if (f.sharp && base == 2) digits.insert(0, "0b");
    if (f.sharp && base == 8 && digits[0] != '0') digits.insert(0, "0");
    if (f.sharp && base == 16) digits.insert(0, verb == 'X' ? "0X" : "0x");
    if (verb == 'O') digits.insert(0, "0o");
    if (negative) digits.insert(0, "-");
    else if (f.plus) digits.insert(0, "+");
    else if (f.space) digits.insert(0, " ");
    f.zero = false;
    pad(out_, digits, f);
  }

  void real(const Value& value, char verb, std::string_view verb_text, Flags f) {
    std::string text;
    const double v = value.number;
    char buffer[512];
    const int precision = f.has_precision ? std::min(f.precision, 400) : -1;
    switch (verb) {
      case 'v':
      case 'g':
      case 'G':
        if (precision < 0 || !std::isfinite(v)) {
          text = format_go_float_g(v);
        } else {
          std::snprintf(buffer, sizeof buffer, "%.*g", precision, v);
          text = buffer;
        }
        break;
      case 'f':
      case 'F':
        if (std::isfinite(v)) {
          std::string wide(820, '\0');
          wide.resize(static_cast<std::size_t>(std::snprintf(wide.data(), wide.size(), "%.*f", precision < 0 ? 6 : precision, v)));
          text = wide;
        } else {
          text = format_go_float_g(v);
        }
        break;
      case 'e':
      case 'E':
        if (std::isfinite(v)) {
          std::snprintf(buffer, sizeof buffer, "%.*e", precision < 0 ? 6 : precision, v);
          text = buffer;
        } else {
          text = format_go_float_g(v);
        }
        break;
      default: return bad_verb(value, verb_text);
    }
    if (verb == 'E' || verb == 'G')
      for (char& c : text) c = c == 'e' ? 'E' : c;
    if (text[0] != '-' && text[0] != '+') text.insert(0, "+");
    if (f.space && text[0] == '+' && !f.plus) text[0] = ' ';
    if (!std::isfinite(v)) f.zero = false;
    if (text == "+NaN" && !f.plus) text = f.space ? " NaN" : "NaN";
    const bool show_sign = f.plus || text[0] != '+';
    if (!show_sign && !std::isinf(v)) text.erase(0, 1);
    const bool signed_text = text[0] == '+' || text[0] == '-' || text[0] == ' ';
    const auto width = static_cast<std::size_t>(f.width);
    if (f.zero && f.has_width && width > text.size()) text.insert(signed_text ? 1 : 0, width - text.size(), '0');
    f.zero = false;
    pad(out_, text, f);
  }

  void string(const Value& value, std::string_view text, char verb, std::string_view verb_text, Flags f) {
    const auto cut = [&](std::string_view whole) {
      if (!f.has_precision) return whole;
      std::size_t at = 0;
      for (int i = 0; i < f.precision && at < whole.size(); ++i)
        at += std::max<std::size_t>(model::decode_rune(whole.substr(at)).length, 1);
      return whole.substr(0, at);
    };
    switch (verb) {
      case 'v':
        if (f.sharp) {
          std::string quoted;
          append_quoted(quoted, text, false);
          return pad(out_, quoted, f);
        }
        [[fallthrough]];
      case 's': return pad(out_, cut(text), f);
      case 'q': {
        const std::string_view part = cut(text);
        std::string quoted;
        if (f.sharp && part.find('`') == std::string_view::npos && part.find('\n') == std::string_view::npos)
          quoted = "`" + std::string(part) + "`";
        else append_quoted(quoted, part, f.plus);
        return pad(out_, quoted, f);
      }
      case 'x':
      case 'X': {
        const char* alphabet = verb == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
        std::string hex;
        const std::size_t count = f.has_precision ? std::min(text.size(), static_cast<std::size_t>(f.precision)) : text.size();
        const std::string_view mark = verb == 'x' ? "0x" : "0X";
        for (std::size_t i = 0; i < count; ++i) {
          if (f.space && i > 0) hex += ' ';
          if (f.sharp && (f.space || i == 0)) hex += mark;
          hex += alphabet[static_cast<unsigned char>(text[i]) >> 4];
          hex += alphabet[static_cast<unsigned char>(text[i]) & 15];
        }
        return pad(out_, hex, f);
      }
      default: return bad_verb(value, verb_text);
    }
  }

  std::string& out_;
  const std::size_t size_max_;
};

}  // namespace

void go_sprintf(std::string& out, std::string_view format, std::span<const Value> args, std::size_t size_max) {
  Printer(out, size_max).run(format, args);
}

void go_sprint(std::string& out, std::span<const Value> args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (i > 0 && !args[i].is_string() && !args[i - 1].is_string()) out += ' ';
    append_value(out, args[i]);
  }
}

void go_sprintln(std::string& out, std::span<const Value> args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (i > 0) out += ' ';
    append_value(out, args[i]);
  }
  out += '\n';
}

}  // namespace skald::logql
