// Constants and fixed structures of the daily index object. Bytes: docs/formats/index.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/index/day_index.h"

namespace skald::index {

inline constexpr std::uint32_t kHeaderMagic = 0x31494B53;    // "SKI1"
inline constexpr std::uint32_t kTrailerMagic = 0x45494B53;   // "SKIE"
inline constexpr std::uint8_t kMajorVersion = 1;
inline constexpr std::uint8_t kMinorVersion = 0;
inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::size_t kTrailerBytes = 64;
inline constexpr std::size_t kSectionEntryBytes = 32;
inline constexpr std::uint32_t kSectionsMax = 256;
inline constexpr std::size_t kAlignment = 64;
inline constexpr std::uint16_t kMustUnderstand = 1;

enum SectionId : std::uint16_t {
  kSymbols = 1, kLabelNames = 2, kLabelValues = 3, kPostings = 4, kSeries = 5, kChunkLists = 6, kSketches = 7, kObjects = 8, kInputs = 9,
  kUpkeep = 10,   // only in what compaction writes
};
inline constexpr std::uint16_t kRequiredSections = 9;
inline constexpr std::uint16_t kKnownSections = 10;
const char* section_name(std::uint16_t id);

inline constexpr std::uint32_t kSymbolsPerBlock = 16;
inline constexpr std::uint32_t kValuesPerBlock = 64;
inline constexpr std::uint32_t kSeriesPerBlock = 16;
inline constexpr std::uint32_t kSketchesPerGroup = 64;
inline constexpr std::uint64_t kSymbolBytesMax = 16 << 20;
inline constexpr std::uint32_t kLabelsPerSeriesMax = 4096;
inline constexpr std::uint32_t kSketchGroupRawBytesMax = 64 << 20;
inline constexpr std::int64_t kDayMax = 106'751;   // days either side of 1970 whose nanoseconds fit 64 bits
inline constexpr std::size_t kPostingsAlignment = 8;

inline constexpr std::size_t kLabelNameEntryBytes = 16;    // u32 symbol, u32 values, u64 offset in label values
inline constexpr std::size_t kValueSparseBytes = 16;       // u32 first symbol, u32 block offset, u64 postings offset
inline constexpr std::size_t kSeriesSparseBytes = 24;      // u64 series offset, u64 chunk list offset, u32 first chunk, u32 0
inline constexpr std::size_t kObjectEntryBytes = 40;       // ULID, i64 shard start, u64 length, u64 tail offset
inline constexpr std::size_t kSketchGroupEntryBytes = 16;  // u64 offset, u32 stored, u32 raw

struct Section {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::uint32_t crc = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t items = 0;
};

std::string encode_header(const DayIndexHeader& header);
std::string encode_trailer(const DayIndexHeader& header, std::uint64_t table_offset, std::uint32_t table_bytes, std::uint32_t table_crc,
                           std::uint64_t object_bytes, std::uint32_t sections);

// Header, trailer, section table, every checksum and the padding. Nothing is allocated before the counts are checked.
// `header.inputs` stays empty: they are a section.
struct Envelope {
  DayIndexHeader header;
  std::array<Section, kKnownSections + 1> sections;   // by id; the required ones are present, [0] unused; id 0: absent
  ByteView view(ByteView object, SectionId id) const { return object.substr(sections[id].offset, sections[id].length); }
};
Result<Envelope> read_envelope(ByteView object);

inline Error corrupt_index(const std::string& what) { return Error(ErrorCode::kCorruption, "index: " + what); }
inline Error corrupt_index(const std::string& what, std::uint64_t offset) {
  return Error(ErrorCode::kCorruption, "index: " + what + " at offset " + std::to_string(offset));
}

}  // namespace skald::index
