#include "engine/text_stages.h"

#include <algorithm>
#include <cstring>

#include <re2/re2.h>

#include "engine/filter_regex.h"
#include "engine/label_text.h"
#include "engine/scan.h"
#include "skald/logql/pattern.h"
#include "skald/logql/regex.h"

namespace skald::engine {
namespace {

struct RegexpConfig {
  std::shared_ptr<const re2::RE2> regex;
  std::vector<std::pair<int, std::string>> groups;   // number, label
  std::optional<Finder> required;                    // a literal of every match
};

class RegexpRunner final : public StageRunner {
 public:
  RegexpRunner(const RegexpConfig& config, LabelTable& labels) : config_(config), labels_(labels) {
    for (const auto& [number, name] : config.groups) {
      if (!labels.needs(name)) continue;
      wanted_.emplace_back(number, &labels.slot(name));
      groups_ = std::max(groups_, number + 1);
    }
    found_.resize(static_cast<std::size_t>(groups_));
  }

  void run(Batch& batch) override {
    if (wanted_.empty()) return;
    for (const std::uint32_t row : batch.selection) {
      const std::string_view line = batch.line(row);
      if (config_.required && !config_.required->contained_in(line)) continue;
      if (!config_.regex->Match(re2::StringPiece(line.data(), line.size()), 0, line.size(), re2::RE2::UNANCHORED, found_.data(), groups_)) {
        continue;
      }
      for (const auto& [number, slot] : wanted_) {
        const re2::StringPiece& group = found_[static_cast<std::size_t>(number)];
        labels_.set_parsed(*slot, row, present({group.data(), group.size()}));
      }
    }
  }

 private:
  const RegexpConfig& config_;
  LabelTable& labels_;
  std::vector<std::pair<int, LabelSlot*>> wanted_;
  std::vector<re2::StringPiece> found_;
  int groups_ = 1;
};

class RegexpParser final : public CompiledStage {
 public:
  explicit RegexpParser(RegexpConfig config) : config_(std::move(config)) {
    traits_.reads_line = true;
    traits_.parser = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<RegexpRunner>(config_, labels);
  }

 private:
  RegexpConfig config_;
  StageTraits traits_;
};

class PatternRunner final : public StageRunner {
 public:
  PatternRunner(const logql::PatternExpression& parts, LabelTable& labels) : parts_(parts), labels_(labels) {
    for (const logql::PatternPart& part : parts) {
      const bool wanted = part.capture && !part.discard() && labels.needs(part.text);
      slots_.push_back(wanted ? &labels.slot(part.text) : nullptr);
      any_wanted_ |= wanted;
    }
  }

  void run(Batch& batch) override {
    if (!any_wanted_) return;
    for (const std::uint32_t row : batch.selection) parse(batch.line(row), row);
  }

 private:
  void parse(std::string_view line, std::uint32_t row) {
    std::size_t i = 0;
    if (!parts_[0].capture) {
      if (!line.starts_with(parts_[0].text)) return;
      line.remove_prefix(parts_[0].text.size());
      i = 1;
    }
    for (; i < parts_.size(); i += 2) {   // parts_[i] is a capture, parts_[i + 1] the literal behind it
      std::size_t end = std::string_view::npos;
      if (i + 1 < parts_.size()) end = line.find(parts_[i + 1].text);
      const std::string_view value = line.substr(0, end);
      if (slots_[i] != nullptr) labels_.set_parsed(*slots_[i], row, present(value));
      if (end == std::string_view::npos) return;
      line.remove_prefix(end + parts_[i + 1].text.size());
    }
  }

  const logql::PatternExpression& parts_;
  LabelTable& labels_;
  std::vector<LabelSlot*> slots_;
  bool any_wanted_ = false;
};

class PatternParser final : public CompiledStage {
 public:
  explicit PatternParser(logql::PatternExpression parts) : parts_(std::move(parts)) {
    traits_.reads_line = true;
    traits_.parser = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<PatternRunner>(parts_, labels);
  }

 private:
  logql::PatternExpression parts_;
  StageTraits traits_;
};

class DecolorizeRunner final : public StageRunner {
 public:
  void run(Batch& batch) override {
    for (const std::uint32_t row : batch.selection) {
      const std::string_view line = batch.line(row);
      const std::string_view plain = decolorize(line, batch.arena);
      if (plain.data() != line.data() || plain.size() != line.size()) batch.set_line(row, plain);
    }
  }
};

class DecolorizeStage final : public CompiledStage {
 public:
  DecolorizeStage() {
    traits_.reads_line = true;
    traits_.writes_line = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable&) const override { return std::make_unique<DecolorizeRunner>(); }

 private:
  StageTraits traits_;
};

// Terminal sequences as Loki recognises them: ESC or CSI, openers, then either short text up to BEL or up to four digits
// a parameter and a final character.
const re2::RE2& escape_sequence() {
  static const re2::RE2 regex(
      R"([\x1b\x{9b}][\[\]()#;?]*(?:(?:(?:[a-zA-Z\d]*(?:;[a-zA-Z\d]*)*)?\x07)|(?:(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PRZcf-ntqry=><~])))");
  return regex;
}

// Length of the sequence at the start of `text`; 0: none.
std::size_t escape_length(std::string_view text) {
  re2::StringPiece found;
  if (!escape_sequence().Match(re2::StringPiece(text.data(), text.size()), 0, text.size(), re2::RE2::ANCHOR_START, &found, 1)) return 0;
  return found.size();
}

std::size_t find_escape(std::string_view line, std::size_t from) {
  return std::min(line.find('\x1b', from), line.find("\xC2\x9B", from));
}

}  // namespace

std::string_view decolorize(std::string_view line, Arena& arena) {
  std::size_t escape = find_escape(line, 0);
  if (escape == std::string_view::npos) return line;
  char* const begin = arena.allocate(line.size());
  char* out = begin;
  std::size_t from = 0;
  while (escape != std::string_view::npos) {
    const std::size_t length = escape_length(line.substr(escape));
    const std::size_t keep_to = length == 0 ? escape + 1 : escape;
    std::memcpy(out, line.data() + from, keep_to - from);
    out += keep_to - from;
    from = length == 0 ? keep_to : escape + length;
    escape = find_escape(line, from);
  }
  std::memcpy(out, line.data() + from, line.size() - from);
  out += line.size() - from;
  arena.shrink(out);
  return {begin, static_cast<std::size_t>(out - begin)};
}

Result<StagePtr> compile_regexp(const logql::RegexpStage& stage) {
  RegexpConfig config;
  SKALD_TRY(config.regex, logql::compile_regexp_parser(stage.regex));
  for (const auto& [name, number] : config.regex->NamedCapturingGroups()) {
    std::string label;
    append_label_name(label, name);
    if (!label.empty()) config.groups.emplace_back(number, std::move(label));
  }
  std::sort(config.groups.begin(), config.groups.end());
  if (auto literal = required_literal(stage.regex)) config.required.emplace(literal->text, literal->fold_case);
  return StagePtr(std::make_unique<RegexpParser>(std::move(config)));
}

Result<StagePtr> compile_pattern(const logql::PatternStage& stage) {
  SKALD_TRY(logql::PatternExpression parts, logql::parse_pattern(stage.pattern));
  return StagePtr(std::make_unique<PatternParser>(std::move(parts)));
}

StagePtr compile_decolorize() { return std::make_unique<DecolorizeStage>(); }

}  // namespace skald::engine
