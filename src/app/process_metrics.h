// process_* as the Prometheus client libraries export them, and what the build is.
#pragma once

#include "skald/api/status_pages.h"
#include "skald/obs/metrics.h"

namespace skald::app {

void register_process_metrics(obs::Registry& registry, const api::BuildInfo& build);

}  // namespace skald::app
