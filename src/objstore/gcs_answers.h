// What Google Cloud Storage's JSON API answers with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "skald/http/client.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

Result<ListPage> parse_gcs_list(std::string_view json);

// An object's metadata, the answer to a finished upload. Absent fields are absent.
struct GcsObject {
  std::optional<std::uint64_t> size;
  std::string crc32c;       // base64 of four bytes, big endian
  std::string generation;
};
Result<GcsObject> parse_gcs_object(std::string_view json);

// As the service writes it.
std::string gcs_crc32c(ByteView body);

// False: x-goog-hash of a download of a whole object says that the body is another. True when it says nothing.
bool whole_body_matches(const http::ClientResponse& response);

}  // namespace skald::objstore
