#include "skald/chunk/reader.h"

#include <algorithm>
#include <mutex>

#include "chunk/decode.h"
#include "chunk/layout.h"

namespace skald::chunk {
namespace {

// A part of the chunk and what keeps it alive.
struct Piece {
  ByteView bytes;
  std::shared_ptr<const void> owner;
};

class Source {
 public:
  explicit Source(ChunkFetch fetch) : fetch_(std::move(fetch)) {}
  explicit Source(SharedBytes whole) : whole_(std::move(whole)) {}

  Result<Piece> read(std::uint64_t begin, std::uint64_t end, const CallContext& ctx) const {
    if (whole_ != nullptr) {
      if (begin > end || end > whole_->size()) return corrupt("is shorter than it says");
      return Piece{ByteView(*whole_).substr(begin, end - begin), whole_};
    }
    SKALD_TRY(Bytes bytes, fetch_(begin, end, ctx));
    if (bytes.size() != end - begin) {
      return corrupt("asked for bytes " + std::to_string(begin) + " to " + std::to_string(end) + ", got " + std::to_string(bytes.size()) + " bytes");
    }
    auto owner = std::make_shared<const Bytes>(std::move(bytes));
    return Piece{*owner, owner};
  }

 private:
  ChunkFetch fetch_;
  SharedBytes whole_;
};

class Reader;

class ChunkBlock final : public Block {
 public:
  ChunkBlock(std::shared_ptr<const Reader> reader, std::size_t number) : reader_(std::move(reader)), number_(number) {}
  Result<std::shared_ptr<const Columns>> load(ColumnMask need, const CallContext& ctx) const override;

 private:
  const std::shared_ptr<const Reader> reader_;
  const std::size_t number_;
};

class Reader final : public ChunkReader, public std::enable_shared_from_this<Reader> {
 public:
  explicit Reader(Source source) : source_(std::move(source)) {}

  Result<void> open(std::uint64_t length, std::uint64_t hot_length, const CallContext& ctx) {
    if (length < kChunkHeaderBytes + kFooterBytes || length > kChunkBytesMax) return corrupt("length out of range");
    if (hot_length < kChunkHeaderBytes || hot_length > length) return corrupt("hot length out of range");
    SKALD_TRY(hot_, source_.read(0, hot_length, ctx));
    return parse_head(length, hot_length);
  }

  // Hot length unknown: it is in the header.
  Result<void> open_whole(std::uint64_t length, const CallContext& ctx) {
    if (length < kChunkHeaderBytes + kFooterBytes || length > kChunkBytesMax) return corrupt("length out of range");
    SKALD_TRY(const Piece head, source_.read(0, kChunkHeaderBytes, ctx));
    SKALD_TRY(const ChunkHeader header, read_header(head.bytes));
    if (header.length != length) return corrupt("length differs from the header's");
    return open(length, header.hot_length, ctx);
  }

  const ChunkMeta& meta() const override { return meta_; }
  const std::vector<BlockSummary>& blocks() const override { return summaries_; }
  std::shared_ptr<const Block> block(std::size_t i) const override {
    SKALD_CHECK(i < entries_.size());
    return std::make_shared<ChunkBlock>(shared_from_this(), i);
  }

  Result<std::shared_ptr<const Columns>> load_block(std::size_t i, ColumnMask need, const CallContext& ctx) const {
    SKALD_TRY_VOID(ctx.check());
    return decoded_[i].load(complete_mask(need), [&](ColumnMask mask) { return decode(i, mask, ctx); });
  }

 private:
  Result<void> parse_head(std::uint64_t length, std::uint64_t hot_length) {
    SKALD_TRY(header_, read_header(hot_.bytes));
    if (header_.length != length || header_.hot_length != hot_length) return corrupt("lengths differ between index and header");
    SKALD_TRY(entries_, read_directory(hot_.bytes.substr(kChunkHeaderBytes), header_));
    if (header_.kind == kGroup) {
      const std::size_t begin = kChunkHeaderBytes + directory_bytes(entries_.size());
      SKALD_TRY(meta_.members, read_runs(hot_.bytes.substr(begin, entries_[0].hot_offset - begin), header_));
    }
    meta_.group = header_.kind == kGroup;
    meta_.stream_hash = header_.stream_hash;
    meta_.content_id = header_.content_id;
    meta_.min_ts_ns = header_.min_ts_ns;
    meta_.max_ts_ns = header_.max_ts_ns;
    meta_.rows = header_.rows;
    meta_.raw_bytes = header_.raw_bytes;
    meta_.length = header_.length;
    meta_.hot_length = header_.hot_length;
    for (const BlockEntry& e : entries_) summaries_.push_back({e.rows, e.first_row, e.min_ts_ns, e.max_ts_ns, e.raw_bytes});
    decoded_ = std::vector<DecodedBlock>(entries_.size());
    tables_.resize(entries_.size());
    return {};
  }

