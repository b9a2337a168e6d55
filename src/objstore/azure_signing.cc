#include "objstore/azure_signing.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <vector>

#include "objstore/jwt.h"

namespace skald::objstore {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string percent_decode(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// "\nname:value" per parameter, names in lower case and sorted, values decoded; of one name sorted and joined by commas.
std::string canonical_query(std::string_view query) {
  std::map<std::string, std::vector<std::string>> parameters;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    parameters[lower(percent_decode(pair.substr(0, equals)))].push_back(percent_decode(value));
  }
  std::string out;
  for (auto& [name, values] : parameters) {
    std::sort(values.begin(), values.end());
    out += "\n" + name + ":";
    for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ",") + values[i];
  }
  return out;
}

}  // namespace

std::string azure_string_to_sign(const http::ClientRequest& request, std::string_view account) {
  std::map<std::string, std::string> headers;
  for (const http::Header& header : request.headers) headers[lower(header.name)] = header.value;
  if (!request.body.empty()) headers["content-length"] = std::to_string(request.body.size());   // an empty one is left out
  std::string text = request.method;
  static constexpr std::array<const char*, 11> kStandard{"content-encoding", "content-language",  "content-length", "content-md5",
                                                         "content-type",     "date",              "if-modified-since", "if-match",
                                                         "if-none-match",    "if-unmodified-since", "range"};
  for (const char* name : kStandard) {
    const auto found = headers.find(name);
    text += "\n" + (found == headers.end() ? std::string() : found->second);
  }
  text += "\n";
  for (const auto& [name, value] : headers)
    if (name.starts_with("x-ms-")) text += name + ":" + value + "\n";
  const std::string_view url = request.url;
  const std::size_t scheme = url.find("://");
  const std::size_t authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  const std::size_t question = std::min(url.find('?'), url.size());
  const std::size_t path = std::min(url.find('/', authority), question);
  const std::string_view path_text = url.substr(path, question - path);
  text += "/" + std::string(account) + (path_text.empty() ? "/" : std::string(path_text));
  text += canonical_query(question < url.size() ? url.substr(question + 1) : std::string_view());
  return text;
}

Result<void> azure_sign(http::ClientRequest& request, std::string_view account, ByteView key) {
  const std::string text = azure_string_to_sign(request, account);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           digest.data(), &length) == nullptr)
    return Error(ErrorCode::kInternal, "HMAC-SHA256 failed");
  const std::string signature = base64_encode({reinterpret_cast<const char*>(digest.data()), length});
  request.headers.push_back({"Authorization", "SharedKey " + std::string(account) + ":" + signature});
  return {};
}

std::string http_date(std::int64_t now_ns) {
  static constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = now_ns / kNanosPerSecond;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[64];   // not strftime: its names follow the locale
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  return text;
}

}  // namespace skald::objstore
