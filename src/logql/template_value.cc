#include "logql/template_value.h"

#include <algorithm>

#include "model/utf8.h"
#include "skald/logql/units.h"

namespace skald::logql {

std::string_view Arena::keep(std::string text) {
  bytes_ += text.size() + sizeof(std::string);
  strings_.push_back(std::make_unique<std::string>(std::move(text)));
  return *strings_.back();
}
ValueList& Arena::list() {
  lists_.push_back(std::make_unique<ValueList>());
  return *lists_.back();
}
ValueMap& Arena::map() {
  maps_.push_back(std::make_unique<ValueMap>());
  return *maps_.back();
}

bool truth(const Value& value) {
  switch (value.kind) {
    case Kind::kNil: return false;
    case Kind::kBool: return value.boolean;
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kInt32:
    case Kind::kUint8: return value.integer != 0;
    case Kind::kFloat: return value.number != 0;
    case Kind::kString: return !value.text.empty();
    case Kind::kTime: return true;
    case Kind::kList: return !value.list->empty();
    case Kind::kMap: return !value.map->empty();
    case Kind::kLabels: return !value.labels->label_names().empty();
  }
  return false;
}

const char* type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kNil: return "<nil>";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kInt64: return "int64";
    case Kind::kInt32: return "int32";
    case Kind::kUint8: return "uint8";
    case Kind::kFloat: return "float64";
    case Kind::kString: return "string";
    case Kind::kTime: return "time.Time";
    case Kind::kList: return "[]interface {}";
    case Kind::kMap: return "map[string]interface {}";
    case Kind::kLabels: return "map[string]string";
  }
  return "";
}

void append_value(std::string& out, const Value& value) {
  switch (value.kind) {
    case Kind::kNil: out += "<nil>"; return;
    case Kind::kBool: out += value.boolean ? "true" : "false"; return;
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kInt32:
    case Kind::kUint8: out += std::to_string(value.integer); return;
    case Kind::kFloat: out += format_go_float_g(value.number); return;
    case Kind::kString: out += value.text; return;
    case Kind::kTime: out += value.time.to_string(); return;
    case Kind::kList: {
      out += '[';
      for (std::size_t i = 0; i < value.list->size(); ++i) {
        if (i > 0) out += ' ';
        append_value(out, (*value.list)[i]);
      }
      out += ']';
      return;
    }
    case Kind::kMap: {
      out += "map[";
      for (std::size_t i = 0; i < value.map->size(); ++i) {
        if (i > 0) out += ' ';
        out += (*value.map)[i].first;
        out += ':';
        append_value(out, (*value.map)[i].second);
      }
      out += ']';
      return;
    }
    case Kind::kLabels: {
      out += "map[";
      bool first = true;
      for (const std::string_view name : value.labels->label_names()) {
        if (!first) out += ' ';
        first = false;
        out += name;
        out += ':';
        std::string_view text;
        value.labels->label(name, text);
        out += text;
      }
      out += ']';
      return;
    }
  }
}

namespace {

class JsonReader {
 public:
  JsonReader(std::string_view text, Arena& arena) : text_(text), arena_(arena) {}

  bool read(Value& out) {
    skip_space();
    if (!value(out, 0)) return false;
    skip_space();
    return at_ == text_.size();
  }

 private:
  static constexpr int kDepthMax = 200;

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view w) {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }

  bool value(Value& out, int depth) {
    if (depth > kDepthMax || at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{': return object(out, depth);
      case '[': return array(out, depth);
      case '"': {
        std::string_view text;
        if (!string(text)) return false;
        out = Value::of(text);
        return true;
      }
      case 't': out = Value::of(true); return word("true");
      case 'f': out = Value::of(false); return word("false");
      case 'n': out = Value::nil(); return word("null");
      default: return number(out);
    }
  }

  bool object(Value& out, int depth) {
    ++at_;
    ValueMap& map = arena_.map();
    out = Value::of(&map);
    skip_space();
    if (take('}')) return true;
    while (true) {
      skip_space();
      std::string_view key;
      Value member;
      if (!string(key)) return false;
      skip_space();
      if (!take(':')) return false;
      skip_space();
      if (!value(member, depth + 1)) return false;
      map.emplace_back(key, member);
      skip_space();
      if (take('}')) break;
      if (!take(',')) return false;
    }
    // The last of equal keys wins.
    std::stable_sort(map.begin(), map.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < map.size(); ++i) {
      if (i + 1 < map.size() && map[i + 1].first == map[i].first) continue;
      map[kept++] = map[i];
    }
    map.resize(kept);
    return true;
  }

  bool array(Value& out, int depth) {
    ++at_;
    ValueList& list = arena_.list();
    out = Value::of(&list);
    skip_space();
    if (take(']')) return true;
    while (true) {
      skip_space();
      Value element;
      if (!value(element, depth + 1)) return false;
      list.push_back(element);
      skip_space();
      if (take(']')) return true;
      if (!take(',')) return false;
    }
  }

  bool hex4(std::uint32_t& out) {
    out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ >= text_.size()) return false;
      const char c = text_[at_];
      const char l = static_cast<char>(c | 32);
      if (c >= '0' && c <= '9') out = out * 16 + static_cast<std::uint32_t>(c - '0');
      else if (l >= 'a' && l <= 'f') out = out * 16 + static_cast<std::uint32_t>(l - 'a' + 10);
      else return false;
    }
    return true;
  }

  bool string(std::string_view& out) {
    if (!take('"')) return false;
    std::string text;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        out = arena_.keep(std::move(text));
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        const model::Rune rune = model::decode_rune(text_.substr(at_));
        if (rune.length == 0) {
          text += "\xEF\xBF\xBD";
          ++at_;
        } else {
          text += text_.substr(at_, rune.length);
          at_ += rune.length;
        }
        continue;
      }
      if (++at_ >= text_.size()) return false;
      const char kind = text_[at_++];
      switch (kind) {
        case '"': case '\\': case '/': text += kind; break;
        case 'b': text += '\b'; break;
        case 'f': text += '\f'; break;
        case 'n': text += '\n'; break;
        case 'r': text += '\r'; break;
        case 't': text += '\t'; break;
        case 'u': {
          std::uint32_t unit = 0;
          if (!hex4(unit)) return false;
          if (unit >= 0xD800 && unit < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            const std::size_t back = at_;
            std::uint32_t low = 0;
            at_ += 2;
            if (!hex4(low)) return false;
            if (low >= 0xDC00 && low < 0xE000) unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            else at_ = back;
          }
          model::append_rune(text, unit);
          break;
        }
        default: return false;
      }
    }
    return false;
  }

  bool number(Value& out) {
    const std::size_t start = at_;
    const auto digits = [&] {
      const std::size_t from = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      return at_ > from;
    };
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (at_ < text_.size() && (text_[at_] | 32) == 'e') {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!digits()) return false;
    }
    double parsed = 0;
    if (parse_go_float(text_.substr(start, at_ - start), parsed) != FloatStatus::kOk) return false;
    out = Value::of(parsed);
    return true;
  }

  std::string_view text_;
  Arena& arena_;
  std::size_t at_ = 0;
};

}  // namespace

bool parse_json(std::string_view text, Arena& arena, Value& out) {
  out = Value::nil();
  if (JsonReader(text, arena).read(out)) return true;
  out = Value::nil();
  return false;
}

}  // namespace skald::logql
