// What every read handler starts from: tenant, its limits, deadline, cancellation, memory.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "api/query_log.h"
#include "api/query_queue.h"
#include "api/results_cache.h"
#include "skald/api/read.h"
#include "skald/base/context.h"
#include "skald/logql/ast.h"

namespace skald::api {

// Shared by all read routes of a server.
struct ReadService : ReadDeps {
  explicit ReadService(const ReadDeps& deps)
      : ReadDeps(deps), log(options, registry), results(options.results_cache == nullptr ? nullptr : std::make_unique<ResultsCache>(options.results_cache, registry)),
        queue(options.concurrent_queries, options.waiting_queries_max, clock, registry) {}
  // Cancels what runs or still waits in the queue, and waits for it.
  ~ReadService();

  // Held while a handler runs, on whatever thread.
  class Running {
   public:
    Running(ReadService& service, std::shared_ptr<CancelToken> cancel);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    ReadService& service_;
    const std::shared_ptr<CancelToken> cancel_;
  };

  QueryLog log;
  const std::unique_ptr<ResultsCache> results;   // may be null
  std::shared_ptr<void> tails;   // running tails and their thread

 private:
  std::mutex running_mutex_;   // guards the three below
  std::condition_variable changed_;
  std::multiset<CancelToken*> running_;
  bool stopping_ = false;

 public:
  QueryQueue queue;   // last: its threads use the rest
};

struct ReadRequest {
  const http::Request& http;
  const http::Params& form;
  CallContext ctx;               // tenant "a|b" when there are several
  config::LimitsPtr limits;
  std::string tags;              // query_tags()
  std::int64_t now_ns = 0;
  std::int64_t queued_ns = 0;
};

using ReadHandler = std::function<Result<http::Response>(ReadService&, const ReadRequest&)>;

// Adds a GET and POST route that answers with the handler's response or its error as plain text.
void add_read_route(http::Server& server, ReadService& service, std::string pattern, std::string name, ReadHandler handler);
// The same for what reads log lines: it waits its turn in the queue.
void add_query_route(http::Server& server, ReadService& service, std::string pattern, std::string name, ReadHandler handler);

Result<ReadRequest> make_read_request(const ReadService& service, const http::Request& request);
// Timeouts and cancellation in Loki's words, everything else as it is.
http::Response read_error_response(const Error& error);

// A selector without stages. kInvalidArgument: parse errors, "only label matchers are supported".
Result<std::vector<model::Matcher>> parse_matchers(const std::string& text);

// JSON body of a metadata endpoint: ends in a line feed.
http::Response metadata_response(std::string json);

// The client asked for labels by category (X-Loki-Response-Encoding-Flags).
bool wants_categories(const http::Request& request);

// Route groups, one file each.
void add_query_routes(http::Server& server, ReadService& service);
void add_metadata_routes(http::Server& server, ReadService& service);
void add_volume_routes(http::Server& server, ReadService& service);
void add_detected_routes(http::Server& server, ReadService& service);
void add_pattern_routes(http::Server& server, ReadService& service);
void add_tail_routes(http::Server& server, ReadService& service);

}  // namespace skald::api
