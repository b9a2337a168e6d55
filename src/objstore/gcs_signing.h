// Google's variant of Signature Version 4 with HMAC keys (GOOG4-HMAC-SHA256): the algorithm is AWS's, its names are not.
// https://cloud.google.com/storage/docs/authentication/signatures
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "objstore/sigv4.h"
#include "skald/base/bytes.h"
#include "skald/http/message.h"

namespace skald::objstore {

struct GcsHmacKey {
  std::string access_id, secret;
};

struct GcsSignedRequest {
  std::string_view method, host, encoded_path;   // the host with its port unless that is the scheme's own
  const QueryPairs& query;                       // the URL's must be aws_query() of it
  const std::vector<http::Header>& goog_headers; // lower-case "x-goog-…" ones that are signed besides date and payload hash
  ByteView body;
};

// goog_headers, x-goog-date, x-goog-content-sha256 and Authorization: what to send besides Host.
std::vector<http::Header> gcs_signed_headers(const GcsSignedRequest& request, const GcsHmacKey& key, std::int64_t now_ns);

}  // namespace skald::objstore
