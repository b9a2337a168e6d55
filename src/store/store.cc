#include "skald/store/store.h"

#include <cmath>

#include "store/store_state.h"
#include "store/view.h"

namespace skald::store {
namespace {

std::vector<double> index_request_edges() {
  std::vector<double> edges;
  for (int n = 0; n < 12; ++n) edges.push_back(0.005 * std::pow(20000.0, n / 11.0));
  return edges;
}

}  // namespace

Store::State::State(objstore::ObjectStore& objects_in, exec::Pool& pool_in, obs::Registry& registry, const StoreOptions& options)
    : objects(objects_in), pool(pool_in),
      chunks(std::make_shared<ChunkCache>(objects_in, pool_in, registry, options)), index_objects(objects_in, options, registry),
      query_ready_days(options.query_ready_num_days), recent_keep_ns(options.recent_keep_ns),
      listing_age_max_ns(options.gateway != nullptr && options.listing_age_max_ns <= 0 ? 5 * kNanosPerMinute : options.listing_age_max_ns),
      gateway(options.gateway), whole_view(std::make_unique<View>(*this, Scope::kAll)), recent_view(std::make_unique<View>(*this, Scope::kRecent)),
      index(std::make_unique<Index>(*this)),
      request_duration(registry.histogram_family("loki_index_request_duration_seconds", "Time spent on index queries and writes.",
                                                 {"operation", "status_code", "component"}, index_request_edges())),
      refs_matched(registry.counter_family("loki_index_chunk_refs_total", "Chunk references looked up.", {"status"}).with({"matched"})),
      series_matched(registry.counter_family("loki_store_series_total", "Series looked up.", {"status"}).with({"matched"})),
      builds(registry.counter_family("loki_tsdb_build_index_attempts_total", "Index objects built from pending entries.", {"component", "source", "status"})),
      last_build_s(registry.gauge_family("loki_tsdb_build_index_last_successful_timestamp_seconds", "When pending entries last became an index object.",
                                         {"component"}).with({"store"})),
      uploads(registry.counter_family("loki_tsdb_shipper_tables_upload_operation_total", "Index uploads.", {"component", "status"})),
      syncs(registry.counter_family("loki_tsdb_shipper_tables_sync_operation_total", "Listings of the index objects.", {"component", "status", "trigger"})) {}

std::shared_ptr<TenantIndex> Store::State::find(const std::string& tenant) const {
  const std::shared_lock lock(tenants_mutex_);
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? nullptr : found->second;
}

std::shared_ptr<TenantIndex> Store::State::find_or_add(const std::string& tenant) {
  const std::unique_lock lock(tenants_mutex_);
  std::shared_ptr<TenantIndex>& found = tenants_[tenant];
  if (found == nullptr) found = std::make_shared<TenantIndex>();
  return found;
}

std::vector<std::pair<std::string, std::shared_ptr<TenantIndex>>> Store::State::all() const {
  const std::shared_lock lock(tenants_mutex_);
  return {tenants_.begin(), tenants_.end()};
}

Store::Store(objstore::ObjectStore& objects, exec::Pool& pool, obs::Registry& registry, StoreOptions options)
    : state_(std::make_unique<State>(objects, pool, registry, options)) {}

Store::~Store() = default;

void Store::add_pending(const std::string& tenant, std::vector<index::IndexEntry> entries) {
  if (!entries.empty()) state_->find_or_add(tenant)->add_pending(entries);
}

std::size_t Store::pending_count() const {
  std::size_t count = 0;
  for (const auto& [tenant, index] : state_->all()) count += index->pending_count();
  return count;
}

rpc::StoreClient& Store::recent() { return *state_->recent_view; }

rpc::IndexClient& Store::index() { return *state_->index; }

Result<chunk::SelectResult> Store::select(const CallContext& ctx, const rpc::SelectRequest& request) { return state_->whole_view->select(ctx, request); }

Result<std::vector<model::LabelsPtr>> Store::series(const CallContext& ctx, const rpc::SelectRequest& request) { return state_->whole_view->series(ctx, request); }

Result<std::vector<rpc::SeriesVolume>> Store::volumes(const CallContext& ctx, const rpc::SelectRequest& request) { return state_->whole_view->volumes(ctx, request); }

Result<std::vector<std::string>> Store::label_names(const CallContext& ctx, const rpc::SelectRequest& request) { return state_->whole_view->label_names(ctx, request); }

Result<std::vector<std::string>> Store::label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) {
  return state_->whole_view->label_values(ctx, name, request);
}

Result<std::vector<index::StreamChunkRefs>> Store::refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches) {
  return state_->whole_view->refs(ctx, request, with_sketches);
}

}  // namespace skald::store
