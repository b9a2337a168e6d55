#include "services.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "options.h"
#include "process_metrics.h"
#include "skald/api/admin.h"
#include "skald/api/deletes.h"
#include "skald/api/push.h"
#include "skald/api/read.h"
#include "skald/api/rules.h"
#include "skald/objstore/stores.h"
#include "skald/obs/log.h"
#include "targets.h"
#include "version.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kRuntimeFileBytesMax = 8 << 20;
constexpr const char* kShutdownMarker = "shutdown-requested.txt";
constexpr std::chrono::minutes kStoreRefreshPeriod{1};

// Pages that say how the process is doing; all others need the data.
bool served_while_starting(const std::string& path) {
  for (const char* page : {"/ready", "/metrics", "/services", "/config", "/log_level", "/loki/api/v1/status/buildinfo"})
    if (path == page) return true;
  return false;
}

// The first thing that goes wrong in a container: the volume belongs to somebody else.
Error with_owner_hint(const Error& error, const std::string& directory) {
  if (error.message().find("ermission denied") == std::string::npos) return error;
  const std::string user = std::to_string(geteuid());
  return Error(error.code(), error.message() + "; the process runs as user " + user + ": chown -R " + user + " " + directory +
                                 ", or set common.path_prefix to a directory it may write");
}

std::size_t cores() { return std::max<std::size_t>(1, std::thread::hardware_concurrency()); }

}  // namespace

Services::Services(config::Config config, std::function<void()> terminate)
    : config_(std::move(config)), terminate_(std::move(terminate)), registry_(obs::default_registry()), files_(io::posix_file_system()),
      request_pool_("request", std::max<std::size_t>(4, 2 * cores())), query_pool_("query", cores()), flush_pool_("flush", cores()),
      limits_(config_.limits, config_.runtime_config.file, config_.runtime_config.period,
              [this](const std::string& path) { return files_.read_file(path, kRuntimeFileBytesMax); }, registry_) {
  register_process_metrics(registry_, build_info());
}

Services::~Services() { stop(); }

Result<void> Services::open_data() {
  const Result<void> opened = open_bucket_and_log();
  if (!opened.ok()) return with_owner_hint(opened.error(), config_.bucket_directory());
  return {};
}

Result<void> Services::open_bucket_and_log() {
  const std::string directory = config_.bucket_directory();
  SKALD_TRY_VOID(files_.make_directories(directory));
  SKALD_TRY(DirectoryLock bucket_lock, DirectoryLock::take(directory));
  bucket_lock_.emplace(std::move(bucket_lock));
  if (config_.ingester.wal_enabled) {
    SKALD_TRY_VOID(files_.make_directories(config_.ingester.wal_dir));
    SKALD_TRY(DirectoryLock wal_lock, DirectoryLock::take(config_.ingester.wal_dir));
    wal_lock_.emplace(std::move(wal_lock));
  }
  space_ = std::make_unique<objstore::SpaceGuard>(files_, std::vector{directory, config_.ingester.wal_enabled ? config_.ingester.wal_dir : ""},
                                                  space_reserve(config_), registry_);
  space_->start();
  SKALD_TRY(std::unique_ptr<objstore::ObjectStore> plain, objstore::open_filesystem_store(files_, directory));
  bucket_ = objstore::with_metrics(std::move(plain), "filesystem", registry_);
  return {};
}

// Tenants are the directories of the bucket.
Result<void> Services::load_deletes() {
  SKALD_TRY(const std::vector<io::DirEntry> entries, files_.list(config_.bucket_directory()));
  std::vector<std::string> tenants;
  for (const io::DirEntry& entry : entries)
    if (entry.is_directory && !entry.name.starts_with(".")) tenants.push_back(entry.name);
  return deletes_->load(CallContext{}, tenants);
}

Result<void> Services::start() {
  SKALD_TRY_VOID(limits_.reload());
  SKALD_TRY_VOID(open_data());
  build_modules();
  build_server();
  // Listens before the data is read: whoever asks learns that the process lives and is not ready yet.
  SKALD_TRY_VOID(server_->start());
  SKALD_TRY_VOID(load_data());
  limits_.start();
  refresher_ = std::thread([this] { refresh_periodically(); });
  ready_at_monotonic_ns_ = std::max<std::int64_t>(1, clock_.monotonic_ns() + config_.ingester.min_ready_duration);
  return {};
}

