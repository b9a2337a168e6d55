#include "services.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "options.h"
#include "process_metrics.h"
#include "skald/api/read.h"
#include "skald/api/rule_queries.h"
#include "skald/api/subqueries.h"
#include "skald/cache/cache.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"
#include "skald/querier/recent_view.h"
#include "skald/rpc/index_gateway.h"
#include "version.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kRuntimeFileBytesMax = 8 << 20;
constexpr const char* kShutdownMarker = "shutdown-requested.txt";
constexpr std::int64_t kIndexCopiesMb = 10 * 1024;
constexpr std::int64_t kHandOverNs = 5 * kNanosPerMinute;

// The first thing that goes wrong in a container: the volume belongs to somebody else.
Error with_owner_hint(const Error& error, const std::string& directory) {
  if (error.message().find("ermission denied") == std::string::npos) return error;
  const std::string user = std::to_string(geteuid());
  return Error(error.code(), error.message() + "; the process runs as user " + user + ": chown -R " + user + " " + directory +
                                 ", or set common.path_prefix to a directory it may write");
}

std::size_t cores() { return std::max<std::size_t>(1, std::thread::hardware_concurrency()); }

}  // namespace

Services::Services(config::Config config, Modules modules, std::function<void()> terminate)
    : config_(std::move(config)), modules_(std::move(modules)), terminate_(std::move(terminate)), registry_(obs::default_registry()), files_(io::posix_file_system()),
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
  const bool has_log = modules_.ingester && config_.ingester.wal_enabled;
  if (has_log) {
    SKALD_TRY_VOID(files_.make_directories(config_.ingester.wal_dir));
    SKALD_TRY(DirectoryLock wal_lock, DirectoryLock::take(config_.ingester.wal_dir));
    wal_lock_.emplace(std::move(wal_lock));
  }
  std::vector<std::string> filled = buckets_->directories();
  if (has_log) filled.push_back(config_.ingester.wal_dir);
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
  if (shared()) SKALD_TRY_VOID(cluster_->join());
  SKALD_TRY_VOID(load_data());
  limits_.start();
  bucket_watch_->start();
  if (shared()) member_watch_ = std::make_unique<MemberWatch>(cluster_->ingester_ring(), [this](bool crashed) { members_went(crashed); });
  if (compactor_) compactor_->start();
  if (remote_writer_) SKALD_TRY_VOID(remote_writer_->start());
  if (ruler_) ruler_->start();
  ready_at_monotonic_ns_ = std::max<std::int64_t>(1, clock_.monotonic_ns() + config_.ingester.min_ready_duration);
  if (shared()) cluster_->activate();
  if (worker_) worker_->start();
  return {};
}

