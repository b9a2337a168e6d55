#include "objstore/gcs_answers.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "objstore/jwt.h"
#include "skald/codec/crc32c.h"

namespace skald::objstore {
namespace {

std::string_view text_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd() || !found->value.IsString()) return {};
  return {found->value.GetString(), found->value.GetStringLength()};
}

// The service writes 64-bit numbers as text.
std::optional<std::uint64_t> number_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd()) return std::nullopt;
  if (found->value.IsUint64()) return found->value.GetUint64();
  const std::string_view text = text_of(object, name);
  std::uint64_t number = 0;
  const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failed != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return number;
}

const rapidjson::Value* array_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  return found != object.MemberEnd() && found->value.IsArray() ? &found->value : nullptr;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return (x | 32) == (y | 32); });
}

}  // namespace

Result<ListPage> parse_gcs_list(std::string_view json) {
  const auto bad = [](const char* why) { return Error(ErrorCode::kUnavailable, std::string("listing: ") + why); };
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return bad("not a JSON object");
  ListPage page;
  if (const rapidjson::Value* items = array_of(document, "items")) {
    page.objects.reserve(items->Size());
    for (const rapidjson::Value& item : items->GetArray()) {
      if (!item.IsObject()) return bad("an item is not an object");
      const auto size = number_of(item, "size");
      const std::string_view name = text_of(item, "name");
      if (!size.has_value() || name.empty()) return bad("an item has no name or no size");
      if (!name.ends_with('/')) page.objects.push_back({std::string(name), *size});   // consoles make "folders" that way
    }
  }
  if (const rapidjson::Value* prefixes = array_of(document, "prefixes")) {
    for (const rapidjson::Value& prefix : prefixes->GetArray()) {
      if (!prefix.IsString()) return bad("a prefix is not text");
      page.folders.emplace_back(prefix.GetString(), prefix.GetStringLength());
    }
  }
  page.next = text_of(document, "nextPageToken");
  return page;
}

Result<GcsObject> parse_gcs_object(std::string_view json) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return Error(ErrorCode::kUnavailable, "the answer to the upload is not a JSON object");
  return GcsObject{.size = number_of(document, "size"), .crc32c = std::string(text_of(document, "crc32c")), .generation = std::string(text_of(document, "generation"))};
}

std::string gcs_crc32c(ByteView body) {
  const std::uint32_t crc = codec::crc32c(body);
  const std::array<char, 4> big_endian{static_cast<char>(crc >> 24), static_cast<char>(crc >> 16), static_cast<char>(crc >> 8), static_cast<char>(crc)};
  return base64_encode({big_endian.data(), big_endian.size()});
}

bool whole_body_matches(const http::ClientResponse& response) {
  // The hash is of what is stored; a body stored compressed and sent otherwise cannot be compared.
  const std::string* encoding = response.header("x-goog-stored-content-encoding");
  if (encoding != nullptr && *encoding != "identity") return true;
  for (const http::Header& header : response.headers) {   // it comes once per algorithm, or joined by commas
    if (!equal_ignoring_case(header.name, "x-goog-hash")) continue;
    const std::size_t at = header.value.find("crc32c=");
    if (at == std::string::npos) continue;
    std::string_view value = std::string_view(header.value).substr(at + 7);
    value = value.substr(0, value.find_first_of(", "));
    return value == gcs_crc32c(response.body);
  }
  return true;
}

}  // namespace skald::objstore
