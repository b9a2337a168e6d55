// The read routes: queries, labels, series, index statistics, detected labels and fields, tail, and their /api/prom forms.
#pragma once

#include "skald/base/clock.h"
#include "skald/config/limits.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"
#include "skald/querier/querier.h"

namespace skald::api {

// Everything outlives the server.
struct ReadDeps {
  querier::Querier& querier;
  const config::LimitsProvider& limits;
  exec::Pool& pool;                 // blocks of a query are scanned here
  obs::Registry& registry;
  const Clock& clock = system_clock();
  bool auth_enabled = true;
};

// Before server.start().
void add_read_routes(http::Server& server, ReadDeps deps);

}  // namespace skald::api
