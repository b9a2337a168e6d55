#include "engine/logfmt_stage.h"

#include <string>
#include <unordered_map>

#include "engine/label_text.h"
#include "engine/logfmt_text.h"
#include "skald/logql/json_path.h"

namespace skald::engine {
namespace {

// One key as written in some line. As for JSON, keys remember their successor: the next key is one comparison.
struct Key {
  std::string text;
  bool invalid = false;                 // not UTF-8
  LabelSlot* slot = nullptr;            // nullptr: not wanted
  std::vector<std::uint32_t> targets;   // expressions: which of them this key fills
  Key* next = nullptr;
};

constexpr std::size_t kMaxKeys = 100'000;   // forget and learn again

struct LogfmtConfig {
  bool strict = false;
  bool keep_empty = false;
  std::vector<std::string> targets;     // labels of the expressions; empty: all keys
  std::vector<std::string> keys;        // their keys
};

class LogfmtRunner final : public StageRunner {
 public:
  LogfmtRunner(const LogfmtConfig& config, LabelTable& labels) : config_(config), labels_(labels) {
    for (const std::string& name : config.targets) targets_.push_back(&labels.slot(name));
  }

  void run(Batch& batch) override {
    if (keys_.size() > kMaxKeys) {
      keys_.clear();
      start_ = Key();
    }
    for (const std::uint32_t row : batch.selection) parse(batch, row);
  }

 private:
  void parse(Batch& batch, std::uint32_t row) {
    const bool expressions = !targets_.empty();
    for (LabelSlot* const target : targets_) {
      if (!labels_.collides(*target, row)) labels_.assign(*target, row, {"", 0});
    }
    std::int64_t left = labels_.needs_all() ? -1 : static_cast<std::int64_t>(labels_.needed_count());
    LogfmtReader reader(batch.line(row));
    LogfmtPair pair;
    Key* previous = &start_;
    for (;;) {
      const auto outcome = reader.next(pair);
      if (outcome == LogfmtReader::Outcome::kEnd) return;
      if (outcome == LogfmtReader::Outcome::kError) {
        if (!config_.strict) continue;
        return fail(batch, row, reader.error_position(), reader.error_text());
      }
      Key* key = previous->next;
      if (key == nullptr || key->text != pair.key) {
        key = &find_key(pair.key);
        previous->next = key;
      }
      previous = key;
      if (key->invalid) {
        if (config_.strict) return fail(batch, row, reader.position(), "invalid key");
        continue;
      }
      const bool wanted = expressions ? !key->targets.empty() : key->slot != nullptr;
      if (!wanted && !(config_.strict && pair.escaped)) continue;
      std::string_view value = pair.value;
      if (pair.escaped) {
        value = unquote_logfmt(value, batch.arena);
        if (value.data() == nullptr) {
          if (config_.strict) return fail(batch, row, reader.position(), "invalid quoted value");
          continue;
        }
      }
      if (!wanted) continue;
      if (expressions) {
        if (has_replacement_rune(value)) value = {"", 0};
        for (const std::uint32_t index : key->targets) labels_.overwrite_parsed(*targets_[index], row, present(value));
        continue;
      }
      if (value.empty() && !config_.keep_empty) continue;
      if (labels_.set_parsed(*key->slot, row, clean_value(present(value), batch.arena)) && --left == 0) return;
    }
  }

  static void fail(Batch& batch, std::uint32_t row, std::uint64_t position, const char* text) {
    const std::string details = "logfmt syntax error at pos " + std::to_string(position) + " : " + text;
    batch.set_error(row, RowError::kLogfmt, batch.arena.copy(details));
  }

  Key& find_key(std::string_view text) {
    const auto found = keys_.find(text);
    if (found != keys_.end()) return *found->second;
    auto made = std::make_unique<Key>();
    made->text = text;
    made->invalid = has_replacement_rune(text);
    std::string name;
    append_label_name(name, text);
    if (!name.empty() && !made->invalid) {
      for (std::uint32_t i = 0; i < config_.keys.size(); ++i) {
        if (config_.keys[i] == name) made->targets.push_back(i);
      }
      // A key that no expression names, but that is itself the name of a target, fills it too.
      for (std::uint32_t i = 0; i < config_.targets.size() && made->targets.empty(); ++i) {
        if (config_.targets[i] == name) made->targets.push_back(i);
      }
      if (config_.targets.empty() && labels_.needs(name)) made->slot = &labels_.slot(name);
    }
    Key& at = *made;
    keys_.emplace(at.text, std::move(made));
    return at;
  }

  const LogfmtConfig& config_;
  LabelTable& labels_;
  std::vector<LabelSlot*> targets_;
  Key start_;
  std::unordered_map<std::string_view, std::unique_ptr<Key>> keys_;   // keys: Key::text
};

class LogfmtStage final : public CompiledStage {
 public:
  explicit LogfmtStage(LogfmtConfig config) : config_(std::move(config)) {
    traits_.reads_line = true;
    traits_.parser = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<LogfmtRunner>(config_, labels);
  }

 private:
  LogfmtConfig config_;
  StageTraits traits_;
};

}  // namespace

Result<StagePtr> compile_logfmt(const logql::LogfmtStage& stage) {
  LogfmtConfig config;
  config.strict = stage.strict;
  config.keep_empty = stage.keep_empty;
  for (const logql::LabelExtraction& extraction : stage.extractions) {
    SKALD_TRY(std::string key, logql::parse_logfmt_key(extraction.expression));
    config.targets.push_back(extraction.label);
    config.keys.push_back(std::move(key));
  }
  return StagePtr(std::make_unique<LogfmtStage>(std::move(config)));
}

}  // namespace skald::engine