// Constructed only; nothing is read yet.
void Services::build_modules() {
  store_ = std::make_unique<store::Store>(*bucket_, query_pool_, registry_, store_options(config_));
  deletes_ = std::make_unique<compactor::DeleteStore>(*bucket_, clock_, system_random(), config_.compactor.delete_request_cancel_period);
  rules_ = std::make_unique<ruler::RuleStore>(*bucket_);
  ingester_ = std::make_unique<ingester::Ingester>(ingester_options(config_, instance_id(config_), limits_), files_, *bucket_, *store_, flush_pool_, registry_, clock_);
  distributor_ = std::make_unique<distributor::Distributor>(*ingester_, limits_, registry_, clock_, distributor_options(config_));
  querier_ = std::make_unique<querier::Querier>(*ingester_, store_.get(), querier_options(config_));
  querier_->set_deletions([this](const std::string& tenant) { return deletions_of(tenant); });
}

Result<void> Services::load_data() {
  // Damage must not keep the server down: queries that need what is damaged fail and say so, pushes go on.
  if (Result<void> refreshed = store_->refresh(CallContext{}); !refreshed.ok()) {
    if (refreshed.error().code() != ErrorCode::kCorruption) return with_owner_hint(refreshed.error(), config_.bucket_directory());
    log::error("index not read completely", {{"err", refreshed.error().message()}});
  }
  // Likewise; what could not be read is named and shows its lines again until repaired.
  if (Result<void> loaded = load_deletes(); !loaded.ok()) log::error("delete requests not read completely", {{"err", loaded.error().message()}});
  SKALD_TRY(const ingester::RecoveryReport recovered, ingester_->start());
  if (recovered.frames != 0 || recovered.corrupt_frames != 0 || recovered.torn_tail_bytes != 0)
    log::info("recovered from the write-ahead log", {{"segments", recovered.segments}, {"frames", recovered.frames}, {"entries", recovered.entries},
              {"streams", recovered.streams}, {"corrupt_frames", recovered.corrupt_frames}, {"torn_tail_bytes", recovered.torn_tail_bytes},
              {"duration_ms", recovered.duration_ns / kNanosPerMilli}});
  const std::string marker = config_.ingester.shutdown_marker_path.empty() ? "" : config_.ingester.shutdown_marker_path + "/" + kShutdownMarker;
  if (!marker.empty()) {
    SKALD_TRY(const bool marked, files_.exists(marker));
    if (marked) ingester_->set_prepare_shutdown(true);
  }
  return {};
}

// What others wrote to the bucket or removed from it shows up within a period.
void Services::refresh_periodically() {
  std::unique_lock lock(refresher_mutex_);
  while (!refresher_wake_.wait_for(lock, kStoreRefreshPeriod, [this] { return refresher_stops_; })) {
    lock.unlock();
    if (Result<void> refreshed = store_->refresh(CallContext{}); !refreshed.ok()) log::error("index not refreshed completely", {{"err", refreshed.error().message()}});
    lock.lock();
  }
}

// Requests that arrive before the data is there are refused in a way that makes every client try again.
std::optional<http::Response> Services::refuse_while_starting(const http::Request& request) const {
  if (ready_at_monotonic_ns_ != 0 || served_while_starting(request.path)) return std::nullopt;
  http::Response out = http::Response::text(503, "Ingester not ready: starting\n");
  out.headers.push_back({"Retry-After", "1"});
  return out;
}

engine::Deletions Services::deletions_of(const std::string& tenant) const {
  const compactor::DeleteRequests requests = deletes_->of(tenant);
  if (requests->empty() || limits_.for_tenant(tenant)->deletion_mode == "disabled") return nullptr;
  auto out = std::make_shared<std::vector<engine::Deletion>>();
  out->reserve(requests->size());
  for (const auto& request : *requests)
    out->push_back({request->start_s * kNanosPerSecond, request->end_s * kNanosPerSecond, request->selector});
  return out;
}

