// The rule API: groups listed, read, created and deleted (reference http-api §9). Evaluation is the ruler's.
#pragma once

#include "skald/api/tenant.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/ruler/rule_store.h"

namespace skald::api {

// /loki/api/v1/rules…, /api/prom/rules…, /prometheus/api/v1/{rules,alerts}. Before server.start(); `rules` outlives it.
void add_rule_routes(http::Server& server, ruler::RuleStore& rules, TenantPolicy tenants);

}  // namespace skald::api
