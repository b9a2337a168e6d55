// The querier: one view of a tenant's data over ingesters and the long-term store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/context.h"
#include "skald/chunk/block.h"
#include "skald/engine/source.h"
#include "skald/rpc/ingester_client.h"
#include "skald/rpc/store_client.h"

namespace skald::querier {

struct IndexStats {
  std::uint64_t streams = 0, chunks = 0, bytes = 0, entries = 0;
};

struct QuerierOptions {
  bool store_only = false;      // querier.query_store_only
  bool ingester_only = false;   // querier.query_ingester_only
  std::uint32_t copies = 1;     // how many ingesters get each row: the replication factor
};

// Thread-safe. Every call asks the ingester before the store: what moves from one to the other in between is then seen
// twice (and deduplicated) rather than not at all.
//
// The tenant of a call may be several, "a|b": their data is then merged, and every stream says in its label __tenant_id__
// whose it is. Matchers on that label choose among the tenants.
class Querier final : public engine::Source {
 public:
  // `store` may be null: data in memory only.
  Querier(rpc::IngesterClient& ingester, rpc::StoreClient* store, QuerierOptions options = {});

  // What delete requests hide, asked once per query. Set before the first query.
  void set_deletions(std::function<engine::Deletions(const std::string& tenant)> deletions) { deletions_ = std::move(deletions); }

  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  engine::Deletions deletions(const std::string& tenant) override;

  // Distinct label sets, sorted by their text.
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request);
  // Sorted, distinct. Both look at whole days, as the store's index does.
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request);
  // One element per label set.
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<IndexStats> stats(const CallContext& ctx, const rpc::SelectRequest& request);
  // Live entries; see rpc::IngesterClient::tail.
  Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers, rpc::TailSink sink);

 private:
  // Of one tenant.
  Result<chunk::SelectResult> select_one(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<std::vector<model::LabelsPtr>> series_one(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<std::vector<rpc::SeriesVolume>> volumes_one(const CallContext& ctx, const rpc::SelectRequest& request);
  // Series whose time lies in the days of the request and which the ingester holds.
  Result<std::vector<model::LabelsPtr>> recent_series(const CallContext& ctx, const rpc::SelectRequest& days);

  rpc::IngesterClient& ingester_;
  rpc::StoreClient* const store_;
  const QuerierOptions options_;
  std::function<engine::Deletions(const std::string&)> deletions_;
};

}  // namespace skald::querier
