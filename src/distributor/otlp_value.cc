#include "distributor/otlp_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace skald::distributor {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char buffer[8];
          std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
          out += buffer;
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

void OtlpRecord::clear() {
  std::vector<OtlpAttribute> kept = std::move(attributes);
  kept.clear();
  *this = OtlpRecord();
  attributes = std::move(kept);
}

void append_go_float(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    out += value < 0 ? "-Inf" : "+Inf";
    return;
  }
  const double magnitude = std::fabs(value);
  const bool scientific = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value,
                                 scientific ? std::chars_format::scientific : std::chars_format::fixed).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  // Go writes e-9 where C++ writes e-09; e+21 is the same.
  const std::size_t size = text.size();
  if (scientific && size >= 4 && text[size - 4] == 'e' && text[size - 3] == '-' && text[size - 2] == '0') {
    out.append(text.substr(0, size - 2));
    out += text.back();
    return;
  }
  out.append(text);
}

void append_base64(std::string& out, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    std::uint32_t group = static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << 16;
    if (left > 1) group |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i + 1])) << 8;
    if (left > 2) group |= static_cast<unsigned char>(bytes[i + 2]);
    out += kBase64[group >> 18];
    out += kBase64[group >> 12 & 63];
    out += left > 1 ? kBase64[group >> 6 & 63] : '=';
    out += left > 2 ? kBase64[group & 63] : '=';
  }
}

bool decode_base64(std::string_view text, std::string& out) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::uint32_t group = 0;
  int bits = 0;
  for (char c : text) {
    if (c == '-') c = '+';
    if (c == '_') c = '/';
    const std::size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) return false;
    group = group << 6 | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xFF);
    }
  }
  return bits != 6;
}

void append_json(std::string& out, const OtlpValue& value) {
  using Kind = OtlpValue::Kind;
  switch (value.kind) {
    case Kind::kNone: out += "null"; break;
    case Kind::kString: append_json_string(out, value.text); break;
    case Kind::kBool: out += value.integer != 0 ? "true" : "false"; break;
    case Kind::kInt: out += std::to_string(value.integer); break;
    case Kind::kDouble: append_go_float(out, value.number); break;
    case Kind::kBytes:
      out += '"';
      append_base64(out, value.text);
      out += '"';
      break;
    case Kind::kArray:
      out += '[';
      for (std::size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) out += ',';
        append_json(out, value.items[i]);
      }
      out += ']';
      break;
    case Kind::kMap: {
      std::vector<std::size_t> order(value.items.size());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return value.keys[a] < value.keys[b]; });
      out += '{';
      bool first = true;
      for (std::size_t i = 0; i < order.size(); ++i) {
        if (i + 1 < order.size() && value.keys[order[i]] == value.keys[order[i + 1]]) continue;  // the last wins
        if (!first) out += ',';
        first = false;
        append_json_string(out, value.keys[order[i]]);
        out += ':';
        append_json(out, value.items[order[i]]);
      }
      out += '}';
      break;
    }
  }
}

std::string_view TextArena::put(std::string_view text) {
  constexpr std::size_t kBlockBytes = 16 * 1024;
  if (block_ == nullptr || block_->capacity() - block_->size() < text.size()) {
    if (text.size() > kBlockBytes / 4) return owned_.emplace_back(text);
    block_ = &owned_.emplace_back();
    block_->reserve(kBlockBytes);
  }
  const std::size_t begin = block_->size();
  block_->append(text);  // within the capacity: no address changes
  return std::string_view(*block_).substr(begin);
}

OtlpRows::OtlpRows(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out)
    : config_(config), now_ns_(now_ns), out_(out), arena_(out.owned), resource_rules_(compile(config.resource_attributes)),
      scope_rules_(compile(config.scope_attributes)), log_rules_(compile(config.log_attributes)),
      budget_bytes_((64 << 20) + 16 * static_cast<std::int64_t>(out.body->size())) {
  if (!config.ignore_resource_defaults)
    resource_rules_.push_back({Action::kIndexLabel, config.default_labels, std::nullopt});
  out_.wire.clear();
  out_.label_syntax = LabelSyntax::kText;
}

