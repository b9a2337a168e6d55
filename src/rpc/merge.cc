#include "skald/rpc/merge.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "skald/codec/hash.h"

namespace skald::rpc {
namespace {

bool is_stored(const chunk::BlockSlice& slice) { return !slice.from_ingester && slice.source_id != 0; }

// What equal rows have in common wherever they are; 0: not known.
std::uint64_t rows_id(const chunk::BlockSlice& slice) {
  if (slice.content_id == 0) return 0;
  // Replicas may have cut a stored chunk into other blocks: it is the same or not as a whole.
  if (!slice.from_ingester) return codec::xxh3_words(1, slice.content_id);
  return codec::xxh3_words(codec::xxh3_words(slice.content_id, slice.rows), static_cast<std::uint64_t>(slice.min_ts_ns), static_cast<std::uint64_t>(slice.max_ts_ns));
}

}  // namespace

void merge_into(chunk::SelectResult& into, chunk::SelectResult from) {
  std::unordered_map<std::string_view, std::size_t> known;
  known.reserve(into.streams.size() + from.streams.size());
  for (std::size_t i = 0; i < into.streams.size(); ++i) known.emplace(into.streams[i].labels->text, i);
  std::unordered_set<std::uint64_t> left_out;   // a group chunk is one of many streams
  std::uint64_t refs_left_out = 0;
  for (chunk::StreamData& stream : from.streams) {
    const auto at = known.find(stream.labels->text);
    if (at == known.end()) {
      into.streams.push_back(std::move(stream));
      continue;
    }
    std::vector<chunk::BlockSlice>& blocks = into.streams[at->second].blocks;
    std::unordered_set<std::uint64_t> stored, copies, doubled;
    for (const chunk::BlockSlice& slice : blocks) {
      if (is_stored(slice)) stored.insert(slice.source_id);
      if (const std::uint64_t id = rows_id(slice); id != 0) copies.insert(id);
    }
    for (chunk::BlockSlice& slice : stream.blocks) {
      const bool copy = copies.contains(rows_id(slice));   // never 0
      if (is_stored(slice) && (copy || stored.contains(slice.source_id))) doubled.insert(slice.source_id);
      else if (!copy) blocks.push_back(std::move(slice));
    }
    refs_left_out += doubled.size();
    left_out.insert(doubled.begin(), doubled.end());
    std::stable_sort(blocks.begin(), blocks.end(), [](const chunk::BlockSlice& a, const chunk::BlockSlice& b) { return a.min_ts_ns < b.min_ts_ns; });
  }
  into.stats.ingester_chunks_matched += from.stats.ingester_chunks_matched;
  into.stats.store_chunk_refs += from.stats.store_chunk_refs - std::min(from.stats.store_chunk_refs, refs_left_out);
  into.stats.store_chunks_matched += from.stats.store_chunks_matched - std::min<std::uint64_t>(from.stats.store_chunks_matched, left_out.size());
  into.stats.chunk_refs_lookup_ns += from.stats.chunk_refs_lookup_ns;
}

}  // namespace skald::rpc
