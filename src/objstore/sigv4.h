// AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"): which headers prove who sends a
// request. For S3, STS and DynamoDB. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/http/message.h"

namespace skald::objstore {

struct AwsCredentials {
  std::string access_key_id{}, secret_access_key{}, session_token{};   // the token may be empty
  std::int64_t expires_ns = 0;                                    // wall clock; 0: never
};

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";   // S3 over TLS only
using QueryPairs = std::vector<std::pair<std::string, std::string>>;       // decoded

// Percent-encoding as the signature wants it: all but A-Z a-z 0-9 - . _ ~ (and '/' when kept), hex digits in upper case.
std::string aws_uri_encode(std::string_view text, bool keep_slash);
// "a=1&b=" with names and values encoded, sorted: the query of the URL must be this very text.
std::string aws_query(const QueryPairs& query);

std::string sha256_hex(ByteView data);
Bytes hmac_sha256(ByteView key, ByteView data);

struct SigV4Request {
  std::string_view method = "GET";
  std::string_view host{};                  // with its port unless that is the scheme's own
  std::string_view encoded_path = "/";      // as it is sent
  const QueryPairs* query = nullptr;        // may be null
  std::vector<http::Header> headers{};      // to be signed besides host; Authorization is made of these
  std::string_view payload_sha256{};        // hex, or kUnsignedPayload
  bool content_sha256_header = false;       // S3 wants the payload's hash as a header too
};

// request.headers, X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-Sha256 and Authorization: everything to send but Host.
std::vector<http::Header> sigv4_headers(const SigV4Request& request, const AwsCredentials& credentials, std::string_view region,
                                        std::string_view service, std::int64_t now_ns);

// The middle steps, for tests.
std::string sigv4_canonical_request(const SigV4Request& request, const std::vector<http::Header>& signed_headers);

}  // namespace skald::objstore