std::vector<OtlpRows::Rule> OtlpRows::compile(const std::vector<config::OtlpAttributeRule>& rules) {
  std::vector<Rule> compiled;
  for (const config::OtlpAttributeRule& rule : rules) {
    const Action action = rule.action == "index_label" ? Action::kIndexLabel
                          : rule.action == "drop"      ? Action::kDrop
                                                       : Action::kMetadata;
    Rule one{action, rule.attributes, std::nullopt};
    if (!rule.regex.empty()) {
      auto matcher = model::Matcher::make(model::MatchType::kRegex, "attribute", rule.regex);
      if (!matcher.ok()) continue;  // the configuration loader refuses these
      one.regex = *std::move(matcher);
    }
    compiled.push_back(std::move(one));
  }
  return compiled;
}

Result<void> OtlpRows::check_budget() const {
  if (budget_bytes_ >= 0) return {};
  return Error(ErrorCode::kTooLarge, "request body too large: its attributes expand to many times its size");
}

bool OtlpRows::spend(std::size_t bytes) {
  budget_bytes_ -= static_cast<std::int64_t>(bytes);
  return budget_bytes_ >= 0;
}

OtlpRows::Action OtlpRows::action_for(std::string_view key, const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) {
    if (rule.regex.has_value() ? rule.regex->matches(key)
                               : std::find(rule.names.begin(), rule.names.end(), key) != rule.names.end())
      return rule.action;
  }
  return Action::kMetadata;
}

std::string_view OtlpRows::number(std::uint64_t value) { return arena_.put(std::to_string(value)); }

std::string_view OtlpRows::text_of(const OtlpValue& value) {
  using Kind = OtlpValue::Kind;
  switch (value.kind) {
    case Kind::kNone: return {};
    case Kind::kString: return value.text;
    case Kind::kBool: return value.integer != 0 ? "true" : "false";
    case Kind::kInt: return arena_.put(std::to_string(value.integer));
    case Kind::kBytes: {
      std::string text;
      append_base64(text, value.text);
      return arena_.put(text);
    }
    case Kind::kDouble: {
      std::string text;
      append_go_float(text, value.number);
      return arena_.put(text);
    }
    case Kind::kArray:
    case Kind::kMap: break;
  }
  std::string text;
  append_json(text, value);
  return arena_.put(text);
}

template <class Emit>
void OtlpRows::flatten(std::string_view key, const OtlpValue& value, Emit&& emit) {
  if (value.kind != OtlpValue::Kind::kMap) {
    emit(key, text_of(value));
    return;
  }
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    if (!spend(key.size() + value.keys[i].size() + 1)) return;
    std::string joined(key);
    joined += '_';
    joined += value.keys[i];
    flatten(arena_.put(joined), value.items[i], emit);
  }
}

void OtlpRows::add_metadata(std::vector<model::LabelView>& to, const std::vector<OtlpAttribute>& attributes,
                            const std::vector<Rule>& rules) {
  for (const OtlpAttribute& attribute : attributes) {
    if (!rules.empty() && action_for(attribute.key, rules) == Action::kDrop) continue;
    flatten(attribute.key, attribute.value,
            [&](std::string_view name, std::string_view value) { if (!value.empty()) to.push_back({name, value}); });
  }
}

Result<void> OtlpRows::begin_resource(const OtlpResource& resource) {
  labels_.clear();
  resource_metadata_.clear();
  scope_metadata_.clear();
  std::optional<Error> bad_name;
  for (const OtlpAttribute& attribute : resource.attributes) {
    const Action action = action_for(attribute.key, resource_rules_);
    if (action == Action::kDrop) continue;
    flatten(attribute.key, attribute.value, [&](std::string_view name, std::string_view value) {
      if (value.empty()) return;
      if (action == Action::kMetadata) {
        resource_metadata_.push_back({name, value});
        return;
      }
      std::string normal(name);
      auto normalized = model::normalize_metadata_name(name, normal);
      if (!normalized.ok()) bad_name = std::move(normalized).error();
      else labels_.push_back({std::move(normal), std::string(value)});
    });
  }
  if (bad_name.has_value()) return *std::move(bad_name);
  SKALD_TRY_VOID(check_budget());
  if (resource.dropped != 0)
    resource_metadata_.push_back({"resource_dropped_attributes_count", number(resource.dropped)});
  return {};
}

