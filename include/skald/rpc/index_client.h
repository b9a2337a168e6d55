// What a reader asks of whoever keeps the index for it: everything a store can answer without opening a chunk.
#pragma once

#include <string>
#include <vector>

#include "skald/index/chunk_ref.h"
#include "skald/index/series_index.h"
#include "skald/rpc/ingester_client.h"

namespace skald::rpc {

// Thread-safe. In process: store::Store::index(); elsewhere: index_gateway.h, answered by index_service.h.
class IndexClient {
 public:
  virtual ~IndexClient() = default;
  // Each stream once; its chunks that overlap the range, each once, sorted by time, without those that compaction let go of.
  // `fresh`: the bucket is listed before, since the caller met a chunk that is gone.
  virtual Result<std::vector<index::StreamChunkRefs>> refs(const CallContext& ctx, const SelectRequest& request, index::WithSketches with_sketches, bool fresh) = 0;
  virtual Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) = 0;
  virtual Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) = 0;
  virtual Result<std::vector<std::string>> label_names(const CallContext& ctx, const SelectRequest& request) = 0;
  virtual Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const SelectRequest& request) = 0;
};

}  // namespace skald::rpc
