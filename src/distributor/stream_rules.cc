#include "distributor/stream_rules.h"

#include <algorithm>

#include "distributor/json_cursor.h"

namespace skald::distributor {
namespace {

using model::Label;

constexpr std::string_view kServiceName = "service_name";
constexpr std::size_t kLabelTextBytesMax = 16 << 20;

std::string text_of(const std::vector<Label>& sorted) {
  std::string out = "{";
  for (const Label& label : sorted) {
    if (out.size() > 1) out += ", ";
    out += label.name + "=";
    model::append_go_quoted(out, label.value);
  }
  return out += '}';
}

// The label text Loki makes of a JSON object, so that bad names fail with the same position and words.
Result<std::string> text_of_json(std::string_view object) {
  std::vector<Label> pairs;
  JsonCursor cursor(object);
  const Error broken(ErrorCode::kInvalidArgument, "Value looks like object, but can't find closing '}' symbol");
  if (!cursor.take('{')) return broken;
  if (!cursor.take('}')) {
    while (true) {
      RawString name, value;
      Label label;
      if (cursor.peek() != '"' || !cursor.string(name) || !append_unescaped(label.name, name.text) || !cursor.take(':'))
        return broken;
      if (cursor.peek() == '"') {
        if (!cursor.string(value) || !append_unescaped(label.value, value.text)) return broken;
      } else {
        const char* const first = cursor.at;  // numbers and the like count as they are written
        if (!cursor.skip_value()) return broken;
        label.value.assign(first, cursor.at);
      }
      pairs.push_back(std::move(label));
      if (cursor.take('}')) break;
      if (!cursor.take(',')) return broken;
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [](const Label& a, const Label& b) { return a.name < b.name; });
  std::vector<Label> last;
  for (Label& label : pairs) {
    if (!last.empty() && last.back().name == label.name) last.back() = std::move(label);
    else last.push_back(std::move(label));
  }
  return text_of(last);
}

const Label* find(const std::vector<Label>& pairs, std::string_view name) {
  for (const Label& label : pairs)
    if (label.name == name) return &label;
  return nullptr;
}

void refuse(StreamInfo& info, Reason reason, std::string message) {
  info.refused = true;
  info.reason = reason;
  info.refusal = std::move(message);
}

void validate(StreamInfo& info, const std::vector<Label>& sorted, const std::string& text, const std::string& tenant,
              const config::Limits& limits) {
  if (sorted.empty())
    return refuse(info, Reason::kMissingLabels, "error at least one label pair is required per stream");
  const auto counted = static_cast<std::int64_t>(
      std::count_if(sorted.begin(), sorted.end(), [](const Label& label) { return label.name != kServiceName; }));
  if (counted > limits.max_label_names_per_series)
    return refuse(info, Reason::kMaxLabelNames, "entry for stream '" + text + "' has " + std::to_string(counted) +
                                                    " label names; limit " +
                                                    std::to_string(limits.max_label_names_per_series));
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Label& label = sorted[i];
    if (static_cast<std::int64_t>(label.name.size()) > limits.max_label_name_length)
      return refuse(info, Reason::kLabelNameTooLong, "stream '" + text + "' has label name too long: '" + label.name + "'");
    if (static_cast<std::int64_t>(label.value.size()) > limits.max_label_value_length)
      return refuse(info, Reason::kLabelValueTooLong,
                    "stream '" + text + "' has label value too long: '" + label.value + "'");
    if (i > 0 && sorted[i - 1].name == label.name)
      return refuse(info, Reason::kDuplicateLabelNames,
                    "stream '" + text + "' has duplicate label name: '" + label.name + "'");
  }
  std::string missing;
  for (const std::string& name : limits.enforced_labels) {
    if (find(sorted, name) != nullptr) continue;
    if (!missing.empty()) missing += ',';
    missing += name;
  }
  if (!missing.empty())
    refuse(info, Reason::kMissingEnforcedLabels, "missing required labels '" + missing + "' for user '" + tenant +
                                                     "' for stream '" + text + "' (policy: '')");
}

}  // namespace

std::size_t StreamInfo::size_bytes() const {
  std::size_t total = sizeof *this + refusal.size() + level_text.size() + 128;
  if (labels != nullptr) {
    total += labels->text.size();
    for (const Label& label : labels->labels.pairs()) total += sizeof label + label.name.size() + label.value.size();
  }
  return total;
}

Result<std::shared_ptr<const StreamInfo>> make_stream_info(std::string_view labels_text, LabelSyntax syntax,
                                                           std::string_view backfill_shard, const std::string& tenant,
                                                           const TenantSettings& settings) {
  if (labels_text.size() > kLabelTextBytesMax)
    return Error(ErrorCode::kTooLarge, "request body too large: stream labels of " + std::to_string(labels_text.size()) +
                                           " bytes exceed limit " + std::to_string(kLabelTextBytesMax));
  std::string converted;
  if (syntax == LabelSyntax::kJsonObject && !labels_text.empty()) {
    SKALD_TRY(converted, text_of_json(labels_text));
    labels_text = converted;
  }
  auto parsed = model::parse_label_text(labels_text);
  if (!parsed.ok()) return parsed.error().with_prefix("couldn't parse labels");
  std::vector<Label> pairs = *std::move(parsed);
  if (find(pairs, "__backfill__") != nullptr || find(pairs, "__backfill_shard__") != nullptr)
    return Error(ErrorCode::kInvalidArgument,
                 "streams must not contain the reserved labels __backfill__ or __backfill_shard__; set the "
                 "X-Loki-Backfill-Shard header to mark a push as backfill data");
  std::erase_if(pairs, [](const Label& label) { return label.value.empty(); });

  const config::Limits& limits = *settings.limits;
  const bool internal = find(pairs, "__aggregated_metric__") != nullptr || find(pairs, "__pattern__") != nullptr;
  if (!limits.discover_service_name.empty() && !internal && find(pairs, kServiceName) == nullptr) {
    std::string service = "unknown_service";
    for (const std::string& name : limits.discover_service_name) {
      if (const Label* label = find(pairs, name)) {
        service = label->value;
        break;
      }
    }
    pairs.push_back({std::string(kServiceName), std::move(service)});
  }
  if (!backfill_shard.empty()) {
    pairs.push_back({"__backfill__", "true"});
    pairs.push_back({"__backfill_shard__", std::string(backfill_shard)});
  }
  std::stable_sort(pairs.begin(), pairs.end(), [](const Label& a, const Label& b) { return a.name < b.name; });

  auto info = std::make_shared<StreamInfo>();
  validate(*info, pairs, text_of(pairs), tenant, limits);
  for (const std::string& name : settings.level_fields.names()) {
    const Label* const label = find(pairs, name);
    if (label == nullptr) continue;
    info->has_level = true;
    info->level = level_from_word(label->value);
    if (info->level == model::Level::kNone) info->level = model::level_from_text(label->value);
    if (info->level == model::Level::kNone) info->level_text = label->value;
    break;
  }
  info->labels = model::intern(model::Labels::from_pairs(std::move(pairs)));
  return std::shared_ptr<const StreamInfo>(std::move(info));
}

}  // namespace skald::distributor
