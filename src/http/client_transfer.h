// One request on its way through libcurl: its options, what has come back so far, and what a curl error means to us.
// A Transfer is prepared on the caller's thread and then belongs to the client's background thread until `done`.
#pragma once

#include <curl/curl.h>

#include <array>
#include <condition_variable>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "skald/http/client.h"

namespace skald::http {

struct CurlEasyDelete {
  void operator()(CURL* easy) const { ::curl_easy_cleanup(easy); }
};
using CurlEasy = std::unique_ptr<CURL, CurlEasyDelete>;

struct CurlListDelete {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using CurlList = std::unique_ptr<curl_slist, CurlListDelete>;

// Who waits for transfers; lives on the waiting thread's stack. Under the client's mutex.
struct TransferWaiter {
  std::condition_variable wake;
  bool signalled = false;
};

class Transfer {
 public:
  // Checks the request and sets up `easy` for it. `request.body` is not copied.
  static Result<std::shared_ptr<Transfer>> prepare(CurlEasy easy, const ClientOptions& options, const ClientRequest& request,
                                                   const CallContext& ctx);
  CURL* easy() const { return easy_.get(); }
  CurlEasy release_easy() { return std::move(easy_); }
  bool cancelled() const { return cancel_ && cancel_->cancelled(); }
  bool cancellable() const { return cancel_ != nullptr; }
  std::int64_t deadline_ns() const { return deadline_ns_; }   // of system_clock(); max: none
  // Called now and then by the background thread: the error of a timeout that has passed.
  std::optional<Error> overdue(std::int64_t now_ns);
  // How often it wants overdue() called for the sake of its timeouts; max: need not be.
  std::int64_t watch_ns() const;
  // The end of the transfer, as curl sees it.
  Result<ClientResponse> finish(CURLcode code);
  Error error(ErrorCode code, const std::string& what) const { return Error(code, subject_ + ": " + what); }

  // Set before the transfer is submitted; called by the background thread instead of keeping the outcome.
  std::function<void(Result<ClientResponse>)> then;
  SharedBytes owned_body;

  // Guarded by the client's mutex.
  std::optional<Result<ClientResponse>> outcome;
  bool done = false;               // the background thread holds nothing of it any more
  bool abort = false;
  TransferWaiter* waiter = nullptr;

 private:
  Transfer() = default;
  Result<void> set_options(const ClientOptions& options, const ClientRequest& request);
  Result<void> set_tls(const ClientOptions& options);
  std::size_t on_header(std::string_view line);
  std::size_t on_body(std::string_view bytes);
  static std::size_t header_callback(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t write_callback(char* data, std::size_t size, std::size_t count, void* self);
  static int prerequest_callback(void* self, char*, char*, int, int);

  CurlEasy easy_;
  CurlList headers_, connect_to_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};
  std::string subject_;            // "GET minio:9000"
  std::shared_ptr<const CancelToken> cancel_;
  std::int64_t deadline_ns_ = std::numeric_limits<std::int64_t>::max();
  std::string deadline_text_;
  std::int64_t connect_timeout_ns_ = 0;
  std::int64_t header_timeout_ns_ = 0, sent_at_ns_ = 0;
  std::int64_t stall_timeout_ns_ = 0, moved_at_ns_ = 0;
  std::uint64_t moved_bytes_ = 0;
  std::uint64_t body_bytes_ = 0, response_bytes_max_ = 0;
  std::size_t header_bytes_ = 0;
  bool head_began_ = false, head_complete_ = false, too_large_ = false, head_too_large_ = false, resend_allowed_ = false, sent_before_ = false;
  ClientResponse response_;
};

}  // namespace skald::http
