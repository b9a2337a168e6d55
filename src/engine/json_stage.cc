#include "engine/json_stage.h"

#include <cstring>
#include <unordered_map>

#include "engine/json_paths.h"
#include "engine/json_text.h"
#include "engine/label_text.h"

namespace skald::engine {
namespace {

// One member name below one parent, as met in some line. Lines of a stream mostly have the same members in the same
// order, so each node remembers who followed it: the next key is then one memcmp instead of a look-up.
struct Member {
  std::string quoted;            // the key's bytes as written, and the closing quote
  std::string name;              // label name of a scalar here; "" = none
  LabelSlot* slot = nullptr;     // nullptr: no later stage wants it
  bool wanted_inside = false;    // some label below is wanted
  Member* next = nullptr;
  Member* first_child = nullptr;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unique_ptr<std::unordered_map<std::string, std::unique_ptr<Member>, Hash, std::equal_to<>>> children;
};

constexpr int kMaxDepth = 128;               // deeper objects give no labels
constexpr std::size_t kMaxMembers = 100'000; // forget and learn again: keys may be ids

class JsonRunner final : public StageRunner {
 public:
  explicit JsonRunner(LabelTable& labels) : labels_(labels) { reset(); }

  void run(Batch& batch) override {
    if (members_ > kMaxMembers) reset();
    batch_ = &batch;
    const auto wanted = static_cast<std::int64_t>(labels_.needed_count());
    for (const std::uint32_t row : batch.selection) {
      row_ = row;
      left_ = labels_.needs_all() ? -1 : wanted;   // never reaches 0 when all are wanted
      done_ = false;
      error_ = JsonError::kNone;
      parse(batch.line(row));
      if (error_ != JsonError::kNone) batch.set_error(row, RowError::kJson, json_error_text(error_));
    }
  }

 private:
  void reset() {
    root_ = Member();
    root_.wanted_inside = true;
    members_ = 0;
  }

  void parse(std::string_view line) {
    const char* const end = line.data() + line.size();
    const char* const at = skip_json_space(line.data(), end);
    if (at == end || *at != '{') {
      error_ = JsonError::kObject;
      return;
    }
    parse_object(root_, at + 1, end, 0);
  }

  const char* fail(JsonError error) {
    error_ = error;
    return nullptr;
  }

  // `at` is behind the '{'. Returns one past the '}'; nullptr when error_ or done_ is set.
  const char* parse_object(Member& parent, const char* at, const char* end, int depth) {
    Member* previous = nullptr;
    at = skip_json_space(at, end);
    if (at == end) return fail(JsonError::kObject);
    for (;;) {
      if (*at == '}') return at + 1;
      if (*at != '"') return fail(JsonError::kObject);
      ++at;
      Member*& expected = previous == nullptr ? parent.first_child : previous->next;
      Member* member = expected;
      if (member != nullptr && static_cast<std::size_t>(end - at) >= member->quoted.size() &&
          std::memcmp(at, member->quoted.data(), member->quoted.size()) == 0) {
        at += member->quoted.size();
      } else {
        const JsonString key = scan_json_string(at, end);
        if (key.close == nullptr) return fail(JsonError::kMalformed);
        member = find_member(parent, {at, static_cast<std::size_t>(key.close + 1 - at)}, key.escaped);
        if (member == nullptr) return fail(JsonError::kEscape);
        expected = member;
        at = key.close + 1;
      }
      previous = member;
      at = skip_json_space(at, end);
      if (at == end || *at != ':') return fail(JsonError::kMalformed);
      at = skip_json_space(at + 1, end);
      if (at == end) return fail(JsonError::kMalformed);
      at = parse_value(*member, at, end, depth);
      if (at == nullptr) return nullptr;
      at = skip_json_space(at, end);
      if (at == end) return fail(JsonError::kArray);   // sic: the text Loki gives
      if (*at == '}') return at + 1;
      if (*at != ',') return fail(JsonError::kObject);
      at = skip_json_space(at + 1, end);
      if (at == end) return fail(JsonError::kObject);
    }
  }

