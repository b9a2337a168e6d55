// The modules of one process, as -target chooses them, built from the bottom up and stopped from the top down.
//
//   files → buckets → store → ingester ─┬→ distributor ┐
//                       │     cluster ──┴→ querier ────┴→ HTTP server
//                       └→ compactor        └→ ruler → Alertmanagers
//
// In an installation of several processes, distributor and querier use the cluster's ingesters instead of their own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bucket_watch.h"
#include "buckets.h"
#include "cluster.h"
#include "directory_lock.h"
#include "member_watch.h"
#include "skald/api/status_pages.h"
#include "skald/compactor/compactor.h"
#include "skald/compactor/delete_requests.h"
#include "skald/config/load.h"
#include "skald/config/runtime.h"
#include "skald/distributor/distributor.h"
#include "skald/exec/pool.h"
#include "skald/frontend/runner.h"
#include "skald/frontend/scheduler.h"
#include "skald/frontend/worker.h"
#include "skald/http/server.h"
#include "skald/ingester/ingester.h"
#include "skald/io/file_system.h"
#include "skald/objstore/object_store.h"
#include "skald/objstore/space.h"
#include "skald/querier/querier.h"
#include "skald/rpc/index_service.h"
#include "skald/ruler/notifier.h"
#include "skald/ruler/peers.h"
#include "skald/ruler/remote_writer.h"
#include "skald/ruler/rule_store.h"
#include "skald/ruler/ruler.h"
#include "skald/store/store.h"
#include "targets.h"

namespace skald::app {

class Services {
 public:
  // `terminate` is called (from any thread) when a request asks the process to stop.
  Services(config::Config config, Modules modules, std::function<void()> terminate);
  ~Services();

  // Listens, then opens the data and replays what a crash left: until that is done all but status pages answer 503. On
  // failure what was started is stopped by the destructor.
  Result<void> start();
  // /ready answers 503 from here on; still serves. For -shutdown-delay.
  void begin_stop() { stopping_ = true; }
  // Lets running requests finish, then closes the ingester and the rest. Once.
  void stop();
  void reload_limits();                      // SIGHUP
  std::uint16_t port() const { return server_->port(); }
  const config::Config& config() const { return config_; }

 private:
  bool shared() const { return cluster_ != nullptr; }
  rpc::IngesterClient& ingesters() { return shared() ? cluster_->ingesters() : *ingester_; }
  Result<void> open_data();
  Result<void> open_buckets_and_log();
  Result<void> build_modules();
  Result<store::StoreOptions> open_caches();
  void build_query_path();
  Result<void> build_ruler();
  void build_server();
  void add_ring_pages();
  void add_write_routes();
  void add_read_routes();
  void add_backend_routes();
  Result<void> load_data();
  Result<void> replay();
  void stop_ingester();
  void members_went(bool crashed);
  std::optional<http::Response> refuse_while_starting(const http::Request& request) const;
  engine::Deletions deletions_of(const std::string& tenant) const;   // what delete requests hide from queries
  std::string delete_generation(const std::string& tenants) const;   // another text after each change of their delete requests
  std::string starting() const;
  std::string not_ready() const;
  std::vector<api::ServiceState> states() const;
  Result<void> set_prepare_shutdown(bool on);

  const config::Config config_;
  const Modules modules_;
  const std::function<void()> terminate_;
  const Clock& clock_ = system_clock();
  obs::Registry& registry_;
  io::FileSystem& files_;
  // Handlers, scans of a query's blocks, and flushes each have their own threads: none can starve the others.
  exec::Pool request_pool_, query_pool_, flush_pool_, compaction_pool_;
  config::RuntimeLimits limits_;
  std::optional<DirectoryLock> wal_lock_;
  std::unique_ptr<objstore::SpaceGuard> space_;   // of the volumes that pushes fill
  std::optional<Buckets> buckets_;
  std::shared_ptr<cache::Cache> results_cache_;   // null: answers are not kept
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Cluster> cluster_;              // null: this process is alone
  std::unique_ptr<ingester::Ingester> ingester_;
  std::unique_ptr<rpc::IngesterClient> local_view_;        // what peers see of it
  std::unique_ptr<rpc::IngesterService> ingester_service_;
  std::unique_ptr<rpc::IndexService> index_service_;       // what readers ask of a backend's store
  std::unique_ptr<distributor::Distributor> distributor_;
  std::unique_ptr<querier::Querier> querier_;
  std::unique_ptr<frontend::Scheduler> scheduler_;        // backends
  std::shared_ptr<frontend::Runner> runner_;              // readers: parts of queries go to schedulers …
  std::unique_ptr<frontend::Worker> worker_;              // … and come from them
  std::unique_ptr<compactor::DeleteStore> deletes_;
  std::unique_ptr<ruler::RuleStore> rules_;
  std::unique_ptr<ruler::QueryRunner> rule_queries_;
  std::unique_ptr<ruler::Notifier> notifier_;
  std::unique_ptr<ruler::RemoteWriter> remote_writer_;   // null: results of recording rules go nowhere
  std::unique_ptr<ruler::Peers> rule_peers_;             // null: this process evaluates all groups
  std::unique_ptr<ruler::Ruler> ruler_;
  std::unique_ptr<BucketWatch> bucket_watch_;
  std::unique_ptr<compactor::Compactor> compactor_;
  std::unique_ptr<api::StatusPages> status_;
  std::shared_ptr<void> read_routes_;        // running queries; needs what is above
  std::unique_ptr<http::Server> server_;     // last: first to stop
  std::unique_ptr<MemberWatch> member_watch_;
  std::atomic<std::int64_t> ready_at_monotonic_ns_{0};   // 0: not started
  std::atomic<bool> stopping_{false};
};

}  // namespace skald::app
