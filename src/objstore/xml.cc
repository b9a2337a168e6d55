#include "objstore/xml.h"

#include <pugixml.hpp>

namespace skald::objstore {
namespace {

bool copy_element(const pugi::xml_node& from, XmlNode& to, std::size_t depth) {
  if (depth > kXmlDepthMax) return false;
  const std::string_view name = from.name();
  to.name = std::string(name.substr(name.find(':') + 1));   // npos + 1 is 0
  for (const pugi::xml_node& child : from.children()) {
    switch (child.type()) {
      case pugi::node_element:
        if (!copy_element(child, to.children.emplace_back(), depth + 1)) return false;
        break;
      case pugi::node_pcdata:
      case pugi::node_cdata:
        to.text += child.value();
        break;
      default:
        break;
    }
  }
  return true;
}

}  // namespace

const XmlNode* XmlNode::child(std::string_view child_name) const {
  for (const XmlNode& node : children) {
    if (node.name == child_name) return &node;
  }
  return nullptr;
}

std::string_view XmlNode::child_text(std::string_view child_name) const {
  const XmlNode* node = child(child_name);
  return node != nullptr ? std::string_view(node->text) : std::string_view();
}

Result<XmlNode> parse_xml(ByteView document) {
  if (document.size() > kXmlBytesMax) return Error(ErrorCode::kCorruption, "XML answer: larger than 16 MiB");
  pugi::xml_document parsed;
  constexpr unsigned kOptions = pugi::parse_default | pugi::parse_ws_pcdata_single;   // a key may be one blank
  const pugi::xml_parse_result result = parsed.load_buffer(document.data(), document.size(), kOptions, pugi::encoding_utf8);
  if (!result) {
    return Error(ErrorCode::kCorruption, std::string("XML answer: ") + result.description() + " at byte " + std::to_string(result.offset));
  }
  XmlNode root;
  if (!copy_element(parsed.document_element(), root, 1)) return Error(ErrorCode::kCorruption, "XML answer: more than 32 levels deep");
  return root;
}

std::string xml_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&apos;"; break;
      case '\r': out += "&#13;"; break;   // a reader makes a line feed of it
      default: out += c;
    }
  }
  return out;
}

}  // namespace skald::objstore
