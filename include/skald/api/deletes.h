// The delete API: requests accepted, listed and cancelled (reference http-api §8). Queries hide what they name at once.
#pragma once

#include "skald/api/tenant.h"
#include "skald/compactor/delete_requests.h"
#include "skald/config/limits.h"
#include "skald/http/server.h"

namespace skald::api {

// /loki/api/v1/delete. Before server.start(); everything outlives it. `several`: other processes take requests as well, so the
// stored ones are read for each list and cancel.
void add_delete_routes(http::Server& server, compactor::DeleteStore& deletes, const config::LimitsProvider& limits, const Clock& clock,
                       TenantPolicy tenants, bool several = false);

}  // namespace skald::api
