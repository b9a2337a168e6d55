#include "objstore/remote.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <limits>
#include <thread>
#include <vector>

#include "objstore/remote_limits.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kSleepSliceNs = 20 * kNanosPerMilli;
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

std::vector<double> buckets_of(std::string_view metric) {
  if (metric == "loki_s3_request_duration_seconds") return {.025, .05, .1, .25, .5, 1, 2};
  std::vector<double> bounds;
  for (int i = 0; i < (metric == "loki_gcs_request_duration_seconds" ? 7 : 6); ++i) bounds.push_back(.005 * std::pow(4, i));
  return bounds;
}

bool retried_status(int status) { return status == 408 || status == 429 || (status >= 500 && status != 501); }

Result<void> sleep_really(std::int64_t wait_ns, const CallContext& ctx) {
  const std::int64_t end_ns = system_clock().monotonic_ns() + wait_ns;
  while (true) {
    SKALD_TRY_VOID(ctx.check());
    const std::int64_t left_ns = end_ns - system_clock().monotonic_ns();
    if (left_ns <= 0) return {};
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(left_ns, kSleepSliceNs)));
  }
}

// How one request ended.
struct Outcome {
  Result<http::ClientResponse> result;
  enum class Kind { kFinal, kFailed, kJudgedFailed } kind;
};

class RemoteImpl final : public Remote {
 public:
  RemoteImpl(RemoteOptions options, obs::Registry& registry, const Clock& clock, Random& random, RemoteSeams seams)
      : options_(std::move(options)),
        clock_(clock),
        random_(random),
        client_(std::move(seams.client)),
        sleep_(seams.sleep ? std::move(seams.sleep) : sleep_really),
        seconds_(registry.histogram_family(options_.metric, "Time spent on requests to the object store.", {"operation", "status_code"},
                                           buckets_of(options_.metric))),
        retries_(registry.counter_family("skald_objstore_retries_total", "Requests to object stores that were tried again.", {"operation"})),
        hedges_(registry.counter_family("skald_objstore_hedged_requests_total",
                                        "Reads of object stores that were asked a second time because the first answer was slow.", {"operation"})),
        retry_budget_(kRetriesPerSecondFloor, kRetriesSavedMax, clock.monotonic_ns()),
        hedge_budget_(static_cast<double>(options_.hedging.max_per_second), static_cast<double>(options_.hedging.max_per_second), clock.monotonic_ns()) {}

  Result<http::ClientResponse> run(const RemoteOperation& operation, const BuildRequest& build, const CallContext& ctx, int* tries) override {
    int sent = 0;
    int& count = tries != nullptr ? *tries : sent;
    count = 0;
    const std::string subject = std::string(operation.name) + " on " + options_.subject;
    for (std::int64_t attempt = 0;; ++attempt) {
      if (Result<void> alive = ctx.check(); !alive.ok()) return std::move(alive).error().with_prefix(subject);
      retry_budget_.add(kRetriesPerRequest);
      Result<Outcome> outcome = ask(operation, build, ctx, count);
      if (!outcome.ok()) return std::move(outcome).error();   // no request could be built
      if (outcome->kind == Outcome::Kind::kFinal) {
        if (outcome->result.ok()) return std::move(outcome->result);
        return std::move(outcome->result).error().with_prefix(subject);
      }
      if (Result<void> alive = ctx.check(); !alive.ok()) return std::move(alive).error().with_prefix(subject + ": " + describe(outcome->result));

      const std::int64_t wait_ns = delay_ns(attempt, outcome->result);
      const char* why = nullptr;
      if (!operation.retry || attempt >= options_.retry.max_retries) why = "";
      else if (ctx.deadline_monotonic_ns != kForever && ctx.clock->monotonic_ns() > ctx.deadline_monotonic_ns - wait_ns) why = "; the deadline leaves no time for another try";
      else if (!retry_budget_.take(clock_.monotonic_ns())) why = "; too many requests are being tried again as it is";
      if (why != nullptr) {
        if (outcome->kind == Outcome::Kind::kJudgedFailed) return std::move(outcome->result);
        const bool timed_out = !outcome->result.ok() && outcome->result.error().code() == ErrorCode::kDeadlineExceeded;
        return Error(timed_out ? ErrorCode::kDeadlineExceeded : ErrorCode::kUnavailable,
                     subject + ": " + describe(outcome->result) + " (" + std::to_string(count) + (count == 1 ? " try" : " tries") + why + ")");
      }
      retries_.with({operation.name}).add();
      SKALD_TRY_VOID(sleep_(wait_ns, ctx));
    }
  }

