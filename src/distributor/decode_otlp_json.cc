// The JSON form of the same request (proto3 JSON: camelCase or snake_case names, 64-bit numbers as text or numbers).
#include <algorithm>
#include <charconv>
#include <limits>

#include "distributor/json_cursor.h"
#include "distributor/otlp_value.h"

namespace skald::distributor {
namespace {

using Kind = OtlpValue::Kind;

// "timeUnixNano" also answers to "time_unix_nano".
bool is_named(std::string_view name, std::string_view camel) {
  std::size_t at = 0;
  for (const char c : camel) {
    if (c >= 'A' && c <= 'Z') {
      if (at < name.size() && name[at] == c) {
        ++at;
        continue;
      }
      if (at + 1 >= name.size() || name[at] != '_' || name[at + 1] != static_cast<char>(c + 32)) return false;
      at += 2;
    } else {
      if (at >= name.size() || name[at] != c) return false;
      ++at;
    }
  }
  return at == name.size();
}

class Reader {
 public:
  Reader(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out)
      : cursor_(*out.body), texts_(out.owned, out.body->size() * 2), rows_(config, now_ns, out) {}

  Result<void> read() {
    cursor_.skip_space();
    if (cursor_.at == cursor_.end) return Error(ErrorCode::kInvalidArgument, "EOF");
    if (cursor_.literal("null")) return {};
    if (!object([&](std::string_view name) {
          if (is_named(name, "resourceLogs")) return array([&] { return resource_logs(); });
          return skip();
        }))
      return *error_;
    return {};
  }

 private:
  bool fail(const std::string& what, bool show_byte = true) {
    if (!error_.has_value()) {
      cursor_.skip_space();
      error_ = show_byte ? reader_error_after(cursor_, what) : reader_error(cursor_, what);
    }
    return false;
  }
  bool skip() { return cursor_.skip_value() || fail("Skip: do not know how to skip: "); }
  bool take_null() { return cursor_.peek() == 'n' && cursor_.literal("null"); }

  template <class Member>
  bool object(Member&& member) {
    if (take_null()) return true;
    if (cursor_.peek() != '{') return fail("ReadObject: expect { or , or } or n, but found ");
    ++cursor_.at;
    if (cursor_.take('}')) return true;
    while (true) {
      RawString raw;
      std::string_view name;
      if (cursor_.peek() != '"') return fail("ReadObject: expect \" after {, but found ");
      if (!cursor_.string(raw) || !texts_.text(raw, name)) return fail("ReadString: incomplete string", false);
      if (!cursor_.take(':')) return fail("ReadObject: expect : after object field, but found ");
      if (!member(name)) return false;
      if (cursor_.take('}')) return true;
      if (!cursor_.take(',')) return fail("ReadObject: expect , or }, but found ");
    }
  }

  template <class Element>
  bool array(Element&& element) {
    if (take_null()) return true;
    if (cursor_.peek() != '[') return fail("ReadArray: expect [ or , or ] or n, but found ");
    ++cursor_.at;
    if (cursor_.take(']')) return true;
    while (true) {
      if (!element()) return false;
      if (cursor_.take(']')) return true;
      if (!cursor_.take(',')) return fail("ReadArray: expect , or ], but found ");
    }
  }

  bool text(std::string_view& out) {
    if (take_null()) return true;
    RawString raw;
    if (cursor_.peek() != '"') return fail("ReadString: expects \" or n, but found ");
    if (!cursor_.string(raw) || !texts_.text(raw, out)) return fail("ReadString: invalid string", false);
    return true;
  }

