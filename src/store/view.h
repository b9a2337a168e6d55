// The calls of a store, over everything it knows or over what other processes may not have listed yet.
#pragma once

#include <string>
#include <vector>

#include "store/store_state.h"

namespace skald::store {

class Store::View final : public rpc::StoreClient {
 public:
  View(State& state, Scope scope) : state_(state), scope_(scope) {}

  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) override;
  Result<std::vector<index::StreamChunkRefs>> refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches);

 private:
  // Null: nothing is known of the tenant, or the range is empty.
  Result<std::shared_ptr<TenantIndex>> tenant_of(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<QuerySources> sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range);
  Result<std::vector<index::StreamChunkRefs>> find(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request,
                                                   index::WithSketches with_sketches, TenantView& seen);
  // kNotFound: a chunk's object is not there; `seen` tells which view listed it.
  Result<chunk::SelectResult> select_once(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request, TenantView& seen);

  State& state_;
  const Scope scope_;
};

}  // namespace skald::store
