// What several indexes answer together. Nothing here opens a chunk.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "skald/exec/pool.h"
#include "skald/index/chunk_ref.h"
#include "skald/rpc/count_taker.h"
#include "skald/rpc/store_client.h"
#include "store/tenant_index.h"

namespace skald::store {

// Labels are equal when their text is; hashing is done already.
struct LabelsHash {
  std::size_t operator()(const model::InternedLabels* labels) const { return static_cast<std::size_t>(labels->hash); }
};
struct LabelsEqual {
  bool operator()(const model::InternedLabels* a, const model::InternedLabels* b) const {
    return a == b || (a->hash == b->hash && a->labels == b->labels);
  }
};
using StreamPositions = std::unordered_map<const model::InternedLabels*, std::size_t, LabelsHash, LabelsEqual>;

// Times of requests may be anything; day arithmetic needs room at both ends.
index::TimeRange range_of(const rpc::SelectRequest& request);
// Label calls honour times by whole days, as the index is kept.
index::TimeRange whole_days(const index::TimeRange& range);

// Sorts by time and leaves one of each chunk: several indexes may list it, and replicas may have stored it twice.
void sort_and_deduplicate(std::vector<index::ChunkRef>& chunks);

// Each stream once, without chunks in objects that `sources.retired` names.
Result<std::vector<index::StreamChunkRefs>> find_refs(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources,
                                                      const rpc::SelectRequest& request, index::WithSketches with_sketches);
Result<std::vector<model::LabelsPtr>> find_series(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const rpc::SelectRequest& request);
// `sources` are those of the request's whole days. Sorted, unique.
Result<std::vector<std::string>> find_label_names(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const rpc::SelectRequest& request);
Result<std::vector<std::string>> find_label_values(exec::Pool& pool, const CallContext& ctx, const QuerySources& sources, const std::string& name,
                                                   const rpc::SelectRequest& request);

// Leaves out the chunks whose rows the taker has counted. Chunks that overlap another one in time may hold rows twice
// (replicas, pushes out of order): only their rows tell. `stream.chunks` is sorted by time.
void offer_counts(index::StreamChunkRefs& stream, rpc::CountTaker& counts);

}  // namespace skald::store
