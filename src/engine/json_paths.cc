#include "engine/json_paths.h"

#include <algorithm>

#include "engine/json_text.h"
#include "engine/label_text.h"

namespace skald::engine {
namespace {

// Paths merged into a tree of steps.
struct PathNode {
  logql::JsonPathStep step;
  std::vector<std::uint32_t> ends;     // extractions whose path ends here
  std::vector<PathNode> children;
};

constexpr int kMaxDepth = 128;

class JsonPathsRunner final : public StageRunner {
 public:
  JsonPathsRunner(const PathNode& root, const std::vector<std::string>& names, LabelTable& labels)
      : root_(root), labels_(labels), found_(names.size()) {
    for (const std::string& name : names) slots_.push_back(&labels.slot(name));
  }

  void run(Batch& batch) override {
    batch_ = &batch;
    for (const std::uint32_t row : batch.selection) {
      const std::string_view line = batch.line(row);
      if (line.empty()) continue;
      if (line[0] != '{' && line[0] != '[' && line[0] != '"') {
        batch.set_error(row, RowError::kJson, {});
        continue;
      }
      row_ = row;
      left_ = slots_.size();
      std::fill(found_.begin(), found_.end(), std::uint8_t{0});
      failed_ = false;
      const char* const end = line.data() + line.size();
      if (line[0] == '{') walk_object(root_, line.data() + 1, end, 0);
      if (line[0] == '[') walk_array(root_, line.data() + 1, end, 0);
      if (failed_) batch.set_error(row, RowError::kJson, {});
      if (left_ == 0) continue;
      for (std::size_t i = 0; i < slots_.size(); ++i) {
        std::string_view ignored;
        if (found_[i] == 0 && !labels_.get(*slots_[i], row, ignored)) labels_.assign(*slots_[i], row, {"", 0});
      }
    }
  }

 private:
  // Both walks return one past the closing bracket, nullptr when the text ends the search (malformed, or all found).
  const char* walk_object(const PathNode& node, const char* at, const char* end, int depth) {
    at = skip_json_space(at, end);
    for (;;) {
      if (at == end) return nullptr;
      if (*at == '}') return at + 1;
      if (*at != '"') return nullptr;
      const JsonString text = scan_json_string(at + 1, end);
      if (text.close == nullptr) return nullptr;
      std::string_view key(at + 1, static_cast<std::size_t>(text.close - at - 1));
      if (text.escaped) key = unescape_json(key, batch_->arena);
      at = skip_json_space(text.close + 1, end);
      if (at == end || *at != ':') return nullptr;
      at = skip_json_space(at + 1, end);
      if (at == end) return nullptr;
      const PathNode* match = nullptr;
      for (const PathNode& child : node.children) {
        if (!child.step.is_index && child.step.key == key) match = &child;
      }
      at = walk_value(match, at, end, depth);
      if (at == nullptr) return nullptr;
      at = skip_json_space(at, end);
      if (at == end) return nullptr;
      if (*at == '}') return at + 1;
      if (*at != ',') return nullptr;
      at = skip_json_space(at + 1, end);
    }
  }

  const char* walk_array(const PathNode& node, const char* at, const char* end, int depth) {
    at = skip_json_space(at, end);
    for (std::uint64_t index = 0;; ++index) {
      if (at == end) return nullptr;
      if (*at == ']') return at + 1;
      const PathNode* match = nullptr;
      for (const PathNode& child : node.children) {
        if (child.step.is_index && child.step.index == index) match = &child;
      }
      at = walk_value(match, at, end, depth);
      if (at == nullptr) return nullptr;
      at = skip_json_space(at, end);
      if (at == end) return nullptr;
      if (*at == ']') return at + 1;
      if (*at != ',') return nullptr;
      at = skip_json_space(at + 1, end);
    }
  }

  const char* walk_value(const PathNode* node, const char* at, const char* end, int depth) {
    const bool ends_here = node != nullptr && !node->ends.empty();
    const char* close = nullptr;
    std::string_view value;
    if (*at == '"') {
      const JsonString text = scan_json_string(at + 1, end);
      if (text.close != nullptr) {
        close = text.close + 1;
        const std::string_view raw(at + 1, static_cast<std::size_t>(text.close - at - 1));
        if (ends_here) value = json_string_value(raw, text.escaped, text.non_ascii, batch_->arena);
      }
    } else if (*at == '{' || *at == '[') {
      const bool object = *at == '{';
      if (node != nullptr && !node->children.empty() && depth < kMaxDepth && !ends_here) {
        return object ? walk_object(*node, at + 1, end, depth + 1) : walk_array(*node, at + 1, end, depth + 1);
      }
      close = skip_json_block(at, end, object ? '{' : '[', object ? '}' : ']');
      if (close != nullptr && ends_here) {
        value = {at, static_cast<std::size_t>(close - at)};
        if (!node->children.empty() && depth < kMaxDepth) {   // a path ends here and another goes on
          set(*node, value);
          if (left_ == 0) return nullptr;
          const char* const inner = object ? walk_object(*node, at + 1, close, depth + 1) : walk_array(*node, at + 1, close, depth + 1);
          return inner == nullptr && left_ == 0 ? nullptr : close;
        }
      }
    } else {
      close = scan_json_token(at, end);
      if (close == at) return nullptr;
      value = {at, static_cast<std::size_t>(close - at)};
      const bool number = (*at >= '0' && *at <= '9') || *at == '-';
      if (value == "null") value = {"", 0};
      else if (!number && value != "true" && value != "false") close = nullptr;
    }
    if (close == nullptr) {
      failed_ |= ends_here;
      return nullptr;
    }
    if (ends_here) {
      set(*node, present(value));
      if (left_ == 0) return nullptr;
    }
    return close;
  }

