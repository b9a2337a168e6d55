// What a process answers, by its modules.
#include "options.h"
#include "services.h"
#include "skald/api/admin.h"
#include "skald/api/deletes.h"
#include "skald/api/push.h"
#include "skald/api/read.h"
#include "skald/api/ring_pages.h"
#include "skald/api/rules.h"
#include "version.h"

namespace skald::app {
namespace {

// Pages that say how the process is doing; all others need the data.
bool served_while_starting(const std::string& path) {
  for (const char* page : {"/ready", "/metrics", "/services", "/config", "/log_level", "/loki/api/v1/status/buildinfo", "/ring", "/memberlist"})
    if (path == page) return true;
  return path.ends_with("/ring");
}

// Taken, and answered from memory, while the bucket cannot be read.
bool needs_no_bucket(const std::string& path) {
  for (const char* service : {"ingester/", "scheduler/"})
    if (path.starts_with(std::string(rpc::kPathPrefix) + service)) return true;
  return path.ends_with("/push") || path.starts_with("/otlp/");
}

}  // namespace

// Requests that arrive before the data is there are refused in a way that makes every client try again.
std::optional<http::Response> Services::refuse_while_starting(const http::Request& request) const {
  if (served_while_starting(request.path)) return std::nullopt;
  std::string reason;
  if (ready_at_monotonic_ns_ == 0) reason = starting() + "\n";
  else if (!bucket_watch_->known() && !needs_no_bucket(request.path)) reason = bucket_watch_->trouble() + "\n";
  if (reason.empty()) return std::nullopt;
  http::Response out = http::Response::text(503, std::move(reason));
  out.headers.push_back({"Retry-After", "1"});
  return out;
}

void Services::build_server() {
  server_ = std::make_unique<http::Server>(server_options(config_), request_pool_, registry_);
  server_->set_gate([this](const http::Request& request) { return refuse_while_starting(request); });
  api::StatusSources sources{config_, limits_, registry_, clock_, build_info(), {instance_id(config_), instance_address(config_), "", clock_.now_ns()},
                             [this] { return not_ready(); }, [this] { return states(); }, !shared()};
  status_ = std::make_unique<api::StatusPages>(std::move(sources));
  status_->add_routes(*server_);
  if (shared()) add_ring_pages();
  if (modules_.ingester || modules_.distributor) add_write_routes();
  if (modules_.queries()) add_read_routes();
  if (modules_.backend()) add_backend_routes();
}

// Distributors are the ingesters' ring; what backends run, they find in one ring of theirs.
void Services::add_ring_pages() {
  ring::Ring* const ingesters = &cluster_->ingester_ring();
  ring::Ring* const backends = &cluster_->backend_ring();
  std::vector<api::RingPageSource> pages = {{"/ring", "Ingester Ring", ingesters}, {"/distributor/ring", "Distributor Ring", ingesters},
                                            {"/compactor/ring", "Compactor Ring", backends}, {"/ruler/ring", "Ruler Ring", backends},
                                            {"/scheduler/ring", "Scheduler Ring", backends}, {"/indexgateway/ring", "Index Gateway Ring", backends}};
  if (config_.pattern_ingester.enabled) pages.push_back({"/pattern/ring", "Pattern Ring", ingesters});
  api::add_ring_routes(*server_, std::move(pages));
  api::add_memberlist_route(*server_, cluster_->memberlist(), clock_);
}

void Services::add_write_routes() {
  const api::TenantPolicy tenants(config_.auth_enabled, config_.no_auth_tenant);
  if (distributor_) {
    api::PushRouteOptions push;
    push.tenants = tenants;
    push.admit = [this] { return space_->check(); };
    push.body_bytes_max = static_cast<std::uint64_t>(std::max<std::int64_t>(0, config_.distributor.max_recv_msg_size));
    api::add_push_routes(*server_, *distributor_, push, &request_pool_);
  }
  if (!ingester_) return;
  api::AdminActions actions;
  actions.tenants = tenants;
  actions.flush_all = [this] { return ingester_->flush_all(CallContext{}); };
  actions.prepare_shutdown = [this] { return ingester_->prepare_shutdown(); };
  actions.set_prepare_shutdown = [this](bool on) { return set_prepare_shutdown(on); };
  actions.terminate = terminate_;
  api::add_admin_routes(*server_, std::move(actions));
  if (ingester_service_) ingester_service_->add_routes(*server_);
}

void Services::add_read_routes() {
  api::ReadOptions reading = read_options(config_);
  reading.results_cache = results_cache_;
  reading.runner = runner_;
  reading.max_retries = config_.query_range.max_retries;
  reading.cache_generation = [this](const std::string& asked) { return delete_generation(asked); };
  read_routes_ = api::add_read_routes(*server_, api::ReadDeps{*querier_, limits_, query_pool_, registry_, clock_, std::move(reading)});
}

void Services::add_backend_routes() {
  if (scheduler_) scheduler_->add_routes(*server_);
  if (index_service_) index_service_->add_routes(*server_);
  const api::TenantPolicy tenants(config_.auth_enabled, config_.no_auth_tenant);
  if (compactor_ && config_.compactor.retention_enabled) api::add_delete_routes(*server_, *deletes_, limits_, clock_, tenants, shared());
  if (rule_peers_) rule_peers_->add_routes(*server_);
  ruler::RuleStates* const states = rule_peers_ ? static_cast<ruler::RuleStates*>(rule_peers_.get()) : ruler_.get();
  if (ruler_ && config_.ruler.enable_api) api::add_rule_routes(*server_, *rules_, tenants, states);
}

// Who waits for others says for whom.
std::string Services::starting() const {
  const std::string waits = cluster_ ? cluster_->waits_for() : "";
  return "Ingester not ready: " + (waits.empty() ? "starting" : waits);
}

std::string Services::not_ready() const {
  if (stopping_) return "Application is stopping";
  const std::int64_t ready_at = ready_at_monotonic_ns_;
  if (ready_at == 0 || (ingester_ && !ingester_->ready())) return starting();
  if (shared())
    if (const std::string reason = cluster_->not_ready(); !reason.empty()) return "Ingester not ready: " + reason;
  if (!bucket_watch_->known()) return bucket_watch_->trouble();
  if (clock_.monotonic_ns() < ready_at)
    return "Ingester not ready: waiting for " + std::to_string(config_.ingester.min_ready_duration / kNanosPerSecond) + "s after being ready";
  return "";
}

std::vector<api::ServiceState> Services::states() const {
  const char* state = stopping_ ? "Stopping" : ready_at_monotonic_ns_ == 0 ? "Starting" : "Running";
  std::vector<api::ServiceState> out;
  for (const std::string& name : modules_.names()) out.push_back({name, state});
  return out;
}

}  // namespace skald::app
