// Requests and responses in plain types. Only src/http sees Beast.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/context.h"

namespace skald::http {

struct Header {
  std::string name;
  std::string value;
};

// Parameters in order of appearance, percent-decoded, '+' as space.
class Params {
 public:
  static Params parse(std::string_view query);   // lenient as Go's ParseQuery is: bad pairs are left out
  void append(const Params& other);
  const std::string* get(std::string_view name) const;          // first, or nullptr
  std::vector<std::string> all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

struct Request {
  std::string method;
  std::string path;                 // percent-decoded, without prefix and query
  std::string raw_target;           // as sent
  std::string raw_query;
  Params query;                     // from the URL
  Params form;                      // URL parameters then those of a urlencoded POST body (filled by the server)
  std::vector<Header> headers;
  SharedBytes body;                 // as sent (Content-Encoding not undone); never null
  std::string remote;               // "127.0.0.1:5432"
  std::vector<std::string> path_params;              // what {name} segments of the route matched
  std::shared_ptr<CancelToken> cancel;               // set when the client goes away
  std::int64_t received_monotonic_ns = 0;

  const std::string* header(std::string_view name) const;   // case-insensitive; nullptr when absent
};

struct Response {
  int status = 200;
  std::string content_type;         // empty: no Content-Type header
  std::vector<Header> headers;
  std::string body;
  bool compressible = true;         // gzip when the client accepts it and the body is large enough

  static Response text(int status, std::string body);   // text/plain; charset=utf-8, nosniff, as Go's http.Error without LF
  static Response json(std::string body);               // application/json; charset=UTF-8, Vary: Accept-Encoding
  static Response empty(int status);
};

// Call exactly once, from any thread. Dropping every copy uncalled answers 500.
using Responder = std::function<void(Response)>;

// WebSocket connection after the upgrade. Thread-safe.
class WebSocket {
 public:
  virtual ~WebSocket() = default;
  // Queues a text message; false when the connection is closed or its queue is over `queue limit` bytes (slow client).
  virtual bool send_text(std::string message) = 0;
  virtual std::size_t queued_bytes() const = 0;
  virtual void close(int code, std::string reason) = 0;
  virtual bool closed() const = 0;
  // Called once on the I/O thread when the peer closes or the connection fails; set before start.
  virtual void on_close(std::function<void()> handler) = 0;
};

}  // namespace skald::http
