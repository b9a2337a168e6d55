#include "api/read_context.h"

#include <string_view>

#include "api/request_limits.h"
#include "skald/api/status.h"
#include "skald/api/tenant.h"
#include "skald/logql/parser.h"

namespace skald::api {

namespace {

std::string joined(const std::vector<std::string>& tenants) {
  std::string text;
  for (const std::string& tenant : tenants) {
    if (!text.empty()) text += '|';
    text += tenant;
  }
  return text;
}

constexpr std::string_view kParquet = "application/vnd.apache.parquet";

http::Route read_route(const ReadService& service, std::string pattern, std::string name) {
  http::Route route;
  route.methods = {"GET", "POST"};
  route.pattern = std::move(pattern);
  route.name = std::move(name);
  route.body_bytes_max = service.options.body_bytes_max;
  return route;
}

}  // namespace

Result<ReadRequest> make_read_request(const ReadService& service, const http::Request& request) {
  Result<std::vector<std::string>> tenants = resolve_tenants(request, service.options.tenants, service.options.multi_tenant_queries);
  if (!tenants.ok()) {
    // A query over several tenants that is not allowed is an execution error to Loki's clients, not a bad request.
    if (tenants.error().message() == "multiple org IDs present") return Error(ErrorCode::kInternal, tenants.error().message());
    return std::move(tenants).error();
  }
  ReadRequest read{request, request.form, {}, limits_of(service.limits, *tenants), query_tags(request), service.clock.now_ns()};
  if (service.options.per_request_limits) {
    if (const std::string* const header = request.header(kQueryLimitsHeader)) { SKALD_TRY(read.limits, tightened(read.limits, *header)); }
  }
  if (const std::string* const accept = request.header("Accept"); accept && accept->find(kParquet) != std::string::npos)
    return Error(ErrorCode::kInvalidArgument, "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true");
  read.ctx.tenant = joined(*tenants);
  read.ctx.clock = &service.clock;
  read.ctx.cancel = request.cancel;
  if (read.limits->query_timeout > 0) read.ctx.deadline_monotonic_ns = service.clock.monotonic_ns() + read.limits->query_timeout;
  if (service.options.query_memory_bytes_max > 0) read.ctx.memory = std::make_shared<MemoryBudget>(service.options.query_memory_bytes_max);
  return read;
}

ReadService::Running::Running(ReadService& service, std::shared_ptr<CancelToken> cancel) : service_(service), cancel_(std::move(cancel)) {
  const std::lock_guard lock(service_.running_mutex_);
  service_.running_.insert(cancel_.get());
  if (service_.stopping_ && cancel_) cancel_->cancel();
}

ReadService::Running::~Running() {
  const std::lock_guard lock(service_.running_mutex_);
  service_.running_.erase(service_.running_.find(cancel_.get()));
  service_.changed_.notify_all();
}

ReadService::~ReadService() {
  std::unique_lock lock(running_mutex_);
  stopping_ = true;
  for (CancelToken* const cancel : running_)
    if (cancel) cancel->cancel();
  changed_.wait(lock, [this] { return running_.empty(); });
}

http::Response read_error_response(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kDeadlineExceeded:
      return error_response(Error(error.code(),
                                  "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over "
                                  "regex match) to reduce the amount of data processed"));
    case ErrorCode::kCancelled: return error_response(Error(error.code(), "the request was cancelled by the client"));
    default: return error_response(error);
  }
}

void add_read_route(http::Server& server, ReadService& service, std::string pattern, std::string name, ReadHandler handler) {
  http::Route route = read_route(service, std::move(pattern), std::move(name));
  route.run_on = http::RunOn::kPool;
  route.handler = [&service, handler = std::move(handler)](const std::shared_ptr<http::Request>& request, const http::Responder& respond) {
    const ReadService::Running running(service, request->cancel);
    const Result<ReadRequest> read = make_read_request(service, *request);
    if (!read.ok()) return respond(read_error_response(read.error()));
    Result<http::Response> response = handler(service, *read);
    respond(response.ok() ? std::move(response).value() : read_error_response(response.error()));
  };
  server.add(std::move(route));
}

void add_query_route(http::Server& server, ReadService& service, std::string pattern, std::string name, ReadHandler handler) {
  http::Route route = read_route(service, std::move(pattern), std::move(name));
  route.run_on = http::RunOn::kPool;   // only to be queued; on a pool route the server watches for clients that go away
  route.handler = [&service, handler = std::make_shared<const ReadHandler>(std::move(handler))](const std::shared_ptr<http::Request>& request,
                                                                                             const http::Responder& respond) {
    const ReadService::Running running(service, request->cancel);
    Result<ReadRequest> made = make_read_request(service, *request);
    if (!made.ok()) return respond(read_error_response(made.error()));
    const auto read = std::make_shared<ReadRequest>(std::move(made).value());
    const bool taken = service.queue.submit(read->ctx.tenant, [&service, handler, request, read, respond](std::int64_t queued_ns) {
      const ReadService::Running running_now(service, request->cancel);
      read->queued_ns = queued_ns;
      if (const Result<void> alive = read->ctx.check(); !alive.ok()) return respond(read_error_response(alive.error()));
      Result<http::Response> response = (*handler)(service, *read);
      respond(response.ok() ? std::move(response).value() : read_error_response(response.error()));
    });
    if (!taken) respond(read_error_response(Error(ErrorCode::kResourceExhausted, "too many outstanding requests")));
  };
  server.add(std::move(route));
}

Result<std::vector<model::Matcher>> parse_matchers(const std::string& text) {
  SKALD_TRY(logql::Query query, logql::parse(text));
  if (!query.is_log() || !query.log().stages.empty()) return Error(ErrorCode::kInvalidArgument, "only label matchers are supported");
  return query.log().matchers;
}

http::Response metadata_response(std::string json) {
  json += '\n';
  return http::Response::json(std::move(json));
}

bool wants_categories(const http::Request& request) {
  const std::string* flags = request.header("X-Loki-Response-Encoding-Flags");
  if (!flags) return false;
  std::string_view rest = *flags;
  while (!rest.empty()) {   // a comma list
    const std::size_t comma = rest.find(',');
    std::string_view flag = rest.substr(0, comma);
    while (!flag.empty() && flag.front() == ' ') flag.remove_prefix(1);
    while (!flag.empty() && flag.back() == ' ') flag.remove_suffix(1);
    if (flag == "categorize-labels") return true;
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return false;
}

std::shared_ptr<void> add_read_routes(http::Server& server, ReadDeps deps) {
  const auto owned = std::make_shared<ReadService>(deps);
  ReadService& service = *owned;
  add_query_routes(server, service);
  add_metadata_routes(server, service);
  add_volume_routes(server, service);
  add_detected_routes(server, service);
  add_pattern_routes(server, service);
  add_tail_routes(server, service);
  return owned;
}

}  // namespace skald::api