void Services::build_server() {
  server_ = std::make_unique<http::Server>(server_options(config_), request_pool_, registry_);
  server_->set_gate([this](const http::Request& request) { return refuse_while_starting(request); });
  api::StatusSources sources{config_, limits_, registry_, clock_, build_info(), {instance_id(config_), instance_address(config_), "", clock_.now_ns()},
                             [this] { return not_ready(); }, [this] { return states(); }};
  status_ = std::make_unique<api::StatusPages>(std::move(sources));
  status_->add_routes(*server_);
  const api::TenantPolicy tenants(config_.auth_enabled, config_.no_auth_tenant);
  api::AdminActions actions;
  actions.tenants = tenants;
  actions.flush_all = [this] { return ingester_->flush_all(CallContext{}); };
  actions.prepare_shutdown = [this] { return ingester_->prepare_shutdown(); };
  actions.set_prepare_shutdown = [this](bool on) { return set_prepare_shutdown(on); };
  actions.terminate = terminate_;
  api::add_admin_routes(*server_, std::move(actions));
  api::PushRouteOptions push;
  push.tenants = tenants;
  push.admit = [this] { return space_->check(); };
  push.body_bytes_max = static_cast<std::uint64_t>(std::max<std::int64_t>(0, config_.distributor.max_recv_msg_size));
  api::add_push_routes(*server_, *distributor_, push, &request_pool_);
  read_routes_ = api::add_read_routes(*server_, api::ReadDeps{*querier_, limits_, query_pool_, registry_, clock_, read_options(config_)});
  if (config_.compactor.retention_enabled) api::add_delete_routes(*server_, *deletes_, limits_, clock_, tenants);
  if (config_.ruler.enable_api) api::add_rule_routes(*server_, *rules_, tenants);
}

std::string Services::not_ready() const {
  if (stopping_) return "Application is stopping";
  const std::int64_t ready_at = ready_at_monotonic_ns_;
  if (ready_at == 0 || !ingester_->ready()) return "Ingester not ready: starting";
  if (clock_.monotonic_ns() < ready_at)
    return "Ingester not ready: waiting for " + std::to_string(config_.ingester.min_ready_duration / kNanosPerSecond) + "s after being ready";
  return "";
}

std::vector<api::ServiceState> Services::states() const {
  const char* state = stopping_ ? "Stopping" : ready_at_monotonic_ns_ == 0 ? "Starting" : "Running";
  std::vector<api::ServiceState> out;
  for (const std::string& name : running_modules()) out.push_back({name, state});
  return out;
}

// The marker makes the decision survive a restart between the request and the end of the process.
Result<void> Services::set_prepare_shutdown(bool on) {
  const std::string& directory = config_.ingester.shutdown_marker_path;
  if (directory.empty())
    return Error(ErrorCode::kInternal, "no path configured for ingester shutdown marker; set ingester.shutdown_marker_path or common.path_prefix");
  const std::string marker = directory + "/" + kShutdownMarker;
  if (on) SKALD_TRY_VOID(io::replace_file(files_, marker, "shutdown requested\n"));
  else SKALD_TRY_VOID(files_.remove(marker));
  ingester_->set_prepare_shutdown(on);
  return {};
}

void Services::reload_limits() {
  if (Result<void> done = limits_.reload(); done.ok()) log::info("limits reloaded");
  else log::error("limits not reloaded, the last good ones stay", {{"err", done.error().message()}});
}

void Services::stop() {
  stopping_ = true;
  if (server_) server_->stop(config_.server.graceful_shutdown_timeout / kNanosPerMilli);
  {
    const std::lock_guard lock(refresher_mutex_);
    refresher_stops_ = true;
  }
  refresher_wake_.notify_all();
  if (refresher_.joinable()) refresher_.join();
  if (ingester_) {
    const bool leaving = ingester_->prepare_shutdown();
    ingester_->stop();
    // Gone for good as asked; a later start in this directory is a new beginning.
    if (leaving && !config_.ingester.shutdown_marker_path.empty())
      if (Result<void> removed = files_.remove(config_.ingester.shutdown_marker_path + "/" + kShutdownMarker); !removed.ok())
        log::warn("shutdown marker not removed", {{"err", removed.error().message()}});
  }
  limits_.stop();
  server_.reset();
  read_routes_.reset();   // waits for queries that outlasted the grace period
  status_.reset();
  querier_.reset();
  distributor_.reset();
  ingester_.reset();
  store_.reset();
}

}  // namespace skald::app