 private:
  struct Flight {
    std::unique_ptr<http::Client::Running> running;
    std::int64_t started_ns;
  };

  // One try: a request and, for reads, its hedges.
  Result<Outcome> ask(const RemoteOperation& operation, const BuildRequest& build, const CallContext& ctx, int& count) {
    const bool hedge = operation.hedge && options_.hedging.at > 0 && options_.hedging.up_to > 1 && options_.hedging.max_per_second > 0;
    SKALD_TRY(const http::ClientRequest request, build());
    ++count;
    const std::int64_t started_ns = clock_.monotonic_ns();
    if (!hedge) return settle(operation, client_->call(request, ctx), started_ns);

    std::vector<Flight> flights;
    flights.push_back({client_->start(request, ctx), started_ns});
    std::int64_t launched = 1;
    std::int64_t hedge_at_ns = system_clock().monotonic_ns() + options_.hedging.at;
    while (true) {
      std::vector<http::Client::Running*> waiting;
      for (const Flight& flight : flights) waiting.push_back(flight.running.get());
      client_->wait_any(waiting, launched < options_.hedging.up_to ? hedge_at_ns : kForever);
      for (std::size_t i = flights.size(); i-- > 0;) {
        if (!flights[i].running->done()) continue;
        Outcome outcome = settle(operation, flights[i].running->take(), flights[i].started_ns);
        flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(i));
        // What failed is not the last word while another request may still answer. The others are dropped with `flights`.
        if (outcome.kind == Outcome::Kind::kFinal || flights.empty()) return outcome;
      }
      if (launched >= options_.hedging.up_to || system_clock().monotonic_ns() < hedge_at_ns) continue;
      hedge_at_ns = system_clock().monotonic_ns() + options_.hedging.at;
      if (!hedge_budget_.take(clock_.monotonic_ns())) continue;
      Result<http::ClientRequest> another = build();
      if (!another.ok()) continue;
      ++launched;
      ++count;
      hedges_.with({operation.name}).add();
      flights.push_back({client_->start(*another, ctx), clock_.monotonic_ns()});
    }
  }

  Outcome settle(const RemoteOperation& operation, Result<http::ClientResponse> result, std::int64_t started_ns) {
    const std::int64_t took_ns = clock_.monotonic_ns() - started_ns;
    if (!result.ok()) {
      const ErrorCode code = result.error().code();
      if (code != ErrorCode::kCancelled) seconds_.with({operation.name, "error"}).observe(static_cast<double>(took_ns) / 1e9);
      const bool again = code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded;
      return {std::move(result), again ? Outcome::Kind::kFailed : Outcome::Kind::kFinal};
    }
    seconds_.with({operation.name, std::to_string(result->status)}).observe(static_cast<double>(took_ns) / 1e9);
    Outcome::Kind kind = Outcome::Kind::kFinal;
    if (retried_status(result->status)) kind = Outcome::Kind::kFailed;
    else if (operation.judge && operation.judge(*result) == Verdict::kRetry) kind = Outcome::Kind::kJudgedFailed;
    return {std::move(result), kind};
  }

  // Full jitter: anything up to min_period, then up to twice that … never above max_period. The store's own wish wins,
  // within reason.
  std::int64_t delay_ns(std::int64_t attempt, const Result<http::ClientResponse>& result) {
    const std::int64_t max_ns = std::max<std::int64_t>(1, options_.retry.max_period);
    std::int64_t cap_ns = std::clamp<std::int64_t>(options_.retry.min_period, 1, max_ns);
    for (std::int64_t i = 0; i < attempt && cap_ns < max_ns; ++i) cap_ns = cap_ns > max_ns / 2 ? max_ns : cap_ns * 2;
    const auto jittered_ns = static_cast<std::int64_t>(random_.next_u64() % static_cast<std::uint64_t>(cap_ns)) + 1;
    const std::string* wish = result.ok() ? result->header("Retry-After") : nullptr;
    if (wish == nullptr) return jittered_ns;
    std::int64_t wish_ns = 0;
    std::uint32_t seconds = 0;
    if (const auto [end, bad] = std::from_chars(wish->data(), wish->data() + wish->size(), seconds); bad == std::errc() && end == wish->data() + wish->size()) {
      wish_ns = seconds * kNanosPerSecond;
    } else if (const std::optional<std::int64_t> date_ns = parse_http_date_ns(*wish)) {
      wish_ns = *date_ns - clock_.now_ns();
    }
    return std::max(jittered_ns, std::min(wish_ns, max_ns > kForever / 10 ? kForever : max_ns * 10));
  }

  static std::string describe(const Result<http::ClientResponse>& result) {
    if (!result.ok()) return result.error().message();
    const std::string said = summarise_answer(*result);
    return "status " + std::to_string(result->status) + (said.empty() ? "" : ": " + said);
  }

  const RemoteOptions options_;
  const Clock& clock_;
  Random& random_;
  const std::unique_ptr<http::Client> client_;
  const std::function<Result<void>(std::int64_t, const CallContext&)> sleep_;
  obs::HistogramFamily& seconds_;
  obs::CounterFamily& retries_;
  obs::CounterFamily& hedges_;
  TokenBucket retry_budget_, hedge_budget_;
};

