#include "fsck_object.h"

#include <algorithm>
#include <map>
#include <memory>

#include "skald/chunk/reader.h"
#include "skald/chunk/verify.h"
#include "skald/codec/hash.h"

namespace skald::app {
namespace {

constexpr std::size_t kProblemsShown = 3, kReferencesShown = 20;

std::string place_of(const Reference& reference, const std::string& key) {
  return "chunk at byte " + std::to_string(reference.chunk->offset) + " of " + key;
}

// Empty: object and key agree.
std::string misplacement(const chunk::ObjectHeader& header, const chunk::ObjectKey& name) {
  if (header.id != name.id) return "its header says that it is object " + header.id.to_string();
  if (header.tenant_hash != codec::xxh3_64(name.tenant)) return "it belongs to another tenant";
  if (header.chunks != 0 && (header.min_ts_ns < name.shard_start_ns || header.max_ts_ns >= name.shard_start_ns + chunk::kTimeShardNs))
    return "its rows are of another time than its folder";
  return {};
}

// Empty: the index's entry is what the chunk says of this stream.
std::string disagreement(const Reference& reference, const chunk::ObjectTail& tail, const chunk::ChunkMeta& meta) {
  const index::ChunkRef& told = *reference.chunk;
  const std::uint64_t hash = reference.labels->hash;
  if (told.content_id != meta.content_id) return "content ids differ";
  if (told.length != meta.length || told.hot_length != meta.hot_length) return "lengths differ";
  if (told.group != meta.group) return meta.group ? "it is a group chunk" : "it is not a group chunk";
  chunk::GroupMember stream{.stream_hash = meta.stream_hash, .first_row = 0, .rows = meta.rows, .min_ts_ns = meta.min_ts_ns, .max_ts_ns = meta.max_ts_ns, .raw_bytes = meta.raw_bytes};
  if (meta.group) {
    const auto member = std::find_if(meta.members.begin(), meta.members.end(), [&](const chunk::GroupMember& one) { return one.stream_hash == hash; });
    if (member == meta.members.end()) return "the stream is not among the group's";
    stream = *member;
  }
  const auto labels = tail.labels.find(stream.stream_hash);
  if (stream.stream_hash != hash || labels == tail.labels.end() || labels->second->text != reference.labels->text)
    return "it holds the stream " + (labels == tail.labels.end() ? std::string("of other labels") : labels->second->text);
  if (told.rows != stream.rows || told.first_row != stream.first_row) return "it has " + std::to_string(stream.rows) + " rows of the stream, the index says " + std::to_string(told.rows);
  if (told.min_ts_ns != stream.min_ts_ns || told.max_ts_ns != stream.max_ts_ns) return "its times differ";
  if (told.raw_bytes != stream.raw_bytes) return "its bytes of lines differ";
  return {};
}

class References {
 public:
  References(const std::string& key, ByteView bytes, const chunk::ObjectTail& tail, FsckReport& report)
      : key_(key), bytes_(bytes), tail_(tail), report_(report) {}

  void check(const std::vector<Reference>& references) {
    for (const Reference& reference : references) check(reference);
    report_.unlisted_chunks += static_cast<std::uint64_t>(std::count_if(
        tail_.chunks.begin(), tail_.chunks.end(), [&](const chunk::ObjectChunk& chunk) { return !metas_.contains(chunk.offset); }));
  }

 private:
  void check(const Reference& reference) {
    const index::ChunkRef& told = *reference.chunk;
    if (told.offset > bytes_.size() || told.length > bytes_.size() - told.offset)
      return add(FindingKind::kReferenceBroken, reference, "reaches beyond its end at byte " + std::to_string(bytes_.size()));
    const auto listed = std::lower_bound(tail_.chunks.begin(), tail_.chunks.end(), told.offset,
                                         [](const chunk::ObjectChunk& chunk, std::uint64_t offset) { return chunk.offset < offset; });
    if (listed == tail_.chunks.end() || listed->offset != told.offset) return add(FindingKind::kReferenceBroken, reference, "is not one: the object has no chunk there");
    const chunk::ChunkMeta* const meta = meta_of(*listed);
    if (meta == nullptr) return;   // damage, told already
    if (told.object.tail_offset != tail_.trailer.tail_offset) return add(FindingKind::kIndexDisagrees, reference, "the object's tail begins elsewhere");
    if (const std::string why = disagreement(reference, tail_, *meta); !why.empty())
      add(FindingKind::kIndexDisagrees, reference, "stream " + reference.labels->text + ": " + why);
  }

  const chunk::ChunkMeta* meta_of(const chunk::ObjectChunk& listed) {
    auto [found, fresh] = metas_.try_emplace(listed.offset);
    if (fresh) {
      auto reader = chunk::ChunkReader::open(std::make_shared<const Bytes>(bytes_.substr(listed.offset, listed.length)));
      if (reader.ok()) found->second = std::make_unique<chunk::ChunkMeta>((*reader)->meta());
    }
    return found->second.get();
  }

  void add(FindingKind kind, const Reference& reference, const std::string& what) {
    if (added_++ < kReferencesShown) report_.add(kind, *reference.index_key, place_of(reference, key_) + ": " + what);
  }

  const std::string& key_;
  const ByteView bytes_;
  const chunk::ObjectTail& tail_;
  FsckReport& report_;
  std::map<std::uint64_t, std::unique_ptr<chunk::ChunkMeta>> metas_;   // by offset; those that references name
  std::size_t added_ = 0;
};

}  // namespace

void check_object(const std::string& key, const chunk::ObjectKey& name, ByteView bytes, const std::vector<Reference>& references, FsckReport& report) {
  for (const Reference& reference : references) {
    const std::uint64_t told = reference.chunk->object.length;
    if (told == 0 || told == bytes.size()) continue;
    return report.add(FindingKind::kObjectLength, key,
                      "has " + std::to_string(bytes.size()) + " bytes, index " + *reference.index_key + " says " + std::to_string(told));
  }
  const chunk::VerifyReport found = chunk::verify_object(bytes);
  report.chunks += found.chunks;
  report.blocks += found.blocks;
  report.rows += found.rows;
  if (!found.problems.empty()) {
    std::string what;
    for (std::size_t i = 0; i < std::min(kProblemsShown, found.problems.size()); ++i)
      what += (i == 0 ? "at byte " : "; at byte ") + std::to_string(found.problems[i].offset) + ": " + found.problems[i].what;
    if (found.problems.size() > kProblemsShown) what += "; and " + std::to_string(found.problems.size() - kProblemsShown) + " more";
    return report.add(FindingKind::kObjectDamaged, key, what);
  }
  const auto header = chunk::read_object_header(bytes.substr(0, chunk::kObjectHeaderBytes));
  const auto tail = chunk::open_object_tail(bytes, bytes.size());
  SKALD_CHECK(header.ok() && tail.ok());   // just verified
  if (const std::string why = misplacement(*header, name); !why.empty()) return report.add(FindingKind::kObjectMisplaced, key, why);
  if (!references.empty()) References(key, bytes, *tail, report).check(references);
}

}  // namespace skald::app
