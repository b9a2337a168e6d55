// Rows → chunks → objects of one time shard, with bounded memory: blocks are encoded as they fill, objects put as they fill.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk/row_appender.h"
#include "compactor/row_merge.h"
#include "skald/chunk/builder.h"
#include "skald/index/chunk_ref.h"
#include "skald/objstore/object_store.h"

namespace skald::compactor {

struct WriterOptions {
  chunk::ChunkOptions chunk;
  std::uint64_t object_bytes_target = 64 << 20;
  std::uint64_t chunk_raw_bytes_target = 32 << 20;
  std::uint32_t block_rows_max = 65'536;              // of short lines a flush's 16,384 are too few
  std::uint64_t block_raw_bytes_target = 1 << 20;     // 4 MiB saves 0.3 % on JSON lines and costs every reader of a few rows
  std::uint64_t group_stream_bytes_max = 64 << 10;    // below: a stream's rows share a chunk with others'
  std::uint64_t group_chunk_bytes_target = 8 << 20;   // raw
};

struct WrittenObject {
  index::ObjectRef ref;
  std::string key;
};

// Not thread-safe. What was put and is not wanted after all is the caller's to remove: see written().
class ObjectWriter {
 public:
  ObjectWriter(objstore::ObjectStore& objects, std::string tenant, std::int64_t shard_start_ns, std::uint32_t level, std::vector<Ulid> inputs,
               const WriterOptions& options, Random& random)
      : objects_(objects), tenant_(std::move(tenant)), shard_start_ns_(shard_start_ns), level_(level), inputs_(std::move(inputs)), options_(options), random_(random) {}

  Result<void> add(chunk::BuiltChunk chunk, std::vector<model::LabelsPtr> streams, const CallContext& ctx);
  // A small stream's rows; `rows` holds everything they point to.
  Result<void> add_small(model::LabelsPtr labels, std::shared_ptr<const chunk::Columns> rows, const CallContext& ctx);
  Result<void> finish(const CallContext& ctx);

  const std::vector<WrittenObject>& written() const { return written_; }   // also what an error interrupted: may or may not be there
  std::vector<index::IndexEntry>& entries() { return entries_; }
  std::uint64_t bytes_out() const { return bytes_out_; }
  std::uint64_t chunks_out() const { return chunks_out_; }

 private:
  Result<void> put_group(const CallContext& ctx);
  Result<void> put_object(const CallContext& ctx);

  objstore::ObjectStore& objects_;
  const std::string tenant_;
  const std::int64_t shard_start_ns_;
  const std::uint32_t level_;
  const std::vector<Ulid> inputs_;
  const WriterOptions& options_;
  Random& random_;
  std::unique_ptr<chunk::ObjectBuilder> builder_;
  std::vector<std::vector<model::LabelsPtr>> owners_;   // of the builder's chunks, in order
  std::vector<chunk::StreamRows> group_;
  std::uint64_t group_bytes_ = 0;
  std::vector<WrittenObject> written_;
  std::vector<index::IndexEntry> entries_;
  std::uint64_t bytes_out_ = 0, chunks_out_ = 0;
};

// Rows of one stream → chunks of about the target's size. Not thread-safe.
class StreamWriter final : public RowSink {
 public:
  // `raw_bytes`: about how much will come, so that the last chunk is not a small rest.
  StreamWriter(model::LabelsPtr labels, std::uint64_t raw_bytes, ObjectWriter& out, const WriterOptions& options, const CallContext& ctx);
  Result<void> append(const std::shared_ptr<const chunk::Columns>& columns, std::uint32_t begin, std::uint32_t end) override;
  Result<void> finish();

 private:
  Result<void> encode();
  Result<void> put_chunk();
  const model::LabelsPtr labels_;
  ObjectWriter& out_;
  const WriterOptions& options_;
  const CallContext& ctx_;
  const std::uint64_t chunk_raw_bytes_;
  chunk::RowAppender appender_;
  std::vector<std::shared_ptr<const chunk::Columns>> held_;   // what the appender's metadata points into
  std::vector<chunk::EncodedBlockPtr> blocks_;
  std::uint64_t blocks_raw_bytes_ = 0, blocks_stored_bytes_ = 0, blocks_metadata_bytes_ = 0;
};

// Rows of a small stream → columns of its own.
class SmallStream final : public RowSink {
 public:
  SmallStream() : appender_(1U << 28, ~0ULL >> 1) {}
  Result<void> append(const std::shared_ptr<const chunk::Columns>& columns, std::uint32_t begin, std::uint32_t end) override;
  bool empty() const { return appender_.empty(); }
  std::shared_ptr<const chunk::Columns> take();

 private:
  chunk::RowAppender appender_;
  std::vector<std::shared_ptr<const chunk::Columns>> held_;
};

}  // namespace skald::compactor