  Result<std::shared_ptr<const Columns>> decode(std::size_t i, ColumnMask mask, const CallContext& ctx) const {
    const BlockEntry& entry = entries_[i];
    auto columns = std::make_shared<Columns>();
    SKALD_TRY_VOID(check_block_encoding(entry));
    SKALD_TRY_VOID(decode_hot(entry, hot_.bytes.substr(entry.hot_offset, entry.hot_length), mask, *columns));
    if ((mask & (kLineLengths | kLines | kMetadata)) == 0) return std::shared_ptr<const Columns>(std::move(columns));
    SKALD_TRY(const std::shared_ptr<const ColumnTable> table, table_of(i, ctx));
    const DataRange range = pages_needed(*table, mask);
    Piece data;
    if (range.end > range.begin) {
      SKALD_TRY(data, source_.read(std::uint64_t{entry.data_offset} + range.begin, std::uint64_t{entry.data_offset} + range.end, ctx));
    }
    SKALD_TRY_VOID(decode_data(entry, *table, data.bytes, range, mask, *columns));
    return std::shared_ptr<const Columns>(std::move(columns));
  }

  // The tables of all blocks are neighbours and small: they come in one read, with the first block that needs its own.
  Result<std::shared_ptr<const ColumnTable>> table_of(std::size_t i, const CallContext& ctx) const {
    const std::lock_guard lock(tables_mutex_);
    if (tables_[i] != nullptr) return tables_[i];
    const std::uint64_t begin = entries_.front().table_offset;
    if (table_bytes_.owner == nullptr) {
      const std::uint64_t end = std::uint64_t{entries_.back().table_offset} + entries_.back().table_length;
      SKALD_TRY(table_bytes_, source_.read(begin, end, ctx));
    }
    SKALD_TRY(ColumnTable table, read_table(table_bytes_.bytes.substr(entries_[i].table_offset - begin, entries_[i].table_length), entries_[i],
                                            header_.metadata_bytes));
    tables_[i] = std::make_shared<const ColumnTable>(std::move(table));
    return tables_[i];
  }

  const Source source_;
  Piece hot_;
  ChunkHeader header_;
  ChunkMeta meta_;
  std::vector<BlockEntry> entries_;
  std::vector<BlockSummary> summaries_;
  mutable std::vector<DecodedBlock> decoded_;
  mutable std::mutex tables_mutex_;   // guards table_bytes_ and tables_
  mutable Piece table_bytes_;
  mutable std::vector<std::shared_ptr<const ColumnTable>> tables_;
};

Result<std::shared_ptr<const Columns>> ChunkBlock::load(ColumnMask need, const CallContext& ctx) const {
  return reader_->load_block(number_, need, ctx);
}

}  // namespace

Result<std::shared_ptr<ChunkReader>> ChunkReader::open(ChunkFetch fetch, std::uint64_t length, std::uint64_t hot_length, const CallContext& ctx) {
  auto reader = std::make_shared<Reader>(Source(std::move(fetch)));
  SKALD_TRY_VOID(reader->open(length, hot_length, ctx));
  return std::shared_ptr<ChunkReader>(std::move(reader));
}

Result<std::shared_ptr<ChunkReader>> ChunkReader::open(SharedBytes whole_chunk) {
  const std::uint64_t length = whole_chunk->size();
  auto reader = std::make_shared<Reader>(Source(std::move(whole_chunk)));
  SKALD_TRY_VOID(reader->open_whole(length, CallContext()));
  return std::shared_ptr<ChunkReader>(std::move(reader));
}

}  // namespace skald::chunk
