// Pages an operator and a scraper read: readiness, metrics, configuration, services, rings, build, log level.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "skald/config/config.h"
#include "skald/config/limits.h"
#include "skald/http/server.h"
#include "skald/obs/metrics.h"

namespace skald::api {

struct BuildInfo {
  std::string version;          // ours
  std::string loki_version;     // whose API this is; clients switch features by it
  std::string revision, branch, build_user, build_date, compiler;
};

struct ServiceState {
  std::string name;
  std::string state;            // Running, Starting, Stopping
};

// This process, where it shares no ring with others.
struct RingMember {
  std::string id, address, zone;
  std::int64_t registered_ns = 0;
};

struct StatusSources {
  const config::Config& config;
  const config::LimitsProvider& limits;
  obs::Registry& registry;
  const Clock& clock;
  BuildInfo build;
  RingMember member;
  std::function<std::string()> not_ready;                  // empty text: ready
  std::function<std::vector<ServiceState>()> services;
  // Rings as one member sees them that is alone. False: add_ring_routes() and add_memberlist_route() (ring_pages.h) show them.
  bool alone = true;
};

// Thread-safe; `sources` and what they refer to outlive the server.
class StatusPages {
 public:
  explicit StatusPages(StatusSources sources) : sources_(std::move(sources)) {}
  void add_routes(http::Server& server) const;

  http::Response ready() const;
  http::Response metrics() const;
  http::Response config(const http::Request& request) const;         // ?mode=diff|defaults
  http::Response tenant_limits(const http::Request& request) const;
  http::Response drilldown_limits(const http::Request& request) const;
  http::Response services() const;
  http::Response build_info() const;
  http::Response log_level(const http::Request& request) const;      // GET, POST log_level=…
  http::Response ring(const http::Request& request, const std::string& title, std::size_t tokens) const;

 private:
  StatusSources sources_;
};

}  // namespace skald::api
