#include "index/day_index_format.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "skald/codec/crc32c.h"

namespace skald::index {
namespace {

// Field positions; see docs/formats/index.md.
constexpr std::size_t kHeaderCrcAt = 60;
constexpr std::size_t kTrailerCrcAt = 56;

void put_ulid(std::string& out, std::size_t at, const Ulid& id) { std::copy(id.bytes.begin(), id.bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(at)); }

Ulid get_ulid(const char* from) {
  Ulid id;
  std::memcpy(id.bytes.data(), from, id.bytes.size());
  return id;
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == '\0'; });
}

}  // namespace

const char* section_name(std::uint16_t id) {
  switch (id) {
    case kSymbols: return "symbols";
    case kLabelNames: return "label names";
    case kLabelValues: return "label values";
    case kPostings: return "postings";
    case kSeries: return "series";
    case kChunkLists: return "chunk lists";
    case kSketches: return "sketches";
    case kObjects: return "objects";
    case kInputs: return "inputs";
    case kUpkeep: return "upkeep";
    default: return "unknown section";
  }
}

std::string encode_header(const DayIndexHeader& header) {
  std::string out(kHeaderBytes, '\0');
  store_le<std::uint32_t>(&out[0], kHeaderMagic);
  out[4] = static_cast<char>(kMajorVersion);
  out[5] = static_cast<char>(kMinorVersion);
  store_le<std::uint64_t>(&out[8], header.tenant_hash);
  store_le<std::int64_t>(&out[16], header.day);
  store_le<std::int64_t>(&out[24], header.min_ts_ns);
  store_le<std::int64_t>(&out[32], header.max_ts_ns);
  store_le<std::uint32_t>(&out[40], header.series);
  store_le<std::uint32_t>(&out[44], header.chunks);
  store_le<std::uint32_t>(&out[48], header.objects);
  store_le<std::uint32_t>(&out[52], static_cast<std::uint32_t>(header.inputs.size()));
  store_le<std::uint32_t>(&out[kHeaderCrcAt], codec::crc32c(ByteView(out).substr(0, kHeaderCrcAt)));
  return out;
}

std::string encode_trailer(const DayIndexHeader& header, std::uint64_t table_offset, std::uint32_t table_bytes, std::uint32_t table_crc,
                           std::uint64_t object_bytes, std::uint32_t sections) {
  std::string out(kTrailerBytes, '\0');
  store_le<std::uint64_t>(&out[0], table_offset);
  store_le<std::uint32_t>(&out[8], table_bytes);
  store_le<std::uint32_t>(&out[12], table_crc);
  store_le<std::uint64_t>(&out[16], object_bytes);
  put_ulid(out, 24, header.id);
  store_le<std::uint32_t>(&out[40], sections);
  out[46] = static_cast<char>(kMajorVersion);
  out[47] = static_cast<char>(kMinorVersion);
  store_le<std::uint32_t>(&out[kTrailerCrcAt], codec::crc32c(ByteView(out).substr(0, kTrailerCrcAt)));
  store_le<std::uint32_t>(&out[60], kTrailerMagic);
  return out;
}

