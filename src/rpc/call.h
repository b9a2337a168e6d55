// The calling side's half of the frame of a call.
#pragma once

#include <string>
#include <string_view>

#include "skald/base/context.h"
#include "skald/http/client.h"
#include "skald/rpc/wire.h"

namespace skald::rpc {

// POST <base_url>/skald.rpc.v1/<method> without a body yet. `base_url`: "http://10.1.2.3:3100".
http::ClientRequest call_request(const std::string& base_url, std::string_view method, const CallContext& ctx);
// The message, or the error the other side meant.
Result<Bytes> read_answer(Result<http::ClientResponse> response, const std::string& peer);

}  // namespace skald::rpc
