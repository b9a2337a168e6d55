// Rules and alerts as Prometheus' API shows them.
#pragma once

#include <string>
#include <vector>

#include "skald/http/message.h"
#include "skald/ruler/evaluation.h"

namespace skald::api {

// Filters: type=alert|record, rule_name[], rule_group[], file[].
std::string rules_json(const std::vector<ruler::GroupStatus>& groups, const http::Params& form);
std::string alerts_json(const std::vector<ruler::GroupStatus>& groups);

}  // namespace skald::api
