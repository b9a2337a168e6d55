#include "compactor/chunk_writer.h"

#include <algorithm>

#include "chunk/encoded_block.h"

namespace skald::compactor {
namespace {

constexpr std::uint64_t kStoredBytesMax = 24 << 20;
constexpr std::uint64_t kMetadataBytesMax = 96 << 20;

index::ChunkRef make_ref(const index::ObjectRef& object, chunk::PlacedChunk& placed) {
  chunk::ChunkMeta& meta = placed.meta;
  return {.object = object, .offset = placed.offset, .length = meta.length, .hot_length = meta.hot_length, .min_ts_ns = meta.min_ts_ns,
          .max_ts_ns = meta.max_ts_ns, .rows = meta.rows, .raw_bytes = meta.raw_bytes, .content_id = meta.content_id, .group = meta.group, .first_row = 0,
          .sketch = meta.group ? chunk::Sketch() : std::move(meta.sketch)};
}

void append_entries(const index::ObjectRef& object, chunk::PlacedChunk& placed, const std::vector<model::LabelsPtr>& owners, std::vector<index::IndexEntry>& out) {
  const index::ChunkRef ref = make_ref(object, placed);
  if (!ref.group) {
    out.push_back({owners.front(), ref});
    return;
  }
  for (const model::LabelsPtr& labels : owners) {
    const auto& members = placed.meta.members;
    const auto member = std::lower_bound(members.begin(), members.end(), labels->hash, [](const auto& m, std::uint64_t hash) { return m.stream_hash < hash; });
    SKALD_CHECK(member != members.end() && member->stream_hash == labels->hash);
    index::IndexEntry& entry = out.emplace_back(index::IndexEntry{labels, ref});
    entry.chunk.first_row = member->first_row;
    entry.chunk.rows = member->rows;
    entry.chunk.raw_bytes = member->raw_bytes;
    entry.chunk.min_ts_ns = member->min_ts_ns;
    entry.chunk.max_ts_ns = member->max_ts_ns;
    const auto number = static_cast<std::size_t>(member - members.begin());
    if (number < placed.meta.member_sketches.size()) entry.chunk.sketch = placed.meta.member_sketches[number];
  }
}

}  // namespace

Result<void> ObjectWriter::add(chunk::BuiltChunk chunk, std::vector<model::LabelsPtr> streams, const CallContext& ctx) {
  if (builder_ == nullptr) {
    builder_ = std::make_unique<chunk::ObjectBuilder>(tenant_, shard_start_ns_, Ulid::make(ctx.clock->now_ns(), random_));
    builder_->set_level(level_);
    for (const Ulid& input : inputs_) builder_->add_input(input);
  }
  builder_->add(std::move(chunk), streams);
  owners_.push_back(std::move(streams));
  ++chunks_out_;
  if (builder_->size_bytes() >= options_.object_bytes_target) return put_object(ctx);
  return {};
}

Result<void> ObjectWriter::add_small(model::LabelsPtr labels, std::shared_ptr<const chunk::Columns> rows, const CallContext& ctx) {
  group_bytes_ += rows->text_bytes + rows->rows * std::uint64_t{16};
  group_.push_back({std::move(labels), std::move(rows)});
  if (group_bytes_ >= options_.group_chunk_bytes_target) return put_group(ctx);
  return {};
}

Result<void> ObjectWriter::put_group(const CallContext& ctx) {
  if (group_.empty()) return {};
  std::vector<chunk::StreamRows> streams = std::move(group_);
  group_.clear();
  group_bytes_ = 0;
  std::vector<model::LabelsPtr> labels;
  for (const chunk::StreamRows& stream : streams) labels.push_back(stream.labels);
  if (streams.size() == 1) {   // alone in company: a chunk of its own, with a sketch
    const std::vector<std::shared_ptr<const chunk::Columns>> blocks = {streams.front().rows};
    SKALD_TRY(chunk::BuiltChunk built, chunk::build_chunk(*labels.front(), blocks, options_.chunk));
    return add(std::move(built), std::move(labels), ctx);
  }
  SKALD_TRY(chunk::BuiltChunk built, chunk::build_group_chunk(std::move(streams), options_.chunk));
  return add(std::move(built), std::move(labels), ctx);
}

Result<void> ObjectWriter::put_object(const CallContext& ctx) {
  if (builder_ == nullptr) return {};
  const Ulid id = builder_->id();
  SKALD_TRY(chunk::ObjectBuilder::Object object, builder_->finish());
  builder_.reset();
  const index::ObjectRef ref{.id = id, .shard_start_ns = shard_start_ns_, .length = object.bytes.size(), .tail_offset = object.tail_offset};
  written_.push_back({ref, object.key});
  SKALD_TRY_VOID(objects_.put(object.key, object.bytes, ctx));
  bytes_out_ += object.bytes.size();
  for (std::size_t i = 0; i < object.chunks.size(); ++i) append_entries(ref, object.chunks[i], owners_[i], entries_);
  owners_.clear();
  return {};
}

Result<void> ObjectWriter::finish(const CallContext& ctx) {
  SKALD_TRY_VOID(put_group(ctx));
  return put_object(ctx);
}

namespace {

// Chunks of about equal size rather than full ones and a rest.
std::uint64_t even_share(std::uint64_t raw_bytes, std::uint64_t target) {
  const std::uint64_t chunks = std::max<std::uint64_t>(1, (raw_bytes + target / 2) / target);
  return raw_bytes / chunks + 1;
}

}  // namespace

StreamWriter::StreamWriter(model::LabelsPtr labels, std::uint64_t raw_bytes, ObjectWriter& out, const WriterOptions& options, const CallContext& ctx)
    : labels_(std::move(labels)), out_(out), options_(options), ctx_(ctx), chunk_raw_bytes_(even_share(raw_bytes, options.chunk_raw_bytes_target)),
      appender_(options.block_rows_max, options.block_raw_bytes_target) {}

Result<void> StreamWriter::append(const std::shared_ptr<const chunk::Columns>& columns, std::uint32_t begin, std::uint32_t end) {
  while (begin < end) {
    const std::uint32_t fits = appender_.fit(*columns, begin, end);
    if (fits > begin) {
      appender_.append(*columns, begin, fits);
      if (held_.empty() || held_.back() != columns) held_.push_back(columns);
    }
    begin = fits;
    if (begin < end) SKALD_TRY_VOID(encode());
  }
  return {};
}

Result<void> StreamWriter::encode() {
  SKALD_TRY_VOID(ctx_.check());
  const chunk::Columns columns = appender_.take();
  SKALD_TRY(chunk::EncodedBlockPtr block, chunk::encode_block(columns, options_.chunk));
  held_.clear();
  blocks_raw_bytes_ += columns.text_bytes - columns.rows;
  blocks_stored_bytes_ += chunk::memory_bytes(*block);
  blocks_metadata_bytes_ += block->metadata_bytes;
  blocks_.push_back(std::move(block));
  // The format's own limits are 64 MiB stored and 256 MiB of metadata: one block more always fits.
  if (blocks_raw_bytes_ >= chunk_raw_bytes_ || blocks_stored_bytes_ >= kStoredBytesMax || blocks_metadata_bytes_ >= kMetadataBytesMax) return put_chunk();
  return {};
}

Result<void> StreamWriter::put_chunk() {
  SKALD_TRY(chunk::BuiltChunk chunk, chunk::assemble_chunk(*labels_, blocks_, options_.chunk));
  blocks_.clear();
  blocks_raw_bytes_ = blocks_stored_bytes_ = blocks_metadata_bytes_ = 0;
  return out_.add(std::move(chunk), {labels_}, ctx_);
}

Result<void> StreamWriter::finish() {
  if (!appender_.empty()) SKALD_TRY_VOID(encode());
  if (!blocks_.empty()) return put_chunk();
  return {};
}

Result<void> SmallStream::append(const std::shared_ptr<const chunk::Columns>& columns, std::uint32_t begin, std::uint32_t end) {
  appender_.append(*columns, begin, end);
  if (held_.empty() || held_.back() != columns) held_.push_back(columns);
  return {};
}

// With values of its own: the blocks they came from hold many other streams' rows too.
std::shared_ptr<const chunk::Columns> SmallStream::take() {
  auto columns = std::make_shared<chunk::Columns>(appender_.take());
  std::size_t bytes = 0;
  for (const chunk::MetadataColumn& column : columns->metadata)
    for (const std::string_view value : column.values) bytes += value.size() + 1;
  auto values = std::make_shared<Bytes>();
  values->reserve(bytes);
  for (chunk::MetadataColumn& column : columns->metadata) {
    for (std::string_view& value : column.values) {
      if (value.data() == nullptr) continue;
      const std::size_t at = values->size();
      values->append(value);
      values->push_back('\0');   // an empty value keeps an address
      value = {values->data() + at, value.size()};
    }
  }
  columns->keep_alive.push_back(std::move(values));
  held_.clear();
  return columns;
}

}  // namespace skald::compactor
