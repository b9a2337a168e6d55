#include "objstore/s3_answers.h"

#include <algorithm>
#include <charconv>

#include "objstore/xml.h"

namespace skald::objstore {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Query encoding: AWS writes a blank as '+'. Anything malformed stays as it is.
std::string url_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

Error unexpected(const XmlNode& root, const char* wanted) {
  return Error(ErrorCode::kCorruption, std::string("answer is no ") + wanted + " but '" + root.name.substr(0, 50) + "'");
}

}  // namespace

S3Fault read_s3_fault(const http::ClientResponse& response) {
  S3Fault fault;
  if (const std::string* region = response.header("x-amz-bucket-region")) fault.region = *region;
  if (response.body.find('<') != std::string::npos) {
    if (const Result<XmlNode> root = parse_xml(response.body); root.ok()) {
      // Some answers wrap it: <ErrorResponse><Error>…
      const XmlNode* error = root->child("Error") != nullptr ? root->child("Error") : &*root;
      fault.code = std::string(error->child_text("Code"));
      fault.message = std::string(error->child_text("Message"));
      fault.endpoint = std::string(error->child_text("Endpoint"));
      fault.header = std::string(error->child_text("Header"));
      if (fault.region.empty()) fault.region = std::string(error->child_text("Region"));
    }
  }
  if (!fault.code.empty()) return fault;
  switch (response.status) {
    case 301: fault.code = "PermanentRedirect"; break;
    case 304: fault.code = "NotModified"; break;
    case 403: fault.code = "AccessDenied"; break;
    case 404: fault.code = "NoSuchKey"; break;
    case 409: fault.code = "OperationAborted"; break;
    case 412: fault.code = "PreconditionFailed"; break;
    case 416: fault.code = "InvalidRange"; break;
    case 501: fault.code = "NotImplemented"; break;
    default: break;
  }
  return fault;
}

Result<ListPage> parse_s3_list(std::string_view xml) {
  SKALD_TRY(const XmlNode root, parse_xml(xml));
  if (root.name != "ListBucketResult") return unexpected(root, "listing");
  const bool encoded = root.child_text("EncodingType") == "url";
  const auto text = [&](std::string_view value) { return encoded ? url_decode(value) : std::string(value); };
  ListPage page;
  for (const XmlNode& node : root.children) {
    if (node.name == "Contents") {
      ObjectInfo object;
      object.key = text(node.child_text("Key"));
      const std::string_view size = node.child_text("Size");
      const auto [end, bad] = std::from_chars(size.data(), size.data() + size.size(), object.size);
      if (object.key.empty() || bad != std::errc() || end != size.data() + size.size()) return Error(ErrorCode::kCorruption, "listing: an entry without key or size");
      if (!object.key.ends_with('/')) page.objects.push_back(std::move(object));
    } else if (node.name == "CommonPrefixes") {
      page.folders.push_back(text(node.child_text("Prefix")));
      if (page.folders.back().empty()) return Error(ErrorCode::kCorruption, "listing: a prefix without a name");
    }
  }
  if (root.child_text("IsTruncated") == "true") {
    page.next = std::string(root.child_text("NextContinuationToken"));
    if (page.next.empty()) return Error(ErrorCode::kCorruption, "listing: cut off without a token for the rest (the store must know ListObjectsV2)");
  }
  std::sort(page.objects.begin(), page.objects.end(), [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  std::sort(page.folders.begin(), page.folders.end());
  return page;
}

Result<std::vector<S3DeleteFault>> parse_s3_delete(std::string_view xml) {
  SKALD_TRY(const XmlNode root, parse_xml(xml));
  if (root.name != "DeleteResult") return unexpected(root, "delete result");
  std::vector<S3DeleteFault> faults;
  for (const XmlNode& node : root.children) {
    if (node.name != "Error" || node.child_text("Code") == "NoSuchKey") continue;
    faults.push_back({std::string(node.child_text("Key")), std::string(node.child_text("Code")), std::string(node.child_text("Message"))});
  }
  return faults;
}

Result<std::string> parse_s3_upload_id(std::string_view xml) {
  SKALD_TRY(const XmlNode root, parse_xml(xml));
  std::string id(root.child_text("UploadId"));
  if (root.name != "InitiateMultipartUploadResult" || id.empty()) return unexpected(root, "started upload");
  return id;
}

std::string s3_complete_request(const std::vector<S3Part>& parts) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    xml += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + xml_escape(parts[i].etag) + "</ETag>";
    if (!parts[i].crc32c.empty()) xml += "<ChecksumCRC32C>" + parts[i].crc32c + "</ChecksumCRC32C>";
    xml += "</Part>";
  }
  return xml + "</CompleteMultipartUpload>";
}

bool can_be_in_xml(std::string_view key) {
  return std::none_of(key.begin(), key.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

std::string s3_delete_request(const std::vector<std::string_view>& keys) {
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
  for (const std::string_view key : keys) xml += "<Object><Key>" + xml_escape(key) + "</Key></Object>";
  return xml + "</Delete>";
}

}  // namespace skald::objstore
