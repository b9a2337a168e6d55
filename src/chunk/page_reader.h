// A page's raw bytes, decompressed only if they were compressed.
#pragma once

#include "chunk/layout.h"
#include "skald/codec/crc32c.h"

namespace skald::chunk {

class Page {
 public:
  explicit Page(ByteView stored) : view_(stored) {}
  explicit Page(Bytes decompressed) : owned_(std::move(decompressed)), is_owned_(true) {}
  ByteView bytes() const { return is_owned_ ? ByteView(owned_) : view_; }

 private:
  ByteView view_;
  Bytes owned_;
  bool is_owned_ = false;
};

// `raw_max`: what this page may hold by the block's counts; checked before anything is reserved.
inline Result<Page> open_page(std::uint8_t codec, ByteView stored, std::uint64_t raw_bytes, std::uint64_t raw_max) {
  if (raw_bytes > raw_max) return corrupt("page: raw size " + std::to_string(raw_bytes) + " above what its column can hold");
  if (!codec::compression_known(codec)) {
    return Error(ErrorCode::kUnimplemented, "chunk: page codec " + std::to_string(codec) + " is not known to this release");
  }
  if (codec == 0) {
    if (stored.size() != raw_bytes) return corrupt("page: stored size differs from raw size");
    return Page(stored);
  }
  SKALD_TRY(Bytes raw, codec::decompress_exact(static_cast<codec::Compression>(codec), stored, raw_bytes));
  return Page(std::move(raw));
}

inline Result<void> check_page(const TableEntry& entry, ByteView stored) {
  if (!codec::compression_known(entry.codec)) {
    return Error(ErrorCode::kUnimplemented, "chunk: page codec " + std::to_string(entry.codec) + " is not known to this release");
  }
  if (codec::crc32c(stored) != entry.crc) return corrupt("page of column kind " + std::to_string(entry.kind) + ": checksum mismatch");
  return {};
}

inline Result<Page> open_page(const TableEntry& entry, ByteView stored, std::uint64_t raw_max) {
  SKALD_TRY_VOID(check_page(entry, stored));
  return open_page(entry.codec, stored, entry.raw, raw_max);
}

}  // namespace skald::chunk