// Constructed only; nothing is read yet.
Result<void> Services::build_modules() {
  SKALD_TRY(store::StoreOptions store_settings, open_caches());
  if (modules_.shared) {
    SKALD_TRY(cluster_, Cluster::open(config_, modules_, files_, registry_, clock_));
  }
  if (shared()) {
    store_settings.recent_keep_ns = modules_.ingester ? recent_keep_ns(config_) : 0;
    store_settings.listing_age_max_ns = listing_age_max_ns(config_);
    if (!modules_.ingester && !modules_.backend() && asks_index_gateway(config_))
      store_settings.gateway = rpc::make_index_gateway(cluster_->peers(), cluster_->texts(), registry_, {.addresses = [this] { return cluster_->backend_urls(); }});
  }
  store_ = std::make_unique<store::Store>(buckets_->data(), query_pool_, registry_, std::move(store_settings));
  deletes_ = std::make_unique<compactor::DeleteStore>(buckets_->deletes(), clock_, system_random(), config_.compactor.delete_request_cancel_period);
  // Who answers no queries needs to know little of what others write.
  const bool answers = modules_.queries() || modules_.backend();
  const std::int64_t resync_ns = answers ? config_.storage.tsdb_shipper.resync_interval : std::max(kNanosPerHour, config_.storage.tsdb_shipper.resync_interval);
  bucket_watch_ = std::make_unique<BucketWatch>(*store_, *deletes_, resync_ns, clock_);
  rules_ = std::make_unique<ruler::RuleStore>(buckets_->rules());
  if (modules_.ingester) {
    std::function<std::uint64_t(std::uint64_t)> share_of;
    if (shared()) share_of = [this](std::uint64_t global) { return cluster_->ingester_share(global); };
    ingester_ = std::make_unique<ingester::Ingester>(ingester_options(config_, instance_id(config_), limits_, std::move(share_of)), files_, buckets_->data(), *store_, flush_pool_, registry_, clock_);
    if (shared()) {
      local_view_ = std::make_unique<querier::RecentView>(*ingester_, store_->recent());
      cluster_->set_local(*local_view_);
      ingester_service_ = std::make_unique<rpc::IngesterService>(*local_view_, registry_, clock_);
    }
  }
  if (modules_.distributor) {
    distributor::DistributorOptions options = distributor_options(config_);
    if (shared()) options.share = [this] { return cluster_->distributor_share(); };
    distributor_ = std::make_unique<distributor::Distributor>(ingesters(), limits_, registry_, clock_, std::move(options));
  }
  if (modules_.queries() || modules_.ruler) {
    querier::QuerierOptions options = querier_options(config_);
    if (shared()) options.copies = static_cast<std::uint32_t>(cluster_->ingester_ring().options().replication_factor);
    querier_ = std::make_unique<querier::Querier>(ingesters(), store_.get(), options);
    querier_->set_deletions([this](const std::string& tenant) { return deletions_of(tenant); });
  }
  if (shared()) build_query_path();
  if (modules_.index_gateway) index_service_ = std::make_unique<rpc::IndexService>(store_->index(), registry_, clock_);
  if (modules_.compactor) {
    compactor::CompactorOptions compaction = compactor_options(config_, instance_id(config_));
    compaction.flush = [this](const std::string&) -> Result<void> {
      if (ingester_) SKALD_TRY_VOID(ingester_->flush_all(CallContext{}));
      return shared() ? cluster_->flush_ingesters() : Result<void>();
    };
    compaction.committed = [this] { bucket_watch_->refresh_store(); };
    compactor_ = std::make_unique<compactor::Compactor>(buckets_->data(), deletes_.get(), limits_, compaction_pool_, registry_, clock_, system_random(), std::move(compaction));
  }
  return modules_.ruler ? build_ruler() : Result<void>();
}

// Between the readers of an installation, by way of the schedulers on its backends.
void Services::build_query_path() {
  if (modules_.scheduler) {
    frontend::SchedulerOptions options;
    if (config_.query_scheduler.max_outstanding_requests_per_tenant > 0)
      options.waiting_max = static_cast<std::size_t>(config_.query_scheduler.max_outstanding_requests_per_tenant);
    options.max_tries = std::max<std::int64_t>(1, config_.query_range.max_retries);
    scheduler_ = std::make_unique<frontend::Scheduler>(registry_, clock_, options);
  }
  if (!modules_.queries()) return;
  const auto schedulers = [this] { return cluster_->backend_urls(); };
  const frontend::Evaluate evaluate = api::make_evaluate(*querier_, query_pool_, config_.querier.max_query_memory);
  frontend::RemoteRunnerOptions running;
  running.max_retries = config_.query_range.max_retries;
  runner_ = frontend::make_remote_runner(cluster_->peers(), schedulers, evaluate, registry_, running);
  if (!modules_.querier) return;
  frontend::WorkerOptions working;
  working.id = instance_id(config_);
  working.concurrency = static_cast<std::size_t>(std::max<std::int64_t>(1, config_.querier.max_concurrent));
  worker_ = std::make_unique<frontend::Worker>(cluster_->peers(), schedulers, evaluate, registry_, clock_, working);
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
  if (shared()) {
    ruler::PeersOptions sharing{.own_id = cluster_->id(), .url_of = [this](const ring::Instance& instance) { return cluster_->url_of(instance); }};
    rule_peers_ = std::make_unique<ruler::Peers>(cluster_->backend_ring(), cluster_->peers(), std::move(sharing), registry_);
    rule_peers_->share(deps);
  }
  ruler_ = std::make_unique<ruler::Ruler>(std::move(deps), std::move(options));
  if (rule_peers_) rule_peers_->set_local(*ruler_);
  return {};
}

