// Makes every checksum of a damaged index object right again, so that damage reaches the code behind them.
#pragma once

#include <string>

#include "index/day_index_format.h"
#include "skald/codec/crc32c.h"

namespace skald::index::testing {

inline void reseal(std::string& bytes) {
  if (bytes.size() < kHeaderBytes + kTrailerBytes) return;
  store_le<std::uint32_t>(&bytes[0], kHeaderMagic);
  bytes[4] = static_cast<char>(kMajorVersion);
  store_le<std::uint32_t>(&bytes[60], codec::crc32c(ByteView(bytes).substr(0, 60)));
  char* trailer = &bytes[bytes.size() - kTrailerBytes];
  const auto table_offset = load_le<std::uint64_t>(trailer);
  const auto table_bytes = load_le<std::uint32_t>(trailer + 8);
  if (table_offset <= bytes.size() && table_bytes <= bytes.size() - table_offset) {
    for (std::uint64_t at = table_offset; at + kSectionEntryBytes <= table_offset + table_bytes; at += kSectionEntryBytes) {
      const auto offset = load_le<std::uint64_t>(&bytes[at + 8]), length = load_le<std::uint64_t>(&bytes[at + 16]);
      if (offset <= bytes.size() && length <= bytes.size() - offset) store_le<std::uint32_t>(&bytes[at + 4], codec::crc32c(ByteView(bytes).substr(offset, length)));
    }
    store_le<std::uint32_t>(trailer + 12, codec::crc32c(ByteView(bytes).substr(table_offset, table_bytes)));
  }
  store_le<std::uint64_t>(trailer + 16, bytes.size());
  store_le<std::uint32_t>(trailer + 56, codec::crc32c(ByteView(trailer, 56)));
  store_le<std::uint32_t>(trailer + 60, kTrailerMagic);
}

}  // namespace skald::index::testing
