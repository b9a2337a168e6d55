#include "objstore/azure_xml.h"

#include <algorithm>
#include <charconv>

#include "objstore/xml.h"

namespace skald::objstore {
namespace {

Error bad(const std::string& why) { return Error(ErrorCode::kUnavailable, "listing: " + why); }

// A name that XML cannot hold comes percent-encoded: <Name Encoded="true">. The attribute is not seen here, but keys of
// ours never need it, so that such an entry is another program's object under its encoded name.
Result<void> add_blob(const XmlNode& blob, ListPage& page) {
  const XmlNode* properties = blob.child("Properties");
  const std::string_view name = blob.child_text("Name");
  if (properties == nullptr || name.empty()) return bad("a blob has no name or no properties");
  if (properties->child_text("ResourceType") == "directory") return {};
  const std::string_view size_text = properties->child_text("Content-Length");
  std::uint64_t size = 0;
  const auto [rest, failed] = std::from_chars(size_text.data(), size_text.data() + size_text.size(), size);
  if (failed != std::errc() || rest != size_text.data() + size_text.size()) return bad("blob '" + std::string(name) + "' has no size");
  page.objects.push_back({std::string(name), size});
  return {};
}

}  // namespace

Result<ListPage> parse_azure_list(std::string_view xml) {
  auto root = parse_xml(xml);
  if (!root.ok()) return bad(root.error().message());
  const XmlNode* blobs = root->child("Blobs");
  if (root->name != "EnumerationResults" || blobs == nullptr) return bad("not an answer of List Blobs");
  ListPage page;
  for (const XmlNode& entry : blobs->children) {
    if (entry.name == "Blob") {
      SKALD_TRY_VOID(add_blob(entry, page));
    } else if (entry.name == "BlobPrefix") {
      const std::string_view name = entry.child_text("Name");
      if (name.empty()) return bad("a folder has no name");
      page.folders.emplace_back(name);
    }
  }
  page.next = root->child_text("NextMarker");
  return page;
}

AzureError parse_azure_error(std::string_view xml) {
  if (xml.empty()) return {};
  const auto root = parse_xml(xml);
  if (!root.ok() || root->name != "Error") return {};
  return {.code = std::string(root->child_text("Code")), .message = std::string(root->child_text("Message"))};
}

std::string azure_block_list(const std::vector<std::string>& block_ids) {
  std::string xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
  for (const std::string& id : block_ids) xml += "<Latest>" + xml_escape(id) + "</Latest>";   // also finds them after a first, lost success
  return xml + "</BlockList>";
}

}  // namespace skald::objstore
