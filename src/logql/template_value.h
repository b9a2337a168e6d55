// Values of the template language, and where computed ones live while a template runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "logql/go_time.h"
#include "skald/base/result.h"
#include "skald/logql/template.h"

namespace skald::logql {

struct Value;
using ValueList = std::vector<Value>;
using ValueMap = std::vector<std::pair<std::string_view, Value>>;  // sorted by key, keys unique

enum class Kind : std::uint8_t { kNil, kBool, kInt, kInt64, kInt32, kUint8, kFloat, kString, kTime, kList, kMap, kLabels };

// Trivially copyable; strings and collections point into the template, the input or the Arena.
struct Value {
  Kind kind = Kind::kNil;
  union {
    bool boolean;
    std::int64_t integer;
    double number;
    const ValueList* list;
    const ValueMap* map;
    const TemplateInput* labels;
  };
  std::string_view text;  // kString
  GoTime time;            // kTime

  Value() : integer(0) {}
  static Value nil() { return {}; }
  static Value of(bool v) { Value out; out.kind = Kind::kBool; out.integer = 0; out.boolean = v; return out; }
  static Value of_int(std::int64_t v, Kind kind = Kind::kInt) { Value out; out.kind = kind; out.integer = v; return out; }
  static Value of(double v) { Value out; out.kind = Kind::kFloat; out.number = v; return out; }
  static Value of(std::string_view v) { Value out; out.kind = Kind::kString; out.text = v; return out; }
  static Value of(GoTime v) { Value out; out.kind = Kind::kTime; out.time = v; return out; }
  static Value of(const ValueList* v) { Value out; out.kind = Kind::kList; out.list = v; return out; }
  static Value of(const ValueMap* v) { Value out; out.kind = Kind::kMap; out.map = v; return out; }
  static Value of(const TemplateInput* v) { Value out; out.kind = Kind::kLabels; out.labels = v; return out; }

  bool is_integer() const { return kind >= Kind::kInt && kind <= Kind::kUint8; }
  bool is_string() const { return kind == Kind::kString; }
};

// Owns what a run computes. Empty until something is kept: plain templates never allocate.
class Arena {
 public:
  std::string_view keep(std::string text);
  ValueList& list();
  ValueMap& map();
  // Bytes of all strings kept; the run stops beyond a limit.
  std::size_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<std::string>> strings_;
  std::vector<std::unique_ptr<ValueList>> lists_;
  std::vector<std::unique_ptr<ValueMap>> maps_;
  std::size_t bytes_ = 0;
};

bool truth(const Value& value);
// Go's %T: "string", "int", "float64", "map[string]interface {}" …
const char* type_name(const Value& value);
// As %v prints it; a nil is "<nil>" (print) or "<no value>" (an action), which the caller decides.
void append_value(std::string& out, const Value& value);

// encoding/json into maps, lists, strings, float64, bool, nil. False: not one valid JSON value.
bool parse_json(std::string_view text, Arena& arena, Value& out);

}  // namespace skald::logql
