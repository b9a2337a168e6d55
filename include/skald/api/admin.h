// What an operator asks of a running process: flush, prepare to leave, stop.
#pragma once

#include <functional>
#include <string>

#include "skald/api/tenant.h"
#include "skald/base/result.h"
#include "skald/http/server.h"

namespace skald::api {

// Called from pool threads.
struct AdminActions {
  TenantPolicy tenants;
  std::function<Result<void>()> flush_all;
  std::function<bool()> prepare_shutdown;
  std::function<Result<void>(bool on)> set_prepare_shutdown;
  std::function<void()> terminate;                            // returns at once; the process then stops as on SIGTERM
};

// /flush, /flush/tenant, /ingester/prepare_shutdown, /ingester/shutdown.
void add_admin_routes(http::Server& server, AdminActions actions);

}  // namespace skald::api
