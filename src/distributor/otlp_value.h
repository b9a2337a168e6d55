// OTLP logs between the two decoders (protobuf, JSON) and the rows made of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "distributor/decoded.h"
#include "skald/model/matcher.h"

namespace skald::distributor {

inline constexpr int kOtlpDepthMax = 64;  // of nested values

struct OtlpValue {
  enum class Kind : std::uint8_t { kNone, kString, kBool, kInt, kDouble, kArray, kMap, kBytes };
  Kind kind = Kind::kNone;
  std::string_view text;               // kString, kBytes
  std::int64_t integer = 0;            // kInt, kBool
  double number = 0;                   // kDouble
  std::vector<std::string_view> keys;  // kMap, beside items
  std::vector<OtlpValue> items;        // kArray, kMap
};

struct OtlpAttribute {
  std::string_view key;
  OtlpValue value;
};

struct OtlpResource {
  std::vector<OtlpAttribute> attributes;
  std::uint64_t dropped = 0;
};

struct OtlpScope {
  std::string_view name, version;
  std::vector<OtlpAttribute> attributes;
  std::uint64_t dropped = 0;
};

struct OtlpRecord {
  std::uint64_t time_ns = 0, observed_ns = 0;
  std::int64_t severity_number = 0;
  std::string_view severity_text, event_name;
  OtlpValue body;
  std::vector<OtlpAttribute> attributes;
  std::uint64_t dropped = 0, flags = 0;
  std::string_view trace_id, span_id;  // lower-case hex
  void clear();                        // keeps capacity
};

// Small texts at stable addresses, few allocations.
class TextArena {
 public:
  explicit TextArena(std::deque<std::string>& owned) : owned_(owned) {}
  std::string_view put(std::string_view text);

 private:
  std::deque<std::string>& owned_;
  std::string* block_ = nullptr;
};

// Turns resources, scopes and records, in document order, into rows of `out`.
class OtlpRows {
 public:
  OtlpRows(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out);
  Result<void> begin_resource(const OtlpResource& resource);
  void begin_scope(const OtlpScope& scope);
  void add(const OtlpRecord& record);
  void end_resource();
  TextArena& arena() { return arena_; }
  // Resource attributes are repeated for every record and nested keys are joined, so a small body can describe rows
  // without end. kTooLarge once they take many times the body; nothing more is stored then.
  Result<void> check_budget() const;

 private:
  bool spend(std::size_t bytes);
  enum class Action { kIndexLabel, kMetadata, kDrop };
  struct Rule {
    Action action;
    std::vector<std::string> names;
    std::optional<model::Matcher> regex;
  };
  static std::vector<Rule> compile(const std::vector<config::OtlpAttributeRule>& rules);
  static Action action_for(std::string_view key, const std::vector<Rule>& rules);
  template <class Emit>
  void flatten(std::string_view key, const OtlpValue& value, Emit&& emit);
  void add_metadata(std::vector<model::LabelView>& to, const std::vector<OtlpAttribute>& attributes,
                    const std::vector<Rule>& rules);
  void open_stream(std::string_view severity_text);
  void close_stream();
  std::string_view number(std::uint64_t value);
  std::string_view text_of(const OtlpValue& value);

  const config::OtlpConfig& config_;
  const std::int64_t now_ns_;
  Decoded& out_;
  TextArena arena_;
  std::vector<Rule> resource_rules_, scope_rules_, log_rules_;
  std::vector<model::Label> labels_;
  std::vector<model::LabelView> resource_metadata_, scope_metadata_;
  std::string_view stream_severity_;
  std::int64_t budget_bytes_;
  std::optional<model::WireStream> stream_;
};

// How Go prints a float64 in JSON: shortest, plain between 1e-6 and 1e21.
void append_go_float(std::string& out, double value);
void append_base64(std::string& out, std::string_view bytes);
bool decode_base64(std::string_view text, std::string& out);
// Compact JSON, map keys sorted, bytes as base64.
void append_json(std::string& out, const OtlpValue& value);

}  // namespace skald::distributor