  const char* parse_value(Member& member, const char* at, const char* end, int depth) {
    switch (*at) {
      case '"': {
        const JsonString text = scan_json_string(at + 1, end);
        if (text.close == nullptr) return fail(JsonError::kString);
        if (member.slot != nullptr) {
          const std::string_view raw(at + 1, static_cast<std::size_t>(text.close - at - 1));
          return set(member, json_string_value(raw, text.escaped, text.non_ascii, batch_->arena), text.close + 1);
        }
        return text.close + 1;
      }
      case '{': {
        // An object that does not end gives no labels at all; inside one that does, inner objects end as well.
        if (depth == 0 || !member.wanted_inside || depth >= kMaxDepth) {
          const char* const close = skip_json_block(at, end, '{', '}');
          if (close == nullptr) return fail(JsonError::kObject);
          if (!member.wanted_inside || depth >= kMaxDepth) return close;
        }
        return parse_object(member, at + 1, end, depth + 1);
      }
      case '[': {
        const char* const close = skip_json_block(at, end, '[', ']');
        return close == nullptr ? fail(JsonError::kArray) : close;
      }
      default: {
        const char* const close = scan_json_token(at, end);
        const std::string_view token(at, static_cast<std::size_t>(close - at));
        const char c = *at;
        if ((c >= '0' && c <= '9') || c == '-' || token == "true" || token == "false") {
          return member.slot != nullptr ? set(member, token, close) : close;
        }
        return token == "null" ? close : fail(JsonError::kUnknownType);
      }
    }
  }

  const char* set(Member& member, std::string_view value, const char* next) {
    if (labels_.set_parsed(*member.slot, row_, value) && --left_ == 0) {
      done_ = true;   // everything asked for is there: the rest of the line is not looked at
      return nullptr;
    }
    return next;
  }

  // `quoted`: key bytes and the closing quote. nullptr: bad escape.
  Member* find_member(Member& parent, std::string_view quoted, bool escaped) {
    if (parent.children == nullptr) parent.children = std::make_unique<decltype(parent.children)::element_type>();
    const auto found = parent.children->find(quoted);
    if (found != parent.children->end()) return found->second.get();
    std::string_view key = quoted.substr(0, quoted.size() - 1);
    if (escaped) {
      key = unescape_json(key, batch_->arena);
      if (key.data() == nullptr) return nullptr;
    }
    auto made = std::make_unique<Member>();
    made->quoted = quoted;
    made->name = parent.name;
    std::string part;
    append_label_name(part, key);
    if (!part.empty()) {
      if (parent.name.empty()) {
        made->name = part;
      } else {
        // The '_' before a digit belongs at the start of the whole name only.
        std::string inner = "x";
        append_label_name(inner, key);
        made->name.push_back('_');
        made->name.append(inner, 1);
      }
    }
    // A blank key adds nothing to the name: inside an object its value has the object's own.
    if (!made->name.empty() && labels_.needs(made->name)) made->slot = &labels_.slot(made->name);
    made->wanted_inside = made->name.empty() || made->slot != nullptr || labels_.needs_prefix(made->name + "_");
    ++members_;
    return parent.children->emplace(made->quoted, std::move(made)).first->second.get();
  }

  LabelTable& labels_;
  Batch* batch_ = nullptr;
  Member root_;
  std::size_t members_ = 0;
  std::uint32_t row_ = 0;
  std::int64_t left_ = 0;
  bool done_ = false;
  JsonError error_ = JsonError::kNone;
};

class JsonStage final : public CompiledStage {
 public:
  JsonStage() {
    traits_.reads_line = true;
    traits_.parser = true;
  }
  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override { return std::make_unique<JsonRunner>(labels); }

 private:
  StageTraits traits_;
};

}  // namespace

Result<StagePtr> compile_json(const logql::JsonStage& stage) {
  if (stage.extractions.empty()) return StagePtr(std::make_unique<JsonStage>());
  return compile_json_paths(stage);
}

}  // namespace skald::engine
