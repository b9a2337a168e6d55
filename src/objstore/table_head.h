// How an object lies in a table: a head under its name, and its bytes in parts. docs/formats/table.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/base/bytes.h"
#include "skald/base/random.h"
#include "skald/base/result.h"

namespace skald::objstore::table {

inline constexpr std::size_t kHeadBytes = 48;
inline constexpr std::size_t kPartHeaderBytes = 8;
inline constexpr std::uint64_t kInlineBytesMax = 2048;      // a smaller object lies in its head
inline constexpr std::uint64_t kObjectBytesMax = 1ULL << 30;
inline constexpr std::uint32_t kPartBytesMax = 16 << 20;

struct Head {
  Ulid upload;                    // parts of different uploads never mix
  std::uint64_t size = 0;
  std::uint32_t part_bytes = 0;   // of data in each part but the last; 0: inline
  std::uint32_t crc = 0;          // CRC32C of the object
  std::uint64_t parts() const { return part_bytes == 0 ? 0 : (size + part_bytes - 1) / part_bytes; }
};

Bytes encode_head(const Head& head, ByteView inline_bytes);
// kCorruption. `inline_bytes` is a view of `value`; its checksum is right.
Result<Head> decode_head(ByteView value, ByteView& inline_bytes);

Bytes encode_part(std::uint32_t number, ByteView data);
Result<Bytes> decode_part(std::uint32_t number, Bytes value);   // kCorruption

// Where things lie. `path` of an object <tenant>/index/<folder>/<name> (the folder may be empty).
struct Place {
  std::string tenant, folder, name;
  std::string hash() const;         // of the head; its range key is the name
  std::string parts_hash() const;
  std::string part_range(const Ulid& upload, std::uint32_t number) const;
};
std::string folder_hash(std::string_view tenant, std::string_view folder);
inline constexpr std::string_view kTenantsHash = "tenants";   // range keys: tenants
std::string folders_hash(std::string_view tenant);            // range keys: '/' and a folder

bool in_table(std::string_view key);        // <tenant>/index/…
Place place_of(std::string_view key);       // in_table() holds

}  // namespace skald::objstore::table
