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
#include "skald/api/rule_queries.h"
#include "skald/api/rules.h"
#include "skald/cache/cache.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"
#include "targets.h"
#include "version.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kRuntimeFileBytesMax = 8 << 20;
constexpr const char* kShutdownMarker = "shutdown-requested.txt";
constexpr std::int64_t kIndexCopiesMb = 10 * 1024;

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
      compaction_pool_("compact", std::max<std::size_t>(1, cores() / 2)),
      limits_(config_.limits, config_.runtime_config.file, config_.runtime_config.period,
              [this](const std::string& path) { return files_.read_file(path, kRuntimeFileBytesMax); }, registry_) {
  register_process_metrics(registry_, build_info());
}

Services::~Services() { stop(); }

Result<void> Services::open_data() {
  const Result<void> opened = open_buckets_and_log();
  if (!opened.ok()) return with_owner_hint(opened.error(), config_.bucket_directory());
  return {};
}

Result<void> Services::open_buckets_and_log() {
  SKALD_TRY(Buckets buckets, Buckets::open(config_, BucketUse::kServe, files_, registry_));
  buckets_.emplace(std::move(buckets));
  if (config_.ingester.wal_enabled) {
    SKALD_TRY_VOID(files_.make_directories(config_.ingester.wal_dir));
    SKALD_TRY(DirectoryLock wal_lock, DirectoryLock::take(config_.ingester.wal_dir));
    wal_lock_.emplace(std::move(wal_lock));
  }
  std::vector<std::string> filled = buckets_->directories();
  if (config_.ingester.wal_enabled) filled.push_back(config_.ingester.wal_dir);
  space_ = std::make_unique<objstore::SpaceGuard>(files_, std::move(filled), space_reserve(config_), registry_);
  space_->start();
  return {};
}

Result<store::StoreOptions> Services::open_caches() {
  store::StoreOptions out = store_options(config_);
  SKALD_TRY(out.chunk_cache, cache::open(config_.chunk_cache, {.name = "chunks", .with_memory = false}, files_, registry_, clock_));
  if (config_.l2_chunk_cache_handoff > 0) {
    SKALD_TRY(out.chunk_cache_l2, cache::open(config_.chunk_cache_l2, {.name = "chunksl2"}, files_, registry_, clock_));
  }
  // A copy of the index beside a bucket on the same disk would gain nothing.
  if (keeps_index_copies(config_)) {
    config::CacheBlockConfig copies;
    copies.disk_directory = config_.storage.tsdb_shipper.cache_location;
    copies.disk_max_size_mb = kIndexCopiesMb;
    SKALD_TRY(out.index_cache, cache::open(copies, {.name = "index"}, files_, registry_, clock_));
  }
  if (config_.query_range.cache_results) {
    SKALD_TRY(results_cache_, cache::open(config_.query_range.results_cache, {.name = "frontend.", .content = cache::Content::kAnswers}, files_, registry_, clock_));
  }
  return out;
}

Result<void> Services::start() {
  SKALD_TRY_VOID(limits_.reload());
  SKALD_TRY_VOID(open_data());
  SKALD_TRY_VOID(build_modules());
  build_server();
  // Listens before the data is read: whoever asks learns that the process lives and is not ready yet.
  SKALD_TRY_VOID(server_->start());
  SKALD_TRY_VOID(load_data());
  limits_.start();
  bucket_watch_->start();
  compactor_->start();
  if (remote_writer_) SKALD_TRY_VOID(remote_writer_->start());
  ruler_->start();
  ready_at_monotonic_ns_ = std::max<std::int64_t>(1, clock_.monotonic_ns() + config_.ingester.min_ready_duration);
  return {};
}

// Constructed only; nothing is read yet.
Result<void> Services::build_modules() {
  SKALD_TRY(store::StoreOptions store_settings, open_caches());
  store_ = std::make_unique<store::Store>(buckets_->data(), query_pool_, registry_, std::move(store_settings));
  deletes_ = std::make_unique<compactor::DeleteStore>(buckets_->deletes(), clock_, system_random(), config_.compactor.delete_request_cancel_period);
  bucket_watch_ = std::make_unique<BucketWatch>(*store_, *deletes_, config_.storage.tsdb_shipper.resync_interval, clock_);
  rules_ = std::make_unique<ruler::RuleStore>(buckets_->rules());
  ingester_ = std::make_unique<ingester::Ingester>(ingester_options(config_, instance_id(config_), limits_), files_, buckets_->data(), *store_, flush_pool_, registry_, clock_);
  distributor_ = std::make_unique<distributor::Distributor>(*ingester_, limits_, registry_, clock_, distributor_options(config_));
  querier_ = std::make_unique<querier::Querier>(*ingester_, store_.get(), querier_options(config_));
  querier_->set_deletions([this](const std::string& tenant) { return deletions_of(tenant); });
  compactor::CompactorOptions compaction = compactor_options(config_, instance_id(config_));
  compaction.flush = [this](const std::string&) { return ingester_->flush_all(CallContext{}); };
  compaction.committed = [this] { bucket_watch_->refresh_store(); };
  compactor_ = std::make_unique<compactor::Compactor>(buckets_->data(), deletes_.get(), limits_, compaction_pool_, registry_, clock_, system_random(), std::move(compaction));
  return build_ruler();
}