  // A number, or the same as text.
  template <class T>
  bool number(T& out) {
    if (take_null()) return true;
    std::string_view word;
    RawString raw;
    if (cursor_.peek() == '"') {
      if (!cursor_.string(raw)) return fail("ReadString: invalid string", false);
      word = raw.text;
    } else {
      word = cursor_.bare();
    }
    if constexpr (std::is_floating_point_v<T>) {
      if (word == "NaN") { out = std::numeric_limits<T>::quiet_NaN(); return true; }
      if (word == "Infinity") { out = std::numeric_limits<T>::infinity(); return true; }
      if (word == "-Infinity") { out = -std::numeric_limits<T>::infinity(); return true; }
    }
    const auto [stop, code] = std::from_chars(word.data(), word.data() + word.size(), out);
    if (word.empty() || code != std::errc() || stop != word.data() + word.size())
      return fail("ReadNumber: not a number: " + std::string(word.substr(0, 64)), false);
    return true;
  }

  // Members in any order, but rows need their resource first: remember where the records are.
  bool resource_logs() {
    OtlpResource resource;
    std::vector<const char*> scopes_at;
    if (!object([&](std::string_view name) {
          if (is_named(name, "resource")) {
            return object([&](std::string_view inner) {
              if (is_named(inner, "attributes")) return attributes(resource.attributes);
              if (is_named(inner, "droppedAttributesCount")) return number(resource.dropped);
              return skip();
            });
          }
          if (is_named(name, "scopeLogs")) {
            cursor_.skip_space();
            scopes_at.push_back(cursor_.at);
          }
          return skip();
        }))
      return false;
    if (auto begun = rows_.begin_resource(resource); !begun.ok()) {
      error_ = std::move(begun).error();
      return false;
    }
    const char* const behind = cursor_.at;
    for (const char* at : scopes_at) {
      cursor_.at = at;
      if (!array([&] { return scope_logs(); })) return false;
    }
    cursor_.at = behind;
    rows_.end_resource();
    if (auto spent = rows_.check_budget(); !spent.ok()) {
      error_ = std::move(spent).error();
      return false;
    }
    return true;
  }

  bool scope_logs() {
    OtlpScope scope;
    std::vector<const char*> records_at;
    if (!object([&](std::string_view name) {
          if (is_named(name, "scope")) {
            return object([&](std::string_view inner) {
              if (is_named(inner, "name")) return text(scope.name);
              if (is_named(inner, "version")) return text(scope.version);
              if (is_named(inner, "attributes")) return attributes(scope.attributes);
              if (is_named(inner, "droppedAttributesCount")) return number(scope.dropped);
              return skip();
            });
          }
          if (is_named(name, "logRecords")) {
            cursor_.skip_space();
            records_at.push_back(cursor_.at);
          }
          return skip();
        }))
      return false;
    rows_.begin_scope(scope);
    const char* const behind = cursor_.at;
    for (const char* at : records_at) {
      cursor_.at = at;
      if (!array([&] { return log_record(); })) return false;
    }
    cursor_.at = behind;
    return true;
  }

  bool log_record() {
    OtlpRecord& record = record_;
    record.clear();
    if (!object([&](std::string_view name) {
          if (is_named(name, "timeUnixNano")) return number(record.time_ns);
          if (is_named(name, "observedTimeUnixNano")) return number(record.observed_ns);
          if (is_named(name, "severityNumber")) return severity_number(record.severity_number);
          if (is_named(name, "severityText")) return text(record.severity_text);
          if (is_named(name, "body")) return any_value(record.body, 0);
          if (is_named(name, "attributes")) return attributes(record.attributes);
          if (is_named(name, "droppedAttributesCount")) return number(record.dropped);
          if (is_named(name, "flags")) return number(record.flags);
          if (is_named(name, "traceId")) return id(record.trace_id);
          if (is_named(name, "spanId")) return id(record.span_id);
          if (is_named(name, "eventName")) return text(record.event_name);
          return skip();
        }))
      return false;
    rows_.add(record);
    return true;
  }

