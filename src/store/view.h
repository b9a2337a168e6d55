// The calls of a store, over everything it knows or over what other processes may not have listed yet.
#pragma once

#include <optional>
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
  // The gateway's answer; nullopt: there is none, or it is out of reach.
  template <class T, class Ask>
  std::optional<Result<T>> by_gateway(const Ask& ask);
  std::optional<Result<chunk::SelectResult>> select_by_gateway(const CallContext& ctx, const rpc::SelectRequest& request);
  // Null: nothing is known of the tenant, or the range is empty.
  Result<std::shared_ptr<TenantIndex>> tenant_of(const CallContext& ctx, const rpc::SelectRequest& request);
  Result<QuerySources> sources(const CallContext& ctx, const TenantIndex& tenant, const index::TimeRange& range);
  Result<std::vector<index::StreamChunkRefs>> find(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request,
                                                   index::WithSketches with_sketches, TenantView& seen);
  // kNotFound: a chunk's object is not there; `seen` tells which view listed it.
  Result<chunk::SelectResult> select_once(const CallContext& ctx, const TenantIndex& tenant, const rpc::SelectRequest& request, TenantView& seen);
  Result<chunk::SelectResult> read_chunks(const CallContext& ctx, const rpc::SelectRequest& request, std::vector<index::StreamChunkRefs> streams, std::int64_t lookup_ns);

  State& state_;
  const Scope scope_;
};

// The whole view without its gateway and without chunks, for readers whose gateway this process is.
class Store::Index final : public rpc::IndexClient {
 public:
  explicit Index(State& state) : state_(state) {}
  Result<std::vector<index::StreamChunkRefs>> refs(const CallContext& ctx, const rpc::SelectRequest& request, index::WithSketches with_sketches, bool fresh) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override { return view().series(ctx, request); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override { return view().volumes(ctx, request); }
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const rpc::SelectRequest& request) override { return view().label_names(ctx, request); }
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const rpc::SelectRequest& request) override {
    return view().label_values(ctx, name, request);
  }

 private:
  View& view() { return *state_.whole_view; }
  State& state_;
};

}  // namespace skald::store
