// Any bytes: no crash, bounded depth, and what was read says the same when written and read again.
#include <cstdlib>

#include "objstore/xml.h"

namespace {

using skald::objstore::XmlNode;

std::string write(const XmlNode& node) {
  std::string out = "<n>" + skald::objstore::xml_escape(node.text);
  for (const XmlNode& child : node.children) out += write(child);
  return out + "</n>";
}

std::size_t depth(const XmlNode& node) {
  std::size_t deepest = 0;
  for (const XmlNode& child : node.children) deepest = std::max(deepest, depth(child));
  return deepest + 1;
}

bool same(const XmlNode& a, const XmlNode& b) {
  if (a.text != b.text || a.children.size() != b.children.size()) return false;
  for (std::size_t i = 0; i < a.children.size(); ++i) {
    if (!same(a.children[i], b.children[i])) return false;
  }
  return true;
}

// White space alone is kept only where an element has nothing else.
bool blank_beside_children(const XmlNode& node) {
  if (!node.children.empty() && node.text.find_first_not_of(" \t\r\n") == std::string::npos && !node.text.empty()) return true;
  for (const XmlNode& child : node.children) {
    if (blank_beside_children(child)) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view document(reinterpret_cast<const char*>(data), size);
  const auto root = skald::objstore::parse_xml(document);
  if (!root.ok()) return 0;
  if (depth(*root) > skald::objstore::kXmlDepthMax) std::abort();
  if (document.find('\0') != std::string_view::npos || blank_beside_children(*root)) return 0;
  const auto again = skald::objstore::parse_xml(write(*root));
  if (!again.ok() || !same(*root, *again)) std::abort();
  return 0;
}
