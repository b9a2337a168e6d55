// Block compression with exact or bounded output. Thread-safe; contexts live per thread.
#pragma once

#include <cstdint>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::codec {

// The numbers are part of the formats (chunk pages, WAL frames, index sections); never renumber.
enum class Compression : std::uint8_t {
  kNone = 0,
  kGzip = 1,     // RFC 1952
  kSnappy = 2,   // block format
  kLz4 = 3,      // block format, no frame
  kZstd = 4,     // one or more frames
  kZlib = 5,     // RFC 1950
};
inline constexpr int kDefaultLevel = 0;   // each codec's own: zstd 1, zlib 6, gzip by igzip (fast)
const char* compression_name(Compression compression);
bool compression_known(std::uint8_t number);

// Appends the compressed form of `in` to `out`. kInternal: the library failed (out of memory).
// Inputs above 1 GiB are refused with kTooLarge.
Result<void> compress_append(Compression compression, int level, ByteView in, Bytes& out);
Result<Bytes> compress(Compression compression, ByteView in, int level = kDefaultLevel);

// The compressed form must yield exactly `out_bytes`, else kCorruption. `out` must hold that many bytes. A compressed
// form with trailing garbage is refused.
Result<void> decompress_exact(Compression compression, ByteView in, char* out, std::size_t out_bytes);
// The same into a new string with kBufferSlack readable bytes behind it.
Result<Bytes> decompress_exact(Compression compression, ByteView in, std::size_t out_bytes);

// For bodies whose size nobody vouches for. Grows as data arrives, never beyond `limit_bytes` (kTooLarge); malformed or
// truncated input is kInvalidArgument. Not for kLz4 (kUnimplemented: its blocks do not end by themselves).
Result<Bytes> decompress_bounded(Compression compression, ByteView in, std::uint64_t limit_bytes);

// Makes a string of `size` bytes whose content is unspecified, with kBufferSlack readable bytes behind it.
Bytes make_buffer(std::size_t size);

}  // namespace skald::codec
