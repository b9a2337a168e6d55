// Rows → chunk bytes (docs/formats/chunk.md) and chunks → object bytes (docs/formats/object.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/random.h"
#include "skald/base/result.h"
#include "skald/chunk/block.h"
#include "skald/model/labels.h"

namespace skald::chunk {

enum class Codec : std::uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };
Result<Codec> codec_from_name(std::string_view name);   // Loki's chunk_encoding names: none gzip snappy lz4 lz4-64k … zstd flate

inline constexpr std::int64_t kTimeShardNs = 2 * 3600 * 1'000'000'000LL;   // a chunk never crosses a shard edge
inline constexpr std::uint32_t kBlockRowsMax = 16'384;                     // rows of a flush block
inline constexpr std::uint64_t kBlockRawBytesTarget = 1 << 20;
inline std::int64_t time_shard_start(std::int64_t ts_ns) {
  const std::int64_t q = ts_ns / kTimeShardNs - (ts_ns % kTimeShardNs < 0 ? 1 : 0);
  return q * kTimeShardNs;
}

// Rows and bytes per time bucket, for counting from the index alone (chunk-format §4 "Sketch"). Left-open buckets:
// bucket i covers (origin + i*width, origin + (i+1)*width], origin a multiple of width since 1970.
struct Sketch {
  std::uint32_t width_s = 0;      // 1, 10, 60 or 300; 0: none
  std::int64_t origin_ns = 0;
  std::vector<std::uint32_t> rows;
  std::vector<std::uint64_t> bytes;
  std::vector<std::pair<std::uint8_t, std::vector<std::uint32_t>>> rows_by_level;   // model::Level → rows per bucket
};

// A stream's rows inside a group chunk.
struct GroupMember {
  std::uint64_t stream_hash = 0;
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint64_t raw_bytes = 0;
};

struct ChunkMeta {
  bool group = false;
  std::uint64_t stream_hash = 0;
  std::uint64_t content_id = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint32_t rows = 0;
  std::uint64_t raw_bytes = 0;
  std::uint32_t length = 0;        // bytes of the chunk
  std::uint32_t hot_length = 0;
  std::vector<GroupMember> members;   // group chunks only, sorted by hash
  Sketch sketch;                      // single streams, from their builder only: a chunk does not store it
  std::vector<Sketch> member_sketches;   // likewise of a group, in the order of `members`; none for members of few rows,
                                         // and empty when no member has one
};

struct BuiltChunk {
  Bytes bytes;
  ChunkMeta meta;
};

struct ChunkOptions {
  Codec codec = Codec::kZstd;
  int zstd_level = 1;
  std::uint64_t writer = 0;        // hash of the ingester's identity
  std::int64_t created_ns = 0;
};

// One stream: rows of `blocks` sorted by time across blocks, all inside one time shard. CPU-heavy: call on a pool.
Result<BuiltChunk> build_chunk(const model::InternedLabels& labels, std::span<const std::shared_ptr<const Columns>> blocks,
                               const ChunkOptions& options);

// Incremental single-stream form: blocks are encoded as they are cut, pages kept encoded until the chunk is finished.
// Encoded blocks can be read back before that (ingesters answer queries from them). Not thread-safe.
class EncodedBlock;                                          // immutable, shared; implements Block
using EncodedBlockPtr = std::shared_ptr<const EncodedBlock>;
Result<EncodedBlockPtr> encode_block(const Columns& columns, const ChunkOptions& options);
std::shared_ptr<const Block> as_block(EncodedBlockPtr block);
std::uint64_t memory_bytes(const EncodedBlock& block);
std::uint64_t content_id(const EncodedBlock& block);
Result<BuiltChunk> assemble_chunk(const model::InternedLabels& labels, std::span<const EncodedBlockPtr> blocks, const ChunkOptions& options);

// A stored chunk as it is, to be placed into another object. Checks the checksum over all of it, so that damage is not
// carried on; the sketch of a single stream's chunk is made anew. kCorruption otherwise.
Result<BuiltChunk> copy_chunk(Bytes bytes);

// Many small streams in one chunk; each element holds one stream's rows sorted by time. All inside one time shard.
struct StreamRows {
  model::LabelsPtr labels;
  std::shared_ptr<const Columns> rows;
};
Result<BuiltChunk> build_group_chunk(std::vector<StreamRows> streams, const ChunkOptions& options);

// Packs chunks of one tenant and time shard into one object.
struct PlacedChunk {
  std::uint64_t offset = 0;
  ChunkMeta meta;
};
class ObjectBuilder {
 public:
  ObjectBuilder(std::string tenant, std::int64_t shard_start_ns, Ulid id);
  ~ObjectBuilder();
  // `streams`: labels of the chunk's stream, or of all members of a group.
  void add(BuiltChunk chunk, std::span<const model::LabelsPtr> streams);
  // For compaction: how often the rows were rewritten (0: an ingester wrote them), and which objects this one replaces.
  void set_level(std::uint32_t level);
  void add_input(const Ulid& replaced);
  std::uint64_t size_bytes() const;
  const Ulid& id() const;
  struct Object {
    std::string key;               // <tenant>/chunks/<20261120T06>/<ULID>
    Bytes bytes;
    std::uint64_t tail_offset = 0;
    std::vector<PlacedChunk> chunks;
  };
  Result<Object> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string object_key(std::string_view tenant, std::int64_t shard_start_ns, const Ulid& id);

}  // namespace skald::chunk
