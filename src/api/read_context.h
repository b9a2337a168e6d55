// What every read handler starts from: tenant, its limits, deadline, cancellation.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/api/read.h"
#include "skald/base/context.h"
#include "skald/logql/ast.h"

namespace skald::api {

struct ReadRequest {
  const http::Request& http;
  const http::Params& form;
  CallContext ctx;
  config::LimitsPtr limits;
  std::int64_t now_ns = 0;
};

using ReadHandler = std::function<Result<http::Response>(ReadDeps&, const ReadRequest&)>;

// Adds a GET and POST route that answers with the handler's response or its error as plain text.
void add_read_route(http::Server& server, const std::shared_ptr<ReadDeps>& deps, std::string pattern, std::string name, ReadHandler handler);

Result<ReadRequest> make_read_request(const ReadDeps& deps, const http::Request& request);
// Timeouts and cancellation in Loki's words, everything else as it is.
http::Response read_error_response(const Error& error);

// A selector without stages. kInvalidArgument: parse errors, "only label matchers are supported".
Result<std::vector<model::Matcher>> parse_matchers(const std::string& text);

// JSON body of a metadata endpoint: ends in a line feed.
http::Response metadata_response(std::string json);

// The client asked for labels by category (X-Loki-Response-Encoding-Flags).
bool wants_categories(const http::Request& request);

// Route groups, one file each.
void add_query_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps);
void add_metadata_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps);
void add_volume_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps);
void add_detected_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps);
void add_tail_routes(http::Server& server, const std::shared_ptr<ReadDeps>& deps);

}  // namespace skald::api
