// An S3 behind http::Client without sockets: a bucket or several in memory, or whatever a test answers itself.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "objstore/s3_store.h"
#include "objstore/xml.h"
#include "skald/http/client.h"
#include "skald/http/message.h"

namespace skald::objstore::s3_testing {

struct Seen {
  std::string method, host, path, query;   // path percent-decoded
  http::Params params;
  std::vector<http::Header> headers;
  std::string body;
  bool tls = false;
  std::string header(std::string_view name) const {
    for (const http::Header& h : headers) {
      if (h.name == name) return h.value;
    }
    return "";
  }
};

inline std::string decoded(const std::string& text) {
  std::string plain;   // '+' is itself in a path
  for (const char c : text) plain += c == '+' ? std::string("%2B") : std::string(1, c);
  return http::Params::parse("x=" + plain).all("x").front();
}

inline http::ClientResponse answer(int status, std::string body = "", std::vector<http::Header> headers = {}) {
  return {.status = status, .headers = std::move(headers), .body = std::move(body)};
}
inline http::ClientResponse fault(int status, const std::string& code, const std::string& more = "", std::vector<http::Header> headers = {}) {
  return answer(status, "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>words</Message>" + more + "</Error>", std::move(headers));
}

class FakeS3 final : public http::Client {
 public:
  using Handler = std::function<std::optional<Result<http::ClientResponse>>(const Seen&)>;   // nullopt: as a store would

  Handler intercept;
  std::map<std::string, std::map<std::string, std::string>> buckets;   // path style only
  std::vector<Seen> seen;
  std::size_t page = 1'000;

  Result<http::ClientResponse> call(const http::ClientRequest& request, const CallContext&) override {
    const std::lock_guard lock(mutex_);
    Seen one;
    one.method = request.method;
    std::string url = request.url;
    one.tls = url.starts_with("https://");
    url.erase(0, one.tls ? 8 : 7);
    one.host = url.substr(0, url.find('/'));
    url.erase(0, one.host.size());
    one.path = decoded(url.substr(0, url.find('?')));
    if (url.find('?') != std::string::npos) one.query = url.substr(url.find('?') + 1);
    one.params = http::Params::parse(one.query);
    one.headers = request.headers;
    one.body = std::string(request.body);
    seen.push_back(one);
    if (intercept) {
      if (auto mine = intercept(one)) return *std::move(mine);
    }
    return serve(one);
  }
  std::unique_ptr<Running> start(const http::ClientRequest&, const CallContext&) override { std::abort(); }
  void call_then(http::ClientRequest, SharedBytes, const CallContext&, std::function<void(Result<http::ClientResponse>)>) override { std::abort(); }
  void wait_any(std::span<Running* const>, std::int64_t) override { std::abort(); }

 private:
  http::ClientResponse serve(const Seen& request) {
    const std::size_t slash = request.path.find('/', 1);
    const std::string bucket = request.path.substr(1, slash == std::string::npos ? std::string::npos : slash - 1);
    const std::string key = slash == std::string::npos ? "" : request.path.substr(slash + 1);
    if (!buckets.contains(bucket)) return fault(404, "NoSuchBucket");
    auto& objects = buckets[bucket];
    if (key.empty() && request.method == "GET") return list(objects, request.params);
    if (key.empty() && request.method == "POST") {
      const XmlNode root = parse_xml(request.body).value();
      for (const XmlNode& node : root.children) {
        if (node.name == "Object") objects.erase(std::string(node.child_text("Key")));
      }
      return answer(200, "<DeleteResult></DeleteResult>");
    }
    if (request.method == "PUT") {
      if (!request.header("If-None-Match").empty() && objects.contains(key)) return fault(412, "PreconditionFailed");
      objects[key] = request.body;
      return answer(200);
    }
    if (request.method == "DELETE") {
      objects.erase(key);
      return answer(204);
    }
    const auto found = objects.find(key);
    if (found == objects.end()) return fault(404, "NoSuchKey");
    return answer(200, found->second);
  }
  http::ClientResponse list(const std::map<std::string, std::string>& objects, const http::Params& params) {
    const std::string prefix = *params.get("prefix");
    const bool one_level = params.get("delimiter") != nullptr;
    const std::string after = params.get("start-after") ? *params.get("start-after") : params.get("continuation-token") ? *params.get("continuation-token") : "";
    std::string xml = "<ListBucketResult><EncodingType>url</EncodingType>";
    std::set<std::string> folders;
    std::size_t count = 0;
    std::string last;
    bool truncated = false;
    for (const auto& [key, body] : objects) {
      if (!key.starts_with(prefix) || key <= after) continue;
      const std::size_t slash = one_level ? key.find('/', prefix.size()) : std::string::npos;
      const std::string name = slash == std::string::npos ? key : key.substr(0, slash + 1);
      if (slash != std::string::npos && folders.contains(name)) {
        last = key;
        continue;
      }
      if (count == page) {
        truncated = true;
        break;
      }
      ++count;
      last = key;
      if (slash == std::string::npos) xml += "<Contents><Key>" + aws_uri_encode(name, true) + "</Key><Size>" + std::to_string(body.size()) + "</Size></Contents>";
      else folders.insert(name);
    }
    for (const std::string& folder : folders) xml += "<CommonPrefixes><Prefix>" + aws_uri_encode(folder, true) + "</Prefix></CommonPrefixes>";
    if (truncated) xml += "<NextContinuationToken>" + xml_escape(last) + "</NextContinuationToken>";
    return answer(200, xml + "<IsTruncated>" + (truncated ? "true" : "false") + "</IsTruncated></ListBucketResult>");
  }
  std::mutex mutex_;
};

}  // namespace skald::objstore::s3_testing
