// The push routes: POST /loki/api/v1/push, /api/prom/push, /otlp/v1/logs.
#pragma once

#include <functional>
#include <string>

#include "skald/api/tenant.h"
#include "skald/base/result.h"
#include "skald/distributor/distributor.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"

namespace skald::api {

struct PushRouteOptions {
  TenantPolicy tenants;
  std::uint64_t body_bytes_max = 100ULL << 20;      // distributor.max_recv_msg_size
  // Bodies above this are decoded on `pool` when one is given, so that an I/O thread never works on one for long.
  std::uint64_t inline_bytes_max = 2ULL << 20;
  // Asked before a push is looked at; an error refuses it. Any thread. May be empty.
  std::function<Result<void>()> admit;
};

// `distributor` and `pool` outlive the server. `pool` may be null: everything runs on the I/O threads.
void add_push_routes(http::Server& server, distributor::Distributor& distributor, PushRouteOptions options,
                     exec::Pool* pool = nullptr);

// The parts of a route, for tests and other servers.
enum class PushPath { kLoki, kLegacy, kOtlp };
// Content type, encoding and headers → job. kInvalidArgument: "mime: no media type" and the like.
Result<distributor::PushJob> make_push_job(const http::Request& request, PushPath path);
// 503 carries Retry-After.
http::Response push_response(const Result<void>& outcome, PushPath path, int blocked_status);

}  // namespace skald::api
