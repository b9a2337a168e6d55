#include "objstore/oauth.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace skald::objstore {
namespace {

constexpr std::uint64_t kTokenAnswerBytesMax = 1 << 20;
constexpr std::int64_t kDefaultLifeS = 3600;         // RFC 6749 leaves expires_in optional
constexpr std::int64_t kLifeMaxS = 366LL * 86'400;   // beyond: nonsense, and nanoseconds would overflow

std::string text_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd() || !found->value.IsString()) return "";
  return {found->value.GetString(), found->value.GetStringLength()};
}

// Azure's metadata service writes numbers as text.
std::optional<std::int64_t> number_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd()) return std::nullopt;
  if (found->value.IsInt64()) return found->value.GetInt64();
  if (!found->value.IsString()) return std::nullopt;
  std::int64_t number = 0;
  const char* begin = found->value.GetString();
  const char* end = begin + found->value.GetStringLength();
  const auto [rest, failed] = std::from_chars(begin, end, number);
  if (failed != std::errc() || rest != end) return std::nullopt;
  return number;
}

// {"error":"invalid_grant","error_description":"…"}, or Google's {"error":{"message":"…"}}.
std::string reason_of(const rapidjson::Document& answer) {
  if (!answer.IsObject()) return "";
  const auto error = answer.FindMember("error");
  if (error != answer.MemberEnd() && error->value.IsObject()) return text_of(error->value, "message");
  std::string reason = text_of(answer, "error");
  const std::string description = text_of(answer, "error_description");
  if (!description.empty()) reason += (reason.empty() ? "" : ": ") + description;
  return reason.empty() ? text_of(answer, "message") : reason;
}

}  // namespace

Result<TokenRemotes> open_token_remotes(RemoteOptions options, const std::string& what, obs::Registry& registry, const Clock& clock, Random& random) {
  options.http.timeout = 10 * kNanosPerSecond;
  options.retry = {100 * kNanosPerMilli, 2 * kNanosPerSecond, 3};
  options.hedging = {};
  options.subject = what;
  TokenRemotes remotes;
  SKALD_TRY(remotes.services, Remote::create(options, registry, clock, random));
  options.http.timeout = 5 * kNanosPerSecond;
  options.subject = what + " of this machine";
  http::ClientOptions direct = client_options(options.http);
  direct.proxy = "none";
  RemoteSeams seams;
  SKALD_TRY(seams.client, http::Client::create(std::move(direct)));
  SKALD_TRY(remotes.metadata, Remote::create(options, registry, clock, random, std::move(seams)));
  return remotes;
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                            c == '_' || c == '~';
    if (unreserved || keep.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string form_encode(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (value.empty()) continue;
    if (!out.empty()) out += '&';
    out += percent_encode(name) + "=" + percent_encode(value);
  }
  return out;
}

std::string one_line(std::string_view text, std::size_t bytes_max) {
  std::string out;
  bool blank = false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ') {
      blank = !out.empty();
      continue;
    }
    if (out.size() + blank >= bytes_max) {
      while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();   // whole characters only
      if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xC0) out.pop_back();
      return out + "…";
    }
    if (blank) out += ' ';
    blank = false;
    out += c;
  }
  return out;
}

Result<Token> read_token(const http::ClientResponse& response, std::string_view who, std::int64_t now_ns) {
  rapidjson::Document answer;
  answer.Parse<rapidjson::kParseIterativeFlag>(response.body.data(), response.body.size());
  const bool readable = !answer.HasParseError() && answer.IsObject();
  const std::string where = std::string(who);
  if (response.status != 200) {
    std::string reason = readable ? reason_of(answer) : "";
    if (reason.empty()) reason = response.body;
    const std::string message = where + ": the token service answered " + std::to_string(response.status) + ": " + one_line(reason);
    return Error(response.status >= 400 && response.status < 500 ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable, message);
  }
  if (!readable) return Error(ErrorCode::kUnavailable, where + ": the token service's answer is not a JSON object");
  Token token{.value = text_of(answer, "access_token"), .expires_ns = 0};
  if (token.value.empty() || token.value.find_first_of("\r\n") != std::string::npos)   // it becomes a header
    return Error(ErrorCode::kUnavailable, where + ": the token service's answer holds no access_token");
  if (const auto expires_in = number_of(answer, "expires_in")) {
    token.expires_ns = now_ns + std::clamp<std::int64_t>(*expires_in, 0, kLifeMaxS) * kNanosPerSecond;
  } else if (const auto expires_on = number_of(answer, "expires_on")) {
    token.expires_ns = std::clamp<std::int64_t>(*expires_on, 0, now_ns / kNanosPerSecond + kLifeMaxS) * kNanosPerSecond;
  } else {
    token.expires_ns = now_ns + kDefaultLifeS * kNanosPerSecond;
  }
  return token;
}

http::ClientRequest form_request(std::string url, ByteView form) {
  http::ClientRequest request;
  request.method = "POST";
  request.url = std::move(url);
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}, {"Accept", "application/json"}};
  request.body = form;
  return request;
}

std::string origin_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  std::size_t end = url.find_first_of("/?#", begin);
  if (end == std::string_view::npos) end = url.size();
  std::string_view authority = url.substr(begin, end - begin);
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  return std::string(url.substr(0, begin)) + std::string(authority);
}

Result<http::ClientResponse> ask(Remote& remote, const http::ClientRequest& request, const CallContext& ctx,
                                 std::function<Verdict(const http::ClientResponse&)> judge) {
  http::ClientRequest sent = request;
  sent.response_bytes_max = kTokenAnswerBytesMax;
  const RemoteOperation operation{.name = "Token", .judge = std::move(judge)};
  return remote.run(operation, [&]() -> Result<http::ClientRequest> { return sent; }, ctx);
}

}  // namespace skald::objstore
