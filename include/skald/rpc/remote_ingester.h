// An ingester in another process, over HTTP (rpc/wire.h). The same interface as the ingester itself.
#pragma once

#include <memory>
#include <string>

#include "skald/http/client.h"
#include "skald/rpc/ingester_client.h"
#include "skald/rpc/ingester_service.h"

namespace skald::rpc {

struct RemoteIngesterOptions {
  std::int64_t call_timeout_ns = 5 * kNanosPerSecond;    // ingester_client.remote_timeout: pushes and what answers at once
  std::uint64_t fetch_bytes = 1 << 20;                   // rows fetched ahead with one request, as lines
};

// `base_url`: "http://10.1.2.3:3100". `client` and `texts` outlive it and the blocks it hands out.
std::shared_ptr<IngesterClient> make_remote_ingester(http::Client& client, std::string base_url, LabelTexts& texts, RemoteIngesterOptions options = {});

}  // namespace skald::rpc
