#include "compactor/object_parts.h"

#include <algorithm>
#include <tuple>

#include "skald/chunk/builder.h"

namespace skald::compactor {
namespace {

constexpr std::uint64_t kGapBytesMax = 512 << 10;         // a request costs about as much as reading this much in vain
constexpr std::uint64_t kSpareBytesMin = 8 << 20;         // read in vain in all; more when more is wanted
constexpr std::uint64_t kRequestBytesTarget = 16 << 20;   // larger ranges are cut: several requests at once fill the line

}  // namespace

void ObjectParts::want(const index::ChunkRef& chunk) {
  wanted_.push_back({chunk.object, chunk.offset, chunk.offset + chunk.length});
  wanted_bytes_ += chunk.length;
}

Result<void> ObjectParts::fetch(const CallContext& ctx) {
  held_.clear();
  std::sort(wanted_.begin(), wanted_.end(), [](const Range& a, const Range& b) { return std::tie(a.object.id, a.begin, a.end) < std::tie(b.object.id, b.begin, b.end); });
  std::vector<Range> ranges;
  std::uint64_t spare_bytes = std::max(kSpareBytesMin, wanted_bytes_);
  for (const Range& want : wanted_) {
    const bool same_object = !ranges.empty() && ranges.back().object.id == want.object.id;
    if (same_object && want.begin < ranges.back().end) {   // a group chunk that several streams want, or parts of it
      ranges.back().end = std::max(ranges.back().end, want.end);
    } else if (same_object && want.begin - ranges.back().end <= std::min(kGapBytesMax, spare_bytes) && want.end - ranges.back().begin <= kRequestBytesTarget) {
      spare_bytes -= want.begin - ranges.back().end;
      ranges.back().end = want.end;
    } else {
      ranges.push_back(want);
    }
  }
  wanted_.clear();
  wanted_bytes_ = 0;
  std::vector<Result<Bytes>> fetched(ranges.size(), Bytes());
  pool_.parallel_for(ranges.size(), [&](std::size_t i) {
    const std::string key = chunk::object_key(tenant_, ranges[i].object.shard_start_ns, ranges[i].object.id);
    fetched[i] = objects_.get(key, {.begin = ranges[i].begin, .end = ranges[i].end}, ctx);
    if (!fetched[i].ok()) {
      fetched[i] = fetched[i].error().with_prefix("object " + key);
    } else if (fetched[i]->size() != ranges[i].end - ranges[i].begin) {
      fetched[i] = Error(ErrorCode::kCorruption, "object " + key + ": " + std::to_string(fetched[i]->size()) + " bytes at " + std::to_string(ranges[i].begin) +
                                                     ", the index lists " + std::to_string(ranges[i].end - ranges[i].begin));
    }
  });
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if (!fetched[i].ok()) return fetched[i].error();
    held_[ranges[i].object.id].push_back({ranges[i].begin, std::move(fetched[i]).value()});
  }
  return {};
}

std::uint64_t ObjectParts::held_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [id, pieces] : held_)
    for (const Piece& piece : pieces) bytes += piece.bytes.size();
  return bytes;
}

Result<ByteView> ObjectParts::view(const index::ChunkRef& chunk, std::uint64_t begin, std::uint64_t end) const {
  const auto object = held_.find(chunk.object.id);
  if (object != held_.end() && begin <= end && end <= chunk.length) {
    const std::vector<Piece>& pieces = object->second;
    auto piece = std::upper_bound(pieces.begin(), pieces.end(), chunk.offset + begin, [](std::uint64_t at, const Piece& p) { return at < p.begin; });
    if (piece != pieces.begin()) {
      --piece;
      const std::uint64_t at = chunk.offset + begin - piece->begin;
      if (at <= piece->bytes.size() && end - begin <= piece->bytes.size() - at) return ByteView(piece->bytes).substr(at, end - begin);
    }
  }
  return Error(ErrorCode::kCorruption, "chunk at offset " + std::to_string(chunk.offset) + " of object " + chunk.object.id.to_string() + ": bytes that were not fetched");
}

}  // namespace skald::compactor
