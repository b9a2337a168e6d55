// The limits one request is held to: those of its tenant, or of all its tenants together, tightened by what the request
// says itself in X-Loki-Query-Limits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/limits.h"

namespace skald::api {

inline constexpr std::string_view kQueryLimitsHeader = "X-Loki-Query-Limits";

// The strictest of each query limit among the tenants; at least one.
config::LimitsPtr limits_of(const config::LimitsProvider& provider, const std::vector<std::string>& tenants);

// `json`: {"maxQueryLength":"1h","maxQueryInterval":"5m","maxQueryLookback":"1d","maxEntriesLimitPerQuery":100,
// "maxQueryTime":"10s","requiredLabels":["app"],"minimumLabelsNumber":1,"maxQueryBytesRead":"1GB"}, any of them. What is
// looser than the limit in force is passed over. kInvalidArgument: not such an object.
Result<config::LimitsPtr> tightened(const config::LimitsPtr& limits, std::string_view json);

// 1.2GB, 640B: powers of 1000, one digit after the point below ten.
std::string bytes_text(std::uint64_t bytes);
// Sizes as clients write them, in powers of 1024: 600MB, 1.5GiB, 1000; kInvalidArgument otherwise.
Result<std::int64_t> parse_bytes_text(std::string_view text);

}  // namespace skald::api
