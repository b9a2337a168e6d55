// Index gateways in other processes as one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/http/client.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/index_client.h"
#include "skald/rpc/ingester_service.h"

namespace skald::rpc {

struct IndexGatewayOptions {
  // Base URLs ("http://10.1.2.3:3100") of the gateways there are now: members of a ring, or what names resolve to
  // (io/names.h). Asked with every call, so it must not block.
  std::function<std::vector<std::string>()> addresses;
  std::int64_t call_timeout_ns = 20 * kNanosPerSecond;   // of one gateway
  std::int64_t aside_ns = 10 * kNanosPerSecond;          // who did not answer is asked last for so long
};

// A tenant's calls go to one gateway, chosen by hash, as long as it answers; then to the next. kUnavailable: none of them
// does. `client`, `texts` and `registry` outlive it.
std::shared_ptr<IndexClient> make_index_gateway(http::Client& client, LabelTexts& texts, obs::Registry& registry, IndexGatewayOptions options);

}  // namespace skald::rpc