Result<void> Services::load_data() {
  // A directory that cannot be read will not become readable by itself. A service may be late or down for a while: it is read
  // in the background; until that is done pushes are taken and queries refused.
  if (!uses_remote_store(config_)) {
    if (Result<void> read = bucket_watch_->look(); !read.ok()) return with_owner_hint(read.error(), config_.bucket_directory());
  }
  return modules_.ingester ? replay() : Result<void>();
}

void Services::members_went(bool crashed) {
  if (querier_) bucket_watch_->look_soon();
  if (!ingester_ || !crashed || stopping_) return;
  // Lines have a copy less, and it may not come back: the store is the copy that no second loss can take away.
  log::warn("an ingester is not heard of any more; storing what is in memory");
  if (Result<void> flushed = ingester_->flush_all(CallContext{}); !flushed.ok()) log::error("not stored yet", {{"err", flushed.error().message()}});
}

Result<void> Services::replay() {
  SKALD_TRY(const ingester::RecoveryReport recovered, ingester_->start());
  const bool begins_empty = recovered.segments == 0 && recovered.frames == 0;
  if (shared() && begins_empty) cluster_->make_up_for_lost_log();
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

void Services::stop_ingester() {
  const bool leaving = ingester_->prepare_shutdown();
  if (leaving && shared() && config_.lifecycler.leave == "hand_over") {
    CallContext ctx;
    ctx.clock = &clock_;
    ctx.deadline_monotonic_ns = clock_.monotonic_ns() + kHandOverNs;
    const Result<ingester::HandOver> done = ingester_->hand_over(ctx, cluster_->successor());
    if (done.ok()) log::info("streams handed over", {{"rows", done->rows}, {"pushes", done->pushes}, {"chunks_flushed", done->chunks_flushed}});
    else log::error("not everything handed over or stored, it stays in the log", {{"err", done.error().message()}});
  }
  ingester_->stop();
  // Gone for good as asked; a later start in this directory is a new beginning.
  if (leaving && !config_.ingester.shutdown_marker_path.empty())
    if (Result<void> removed = files_.remove(config_.ingester.shutdown_marker_path + "/" + kShutdownMarker); !removed.ok())
      log::warn("shutdown marker not removed", {{"err", removed.error().message()}});
}

void Services::stop() {
  stopping_ = true;
  const bool for_good = ingester_ && ingester_->prepare_shutdown();
  if (shared()) {
    // Pushes go elsewhere first; what is in memory can be read until it is flushed or left to the log.
    cluster_->leave();
    if (worker_) worker_->stop(config_.server.graceful_shutdown_timeout);
    if (scheduler_) scheduler_->stop();
    if (ingester_) stop_ingester();
  }
  if (server_) server_->stop(config_.server.graceful_shutdown_timeout / kNanosPerMilli);
  if (ruler_) ruler_->stop();
  if (notifier_) notifier_->stop();
  if (remote_writer_) remote_writer_->stop();
  if (compactor_) compactor_->stop();
  member_watch_.reset();
  if (bucket_watch_) bucket_watch_->stop();
  if (ingester_ && !shared()) stop_ingester();
  if (shared()) cluster_->stop(for_good);
  limits_.stop();
  server_.reset();
  read_routes_.reset();   // waits for queries that outlasted the grace period
  status_.reset();
  ruler_.reset();
  rule_peers_.reset();
  remote_writer_.reset();
  notifier_.reset();
  rule_queries_.reset();
  compactor_.reset();
  worker_.reset();
  runner_.reset();
  scheduler_.reset();
  querier_.reset();
  distributor_.reset();
  ingester_service_.reset();
  index_service_.reset();
  cluster_.reset();               // calls of peers that still run end before the ingester does
  local_view_.reset();
  ingester_.reset();
  bucket_watch_.reset();
  store_.reset();
}

}  // namespace skald::app
