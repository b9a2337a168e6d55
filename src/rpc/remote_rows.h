// Rows of a select in another process: blocks that are fetched when a plan loads them, several with one request.
#pragma once

#include <memory>
#include <string>

#include "skald/http/client.h"
#include "skald/rpc/wire.h"

namespace skald::rpc {

// What a remote select's blocks share. The other side keeps the rows until this is destroyed.
// Sources in memory are made distinct per peer: two peers may count theirs alike.
Result<chunk::SelectResult> open_remote_rows(http::Client& client, std::string base_url, const std::string& tenant, RemoteSelect select, std::uint64_t fetch_bytes);

}  // namespace skald::rpc
