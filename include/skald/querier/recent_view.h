// An ingester as its peers see it: what it holds, and what it has stored that readers may not have listed yet. Without it a
// row would be nowhere between the moment its chunk is stored and the reader's next listing. docs/design/cluster-reads.md.
#pragma once

#include "skald/rpc/ingester_client.h"
#include "skald/rpc/store_client.h"

namespace skald::querier {

// Thread-safe. Serve it by rpc::IngesterService, and use it for the own id in an rpc::IngesterSet.
class RecentView final : public rpc::IngesterClient {
 public:
  // `recent`: store::Store::recent() of the store that `ingester` writes to. Both outlive this.
  RecentView(rpc::IngesterClient& ingester, rpc::StoreClient& recent) : ingester_(ingester), recent_(recent) {}

  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override {
    ingester_.push(ctx, std::move(batch), std::move(done));
  }
  void push_encoded(const CallContext& ctx, SharedBytes message, std::function<void(Result<model::PushOutcome>)> done) override {
    ingester_.push_encoded(ctx, std::move(message), std::move(done));
  }
  bool takes_encoded() const override { return ingester_.takes_encoded(); }
  Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers, rpc::TailSink sink) override {
    return ingester_.tail(ctx, std::move(matchers), std::move(sink));
  }

  // The ingester is asked first: what moves meanwhile is seen twice, not lost. Slices of stored chunks are not from_ingester
  // and carry the source_id that every store gives them.
  Result<chunk::SelectResult> select(const CallContext& ctx, const rpc::SelectRequest& request) override;
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const rpc::SelectRequest& request) override;
  // All as spans: who asks several such views and a store can tell what it hears of twice. A chunk that is being stored at
  // this moment may be told twice, as rows in memory and as a chunk.
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext& ctx, const rpc::SelectRequest& request) override;

 private:
  rpc::IngesterClient& ingester_;
  rpc::StoreClient& recent_;
};

}  // namespace skald::querier