void OtlpRows::begin_scope(const OtlpScope& scope) {
  scope_metadata_.clear();
  add_metadata(scope_metadata_, scope.attributes, scope_rules_);
  if (!scope.name.empty()) scope_metadata_.push_back({"scope_name", scope.name});
  if (!scope.version.empty()) scope_metadata_.push_back({"scope_version", scope.version});
  if (scope.dropped != 0) scope_metadata_.push_back({"scope_dropped_attributes_count", number(scope.dropped)});
}

void OtlpRows::open_stream(std::string_view severity_text) {
  std::vector<model::Label> labels = labels_;
  if (!severity_text.empty()) labels.push_back({"severity_text", std::string(severity_text)});
  std::string& text = out_.owned.emplace_back(model::Labels::from_pairs(std::move(labels)).to_string());
  stream_.emplace();
  stream_->labels_text = text;
  stream_->entries_begin = static_cast<std::uint32_t>(out_.wire.entries.size());
  stream_severity_ = severity_text;
}

void OtlpRows::close_stream() {
  if (!stream_.has_value()) return;
  stream_->entries_end = static_cast<std::uint32_t>(out_.wire.entries.size());
  out_.wire.streams.push_back(*stream_);
  stream_.reset();
}

void OtlpRows::end_resource() { close_stream(); }

void OtlpRows::add(const OtlpRecord& record) {
  // A row costs about as much again in the batch.
  if (!spend(sizeof(model::WireEntry) +
             sizeof(model::LabelView) * (resource_metadata_.size() + scope_metadata_.size() + record.attributes.size())))
    return;
  const std::string_view severity = config_.severity_text_as_label ? record.severity_text : std::string_view();
  if (stream_.has_value() && severity != stream_severity_) close_stream();
  if (!stream_.has_value()) open_stream(severity);

  std::vector<model::LabelView>& metadata = out_.wire.metadata;
  model::WireEntry entry;
  const std::uint64_t time = record.time_ns != 0 ? record.time_ns : record.observed_ns;
  entry.timestamp_ns = time != 0 ? static_cast<std::int64_t>(std::min<std::uint64_t>(time, INT64_MAX)) : now_ns_;
  entry.line = text_of(record.body);
  entry.metadata_begin = static_cast<std::uint32_t>(metadata.size());
  metadata.insert(metadata.end(), resource_metadata_.begin(), resource_metadata_.end());
  metadata.insert(metadata.end(), scope_metadata_.begin(), scope_metadata_.end());
  add_metadata(metadata, record.attributes, log_rules_);
  if (record.time_ns != 0 && record.observed_ns != 0) metadata.push_back({"observed_timestamp", number(record.observed_ns)});
  if (record.severity_number != 0)
    metadata.push_back({"severity_number", arena_.put(std::to_string(record.severity_number))});
  if (!record.severity_text.empty()) metadata.push_back({"severity_text", record.severity_text});
  if (record.dropped != 0) metadata.push_back({"dropped_attributes_count", number(record.dropped)});
  if (record.flags != 0) metadata.push_back({"flags", number(record.flags)});
  if (!record.trace_id.empty()) metadata.push_back({"trace_id", record.trace_id});
  if (!record.span_id.empty()) metadata.push_back({"span_id", record.span_id});
  if (!record.event_name.empty()) metadata.push_back({"event_name", record.event_name});
  entry.metadata_end = static_cast<std::uint32_t>(metadata.size());
  out_.wire.entries.push_back(entry);
}

}  // namespace skald::distributor
