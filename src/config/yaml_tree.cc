#include "yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <cctype>
#include <cstring>
#include <map>
#include <sstream>

namespace skald::config {
namespace {

constexpr std::size_t kNodesMax = 200'000;
constexpr int kDepthMax = 64;
constexpr std::size_t kTextBytesMax = 8 << 20;

Error yaml_error(int line, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, "yaml: line " + std::to_string(line) + ": " + what);
}

// yaml-cpp 0.7 makes empty documents without end out of a ',' between documents: LoadAll(",") fills the memory. A document
// that begins where the one before it began is that.
class ProgressCheck final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos == last_start_) throw YAML::ParserException(mark, "unexpected ',' or end of a list outside of any list");
    last_start_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int last_start_ = -1;
};

void check_documents_end(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  ProgressCheck check;
  while (parser.HandleNextDocument(check)) {}
}

class Converter {
 public:
  Result<YamlNode> convert(const YAML::Node& in, int depth) {
    if (++nodes_ > kNodesMax || depth > kDepthMax) return yaml_error(in.Mark().line + 1, "document is too large or too deep");
    YamlNode out;
    out.line = in.Mark().line + 1;
    switch (in.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return out;
      case YAML::NodeType::Scalar:
        out.kind = YamlNode::Kind::kScalar;
        out.scalar = in.Scalar();
        out.quoted = in.Tag() == "!" || in.Tag() == "tag:yaml.org,2002:str";
        return out;
      case YAML::NodeType::Sequence:
        out.kind = YamlNode::Kind::kSequence;
        for (const auto& item : in) {
          SKALD_TRY(YamlNode child, convert(item, depth + 1));
          out.items.push_back(std::move(child));
        }
        return out;
      case YAML::NodeType::Map:
        return convert_map(in, std::move(out), depth);
    }
    return out;
  }

 private:
  Result<YamlNode> convert_map(const YAML::Node& in, YamlNode out, int depth) {
    out.kind = YamlNode::Kind::kMap;
    std::map<std::string, int> seen;
    std::vector<YamlNode> merges;
    for (const auto& entry : in) {
      SKALD_TRY(YamlNode key, convert(entry.first, depth + 1));
      SKALD_TRY(YamlNode value, convert(entry.second, depth + 1));
      if (key.kind == YamlNode::Kind::kNull) key.scalar = "null";
      if (key.kind == YamlNode::Kind::kMap || key.kind == YamlNode::Kind::kSequence)
        return yaml_error(key.line, "a mapping key must be a plain value");
      if (key.scalar == "<<" && !key.quoted) {
        merges.push_back(std::move(value));
        continue;
      }
      const auto [at, fresh] = seen.emplace(key.scalar, key.line);
      if (!fresh)
        return yaml_error(key.line, "mapping key \"" + key.scalar + "\" already defined at line " + std::to_string(at->second));
      out.entries.push_back({std::move(key), std::move(value)});
    }
    for (YamlNode& merge : merges) SKALD_TRY_VOID(merge_into(out, merge, seen));
    return out;
  }

  // Own keys win over merged ones, earlier merged maps over later ones.
  static Result<void> merge_into(YamlNode& out, YamlNode& merge, std::map<std::string, int>& seen) {
    if (merge.kind == YamlNode::Kind::kSequence) {
      for (YamlNode& item : merge.items) SKALD_TRY_VOID(merge_into(out, item, seen));
      return {};
    }
    if (merge.kind != YamlNode::Kind::kMap) return yaml_error(merge.line, "map merge requires map or sequence of maps as the value");
    for (auto& entry : merge.entries)
      if (seen.emplace(entry.first.scalar, entry.first.line).second) out.entries.push_back(std::move(entry));
    return {};
  }

  std::size_t nodes_ = 0;
};

}  // namespace

const YamlNode* YamlNode::find(const std::string& key) const {
  for (const auto& [name, value] : entries)
    if (name.scalar == key) return &value;
  return nullptr;
}

Result<YamlNode> parse_yaml(const std::string& text) {
  if (text.size() > kTextBytesMax) return Error(ErrorCode::kInvalidArgument, "yaml: file is larger than 8 MiB");
  try {
    check_documents_end(text);
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty()) return YamlNode{};
    return Converter().convert(documents.front(), 0);
  } catch (const YAML::Exception& error) {
    return yaml_error(error.mark.line + 1, error.msg);
  }
}

std::string flow_text(const YamlNode& node) {
  std::string out;
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "null";
    case YamlNode::Kind::kScalar: return yaml_quote(node.scalar);
    case YamlNode::Kind::kSequence:
      for (const YamlNode& item : node.items) out += (out.empty() ? "" : ", ") + flow_text(item);
      return "[" + out + "]";
    case YamlNode::Kind::kMap:
      for (const YamlNode::Entry& entry : node.entries) out += (out.empty() ? "" : ", ") + flow_text(entry.first) + ": " + flow_text(entry.second);
      return "{" + out + "}";
  }
  return out;
}

std::string yaml_quote(const std::string& text) {
  static constexpr std::string_view kReserved[] = {"true", "false", "null", "yes", "no", "on", "off", "~", "True", "False", "Null", "NULL", "TRUE", "FALSE", "y", "n", "Y", "N", "Yes", "No", "On", "Off", "YES", "NO", "ON", "OFF", "<<", "=", ".inf", ".nan", ".NaN", ".Inf"};
  bool bare = !text.empty();
  bool number_like = true;
  bool control = false;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f) control = true;
    if (!std::isalnum(u) && !std::strchr("_-./+", c)) bare = false;
    if (!std::isdigit(u) && !std::strchr("+-._eExXoabcdfABCDF", c)) number_like = false;
  }
  if (bare && (number_like || std::strchr("-.", text.front()))) bare = false;
  for (const std::string_view word : kReserved)
    if (text == word) bare = false;
  if (bare) return text;
  if (!control) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
    return out + "'";
  }
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c == '"' || c == '\\') { out += '\\'; out += c; }
    else if (u < 0x20 || u == 0x7f) { static constexpr char kHex[] = "0123456789abcdef"; out += "\\x"; out += kHex[u >> 4]; out += kHex[u & 15]; }
    else out += c;
  }
  return out + "\"";
}

}  // namespace skald::config
