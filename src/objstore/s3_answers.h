// What S3 answers: listings, batch deletes, uploads, errors. XML in, our types out; no I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skald/http/client.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

// Fields of an error document; a HEAD has none, so `code` is then a guess from the status.
struct S3Fault {
  std::string code;         // "NoSuchKey"
  std::string message;
  std::string region;       // where the bucket is, when the store says so
  std::string endpoint;     // likewise
  std::string header;       // of NotImplemented: which header was not understood
};
S3Fault read_s3_fault(const http::ClientResponse& response);

// ListObjectsV2. Keys that end in '/' (folders made by consoles) are left out: they are not ours and cannot be addressed.
// `next` is the continuation token. kCorruption: not such XML, or cut off without a token.
Result<ListPage> parse_s3_list(std::string_view xml);

struct S3DeleteFault {
  std::string key, code, message;
};
// DeleteObjects: the keys that were not deleted.
Result<std::vector<S3DeleteFault>> parse_s3_delete(std::string_view xml);
// kCorruption: no upload id in it.
Result<std::string> parse_s3_upload_id(std::string_view xml);

struct S3Part {
  std::string etag;               // as answered, with its quotes
  std::string crc32c;             // base64; empty: not sent
};
std::string s3_complete_request(const std::vector<S3Part>& parts);
// Keys with control characters cannot be written in XML 1.0.
bool can_be_in_xml(std::string_view key);
std::string s3_delete_request(const std::vector<std::string_view>& keys);

}  // namespace skald::objstore
