// The fixed structures of a chunk and the limits a reader holds them to (docs/formats/chunk.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/chunk/builder.h"
#include "skald/codec/compress.h"

namespace skald::chunk {

inline constexpr std::uint32_t kChunkMagic = 0x31434B53;    // "SKC1"
inline constexpr std::uint32_t kFooterMagic = 0x45434B53;   // "SKCE"
inline constexpr std::uint8_t kChunkVersion = 1;
inline constexpr std::size_t kChunkHeaderBytes = 128;
inline constexpr std::size_t kBlockEntryBytes = 64;
inline constexpr std::size_t kTableEntryBytes = 48;
inline constexpr std::size_t kTableHeadBytes = 8;
inline constexpr std::size_t kHotPageHeaderBytes = 16;
inline constexpr std::size_t kFooterBytes = 32;

inline constexpr std::uint64_t kChunkBytesMax = 64ULL << 20;
inline constexpr std::uint64_t kChunkRawBytesMax = 256ULL << 20;
inline constexpr std::uint64_t kLineBytesMax = 16ULL << 20;
inline constexpr std::uint64_t kBlockRawBytesMax = (16ULL << 20) + kLineBytesMax;
inline constexpr std::uint32_t kBlockRowsLimit = 65'536;
inline constexpr std::uint32_t kBlocksLimit = 65'536;
inline constexpr std::uint32_t kChunkRowsMax = 1U << 28;
inline constexpr std::uint32_t kColumnTableRawBytesMax = 1U << 20;
inline constexpr std::uint32_t kMetadataColumnsMax = 16'384;
inline constexpr std::uint64_t kMetadataCellsMax = 1ULL << 26;   // rows x names of a block: a decoded cell takes 16 bytes
inline constexpr std::uint64_t kMetadataBytesMax = 256ULL << 20;

enum ChunkKind : std::uint8_t { kSingleStream = 1, kGroup = 2 };
enum ChunkFlags : std::uint8_t {
  kFlagSorted = 1, kFlagMetadata = 2, kFlagTemplates = 4, kFlagLevels = 8,
  kFlagObjectZstdDictionary = 16, kFlagObjectTemplates = 32, kFlagMustUnderstand = 64,
};
inline constexpr std::uint8_t kBlockPlain = 1;
inline constexpr std::uint16_t kAllTokenClasses = 1 | 2 | 4 | 8 | 16 | 64;

enum ColumnKind : std::uint16_t {
  kColTimestamps = 1, kColLevel = 2, kColLineLengths = 3, kColLines = 4, kColMetadata = 7, kColPresence = 8,
};
enum Encoding : std::uint8_t {
  kEncConst = 0, kEncBitpack = 1, kEncDelta = 2, kEncPlanes = 3, kEncDict8 = 4, kEncDict16 = 5,
  kEncHex = 6, kEncUuid = 7, kEncStrings = 9, kEncRuns = 10,
  kEncSpliced = 12,   // lines only: a value of structured metadata that the line repeats is one marker byte
};

struct ChunkHeader {
  ChunkKind kind = kSingleStream;
  Codec codec = Codec::kZstd;
  std::uint8_t flags = 0;
  std::uint64_t stream_hash = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint64_t content_id = 0;
  std::uint64_t raw_bytes = 0;
  std::uint32_t rows = 0, blocks = 0, streams = 1;
  std::uint32_t metadata_bytes = 0;
  std::uint32_t hot_length = 0;
  std::uint32_t length = 0;
  std::uint64_t token_lengths = ~0ULL;                  // all bits: nothing known, prune nothing
  std::uint16_t token_classes = kAllTokenClasses;
  std::uint16_t longest_line_kib = 0;
  std::uint8_t min_level = 0, max_level = 0;
  std::uint16_t metadata_columns = 0;
  std::uint64_t writer = 0;
  std::int64_t created_ns = 0;
};
void append_header(Bytes& out, const ChunkHeader& header);
// kCorruption: does not check out; kUnimplemented: written by a later version for features we do not know.
Result<ChunkHeader> read_header(ByteView bytes);

struct BlockEntry {
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint32_t rows = 0, first_row = 0, raw_bytes = 0;
  std::uint32_t table_offset = 0, table_length = 0;
  std::uint32_t data_offset = 0, data_length = 0;
  std::uint32_t hot_offset = 0, hot_length = 0;
  std::uint8_t encoding = kBlockPlain, ts_scale = 0, ts_encoding = 0, flags = 0;
  std::uint32_t table_crc = 0;
};
void append_block_entry(Bytes& out, const BlockEntry& entry);
// Reads header.blocks entries and their CRC from `bytes` (which begins at the directory) and checks that everything they
// point to is in order, inside the chunk and adds up to the header's sums.
Result<std::vector<BlockEntry>> read_directory(ByteView bytes, const ChunkHeader& header);
inline std::size_t directory_bytes(std::size_t blocks) { return blocks * kBlockEntryBytes + 4; }

// Stream runs of a group chunk: u32 payload bytes, u32 crc, payload.
void append_runs(Bytes& out, const std::vector<GroupMember>& members, std::int64_t chunk_min_ts_ns);
Result<std::vector<GroupMember>> read_runs(ByteView bytes, const ChunkHeader& header);
std::uint64_t compute_group_hash(const std::vector<GroupMember>& sorted_members);

struct TableEntry {
  std::uint16_t kind = 0;
  std::uint8_t encoding = 0;
  std::uint8_t codec = 0;
  std::uint32_t ref = 0;       // metadata, presence, spliced lines: index into ColumnTable::symbols
  std::uint32_t offset = 0;    // from the block's data offset
  std::uint32_t stored = 0, raw = 0, crc = 0;
  std::uint16_t class_mask = 0, min_length = 0, max_length = 0, distinct = 0;
  std::int64_t min = 0, max = 0;   // spliced lines: min is the marker byte
};
struct ColumnTable {
  std::vector<TableEntry> entries;
  std::vector<std::string> symbols;   // names of metadata columns
};
// Appends the stored form; `crc` goes to the block entry.
Result<void> append_table(Bytes& out, const ColumnTable& table, std::uint32_t& crc);
// `metadata_bytes`: of the chunk; part of what bounds the sum of the pages' raw lengths.
Result<ColumnTable> read_table(ByteView stored, const BlockEntry& block, std::uint64_t metadata_bytes);

struct Footer {
  std::uint64_t stream_hash = 0, content_id = 0;
  std::uint32_t rows = 0, length = 0, crc = 0;
};
void append_footer(Bytes& out, const Footer& footer);
Result<Footer> read_footer(ByteView bytes);

// A page in the hot part describes itself: u8 kind, encoding, codec, zero; u32 stored, raw; u32 crc of all that and the
// stored bytes.
struct HotPage {
  std::uint8_t kind = 0, encoding = 0, codec = 0;
  std::uint32_t raw = 0;
  ByteView stored;
};
void append_hot_page(Bytes& out, std::uint8_t kind, std::uint8_t encoding, codec::Compression compression, std::uint32_t raw,
                     ByteView stored);
Result<std::vector<HotPage>> read_hot_pages(ByteView hot);

codec::Compression to_compression(Codec codec);

inline Error corrupt(std::string what) { return Error(ErrorCode::kCorruption, "chunk: " + std::move(what)); }

}  // namespace skald::chunk
