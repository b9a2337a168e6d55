// Queries in parts: what is worth cutting, and under which limits.
#pragma once

#include <functional>

#include "api/read_context.h"
#include "skald/engine/engine.h"
#include "skald/logql/ast.h"

namespace skald::api {

// Evaluates a query, or a part of one, in this process under the request's limits.
using EvaluateHere = std::function<Result<engine::QueryResult>(const logql::Query&, const engine::QueryParams&)>;

// In parts by way of service.options.runner, which is not null, or as a whole `here` where that is as good.
Result<engine::QueryResult> run_in_parts(ReadService& service, const ReadRequest& request, const logql::Query& query, const engine::QueryParams& params,
                                         const EvaluateHere& here);

}  // namespace skald::api
