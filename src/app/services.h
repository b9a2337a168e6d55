// The modules of one process, built from the bottom up and stopped from the top down.
//
//   files → buckets → store → ingester → distributor ┐
//                       └──────┴→ querier ───────────┴→ HTTP server
//                       └→ compactor       └→ ruler → Alertmanagers
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bucket_watch.h"
#include "buckets.h"
#include "directory_lock.h"
#include "skald/api/status_pages.h"
#include "skald/compactor/compactor.h"
#include "skald/compactor/delete_requests.h"
#include "skald/config/load.h"
#include "skald/config/runtime.h"
#include "skald/distributor/distributor.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/ingester/ingester.h"
#include "skald/io/file_system.h"
#include "skald/objstore/object_store.h"
#include "skald/objstore/space.h"
#include "skald/querier/querier.h"
#include "skald/ruler/notifier.h"
#include "skald/ruler/remote_writer.h"
#include "skald/ruler/rule_store.h"
#include "skald/ruler/ruler.h"
#include "skald/store/store.h"

namespace skald::app {

class Services {
 public:
  // `terminate` is called (from any thread) when a request asks the process to stop.
  Services(config::Config config, std::function<void()> terminate);
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
  Result<void> open_data();
  Result<void> open_buckets_and_log();
  Result<void> build_modules();
  Result<store::StoreOptions> open_caches();
  Result<void> build_ruler();
  void build_server();
  Result<void> load_data();
  std::optional<http::Response> refuse_while_starting(const http::Request& request) const;
  engine::Deletions deletions_of(const std::string& tenant) const;   // what delete requests hide from queries
  std::string delete_generation(const std::string& tenants) const;   // another text after each change of their delete requests
  std::string not_ready() const;
  std::vector<api::ServiceState> states() const;
  Result<void> set_prepare_shutdown(bool on);

  const config::Config config_;
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
  std::unique_ptr<ingester::Ingester> ingester_;
  std::unique_ptr<distributor::Distributor> distributor_;
  std::unique_ptr<querier::Querier> querier_;
  std::unique_ptr<compactor::DeleteStore> deletes_;
  std::unique_ptr<ruler::RuleStore> rules_;
  std::unique_ptr<ruler::QueryRunner> rule_queries_;
  std::unique_ptr<ruler::Notifier> notifier_;
  std::unique_ptr<ruler::RemoteWriter> remote_writer_;   // null: results of recording rules go nowhere
  std::unique_ptr<ruler::Ruler> ruler_;
  std::unique_ptr<BucketWatch> bucket_watch_;
  std::unique_ptr<compactor::Compactor> compactor_;
  std::unique_ptr<api::StatusPages> status_;
  std::shared_ptr<void> read_routes_;        // running queries; needs what is above
  std::unique_ptr<http::Server> server_;     // last: first to stop
  std::atomic<std::int64_t> ready_at_monotonic_ns_{0};   // 0: not started
  std::atomic<bool> stopping_{false};
};

}  // namespace skald::app
