#include "http/client_transfer.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace skald::http {
namespace {

constexpr std::size_t kHeadBytesMax = 256 << 10;      // of all response headers together
constexpr long kReceiveBufferBytes = 128 << 10;       // curl's 16 KiB means four times the calls for a block of 1 MiB
constexpr long kSendBufferBytes = 256 << 10;

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

// Anything that could end a header or request line early.
bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

struct UrlParts {
  bool tls = false;
  std::string_view authority;   // host[:port]
  std::string_view rest;        // from the path on
};

std::optional<UrlParts> split_url(std::string_view url) {
  UrlParts parts;
  if (url.starts_with("https://")) {
    parts.tls = true;
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  const std::size_t end = url.find_first_of("/?#");
  parts.authority = url.substr(0, end);
  if (end != std::string_view::npos) parts.rest = url.substr(end);
  if (const std::size_t at = parts.authority.rfind('@'); at != std::string_view::npos) parts.authority.remove_prefix(at + 1);
  if (parts.authority.empty()) return std::nullopt;
  return parts;
}

std::string seconds_text(std::int64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", static_cast<double>(ns) / 1e9);
  return text;
}

long to_ms(std::int64_t ns) { return static_cast<long>(std::max<std::int64_t>(1, ns / kNanosPerMilli)); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

bool append(CurlList& list, const std::string& line) {
  curl_slist* longer = ::curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) return false;
  (void)list.release();
  list.reset(longer);
  return true;
}

}  // namespace

const std::string* ClientResponse::header(std::string_view name) const {
  for (const Header& h : headers) {
    if (same_name(h.name, name)) return &h.value;
  }
  return nullptr;
}

Result<std::shared_ptr<Transfer>> Transfer::prepare(CurlEasy easy, const ClientOptions& options, const ClientRequest& request,
                                                    const CallContext& ctx) {
  const std::optional<UrlParts> url = split_url(request.url);
  const bool printable = std::all_of(request.url.begin(), request.url.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!url || !printable) {
    return Error(ErrorCode::kInvalidArgument,
                 "HTTP request: the URL must be absolute, begin with http:// or https:// and be percent-encoded" +
                     (url ? " (host " + std::string(url->authority) + ")" : std::string()));
  }
  if (!is_token(request.method)) return Error(ErrorCode::kInvalidArgument, "HTTP request: bad method");
  if (easy == nullptr) return Error(ErrorCode::kResourceExhausted, "HTTP request: out of memory");

  std::shared_ptr<Transfer> transfer(new Transfer);
  transfer->easy_ = std::move(easy);
  transfer->subject_ = request.method + " " + std::string(url->authority);
  if (Result<void> alive = ctx.check(); !alive.ok()) return std::move(alive).error().with_prefix(transfer->subject_);
  transfer->cancel_ = ctx.cancel;
  transfer->connect_timeout_ns_ = options.connect_timeout_ns;
  transfer->header_timeout_ns_ = options.response_header_timeout_ns;
  transfer->stall_timeout_ns_ = options.stall_timeout_ns;
  transfer->response_bytes_max_ = request.response_bytes_max;
  transfer->body_bytes_ = request.body.size();

  // The caller's clock may be another than the one curl lives by; what is left of the time is the same on both.
  const std::int64_t now_ns = system_clock().monotonic_ns();
  if (ctx.deadline_monotonic_ns != std::numeric_limits<std::int64_t>::max()) {
    transfer->deadline_ns_ = now_ns + std::max<std::int64_t>(0, ctx.deadline_monotonic_ns - ctx.clock->monotonic_ns());
    transfer->deadline_text_ = "the deadline of the call passed";
  }
  if (options.request_timeout_ns > 0 && now_ns + options.request_timeout_ns < transfer->deadline_ns_) {
    transfer->deadline_ns_ = now_ns + options.request_timeout_ns;
    transfer->deadline_text_ = "not answered within the request timeout of " + seconds_text(options.request_timeout_ns);
  }
  SKALD_TRY_VOID(transfer->set_options(options, request));
  return transfer;
}

Result<void> Transfer::set_options(const ClientOptions& options, const ClientRequest& request) {
  CURL* easy = easy_.get();
  const UrlParts url = *split_url(request.url);
  const bool body_allowed = !request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  bool ok = true;
  const auto set = [&](CURLoption option, auto value) { ok = ok && ::curl_easy_setopt(easy, option, value) == CURLE_OK; };

  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  set(CURLOPT_ERRORBUFFER, error_text_.data());
  set(CURLOPT_CONNECTTIMEOUT_MS, to_ms(options.connect_timeout_ns));
  set(CURLOPT_MAXAGE_CONN, static_cast<long>(std::max<std::int64_t>(1, options.idle_connection_ns / kNanosPerSecond)));
  set(CURLOPT_QUICK_EXIT, 1L);   // a name server that does not answer must not hold up the thread when its request is dropped
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  if (options.proxy == "none") set(CURLOPT_PROXY, "");
  else if (!options.proxy.empty()) set(CURLOPT_PROXY, options.proxy.c_str());

  set(CURLOPT_HEADERFUNCTION, &Transfer::header_callback);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Transfer::write_callback);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_PREREQFUNCTION, &Transfer::prerequest_callback);
  set(CURLOPT_PREREQDATA, static_cast<void*>(this));

  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (body_allowed) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.data());   // not copied
    set(CURLOPT_UPLOAD_BUFFERSIZE, kSendBufferBytes);
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  } else {
    set(CURLOPT_HTTPGET, 1L);
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  // curl sends again on a new connection when a kept-alive one turns out dead before any byte of an answer. The server may
  // have acted on the first one all the same, so only for methods where that makes no difference.
  resend_allowed_ = request.method == "GET" || request.method == "HEAD";

  bool has_host = false;
  bool has_type = false;
  for (const Header& header : request.headers) {
    if (!is_token(header.name) || has_control(header.value)) return error(ErrorCode::kInvalidArgument, "bad header '" + (is_token(header.name) ? header.name : std::string("?")) + "'");
    has_host = has_host || same_name(header.name, "Host");
    has_type = has_type || same_name(header.name, "Content-Type");
    if (same_name(header.name, "Content-Length")) continue;   // curl's own
    ok = ok && append(headers_, header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  ok = ok && append(headers_, "Expect:");
  if (!has_type) ok = ok && append(headers_, "Content-Type:");   // else curl says it is a form

  if (url.tls && !options.tls.server_name.empty()) {
    // The certificate is asked for and checked under another name: that name goes into the URL, the connection to the host.
    const bool has_port = url.authority.rfind(':') != std::string_view::npos && url.authority.back() != ']';
    const std::string port = has_port ? std::string(url.authority.substr(url.authority.rfind(':') + 1)) : std::string("443");
    const std::string host(has_port ? url.authority.substr(0, url.authority.rfind(':')) : url.authority);
    ok = ok && append(connect_to_, options.tls.server_name + ":" + port + ":" + host + ":" + port);
    set(CURLOPT_CONNECT_TO, connect_to_.get());
    set(CURLOPT_URL, ("https://" + options.tls.server_name + ":" + port + std::string(url.rest)).c_str());
    if (!has_host) ok = ok && append(headers_, "Host: " + std::string(url.authority));
  } else {
    set(CURLOPT_URL, request.url.c_str());
  }
  set(CURLOPT_HTTPHEADER, headers_.get());
  if (!ok) return error(ErrorCode::kInternal, "libcurl refused an option");
  return url.tls ? set_tls(options) : Result<void>();
}

Result<void> Transfer::set_tls(const ClientOptions& options) {
  CURL* easy = easy_.get();
  bool ok = true;
  const auto set = [&](CURLoption option, auto value) { ok = ok && ::curl_easy_setopt(easy, option, value) == CURLE_OK; };
  const ClientTls& tls = options.tls;
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, tls.skip_verify ? 0L : 1L);
  set(CURLOPT_SSL_VERIFYHOST, tls.skip_verify ? 0L : 2L);
  if (!tls.ca_file.empty()) set(CURLOPT_CAINFO, tls.ca_file.c_str());
  if (!tls.ca_path.empty()) set(CURLOPT_CAPATH, tls.ca_path.c_str());
  if (!tls.cert_file.empty()) {
    set(CURLOPT_SSLCERT, tls.cert_file.c_str());
    set(CURLOPT_SSLKEY, (tls.key_file.empty() ? tls.cert_file : tls.key_file).c_str());
  }
  if (!ok) return error(ErrorCode::kInternal, "libcurl refused a TLS option");
  return {};
}

std::int64_t Transfer::watch_ns() const {
  std::int64_t watch_ns = std::numeric_limits<std::int64_t>::max();
  if (header_timeout_ns_ > 0 && !head_began_) watch_ns = header_timeout_ns_;
  if (stall_timeout_ns_ > 0) watch_ns = std::min(watch_ns, stall_timeout_ns_);
  return watch_ns == std::numeric_limits<std::int64_t>::max() ? watch_ns : std::clamp(watch_ns / 8, 5 * kNanosPerMilli, kNanosPerSecond);
}

std::optional<Error> Transfer::overdue(std::int64_t now_ns) {
  if (now_ns >= deadline_ns_) return error(ErrorCode::kDeadlineExceeded, deadline_text_);
  curl_off_t connected_us = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_PRETRANSFER_TIME_T, &connected_us);
  if (connected_us <= 0) return std::nullopt;   // curl has a timeout of its own for that
  curl_off_t sent = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_SIZE_UPLOAD_T, &sent);
  const auto sent_bytes = static_cast<std::uint64_t>(std::max<curl_off_t>(0, sent));
  const std::uint64_t moved_bytes = sent_bytes + header_bytes_ + response_.body.size();
  if (moved_bytes != moved_bytes_ || moved_at_ns_ == 0) {
    moved_bytes_ = moved_bytes;
    moved_at_ns_ = now_ns;
  }
  if (!head_began_ && sent_bytes >= body_bytes_) {   // the server is thinking
    if (sent_at_ns_ == 0) sent_at_ns_ = now_ns;
    if (header_timeout_ns_ <= 0 || now_ns - sent_at_ns_ < header_timeout_ns_) return std::nullopt;
    return error(ErrorCode::kDeadlineExceeded, "no answer began within " + seconds_text(header_timeout_ns_) + " after the request was sent");
  }
  if (stall_timeout_ns_ <= 0 || now_ns - moved_at_ns_ < stall_timeout_ns_) return std::nullopt;
  return error(ErrorCode::kDeadlineExceeded, std::string(head_began_ ? "the answer" : "sending the request") + " has stood still for " + seconds_text(stall_timeout_ns_));
}

