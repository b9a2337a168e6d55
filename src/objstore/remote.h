// What all stores behind HTTP share: tries with jitter and a budget, Retry-After, hedged reads, request metrics, and
// errors that say what happened. S3, Azure and GCS build requests and read answers; this sends them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "skald/base/random.h"
#include "skald/config/storage.h"
#include "skald/http/client.h"
#include "skald/obs/metrics.h"

namespace skald::objstore {

// What a try should be: built anew for each, because signatures carry the time and tokens expire.
using BuildRequest = std::function<Result<http::ClientRequest>()>;

// A store's verdict on an answer below 500 that is not 408 or 429 (those are retried here), or 501.
enum class Verdict { kDone, kRetry };

struct RemoteOperation {
  const char* name = "";             // as the metric labels it: "S3.PutObject", "azure PutBlob" …
  bool hedge = false;                // idempotent reads only
  bool retry = true;
  std::function<Verdict(const http::ClientResponse&)> judge{};   // none: every such answer is final
};

struct RemoteOptions {
  std::string metric;                // loki_s3_request_duration_seconds, loki_azure_blob_request_duration_seconds, loki_gcs_request_duration_seconds
  config::StoreHttpConfig http;
  config::StoreRetryConfig retry;
  config::HedgingConfig hedging;
  std::string subject;               // named in errors: "s3 bucket logs at minio:9000"
};

// What a Remote stands on, for tests; empty: the real ones.
struct RemoteSeams {
  std::unique_ptr<http::Client> client;
  std::function<Result<void>(std::int64_t wait_ns, const CallContext& ctx)> sleep;   // kCancelled, kDeadlineExceeded: ctx
};

// Thread-safe.
class Remote {
 public:
  // `registry`, `clock` and `random` outlive it. kInvalidArgument: a TLS file that cannot be read.
  static Result<std::unique_ptr<Remote>> create(RemoteOptions options, obs::Registry& registry, const Clock& clock = system_clock(),
                                                Random& random = system_random(), RemoteSeams seams = {});
  virtual ~Remote() = default;

  // The answer of the last try, of whatever status below 500 other than 408 and 429, or 501; else an error: kUnavailable
  // (after the tries), kDeadlineExceeded, kCancelled, what `build` failed with, kTooLarge. Reset connections, cut bodies and timeouts are tried again. Tries are
  // limited by max_retries and by a budget shared by all operations (at most a tenth of requests may be retries, beyond
  // a floor of ten a second), so that a store that is down is not asked three times as often as one that is up.
  // `tries`, when given, is set to the number of requests that were sent: more than one means that a condition
  // ("if absent") may have been met by an own earlier try whose answer was lost.
  virtual Result<http::ClientResponse> run(const RemoteOperation& operation, const BuildRequest& build, const CallContext& ctx,
                                           int* tries = nullptr) = 0;
};

http::ClientOptions client_options(const config::StoreHttpConfig& config);

// "Fri, 20 Nov 2026 12:00:00 GMT" as ns since 1970 (RFC 9110 section 5.6.7, the one form that is still sent).
std::optional<std::int64_t> parse_http_date_ns(std::string_view text);

// One line of what the service said in the body of an error: code and message of XML or JSON answers, or how it begins.
std::string summarise_answer(const http::ClientResponse& response);

}  // namespace skald::objstore