  // A number, or its enum name such as SEVERITY_NUMBER_WARN2.
  bool severity_number(std::int64_t& out) {
    if (cursor_.peek() != '"') return number(out);
    std::string_view word;
    if (!text(word)) return false;
    const auto [stop, code] = std::from_chars(word.data(), word.data() + word.size(), out);
    if (code == std::errc() && stop == word.data() + word.size()) return true;
    out = 0;
    constexpr std::string_view kPrefix = "SEVERITY_NUMBER_";
    if (word.substr(0, kPrefix.size()) != kPrefix) return true;
    word.remove_prefix(kPrefix.size());
    static constexpr std::string_view kWords[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    for (std::size_t i = 0; i < std::size(kWords); ++i) {
      if (word.substr(0, kWords[i].size()) != kWords[i]) continue;
      const std::string_view rest = word.substr(kWords[i].size());
      if (rest.empty()) out = static_cast<std::int64_t>(i * 4 + 1);
      else if (rest.size() == 1 && rest[0] >= '2' && rest[0] <= '4') out = static_cast<std::int64_t>(i * 4) + (rest[0] - '0');
    }
    return true;
  }

  bool id(std::string_view& out) {
    std::string_view sent;
    if (!text(sent)) return false;
    std::string lower(sent);
    bool zeros = true;
    for (char& c : lower) {
      if (c >= 'A' && c <= 'F') c = static_cast<char>(c + 32);
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return fail("parse id: invalid hex", false);
      zeros = zeros && c == '0';
    }
    out = zeros ? std::string_view() : rows_.arena().put(lower);
    return true;
  }

  bool attributes(std::vector<OtlpAttribute>& to) {
    return array([&] {
      OtlpAttribute one;
      if (!key_value(one.key, one.value, 0)) return false;
      to.push_back(std::move(one));
      return true;
    });
  }

  bool key_value(std::string_view& key, OtlpValue& value, int depth) {
    return object([&](std::string_view name) {
      if (is_named(name, "key")) return text(key);
      if (is_named(name, "value")) return any_value(value, depth);
      return skip();
    });
  }

  bool any_value(OtlpValue& out, int depth) {
    if (depth > kOtlpDepthMax) return fail("ReadObject: value nested too deeply", false);
    return object([&](std::string_view name) {
      if (is_named(name, "stringValue")) {
        out.kind = Kind::kString;
        return text(out.text);
      }
      if (is_named(name, "boolValue")) {
        out.kind = Kind::kBool;
        cursor_.skip_space();
        const std::string_view word = cursor_.bare();
        out.integer = word == "true";
        return word == "true" || word == "false" || fail("ReadBool: expect t or f, but found ");
      }
      if (is_named(name, "intValue")) {
        out.kind = Kind::kInt;
        return number(out.integer);
      }
      if (is_named(name, "doubleValue")) {
        out.kind = Kind::kDouble;
        return number(out.number);
      }
      if (is_named(name, "bytesValue")) {
        out.kind = Kind::kBytes;
        std::string_view encoded;
        std::string bytes;
        if (!text(encoded)) return false;
        if (!decode_base64(encoded, bytes)) return fail("base64.DecodeString: illegal base64 data", false);
        out.text = rows_.arena().put(bytes);
        return true;
      }
      if (is_named(name, "arrayValue")) {
        out.kind = Kind::kArray;
        return object([&](std::string_view inner) {
          if (!is_named(inner, "values")) return skip();
          return array([&] { return any_value(out.items.emplace_back(), depth + 1); });
        });
      }
      if (is_named(name, "kvlistValue")) {
        out.kind = Kind::kMap;
        return object([&](std::string_view inner) {
          if (!is_named(inner, "values")) return skip();
          return array([&] {
            out.keys.emplace_back();
            out.items.emplace_back();
            return key_value(out.keys.back(), out.items.back(), depth + 1);
          });
        });
      }
      return skip();
    });
  }

  JsonCursor cursor_;
  UnescapeArena texts_;
  OtlpRows rows_;
  OtlpRecord record_;
  std::optional<Error> error_;
};

}  // namespace

Result<void> decode_otlp_json(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out) {
  if (out.body->size() > std::numeric_limits<std::uint32_t>::max())
    return Error(ErrorCode::kTooLarge, "push body larger than 4 GiB");
  return Reader(config, now_ns, out).read();
}

}  // namespace skald::distributor
