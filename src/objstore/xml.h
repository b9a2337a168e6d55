// The few XML answers of S3 and Azure: small documents read whole into a tree of names and texts. Over pugixml, which
// knows no external entities and expands none of its own.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::objstore {

struct XmlNode {
  std::string name;                  // without namespace prefix
  std::string text;                  // its own text, entities resolved, white space at both ends kept
  std::vector<XmlNode> children;     // elements only; attributes are left out

  const XmlNode* child(std::string_view child_name) const;          // first; nullptr: none
  std::string_view child_text(std::string_view child_name) const;   // "": none; valid as long as the node
};

inline constexpr std::size_t kXmlBytesMax = 16 << 20;    // a listing of 1,000 keys of 1 KiB, each byte as "%xx", is 4 MiB
inline constexpr std::size_t kXmlDepthMax = 32;

// The root element. kCorruption: not XML, or above the limits.
Result<XmlNode> parse_xml(ByteView document);

// `text` with & < > " ' as entities: for elements and attributes.
std::string xml_escape(std::string_view text);

}  // namespace skald::objstore