std::size_t Transfer::header_callback(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<Transfer*>(self)->on_header(std::string_view(data, size * count));
}

std::size_t Transfer::write_callback(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<Transfer*>(self)->on_body(std::string_view(data, size * count));
}

int Transfer::prerequest_callback(void* self, char*, char*, int, int) {
  auto* transfer = static_cast<Transfer*>(self);
  if (transfer->sent_before_ && !transfer->resend_allowed_) return CURL_PREREQFUNC_ABORT;
  transfer->sent_before_ = true;
  return CURL_PREREQFUNC_OK;
}

std::size_t Transfer::on_header(std::string_view line) {
  head_began_ = true;
  header_bytes_ += line.size();
  if (header_bytes_ > kHeadBytesMax) {
    head_too_large_ = true;
    return 0;
  }
  if (line.starts_with("HTTP/")) {   // also after a 1xx or a proxy's answer: what came before was not the answer
    response_.headers.clear();
    head_complete_ = false;
    return line.size();
  }
  const std::string_view text = trimmed(line);
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    response_.headers.push_back({std::string(trimmed(text.substr(0, colon))), std::string(trimmed(text.substr(colon + 1)))});
  } else if (text.empty()) {   // end of the head
    head_complete_ = true;
    curl_off_t length = -1;
    ::curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    long status = 0;
    ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    if (length > 0 && status >= 200 && status != 204 && status != 304 && !subject_.starts_with("HEAD ")) {
      if (static_cast<std::uint64_t>(length) > response_bytes_max_) {
        too_large_ = true;
        return 0;
      }
      response_.body.reserve(static_cast<std::size_t>(length));
    }
  }
  return line.size();
}

