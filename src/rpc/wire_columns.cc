// Decoded columns on the wire: uvarint counts and little-endian arrays, LZ4 around the whole when that makes it smaller.
//
//   u8 compression | varint raw bytes | body
//   body: varint rows | u8 parts | zigzag timestamps (each minus the one before) × rows
//         | levels × rows (part 1) | varint line length × rows (part 2) | line bytes (part 4)
//         | varint columns, per column: sized name | per row varint 0 (absent) or length + 1 | values (part 8)
#include <limits>

#include "skald/codec/compress.h"
#include "skald/codec/varint.h"
#include "skald/rpc/wire.h"

namespace skald::rpc {
namespace {

enum Part : std::uint8_t { kHasLevels = 1, kHasLengths = 2, kHasText = 4, kHasMetadata = 8 };
constexpr std::uint64_t kRowsMax = 1 << 24;
constexpr std::uint64_t kRawBytesMax = 4ULL << 30;
constexpr std::uint64_t kColumnsMax = 1 << 16;
constexpr std::size_t kCompressFrom = 256;

Error damaged(const char* what) { return Error(ErrorCode::kCorruption, std::string("rows from a peer: ") + what); }

}  // namespace

Result<Bytes> encode_columns(const chunk::Columns& columns, std::uint32_t first, std::uint32_t rows, chunk::ColumnMask mask) {
  const std::uint32_t end = first + rows;
  if (end < first || end > columns.rows) return Error(ErrorCode::kInternal, "rows to send lie outside the block");
  Bytes body;
  std::uint8_t parts = 0;
  if ((mask & chunk::kLevels) != 0 && !columns.levels.empty()) parts |= kHasLevels;
  const bool text = (mask & chunk::kLines) != 0 && !columns.line_offsets.empty();
  if (text || ((mask & chunk::kLineLengths) != 0 && !columns.line_offsets.empty())) parts |= kHasLengths;
  if (text) parts |= kHasText;
  if ((mask & chunk::kMetadata) != 0 && !columns.metadata.empty()) parts |= kHasMetadata;
  codec::append_varint(body, rows);
  append_le(body, parts);
  std::int64_t before = 0;
  for (std::uint32_t row = first; row < end; ++row) {
    codec::append_zigzag(body, static_cast<std::int64_t>(static_cast<std::uint64_t>(columns.timestamps_ns[row]) - static_cast<std::uint64_t>(before)));
    before = columns.timestamps_ns[row];
  }
  if ((parts & kHasLevels) != 0) body.append(reinterpret_cast<const char*>(columns.levels.data()) + first, rows);
  if ((parts & kHasLengths) != 0)
    for (std::uint32_t row = first; row < end; ++row) codec::append_varint(body, columns.line_offsets[row + 1] - columns.line_offsets[row] - 1);
  // With their line feeds: one copy here, one there.
  if ((parts & kHasText) != 0) body.append(columns.text, columns.line_offsets[first], columns.line_offsets[end] - columns.line_offsets[first]);
  if ((parts & kHasMetadata) != 0) {
    codec::append_varint(body, columns.metadata.size());
    for (const chunk::MetadataColumn& column : columns.metadata) {
      codec::append_varint(body, column.name.size());
      body.append(column.name);
      for (std::uint32_t row = first; row < end; ++row) {
        const std::string_view value = column.values[row];
        codec::append_varint(body, value.data() == nullptr ? 0 : value.size() + 1);
        body.append(value);
      }
    }
  }
  Bytes out;
  if (body.size() >= kCompressFrom && body.size() < (1ULL << 30)) {
    append_le(out, static_cast<std::uint8_t>(codec::Compression::kLz4));
    codec::append_varint(out, body.size());
    SKALD_TRY_VOID(codec::compress_append(codec::Compression::kLz4, codec::kDefaultLevel, body, out));
    if (out.size() < body.size()) return out;
    out.clear();
  }
  append_le(out, static_cast<std::uint8_t>(codec::Compression::kNone));
  codec::append_varint(out, body.size());
  return out + body;
}

Result<std::shared_ptr<const chunk::Columns>> decode_columns(ByteView message) {
  codec::ByteReader frame(message);
  const auto compression = frame.fixed<std::uint8_t>();
  const std::uint64_t raw_bytes = frame.varint();
  if (!frame.ok() || raw_bytes > kRawBytesMax) return damaged("size");
  auto body = std::make_shared<Bytes>();
  if (compression == static_cast<std::uint8_t>(codec::Compression::kNone)) {
    if (raw_bytes != frame.remaining()) return damaged("size");
    *body = frame.rest();
  } else if (compression == static_cast<std::uint8_t>(codec::Compression::kLz4)) {
    // LZ4 expands at most 255 times; a larger claim must not make us reserve memory.
    if (raw_bytes > 64 + 256 * static_cast<std::uint64_t>(frame.remaining())) return damaged("size");
    SKALD_TRY(*body, codec::decompress_exact(codec::Compression::kLz4, frame.rest(), raw_bytes));
  } else {
    return damaged("compression");
  }
  codec::ByteReader in(ByteView(body->data(), raw_bytes));
  const std::uint64_t rows = in.varint();
  const auto parts = in.fixed<std::uint8_t>();
  if (!in.ok() || rows > kRowsMax || rows > in.remaining()) return damaged("row count");
  auto columns = std::make_shared<chunk::Columns>();
  columns->rows = static_cast<std::uint32_t>(rows);
  columns->timestamps_ns.reserve(rows);
  std::int64_t at = 0;
  for (std::uint64_t row = 0; row < rows; ++row) {
    at = static_cast<std::int64_t>(static_cast<std::uint64_t>(at) + static_cast<std::uint64_t>(in.zigzag()));
    columns->timestamps_ns.push_back(at);
  }
  if ((parts & kHasLevels) != 0) {
    const ByteView levels = in.bytes(rows);
    for (const char level : levels) {
      if (static_cast<std::uint8_t>(level) >= model::kLevelCount) return damaged("level");
      columns->levels.push_back(static_cast<std::uint8_t>(level));
    }
  }
  if ((parts & kHasLengths) != 0) {
    if (rows > in.remaining()) return damaged("line lengths");
    columns->line_offsets.reserve(rows + 1);
    columns->line_offsets.push_back(0);
    std::uint64_t offset = 0;
    for (std::uint64_t row = 0; row < rows; ++row) {
      const std::uint64_t length = in.varint();
      if (length >= kRawBytesMax) return damaged("line length");
      offset += length + 1;
      if (offset > std::numeric_limits<std::uint32_t>::max()) return damaged("line lengths");
      columns->line_offsets.push_back(static_cast<std::uint32_t>(offset));
    }
    if ((parts & kHasText) != 0) {
      const ByteView text = in.bytes(offset);
      if (!in.ok()) return damaged("line text");
      for (std::uint64_t row = 0; row < rows; ++row)
        if (text[columns->line_offsets[row + 1] - 1] != '\n') return damaged("line end");
      columns->text.reserve(text.size() + kBufferSlack);
      columns->text.assign(text);
      columns->text.append(kBufferSlack, '\0');
      columns->text_bytes = text.size();
    }
  } else if ((parts & kHasText) != 0) {
    return damaged("text without lengths");
  }
  if ((parts & kHasMetadata) != 0) {
    const std::uint64_t count = in.varint();
    if (!in.ok() || count > kColumnsMax || count > in.remaining()) return damaged("metadata columns");
    for (std::uint64_t i = 0; i < count; ++i) {
      chunk::MetadataColumn& column = columns->metadata.emplace_back();
      column.name = in.sized_bytes();
      if (!in.ok() || rows > in.remaining()) return damaged("metadata");
      column.values.reserve(rows);
      for (std::uint64_t row = 0; row < rows; ++row) {
        const std::uint64_t length = in.varint();
        column.values.push_back(length == 0 ? std::string_view() : std::string_view(in.bytes(length - 1)));
      }
    }
    columns->keep_alive.push_back(body);
  }
  if (!in.at_end()) return damaged("bytes left over");
  return std::shared_ptr<const chunk::Columns>(std::move(columns));
}

}  // namespace skald::rpc
