// The rule API: groups listed, read, created and deleted (reference http-api §9), and what the ruler says about them.
#pragma once

#include "skald/api/tenant.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/ruler/evaluation.h"
#include "skald/ruler/rule_store.h"

namespace skald::api {

// /loki/api/v1/rules…, /api/prom/rules…, /prometheus/api/v1/{rules,alerts}. Before server.start(); `rules` and `states` outlive it.
// `states` may be null: no rule is evaluated here, so all are shown as they are before their first evaluation.
void add_rule_routes(http::Server& server, ruler::RuleStore& rules, TenantPolicy tenants, ruler::RuleStates* states = nullptr);

}  // namespace skald::api
