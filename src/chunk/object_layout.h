// Fixed structures of a chunk object (docs/formats/object.md).
#pragma once

#include <cstdint>

#include "skald/base/bytes.h"
#include "skald/chunk/object_reader.h"

namespace skald::chunk {

inline constexpr std::uint32_t kObjectMagic = 0x314F4B53;          // "SKO1"
inline constexpr std::uint32_t kObjectTrailerMagic = 0x454F4B53;   // "SKOE"
inline constexpr std::uint8_t kObjectMajor = 1;
inline constexpr std::uint8_t kObjectMinor = 0;
inline constexpr std::size_t kObjectAlignment = 64;
inline constexpr std::size_t kSectionEntryBytes = 32;
inline constexpr std::size_t kDirectoryEntryBytes = 48;
inline constexpr std::uint64_t kObjectBytesMax = 1ULL << 30;
inline constexpr std::uint64_t kSectionRawBytesMax = 256ULL << 20;
inline constexpr std::uint32_t kSectionsMax = 64;

enum SectionId : std::uint16_t {
  kSectionZstdDictionaries = 1, kSectionTemplateDictionaries = 2, kSectionLabels = 3, kSectionChunks = 4, kSectionInputs = 5,
  kSectionDeletes = 6,
};
enum SectionFlags : std::uint16_t { kSectionMustUnderstand = 1, kSectionZstd = 2 };

}  // namespace skald::chunk
