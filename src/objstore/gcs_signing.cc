#include "objstore/gcs_signing.h"

#include <algorithm>
#include <ctime>

#include "skald/base/clock.h"

namespace skald::objstore {
namespace {

constexpr std::string_view kAlgorithm = "GOOG4-HMAC-SHA256";
constexpr std::string_view kLocation = "auto";   // the service takes any
constexpr std::string_view kService = "storage";
constexpr std::string_view kEnd = "goog4_request";

std::string to_hex(ByteView bytes) {
  std::string out;
  for (const char c : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
    out += digits;
  }
  return out;
}

}  // namespace

std::vector<http::Header> gcs_signed_headers(const GcsSignedRequest& request, const GcsHmacKey& key, std::int64_t now_ns) {
  const std::time_t seconds = now_ns / kNanosPerSecond;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char time[32];
  std::strftime(time, sizeof time, "%Y%m%dT%H%M%SZ", &utc);
  const std::string date(time, 8);
  const std::string payload = sha256_hex(request.body);

  std::vector<http::Header> headers = request.goog_headers;
  headers.push_back({"x-goog-content-sha256", payload});
  headers.push_back({"x-goog-date", time});
  std::vector<http::Header> signed_headers = headers;
  signed_headers.push_back({"host", std::string(request.host)});
  std::sort(signed_headers.begin(), signed_headers.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string names;
  for (const http::Header& header : signed_headers) names += (names.empty() ? "" : ";") + header.name;

  const SigV4Request canonical{.method = request.method, .host = request.host, .encoded_path = request.encoded_path, .query = &request.query,
                               .headers = {}, .payload_sha256 = payload, .content_sha256_header = false};
  const std::string scope = date + "/" + std::string(kLocation) + "/" + std::string(kService) + "/" + std::string(kEnd);
  const std::string text = std::string(kAlgorithm) + "\n" + time + "\n" + scope + "\n" + sha256_hex(sigv4_canonical_request(canonical, signed_headers));
  Bytes signing_key = hmac_sha256("GOOG4" + key.secret, date);
  for (const std::string_view part : {kLocation, kService, kEnd}) signing_key = hmac_sha256(signing_key, part);
  headers.push_back({"Authorization", std::string(kAlgorithm) + " Credential=" + key.access_id + "/" + scope + ", SignedHeaders=" + names +
                                          ", Signature=" + to_hex(hmac_sha256(signing_key, text))});
  return headers;
}

}  // namespace skald::objstore
