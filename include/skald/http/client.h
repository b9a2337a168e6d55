// HTTP/1.1 client: kept-alive connections, TLS, deadlines, cancellation. Over libcurl's multi interface; only src/http
// sees curl. Used by object stores, ring stores, the ruler's notifications and calls between our own processes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/context.h"
#include "skald/http/message.h"

namespace skald::http {

struct ClientTls {
  std::string ca_file, ca_path;            // PEM; empty: the system's
  std::string cert_file, key_file;         // PEM; for mTLS
  std::string server_name;                 // empty: the host of the URL
  bool skip_verify = false;
};

struct ClientOptions {
  std::int64_t connect_timeout_ns = 10 * kNanosPerSecond;
  std::int64_t response_header_timeout_ns = 0;    // from the last byte sent to the first byte back; 0: none
  std::int64_t stall_timeout_ns = kNanosPerMinute;  // no byte moves amid a body that is sent or received; 0: none
  std::int64_t request_timeout_ns = 0;            // whole request; 0: none. The call's deadline holds as well
  std::int64_t idle_connection_ns = 90 * kNanosPerSecond;
  std::size_t connections_per_host_max = 0;       // 0: no limit
  std::size_t idle_connections_max = 100;
  ClientTls tls;
  std::string user_agent = "skald";
  std::string proxy;                              // empty: from the environment (https_proxy, no_proxy …); "none": never
};

struct ClientRequest {
  std::string method = "GET";
  std::string url{};                              // absolute; used as given (no normalising of "..", no re-encoding)
  std::vector<Header> headers{};                  // Content-Length is added
  ByteView body{};                                // must stay valid until the call is over
  std::uint64_t response_bytes_max = 1ULL << 30;  // a longer body is kTooLarge; checked before memory is reserved
};

struct ClientResponse {
  int status = 0;
  std::vector<Header> headers;
  Bytes body;
  const std::string* header(std::string_view name) const;   // case-insensitive; nullptr when absent
};

// Thread-safe; one background thread per client moves all bytes. Redirects are not followed.
class Client {
 public:
  static Result<std::unique_ptr<Client>> create(ClientOptions options);
  virtual ~Client() = default;

  // Any HTTP status is a success here. kUnavailable: not resolved, not connected, reset, or the answer ended early;
  // kDeadlineExceeded: a timeout; kCancelled: ctx.cancel; kInvalidArgument: the URL; kPermissionDenied: the server's
  // certificate is not to be trusted. Nothing is retried here
  // (but GET and HEAD go out again when a kept-alive connection proves to have been closed). kTooLarge: see the request.
  // The message names method, host and what happened, never the query string or a header (they may hold secrets).
  virtual Result<ClientResponse> call(const ClientRequest& request, const CallContext& ctx) = 0;

  // The same without waiting, for hedged requests: start several, take the first that ends. Dropping the handle aborts the
  // transfer (and returns only when nothing reads request.body any more).
  class Running {
   public:
    virtual ~Running() = default;
    virtual bool done() const = 0;
    virtual Result<ClientResponse> take() = 0;    // waits until done; once
  };
  virtual std::unique_ptr<Running> start(const ClientRequest& request, const CallContext& ctx) = 0;
  // The same with a callback: `done` is called exactly once, on the background thread (so it must be quick and never wait
  // for another call of this client) or, when the request is refused, before this returns. `body` replaces request.body.
  virtual void call_then(ClientRequest request, SharedBytes body, const CallContext& ctx, std::function<void(Result<ClientResponse>)> done) = 0;

  // Waits until one of them is done or `until_monotonic_ns` has come.
  virtual void wait_any(std::span<Running* const> running, std::int64_t until_monotonic_ns) = 0;
};

}  // namespace skald::http