std::size_t Transfer::on_body(std::string_view bytes) {
  if (bytes.size() > response_bytes_max_ - std::min<std::uint64_t>(response_bytes_max_, response_.body.size())) {
    too_large_ = true;
    return 0;
  }
  response_.body.append(bytes);
  return bytes.size();
}

Result<ClientResponse> Transfer::finish(CURLcode code) {
  const std::string detail = error_text_[0] != '\0' ? std::string(error_text_.data()) : std::string(::curl_easy_strerror(code));
  if (too_large_) {
    return error(ErrorCode::kTooLarge, "the answer is larger than " + std::to_string(response_bytes_max_) + " bytes");
  }
  if (head_too_large_) return error(ErrorCode::kTooLarge, "the answer's headers are larger than 256 KiB");
  switch (code) {
    case CURLE_OK: {
      // curl takes a connection that is closed amid the headers for the end of an answer without a body.
      if (!head_complete_) return error(ErrorCode::kUnavailable, "the answer ended amid its headers");
      long status = 0;
      ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
      response_.status = static_cast<int>(status);
      return std::move(response_);
    }
    case CURLE_OPERATION_TIMEDOUT:
      return error(ErrorCode::kDeadlineExceeded, "not connected within " + seconds_text(connect_timeout_ns_));
    case CURLE_ABORTED_BY_CALLBACK:
      return error(ErrorCode::kUnavailable, "the server closed the kept-alive connection before it answered");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return error(ErrorCode::kInvalidArgument, detail);
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return error(ErrorCode::kInvalidArgument, "TLS: " + detail);
    case CURLE_PEER_FAILED_VERIFICATION:   // trying again would not help
      return error(ErrorCode::kPermissionDenied, detail);
    case CURLE_OUT_OF_MEMORY:
      return error(ErrorCode::kResourceExhausted, "out of memory");
    default:
      return error(ErrorCode::kUnavailable, detail);
  }
}

}  // namespace skald::http
