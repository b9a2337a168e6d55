#include "distributor/batch_builder.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "skald/base/clock.h"
#include "skald/model/time.h"

namespace skald::distributor {
namespace {

using model::LabelView;
using model::Level;
using model::PushEntry;

constexpr std::string_view kSeverityNumber = "severity_number";

// RFC 3339 without a fraction, as the messages print times.
std::string seconds_text(std::int64_t ns) {
  std::int64_t seconds = ns / kNanosPerSecond;
  if (ns % kNanosPerSecond < 0) --seconds;
  if (seconds < std::numeric_limits<std::int64_t>::min() / kNanosPerSecond) ++seconds;
  return model::format_rfc3339_nano(seconds * kNanosPerSecond);
}

std::int64_t saturating_sub(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (__builtin_sub_overflow(a, b, &out)) return b > 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
  return out;
}

// 0: plain ASCII. Otherwise the value may need mending.
bool has_high_bytes(std::string_view text) {
  unsigned char any = 0;
  for (const char c : text) any |= static_cast<unsigned char>(c);
  return any >= 0x80;
}

// Length of the valid UTF-8 sequence at the start, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  std::size_t length;
  unsigned char low = 0x80, high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else return 0;
  if (text.size() < length || at(1) < low || at(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if ((at(i) & 0xC0) != 0x80) return 0;
  return length;
}

// Invalid bytes, and U+FFFD itself, become spaces. True when `out` holds a changed copy.
bool mend_utf8(std::string_view text, std::string& out) {
  bool changed = false;
  out.clear();
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0 || text.substr(i, length) == "\xEF\xBF\xBD") {
      out += ' ';
      changed = true;
    } else {
      out.append(text, i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return changed;
}

// Letters, digits and single underscores that begin with a letter: normal for sure.
bool is_plain_name(std::string_view name) {
  char previous = '0';
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    if (!letter && !(digit && previous != '0') && !(c == '_' && previous == 'a')) return false;
    previous = c == '_' ? '_' : 'a';
  }
  return !name.empty();
}

class Builder {
 public:
  Builder(Decoded decoded, const BuildContext& context)
      : context_(context), limits_(*context.settings.limits), wire_(std::move(decoded.wire)) {
    built_.batch = std::make_shared<model::PushBatch>();
    batch_ = built_.batch.get();
    batch_->decoded = std::move(decoded.body);
    batch_->owned = std::move(decoded.owned);  // a deque keeps its addresses when moved
    syntax_ = decoded.label_syntax;
    discover_levels_ = limits_.allow_structured_metadata && limits_.discover_log_levels;
    oldest_ns_ = limits_.reject_old_samples && context.backfill_shard.empty()
                     ? saturating_sub(context.now_ns, limits_.reject_old_samples_max_age)
                     : std::numeric_limits<std::int64_t>::min();
    newest_ns_ = saturating_sub(context.now_ns, -limits_.creation_grace_period);
  }

  Result<BuiltBatch> build() {
    std::vector<std::shared_ptr<const StreamInfo>> infos;
    SKALD_TRY(infos, look_up_streams());
    batch_->streams.reserve(wire_.streams.size());
    batch_->entries.reserve(wire_.entries.size());
    batch_->metadata.reserve(wire_.metadata.size());
    for (std::size_t i = 0; i < wire_.streams.size(); ++i) {
      const model::WireStream& stream = wire_.streams[i];
      if (stream.entries_begin == stream.entries_end) continue;
      if (infos[i]->refused) {
        refuse_stream(stream, *infos[i]);
        continue;
      }
      SKALD_TRY_VOID(add_stream(stream, *infos[i]));
    }
    return std::move(built_);
  }

 private:
  // All streams first: one that does not parse fails the request before anything of it counts.
  Result<std::vector<std::shared_ptr<const StreamInfo>>> look_up_streams() {
    const std::uint64_t scope =
        label_cache_scope(context_.tenant, context_.settings.generation, syntax_, context_.backfill_shard);
    std::vector<std::shared_ptr<const StreamInfo>> infos;
    infos.reserve(wire_.streams.size());
    for (const model::WireStream& stream : wire_.streams) {
      const LabelCacheKey key = label_cache_key(scope, stream.labels_text);
      auto info = context_.cache.find(key);
      if (info == nullptr) {
        auto made = make_stream_info(stream.labels_text, syntax_, context_.backfill_shard, context_.tenant, context_.settings);
        if (!made.ok()) {
          std::uint64_t bytes = 0;
          for (const model::WireEntry& entry : wire_.entries) bytes += entry.line.size();
          built_.discards.add(Reason::kInvalidLabels, wire_.entries.size(), bytes);
          return std::move(made).error();
        }
        info = *std::move(made);
        context_.cache.insert(key, info);
      }
      infos.push_back(std::move(info));
    }
    return infos;
  }

  void refuse_stream(const model::WireStream& stream, const StreamInfo& info) {
    std::uint64_t bytes = 0;
    for (std::uint32_t i = stream.entries_begin; i < stream.entries_end; ++i) bytes += wire_.entries[i].line.size();
    built_.errors.add(info.refusal);
    built_.discards.add(info.reason, stream.entries_end - stream.entries_begin, bytes);
    built_.as_received = false;
  }

  Result<void> add_stream(const model::WireStream& stream, const StreamInfo& info) {
    model::PushStream out;
    out.labels = info.labels;
    out.entries_begin = static_cast<std::uint32_t>(batch_->entries.size());
    std::int64_t previous_sent_ns = 0;
    for (std::uint32_t i = stream.entries_begin; i < stream.entries_end; ++i) {
      const model::WireEntry& sent = wire_.entries[i];
      std::string_view line = sent.line;
      if (limits_.max_line_size > 0 && static_cast<std::int64_t>(line.size()) > limits_.max_line_size &&
          limits_.max_line_size_truncate)
        line = truncated(line);
      if (!accept(sent, line, *info.labels)) continue;
      PushEntry entry;
      entry.timestamp_ns = sent.timestamp_ns;
      entry.line = line;
      SKALD_TRY_VOID(add_metadata(sent, entry));
      if (discover_levels_) set_level(info, entry);
      if (limits_.increment_duplicate_timestamp && batch_->entries.size() > out.entries_begin) {
        const PushEntry& previous = batch_->entries.back();
        if (sent.timestamp_ns == previous_sent_ns && line != previous.line) {
          entry.timestamp_ns = previous.timestamp_ns + 1;
          built_.as_received = false;
        }
      }
      previous_sent_ns = sent.timestamp_ns;
      batch_->line_bytes += line.size();
      batch_->entries.push_back(entry);
    }
    out.entries_end = static_cast<std::uint32_t>(batch_->entries.size());
    if (out.entries_end > out.entries_begin) batch_->streams.push_back(std::move(out));
    return {};
  }

  std::string_view truncated(std::string_view line) {
    const std::string& identifier = limits_.max_line_size_truncate_identifier;
    const auto most = static_cast<std::size_t>(limits_.max_line_size);
    const std::size_t keep = identifier.size() < most ? most - identifier.size() : most;
    built_.as_received = false;
    ++built_.truncated_lines;
    built_.truncated_bytes += line.size() - keep;
    if (identifier.empty() || keep == most) return line.substr(0, keep);
    std::string& owned = batch_->owned.emplace_back(line.substr(0, keep));
    owned += identifier;
    return owned;
  }

  // The checks of one row, in order; the first that fails is the row's error.
  bool accept(const model::WireEntry& entry, std::string_view line, const model::InternedLabels& labels) {
    if (entry.timestamp_ns < oldest_ns_)
      return refuse(line, Reason::kTooOld,
                    "entry for stream '" + labels.text + "' has timestamp too old: " + seconds_text(entry.timestamp_ns) +
                        ", oldest acceptable timestamp is: " + seconds_text(oldest_ns_));
    if (entry.timestamp_ns > newest_ns_)
      return refuse(line, Reason::kTooFarInFuture,
                    "entry for stream '" + labels.text + "' has timestamp too new: " + seconds_text(entry.timestamp_ns));
    if (limits_.max_line_size > 0 && static_cast<std::int64_t>(line.size()) > limits_.max_line_size)
      return refuse(line, Reason::kLineTooLong,
                    "max entry size '" + std::to_string(limits_.max_line_size) + "' bytes exceeded for stream '" +
                        labels.text + "' while adding an entry with length '" + std::to_string(line.size()) + "' bytes");
    const std::uint32_t count = entry.metadata_end - entry.metadata_begin;
    if (count == 0) return true;
    if (!limits_.allow_structured_metadata)
      return refuse(line, Reason::kMetadataDisallowed,
                    "stream '" + labels.text +
                        "' includes structured metadata, but this feature is disallowed. Please see "
                        "`limits_config.allow_structured_metadata` or contact your Loki administrator to enable it");
    std::int64_t bytes = 0;
    for (std::uint32_t i = entry.metadata_begin; i < entry.metadata_end; ++i)
      bytes += static_cast<std::int64_t>(wire_.metadata[i].name.size() + wire_.metadata[i].value.size());
    if (limits_.max_structured_metadata_size > 0 && bytes > limits_.max_structured_metadata_size)
      return refuse(line, Reason::kMetadataTooLarge,
                    "stream '" + labels.text + "' has structured metadata too large: '" + std::to_string(bytes) +
                        "' bytes, limit: '" + std::to_string(limits_.max_structured_metadata_size) +
                        "' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki "
                        "administrator to increase it");
    if (limits_.max_structured_metadata_entries_count > 0 &&
        static_cast<std::int64_t>(count) > limits_.max_structured_metadata_entries_count)
      return refuse(line, Reason::kMetadataTooMany,
                    "stream '" + labels.text + "' has too many structured metadata labels: '" + std::to_string(count) +
                        "', limit: '" + std::to_string(limits_.max_structured_metadata_entries_count) +
                        "'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki "
                        "administrator to increase it");
    return true;
  }

  bool refuse(std::string_view line, Reason reason, const std::string& message) {
    built_.errors.add(message);
    built_.discards.add(reason, 1, line.size());
    built_.as_received = false;
    return false;
  }

  // Names normalised, values mended, empty ones dropped, sorted, the last of equal names kept.
  Result<void> add_metadata(const model::WireEntry& sent, PushEntry& entry) {
    entry.metadata_begin = static_cast<std::uint32_t>(batch_->metadata.size());
    bool ordered = true;
    for (std::uint32_t i = sent.metadata_begin; i < sent.metadata_end; ++i) {
      LabelView pair = wire_.metadata[i];
      SKALD_TRY(pair.name, normalized(pair.name));
      if (pair.value.empty()) {
        built_.as_received = false;
        continue;
      }
      if (has_high_bytes(pair.value) && mend_utf8(pair.value, scratch_)) {
        pair.value = batch_->owned.emplace_back(scratch_);
        built_.as_received = false;
      }
      if (batch_->metadata.size() > entry.metadata_begin && !(batch_->metadata.back().name < pair.name)) ordered = false;
      batch_->metadata.push_back(pair);
    }
    if (!ordered) {
      built_.as_received = false;
      const auto begin = batch_->metadata.begin() + entry.metadata_begin;
      std::stable_sort(begin, batch_->metadata.end(), [](const LabelView& a, const LabelView& b) { return a.name < b.name; });
      auto out = begin;
      for (auto it = begin; it != batch_->metadata.end(); ++it) {
        if (it + 1 != batch_->metadata.end() && (it + 1)->name == it->name) continue;
        *out++ = *it;
      }
      batch_->metadata.erase(out, batch_->metadata.end());
    }
    entry.metadata_end = static_cast<std::uint32_t>(batch_->metadata.size());
    for (std::uint32_t i = entry.metadata_begin; i < entry.metadata_end; ++i)
      batch_->metadata_bytes += batch_->metadata[i].name.size() + batch_->metadata[i].value.size();
    return {};
  }

  Result<std::string_view> normalized(std::string_view name) {
    if (is_plain_name(name)) return name;
    // The same few names come with every row.
    const auto it = normalized_names_.find(name);
    if (it != normalized_names_.end()) return it->second;
    std::string changed;
    SKALD_TRY(const bool normal, model::normalize_metadata_name(name, changed));
    if (normal) return name;
    built_.as_received = false;
    const std::string_view kept = batch_->owned.emplace_back(std::move(changed));
    normalized_names_.emplace(name, kept);
    return kept;
  }

  // Rules 1 to 5 of push-protocol §7.
  void set_level(const StreamInfo& info, PushEntry& entry) {
    const LevelFields& fields = context_.settings.level_fields;
    std::size_t best = LevelFields::kNone;
    std::string_view value, severity_number;
    for (std::uint32_t i = entry.metadata_begin; i < entry.metadata_end; ++i) {
      const LabelView& pair = batch_->metadata[i];
      if (pair.name == model::kDetectedLevelName) {
        entry.level = level_of(pair.value);
        if (entry.level != Level::kNone) {  // it travels as the row's level instead
          batch_->metadata.erase(batch_->metadata.begin() + i);
          --entry.metadata_end;
          built_.as_received = false;
        }
        return;
      }
      if (pair.name == kSeverityNumber) severity_number = pair.value;
      if (info.has_level || !fields.exact(pair.name)) continue;
      for (std::size_t place = 0; place < fields.names().size() && place < best; ++place) {
        if (fields.names()[place] != pair.name) continue;
        best = place;
        value = pair.value;
      }
    }
    if (info.has_level) {
      entry.level = info.level;
      value = info.level_text;
    } else if (best != LevelFields::kNone) {
      entry.level = level_of(value);
    } else if (!severity_number.empty()) {
      entry.level = level_from_severity_number(severity_number);
    } else {
      entry.level = detect_line_level(entry.line, fields, limits_.log_level_from_json_max_depth);
    }
    if (entry.level != Level::kNone) return;
    // Not one of the words: it stays as it is, as ordinary metadata. A label's text is not in the body: copy it.
    if (info.has_level) value = batch_->owned.emplace_back(value);
    const LabelView pair{model::kDetectedLevelName, value};
    const auto begin = batch_->metadata.begin() + entry.metadata_begin;
    batch_->metadata.insert(
        std::upper_bound(begin, batch_->metadata.end(), pair, [](const LabelView& a, const LabelView& b) { return a.name < b.name; }),
        pair);
    ++entry.metadata_end;
    built_.as_received = false;
  }

  static Level level_of(std::string_view value) {
    const Level level = level_from_word(value);
    return level != Level::kNone ? level : model::level_from_text(value);
  }

  const BuildContext& context_;
  const config::Limits& limits_;
  model::WirePush wire_;
  LabelSyntax syntax_ = LabelSyntax::kText;
  BuiltBatch built_;
  model::PushBatch* batch_ = nullptr;
  bool discover_levels_ = false;
  std::int64_t oldest_ns_ = 0, newest_ns_ = 0;
  std::string scratch_;
  std::unordered_map<std::string_view, std::string_view> normalized_names_;
};

}  // namespace

Result<BuiltBatch> build_batch(Decoded decoded, const BuildContext& context) {
  return Builder(std::move(decoded), context).build();
}

}  // namespace skald::distributor