  void set(const PathNode& node, std::string_view value) {
    for (const std::uint32_t index : node.ends) {
      if (found_[index] != 0) continue;
      found_[index] = 1;
      --left_;
      labels_.overwrite_parsed(*slots_[index], row_, value);
    }
  }

  const PathNode& root_;
  LabelTable& labels_;
  std::vector<LabelSlot*> slots_;
  std::vector<std::uint8_t> found_;
  Batch* batch_ = nullptr;
  std::uint32_t row_ = 0;
  std::size_t left_ = 0;
  bool failed_ = false;
};

class JsonPathsStage final : public CompiledStage {
 public:
  JsonPathsStage() {
    traits_.reads_line = true;
    traits_.parser = true;
  }
  void add(const std::string& name, const logql::JsonPath& path) {
    PathNode* node = &root_;
    for (const logql::JsonPathStep& step : path) {
      auto child = std::find_if(node->children.begin(), node->children.end(), [&](const PathNode& c) { return c.step == step; });
      if (child == node->children.end()) {
        node->children.push_back({step, {}, {}});
        child = node->children.end() - 1;
      }
      node = &*child;
    }
    node->ends.push_back(static_cast<std::uint32_t>(names_.size()));
    names_.push_back(name);
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override {
    return std::make_unique<JsonPathsRunner>(root_, names_, labels);
  }

 private:
  PathNode root_;
  std::vector<std::string> names_;
  StageTraits traits_;
};

// `| unpack`: what `pack` made of a line: string members are labels, `_entry` is the line.
class UnpackRunner final : public StageRunner {
 public:
  explicit UnpackRunner(LabelTable& labels) : labels_(labels) {}

  void run(Batch& batch) override {
    for (const std::uint32_t row : batch.selection) {
      const std::string_view line = batch.line(row);
      if (line.empty()) continue;
      if (line[0] != '{') {
        batch.set_error(row, RowError::kJson, "expecting json object(6), but it is not");
        continue;
      }
      members_.clear();
      packed_ = false;
      const JsonError error = read(batch, line.data() + 1, line.data() + line.size());
      if (error != JsonError::kNone) {
        batch.set_error(row, RowError::kJson, json_error_text(error));
        continue;
      }
      if (!packed_) continue;   // labels come with an entry only
      for (const auto& [name, value] : members_) {
        if (labels_.needs(name)) labels_.overwrite_parsed(labels_.slot(name), row, value);   // the last one wins
      }
      batch.set_line(row, entry_);
    }
  }

 private:
  JsonError read(Batch& batch, const char* at, const char* end) {
    at = skip_json_space(at, end);
    for (;;) {
      if (at == end) return JsonError::kObject;
      if (*at == '}') return JsonError::kNone;
      if (*at != '"') return JsonError::kObject;
      const JsonString key_text = scan_json_string(at + 1, end);
      if (key_text.close == nullptr) return JsonError::kMalformed;
      std::string_view key(at + 1, static_cast<std::size_t>(key_text.close - at - 1));
      if (key_text.escaped) {
        key = unescape_json(key, batch.arena);
        if (key.data() == nullptr) return JsonError::kEscape;
      }
      at = skip_json_space(key_text.close + 1, end);
      if (at == end || *at != ':') return JsonError::kMalformed;
      at = skip_json_space(at + 1, end);
      if (at == end) return JsonError::kMalformed;
      if (*at == '"') {
        const JsonString text = scan_json_string(at + 1, end);
        if (text.close == nullptr) return JsonError::kString;
        const std::string_view raw(at + 1, static_cast<std::size_t>(text.close - at - 1));
        add(key, json_string_value(raw, text.escaped, text.non_ascii, batch.arena));
        at = text.close + 1;
      } else if (*at == '{') {
        at = skip_json_block(at, end, '{', '}');
        if (at == nullptr) return JsonError::kObject;
      } else if (*at == '[') {
        at = skip_json_block(at, end, '[', ']');
        if (at == nullptr) return JsonError::kArray;
      } else {
        const char* const close = scan_json_token(at, end);
        const std::string_view token(at, static_cast<std::size_t>(close - at));
        const bool number = (*at >= '0' && *at <= '9') || *at == '-';
        if (!number && token != "true" && token != "false" && token != "null") return JsonError::kUnknownType;
        at = close;
      }
      at = skip_json_space(at, end);
      if (at == end) return JsonError::kArray;
      if (*at == '}') return JsonError::kNone;
      if (*at != ',') return JsonError::kObject;
      at = skip_json_space(at + 1, end);
    }
  }

  void add(std::string_view key, std::string_view value) {
    if (key == "_entry") {
      packed_ = true;
      entry_ = value;
      return;
    }
    std::string name;
    append_label_name(name, key);
    if (!name.empty()) members_.emplace_back(std::move(name), value);
  }

  LabelTable& labels_;
  std::vector<std::pair<std::string, std::string_view>> members_;
  std::string_view entry_;
  bool packed_ = false;
};

class UnpackStage final : public CompiledStage {
 public:
  UnpackStage() {
    traits_.reads_line = true;
    traits_.writes_line = true;
    traits_.parser = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override { return std::make_unique<UnpackRunner>(labels); }

 private:
  StageTraits traits_;
};

}  // namespace

Result<StagePtr> compile_json_paths(const logql::JsonStage& stage) {
  auto made = std::make_unique<JsonPathsStage>();
  for (const logql::LabelExtraction& extraction : stage.extractions) {
    SKALD_TRY(const logql::JsonPath path, logql::parse_json_path(extraction.expression));
    made->add(extraction.label, path);
  }
  return StagePtr(std::move(made));
}

StagePtr compile_unpack() { return std::make_unique<UnpackStage>(); }

}  // namespace skald::engine
