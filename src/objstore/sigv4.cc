#include "objstore/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <ctime>

#include "skald/base/check.h"

namespace skald::objstore {
namespace {

constexpr char kUpperHex[] = "0123456789ABCDEF";
constexpr char kLowerHex[] = "0123456789abcdef";

bool is_unreserved(unsigned char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

std::string to_hex(ByteView bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kLowerHex[byte >> 4];
    out += kLowerHex[byte & 15];
  }
  return out;
}

// Outer white space gone, runs of blanks inside as one.
std::string normal_value(std::string_view value) {
  std::string out;
  bool blank = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t') {
      blank = !out.empty();
      continue;
    }
    if (blank) out += ' ';
    blank = false;
    out += c;
  }
  return out;
}

// (lower-case name, value) sorted by name; several values of one name joined by commas in their order.
std::vector<std::pair<std::string, std::string>> canonical_headers(const std::vector<http::Header>& headers) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const http::Header& header : headers) {
    std::string name = header.name;
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    out.emplace_back(std::move(name), normal_value(header.value));
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (kept > 0 && out[kept - 1].first == out[i].first) {
      out[kept - 1].second += "," + out[i].second;
    } else {
      if (kept != i) out[kept] = std::move(out[i]);
      ++kept;
    }
  }
  out.resize(kept);
  return out;
}

std::string signed_names(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string out;
  for (const auto& [name, value] : headers) out += (out.empty() ? "" : ";") + name;
  return out;
}

}  // namespace

std::string aws_uri_encode(std::string_view text, bool keep_slash) {
  std::string out;
  out.reserve(text.size() + 8);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(byte) || (keep_slash && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += kUpperHex[byte >> 4];
      out += kUpperHex[byte & 15];
    }
  }
  return out;
}

std::string aws_query(const QueryPairs& query) {
  QueryPairs encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) encoded.emplace_back(aws_uri_encode(name, false), aws_uri_encode(value, false));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name + "=" + value;
  }
  return out;
}

std::string sha256_hex(ByteView data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  SKALD_CHECK(::EVP_Digest(data.data(), data.size(), digest, &length, ::EVP_sha256(), nullptr) == 1);
  return to_hex({reinterpret_cast<const char*>(digest), length});
}

Bytes hmac_sha256(ByteView key, ByteView data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  SKALD_CHECK(::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest,
                     &length) != nullptr);
  return Bytes(reinterpret_cast<const char*>(digest), length);
}

std::string sigv4_canonical_request(const SigV4Request& request, const std::vector<http::Header>& signed_headers) {
  const auto headers = canonical_headers(signed_headers);
  std::string out(request.method);
  out += '\n';
  out += request.encoded_path;
  out += '\n';
  if (request.query != nullptr) out += aws_query(*request.query);
  out += '\n';
  for (const auto& [name, value] : headers) out += name + ":" + value + "\n";
  out += '\n';
  out += signed_names(headers);
  out += '\n';
  out += request.payload_sha256;
  return out;
}

std::vector<http::Header> sigv4_headers(const SigV4Request& request, const AwsCredentials& credentials, std::string_view region,
                                        std::string_view service, std::int64_t now_ns) {
  const std::time_t seconds = static_cast<std::time_t>(now_ns / kNanosPerSecond);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
  const std::string date(stamp, 8);

  std::vector<http::Header> out = request.headers;
  out.push_back({"X-Amz-Date", stamp});
  if (!credentials.session_token.empty()) out.push_back({"X-Amz-Security-Token", credentials.session_token});
  if (request.content_sha256_header) out.push_back({"X-Amz-Content-Sha256", std::string(request.payload_sha256)});
  std::vector<http::Header> to_sign = out;
  to_sign.push_back({"Host", std::string(request.host)});

  const std::string scope = date + "/" + std::string(region) + "/" + std::string(service) + "/aws4_request";
  const std::string to_prove = "AWS4-HMAC-SHA256\n" + std::string(stamp) + "\n" + scope + "\n" + sha256_hex(sigv4_canonical_request(request, to_sign));
  Bytes key = hmac_sha256("AWS4" + credentials.secret_access_key, date);
  for (const std::string_view step : {region, service, std::string_view("aws4_request")}) key = hmac_sha256(key, step);
  out.push_back({"Authorization", "AWS4-HMAC-SHA256 Credential=" + credentials.access_key_id + "/" + scope +
                                      ", SignedHeaders=" + signed_names(canonical_headers(to_sign)) + ", Signature=" + to_hex(hmac_sha256(key, to_prove))});
  return out;
}

}  // namespace skald::objstore