Result<Envelope> read_envelope(ByteView object) {
  if (object.size() < kHeaderBytes + kTrailerBytes) return corrupt_index("only " + std::to_string(object.size()) + " bytes");
  Envelope envelope;
  const char* head = object.data();
  if (load_le<std::uint32_t>(head) != kHeaderMagic) return corrupt_index("not an index object (magic)", 0);
  if (load_le<std::uint32_t>(head + kHeaderCrcAt) != codec::crc32c(object.substr(0, kHeaderCrcAt))) return corrupt_index("header checksum", 0);
  if (static_cast<std::uint8_t>(head[4]) != kMajorVersion) {
    return corrupt_index("version " + std::to_string(static_cast<std::uint8_t>(head[4])) + " is not known; written by a newer server", 4);
  }
  const std::uint64_t trailer_at = object.size() - kTrailerBytes;
  const char* tail = object.data() + trailer_at;
  if (load_le<std::uint32_t>(tail + 60) != kTrailerMagic) return corrupt_index("trailer magic; the object is cut short", trailer_at);
  if (load_le<std::uint32_t>(tail + kTrailerCrcAt) != codec::crc32c(ByteView(tail, kTrailerCrcAt))) return corrupt_index("trailer checksum", trailer_at);

  DayIndexHeader& header = envelope.header;
  header.tenant_hash = load_le<std::uint64_t>(head + 8);
  header.day = load_le<std::int64_t>(head + 16);
  if (header.day < -kDayMax || header.day > kDayMax) return corrupt_index("day " + std::to_string(header.day), 16);
  header.min_ts_ns = load_le<std::int64_t>(head + 24);
  header.max_ts_ns = load_le<std::int64_t>(head + 32);
  header.series = load_le<std::uint32_t>(head + 40);
  header.chunks = load_le<std::uint32_t>(head + 44);
  header.objects = load_le<std::uint32_t>(head + 48);
  const std::uint32_t inputs = load_le<std::uint32_t>(head + 52);
  header.id = get_ulid(tail + 24);

  const auto table_offset = load_le<std::uint64_t>(tail);
  const auto table_bytes = load_le<std::uint32_t>(tail + 8);
  const auto section_count = load_le<std::uint32_t>(tail + 40);
  if (load_le<std::uint64_t>(tail + 16) != object.size()) return corrupt_index("object length in the trailer", trailer_at + 16);
  if (section_count > kSectionsMax || table_bytes != section_count * kSectionEntryBytes || table_offset < kHeaderBytes || table_offset > trailer_at ||
      trailer_at - table_offset != table_bytes) {
    return corrupt_index("section table bounds", trailer_at);
  }
  if (load_le<std::uint32_t>(tail + 12) != codec::crc32c(object.substr(table_offset, table_bytes))) return corrupt_index("section table checksum", table_offset);

  std::uint64_t end = kHeaderBytes;   // of the previous section
  for (std::uint32_t i = 0; i < section_count; ++i) {
    const char* entry = object.data() + table_offset + i * kSectionEntryBytes;
    const std::uint64_t entry_at = table_offset + i * kSectionEntryBytes;
    Section section;
    section.id = load_le<std::uint16_t>(entry);
    section.flags = load_le<std::uint16_t>(entry + 2);
    section.crc = load_le<std::uint32_t>(entry + 4);
    section.offset = load_le<std::uint64_t>(entry + 8);
    section.length = load_le<std::uint64_t>(entry + 16);
    section.items = load_le<std::uint64_t>(entry + 24);
    const std::string name = section_name(section.id);
    if (section.offset % kAlignment != 0 || section.offset < end || section.offset > table_offset || section.length > table_offset - section.offset) {
      return corrupt_index("bounds of section '" + name + "'", entry_at);
    }
    if (!all_zero(object.substr(end, section.offset - end))) return corrupt_index("padding is not zero", end);
    end = section.offset + section.length;
    if (codec::crc32c(object.substr(section.offset, section.length)) != section.crc) {
      return corrupt_index("checksum of section '" + name + "'", section.offset);
    }
    if (section.id == 0 || section.id > kKnownSections) {
      if ((section.flags & kMustUnderstand) != 0) return corrupt_index("section " + std::to_string(section.id) + " must be understood and is not", entry_at);
      continue;
    }
    if (envelope.sections[section.id].id != 0) return corrupt_index("section '" + name + "' twice", entry_at);
    envelope.sections[section.id] = section;
  }
  if (!all_zero(object.substr(end, table_offset - end))) return corrupt_index("padding is not zero", end);
  for (std::uint16_t id = 1; id <= kRequiredSections; ++id) {
    if (envelope.sections[id].id != id) return corrupt_index(std::string("section '") + section_name(id) + "' is missing", table_offset);
  }
  if (envelope.sections[kInputs].length != 16ULL * inputs) return corrupt_index("number of inputs", 52);
  return envelope;
}

std::string day_index_key(std::string_view tenant, std::int64_t day, const Ulid& id) {
  std::string key(tenant);
  key += "/index/index_";
  key += std::to_string(day);
  key += '/';
  key += id.to_string();
  return key;
}

std::optional<DayIndexKey> parse_day_index_key(std::string_view key) {
  constexpr std::string_view kFolder = "/index/index_";
  const std::size_t slash = key.find('/');
  if (slash == 0 || slash == std::string_view::npos || key.substr(slash, kFolder.size()) != kFolder) return std::nullopt;
  DayIndexKey parsed;
  parsed.tenant = key.substr(0, slash);
  const std::string_view rest = key.substr(slash + kFolder.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), parsed.day);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '/') return std::nullopt;
  auto id = Ulid::parse(rest.substr(static_cast<std::size_t>(end - rest.data()) + 1));
  if (!id.ok()) return std::nullopt;
  parsed.id = *id;
  return parsed;
}

}  // namespace skald::index
