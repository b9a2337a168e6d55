// Functions of Go's text/template, and the table of all functions. Loki's own are in template_text.cc (strings),
// template_numbers.cc and template_time.cc.
#include "logql/template_functions.h"

#include <algorithm>

#include "logql/go_fmt.h"
#include "model/utf8.h"

namespace skald::logql {

FunctionResult function_error(std::string message) { return Error(ErrorCode::kInvalidArgument, std::move(message)); }

FunctionResult keep(Run& run, std::string text) {
  if (text.size() > kTemplateOutputMax) return function_error("result is too large");
  return Value::of(run.arena.keep(std::move(text)));
}

namespace {

enum class Basic { kBool, kInt, kUint, kFloat, kString, kOther };
Basic basic_kind(const Value& value) {
  switch (value.kind) {
    case Kind::kBool: return Basic::kBool;
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kInt32: return Basic::kInt;
    case Kind::kUint8: return Basic::kUint;
    case Kind::kFloat: return Basic::kFloat;
    case Kind::kString: return Basic::kString;
    default: return Basic::kOther;
  }
}
bool integral(Basic kind) { return kind == Basic::kInt || kind == Basic::kUint; }

Result<bool> equal(const Value& a, const Value& b) {
  const Basic ka = basic_kind(a), kb = basic_kind(b);
  if (a.kind == Kind::kNil || b.kind == Kind::kNil) return a.kind == b.kind;
  if (ka != kb && !(integral(ka) && integral(kb)))
    return Error(ErrorCode::kInvalidArgument, "incompatible types for comparison");
  switch (ka) {
    case Basic::kBool: return a.boolean == b.boolean;
    case Basic::kInt:
    case Basic::kUint: return a.integer == b.integer;
    case Basic::kFloat: return a.number == b.number;
    case Basic::kString: return a.text == b.text;
    case Basic::kOther: break;
  }
  if (a.kind == Kind::kTime && b.kind == Kind::kTime) return a.time.seconds == b.time.seconds && a.time.nanos == b.time.nanos;
  return Error(ErrorCode::kInvalidArgument, std::string("non-comparable type ") + type_name(a));
}

Result<bool> less(const Value& a, const Value& b) {
  const Basic ka = basic_kind(a), kb = basic_kind(b);
  if (ka == Basic::kOther || kb == Basic::kOther)
    return Error(ErrorCode::kInvalidArgument, "invalid type for comparison");
  if (ka != kb && !(integral(ka) && integral(kb)))
    return Error(ErrorCode::kInvalidArgument, "incompatible types for comparison");
  switch (ka) {
    case Basic::kInt:
    case Basic::kUint: return a.integer < b.integer;
    case Basic::kFloat: return a.number < b.number;
    case Basic::kString: return a.text < b.text;
    default: return Error(ErrorCode::kInvalidArgument, "invalid type for comparison");
  }
}

FunctionResult fn_not(Run&, Args a) { return Value::of(!truth(a[0])); }

FunctionResult fn_eq(Run&, Args a) {
  if (a.size() < 2) return function_error("missing argument for comparison");
  for (const Value& other : a.subspan(1)) {
    SKALD_TRY(const bool same, equal(a[0], other));
    if (same) return Value::of(true);
  }
  return Value::of(false);
}
FunctionResult fn_ne(Run&, Args a) {
  SKALD_TRY(const bool same, equal(a[0], a[1]));
  return Value::of(!same);
}
FunctionResult fn_lt(Run&, Args a) {
  SKALD_TRY(const bool before, less(a[0], a[1]));
  return Value::of(before);
}
FunctionResult fn_le(Run&, Args a) {
  SKALD_TRY(const bool before, less(a[0], a[1]));
  if (before) return Value::of(true);
  SKALD_TRY(const bool same, equal(a[0], a[1]));
  return Value::of(same);
}
FunctionResult fn_gt(Run& run, Args a) {
  SKALD_TRY(const Value at_most, fn_le(run, a));
  return Value::of(!at_most.boolean);
}
FunctionResult fn_ge(Run& run, Args a) {
  SKALD_TRY(const Value before, fn_lt(run, a));
  return Value::of(!before.boolean);
}

FunctionResult fn_len(Run&, Args a) {
  const auto size = [](std::size_t n) { return Value::of_int(static_cast<std::int64_t>(n)); };
  switch (a[0].kind) {
    case Kind::kString: return size(a[0].text.size());
    case Kind::kList: return size(a[0].list->size());
    case Kind::kMap: return size(a[0].map->size());
    case Kind::kLabels: return size(a[0].labels->label_names().size());
    case Kind::kNil: return function_error("len of nil pointer");
    default: return function_error(std::string("len of type ") + type_name(a[0]));
  }
}

Result<std::size_t> position(const Value& index, std::size_t limit) {
  if (index.kind == Kind::kNil) return Error(ErrorCode::kInvalidArgument, "cannot index slice/array with nil");
  if (!index.is_integer())
    return Error(ErrorCode::kInvalidArgument, std::string("cannot index slice/array with type ") + type_name(index));
  if (index.integer < 0 || static_cast<std::uint64_t>(index.integer) > limit)
    return Error(ErrorCode::kInvalidArgument, "index out of range: " + std::to_string(index.integer));
  return static_cast<std::size_t>(index.integer);
}

FunctionResult fn_index(Run&, Args a) {
  Value item = a[0];
  if (item.kind == Kind::kNil) return function_error("index of untyped nil");
  for (const Value& index : a.subspan(1)) {
    switch (item.kind) {
      case Kind::kString: {
        if (item.text.empty()) return function_error("index out of range: 0");
        SKALD_TRY(const std::size_t at, position(index, item.text.size() - 1));
        item = Value::of_int(static_cast<unsigned char>(item.text[at]), Kind::kUint8);
        break;
      }
      case Kind::kList: {
        SKALD_TRY(const std::size_t at, position(index, item.list->size()));
        if (at == item.list->size()) return function_error("index out of range: " + std::to_string(at));
        item = (*item.list)[at];
        break;
      }
      case Kind::kMap: {
        if (!index.is_string())
          return function_error(std::string("value has type ") + type_name(index) + "; should be string");
        const auto it = std::lower_bound(item.map->begin(), item.map->end(), index.text,
                                         [](const auto& entry, std::string_view key) { return entry.first < key; });
        item = it != item.map->end() && it->first == index.text ? it->second : Value::nil();
        break;
      }
      case Kind::kLabels: {
        if (!index.is_string())
          return function_error(std::string("value has type ") + type_name(index) + "; should be string");
        std::string_view text;
        item.labels->label(index.text, text);
        item = Value::of(text);
        break;
      }
      case Kind::kNil: return function_error("index of nil pointer");
      default: return function_error(std::string("can't index item of type ") + type_name(item));
    }
  }
  return item;
}

FunctionResult fn_slice(Run& run, Args a) {
  const Value& item = a[0];
  if (item.kind == Kind::kNil) return function_error("slice of untyped nil");
  if (a.size() > 4) return function_error("too many slice indexes: " + std::to_string(a.size() - 1));
  std::size_t size = 0;
  if (item.kind == Kind::kString) {
    if (a.size() == 4) return function_error("cannot 3-index slice a string");
    size = item.text.size();
  } else if (item.kind == Kind::kList) {
    size = item.list->size();
  } else {
    return function_error(std::string("can't slice item of type ") + type_name(item));
  }
  std::size_t bounds[3] = {0, size, size};
  for (std::size_t i = 1; i < a.size(); ++i) {
    SKALD_TRY(bounds[i - 1], position(a[i], size));
  }
  if (bounds[0] > bounds[1])
    return function_error("invalid slice index: " + std::to_string(bounds[0]) + " > " + std::to_string(bounds[1]));
  if (a.size() == 4 && bounds[1] > bounds[2])
    return function_error("invalid slice index: " + std::to_string(bounds[1]) + " > " + std::to_string(bounds[2]));
  if (item.kind == Kind::kString) return Value::of(item.text.substr(bounds[0], bounds[1] - bounds[0]));
  ValueList& part = run.arena.list();
  part.assign(item.list->begin() + static_cast<std::ptrdiff_t>(bounds[0]), item.list->begin() + static_cast<std::ptrdiff_t>(bounds[1]));
  return Value::of(&part);
}

FunctionResult fn_print(Run& run, Args a) {
  std::string out;
  go_sprint(out, a);
  return keep(run, std::move(out));
}
FunctionResult fn_println(Run& run, Args a) {
  std::string out;
  go_sprintln(out, a);
  return keep(run, std::move(out));
}
FunctionResult fn_printf(Run& run, Args a) {
  std::string out;
  go_sprintf(out, a[0].text, a.subspan(1), kTemplateOutputMax);
  return keep(run, std::move(out));
}

// A single string as it is, anything else as print would show it.
std::string joined(Args a) {
  if (a.size() == 1 && a[0].is_string()) return std::string(a[0].text);
  std::string out;
  go_sprint(out, a);
  return out;
}

FunctionResult fn_html(Run& run, Args a) {
  std::string out;
  for (const char c : joined(a)) {
    switch (c) {
      case '\0': out += "\xEF\xBF\xBD"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      default: out += c;
    }
  }
  return keep(run, std::move(out));
}

FunctionResult fn_js(Run& run, Args a) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  const std::string text = joined(a);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (static_cast<unsigned char>(c) >= 0x80) {
      const model::Rune rune = model::decode_rune(std::string_view(text).substr(at));
      const std::size_t length = std::max<std::size_t>(rune.length, 1);
      if (rune.length > 0 && model::is_printable(rune.value)) {
        out.append(text, at, length);
      } else {
        char code[16];
        std::snprintf(code, sizeof code, "\\u%04X", rune.length == 0 ? 0xFFFDu : rune.value);
        out += code;
      }
      at += length;
      continue;
    }
    ++at;
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '\'': out += "\\'"; break;
      case '"': out += "\\\""; break;
      case '<': case '>': case '&': case '=':
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
        break;
      default:
        if (c < 0x20 || c == 0x7F) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  return keep(run, std::move(out));
}

FunctionResult fn_urlquery(Run& run, Args a) { return keep(run, url_encode(joined(a))); }

FunctionResult fn_call(Run&, Args a) {
  if (a[0].kind == Kind::kNil) return function_error("call of nil");
  return function_error(std::string("non-function of type ") + type_name(a[0]));
}

constexpr Function kBuiltins[] = {
    {"and", "a", 'a', nullptr}, {"or", "a", 'a', nullptr}, {"not", "a", 0, fn_not},
    {"eq", "a", 'a', fn_eq}, {"ne", "aa", 0, fn_ne}, {"lt", "aa", 0, fn_lt}, {"le", "aa", 0, fn_le},
    {"gt", "aa", 0, fn_gt}, {"ge", "aa", 0, fn_ge},
    {"len", "a", 0, fn_len}, {"index", "a", 'a', fn_index}, {"slice", "a", 'a', fn_slice},
    {"print", "", 'a', fn_print}, {"println", "", 'a', fn_println}, {"printf", "s", 'a', fn_printf},
    {"html", "", 'a', fn_html}, {"js", "", 'a', fn_js}, {"urlquery", "", 'a', fn_urlquery}, {"call", "a", 'a', fn_call},
};

}  // namespace

const Function* find_function(std::string_view name) {
  for (const std::span<const Function> table :
       {std::span<const Function>(kBuiltins), text_functions(), number_functions(), time_functions()})
    for (const Function& function : table)
      if (function.name == name) return &function;
  return nullptr;
}

}  // namespace skald::logql