// What stands between `open` and `close`, first occurrence.
std::string_view between(std::string_view text, std::string_view open, std::string_view close) {
  const std::size_t begin = text.find(open);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + open.size());
  const std::size_t end = text.find(close);
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end);
}

}  // namespace

Result<std::unique_ptr<Remote>> Remote::create(RemoteOptions options, obs::Registry& registry, const Clock& clock, Random& random, RemoteSeams seams) {
  if (seams.client == nullptr) {
    Result<std::unique_ptr<http::Client>> client = http::Client::create(client_options(options.http));
    if (!client.ok()) return std::move(client).error().with_prefix(options.subject);
    seams.client = std::move(client).value();
  }
  return std::unique_ptr<Remote>(std::make_unique<RemoteImpl>(std::move(options), registry, clock, random, std::move(seams)));
}

http::ClientOptions client_options(const config::StoreHttpConfig& config) {
  http::ClientOptions options;
  if (config.tls_handshake_timeout > 0) options.connect_timeout_ns = config.tls_handshake_timeout;   // counts from the name on
  options.response_header_timeout_ns = config.response_header_timeout;
  options.request_timeout_ns = config.timeout;
  if (config.idle_conn_timeout > 0) options.idle_connection_ns = config.idle_conn_timeout;
  options.connections_per_host_max = static_cast<std::size_t>(std::max<std::int64_t>(0, config.max_connections_per_host));
  options.tls.ca_file = config.ca_file;
  options.tls.cert_file = config.cert_file;
  options.tls.key_file = config.key_file;
  options.tls.server_name = config.server_name;
  options.tls.skip_verify = config.insecure_skip_verify;
  return options;
}

std::optional<std::int64_t> parse_http_date_ns(std::string_view text) {
  std::tm utc{};
  const std::string copy(text);
  const char* end = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return static_cast<std::int64_t>(::timegm(&utc)) * kNanosPerSecond;
}

std::string summarise_answer(const http::ClientResponse& response) {
  constexpr std::size_t kExcerptBytes = 200;
  const std::string_view body = std::string_view(response.body).substr(0, 16 << 10);
  std::string text(between(body, "<Code>", "</Code>"));
  std::string_view message = between(body, "<Message>", "</Message>");
  if (!text.empty() && !message.empty()) text += ": " + std::string(message.substr(0, kExcerptBytes));
  else if (text.empty()) text = std::string(body.substr(0, kExcerptBytes));
  std::string line;   // of one line, whatever came
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= ' ';
    if (blank && (line.empty() || line.back() == ' ')) continue;
    line += blank || c == 0x7f ? ' ' : c;
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace skald::objstore
