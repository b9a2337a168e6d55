#include "store/slices.h"

#include <algorithm>

#include "skald/codec/hash.h"

namespace skald::store {
namespace {

Error mismatch(const index::ChunkRef& ref, const std::string& what) {
  return Error(ErrorCode::kCorruption, "chunk at offset " + std::to_string(ref.offset) + " of object " + ref.object.id.to_string() +
                                           " is not the one the index lists: " + what);
}

const chunk::GroupMember* find_member(const std::vector<chunk::GroupMember>& members, std::uint64_t stream_hash) {
  const auto at = std::lower_bound(members.begin(), members.end(), stream_hash,
                                   [](const chunk::GroupMember& member, std::uint64_t hash) { return member.stream_hash < hash; });
  return at != members.end() && at->stream_hash == stream_hash ? &*at : nullptr;
}

}  // namespace

std::uint64_t source_id(const index::ChunkRef& ref) {
  return codec::xxh3_words(load_le<std::uint64_t>(ref.object.id.bytes.data()), load_le<std::uint64_t>(ref.object.id.bytes.data() + 8), ref.offset);
}

Result<void> append_slices(const model::InternedLabels& labels, const index::ChunkRef& ref, const OpenChunk& chunk,
                           const index::TimeRange& range, std::vector<chunk::BlockSlice>& out) {
  const chunk::ChunkMeta& meta = chunk.meta;
  if (meta.group != ref.group) return mismatch(ref, ref.group ? "it holds one stream" : "it holds a group of streams");
  const std::vector<chunk::BlockSummary>& blocks = chunk.summaries;
  const std::uint64_t source = source_id(ref);
  if (!ref.group) {
    if (meta.stream_hash != labels.hash) return mismatch(ref, "another stream's rows");
    if (meta.rows != ref.rows) return mismatch(ref, std::to_string(meta.rows) + " rows, expected " + std::to_string(ref.rows));
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const chunk::BlockSummary& block = blocks[i];
      if (block.rows == 0 || !range.overlaps(block.min_ts_ns, block.max_ts_ns)) continue;
      out.push_back({.block = chunk.blocks[i], .first_row = 0, .rows = block.rows, .min_ts_ns = block.min_ts_ns, .max_ts_ns = block.max_ts_ns,
                     .raw_bytes = block.raw_bytes, .source_id = source, .from_ingester = false, .content_id = ref.content_id});
    }
    return {};
  }
  const chunk::GroupMember* member = find_member(meta.members, labels.hash);
  if (member == nullptr) return mismatch(ref, "the group lacks the stream " + labels.text);
  if (member->first_row != ref.first_row || member->rows != ref.rows) return mismatch(ref, "other rows of the stream " + labels.text);
  const std::uint64_t member_end = static_cast<std::uint64_t>(member->first_row) + member->rows;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const chunk::BlockSummary& block = blocks[i];
    const std::uint64_t block_end = static_cast<std::uint64_t>(block.first_row) + block.rows;
    const std::uint64_t begin = std::max(member->first_row, block.first_row), end = std::min(member_end, block_end);
    if (begin >= end) continue;
    // The run's times are the member's; where the run crosses blocks each part is bounded by its block too.
    const std::int64_t min_ts_ns = std::max(member->min_ts_ns, block.min_ts_ns), max_ts_ns = std::min(member->max_ts_ns, block.max_ts_ns);
    if (min_ts_ns > max_ts_ns) return mismatch(ref, "times of block " + std::to_string(i) + " contradict the stream's");
    if (!range.overlaps(min_ts_ns, max_ts_ns)) continue;
    const auto rows = static_cast<std::uint32_t>(end - begin);
    const auto share = static_cast<std::uint64_t>(static_cast<double>(member->raw_bytes) * rows / member->rows);
    out.push_back({.block = chunk.blocks[i], .first_row = static_cast<std::uint32_t>(begin - block.first_row), .rows = rows, .min_ts_ns = min_ts_ns,
                   .max_ts_ns = max_ts_ns, .raw_bytes = share, .source_id = source, .from_ingester = false, .content_id = ref.content_id});
  }
  return {};
}

}  // namespace skald::store