Result<void> Services::build_ruler() {
  SKALD_TRY(ruler::RulerOptions options, ruler::ruler_options(config_));
  SKALD_TRY(notifier_, ruler::Notifier::create(options.alertmanager, files_, registry_, clock_));
  api::RuleQueryOptions queries;
  queries.memory_bytes_max = config_.querier.max_query_memory;
  queries.ready = [this]() -> Result<void> {
    if (bucket_watch_->known()) return {};
    return Error(ErrorCode::kUnavailable, bucket_watch_->trouble());
  };
  rule_queries_ = api::make_rule_queries(*querier_, limits_, query_pool_, clock_, std::move(queries));
  if (options.remote_write.enabled) {
    SKALD_TRY(remote_writer_, ruler::RemoteWriter::create(options.remote_write, files_, registry_, clock_,
                                                          [this](const std::string& tenant) { return limits_.for_tenant(tenant)->ruler_remote_write_disabled; }));
  }
  ruler::RulerDeps deps{*rules_, files_, *rule_queries_, *notifier_, remote_writer_.get(), registry_, clock_};
  ruler_ = std::make_unique<ruler::Ruler>(std::move(deps), std::move(options));
  return {};
}

Result<void> Services::load_data() {
  // A directory that cannot be read will not become readable by itself. A service may be late or down for a while: it is read
  // in the background; until that is done pushes are taken and queries refused.
  if (!uses_remote_store(config_)) {
    if (Result<void> read = bucket_watch_->look(); !read.ok()) return with_owner_hint(read.error(), config_.bucket_directory());
  }
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

// Requests that arrive before the data is there are refused in a way that makes every client try again.
std::optional<http::Response> Services::refuse_while_starting(const http::Request& request) const {
  if (served_while_starting(request.path)) return std::nullopt;
  std::string reason;
  if (ready_at_monotonic_ns_ == 0) reason = "Ingester not ready: starting\n";
  else if (!bucket_watch_->known() && !request.path.ends_with("/push") && !request.path.starts_with("/otlp/")) reason = bucket_watch_->trouble() + "\n";
  if (reason.empty()) return std::nullopt;
  http::Response out = http::Response::text(503, std::move(reason));
  out.headers.push_back({"Retry-After", "1"});
  return out;
}

engine::Deletions Services::deletions_of(const std::string& tenant) const {
  const compactor::DeleteRequests requests = deletes_->hiding(tenant);
  if (requests->empty() || limits_.for_tenant(tenant)->deletion_mode == "disabled") return nullptr;
  auto out = std::make_shared<std::vector<engine::Deletion>>();
  out->reserve(requests->size());
  for (const auto& request : *requests)
    out->push_back({request->start_s * kNanosPerSecond, request->end_s * kNanosPerSecond, request->selector});
  return out;
}

// Requests stay known after they were carried out, so that answers cached before one do not come back. `tenants`: "a|b" when a
// query reads several.
std::string Services::delete_generation(const std::string& tenants) const {
  std::uint64_t hash = 0;
  for (std::size_t begin = 0; begin <= tenants.size();) {
    const std::size_t end = std::min(tenants.find('|', begin), tenants.size());
    const compactor::DeleteRequests requests = deletes_->of(tenants.substr(begin, end - begin));
    for (const auto& request : *requests) hash = codec::xxh3_words(hash, codec::xxh3_64(request->id));
    begin = end + 1;
  }
  return std::to_string(hash);
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
  api::ReadOptions reading = read_options(config_);
  reading.results_cache = results_cache_;
  reading.cache_generation = [this](const std::string& asked) { return delete_generation(asked); };
  read_routes_ = api::add_read_routes(*server_, api::ReadDeps{*querier_, limits_, query_pool_, registry_, clock_, std::move(reading)});
  if (config_.compactor.retention_enabled) api::add_delete_routes(*server_, *deletes_, limits_, clock_, tenants);
  if (config_.ruler.enable_api) api::add_rule_routes(*server_, *rules_, tenants, ruler_.get());
}

std::string Services::not_ready() const {
  if (stopping_) return "Application is stopping";
  const std::int64_t ready_at = ready_at_monotonic_ns_;
  if (ready_at == 0 || !ingester_->ready()) return "Ingester not ready: starting";
  if (!bucket_watch_->known()) return bucket_watch_->trouble();
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
  if (Result<void> keys = buckets_->reload_keys(); !keys.ok()) log::error("encryption keys not reloaded, the last good ones stay", {{"err", keys.error().message()}});
}

void Services::stop() {
  stopping_ = true;
  if (server_) server_->stop(config_.server.graceful_shutdown_timeout / kNanosPerMilli);
  if (ruler_) ruler_->stop();
  if (notifier_) notifier_->stop();
  if (remote_writer_) remote_writer_->stop();
  if (compactor_) compactor_->stop();
  if (bucket_watch_) bucket_watch_->stop();
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
  ruler_.reset();
  remote_writer_.reset();
  notifier_.reset();
  rule_queries_.reset();
  compactor_.reset();
  querier_.reset();
  distributor_.reset();
  ingester_.reset();
  bucket_watch_.reset();
  store_.reset();
}

}  // namespace skald::app
