// Memory of one run(): strings the stages make (unescaped values, formatted lines). Freed all at once; every string has
// kBufferSlack readable bytes behind it, so that SIMD code may read past its end.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"

namespace skald::engine {

class Arena {
 public:
  // `size` writable bytes; valid until clear().
  char* allocate(std::size_t size) {
    if (size + kBufferSlack > left_) grow(size);
    char* const at = next_;
    next_ += size;
    left_ -= size;
    return at;
  }
  // Gives back the unused tail of the latest allocation.
  void shrink(const char* used_end) {
    left_ += static_cast<std::size_t>(next_ - used_end);
    next_ = const_cast<char*>(used_end);
  }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {"", 0};
    char* const at = allocate(text.size());
    std::memcpy(at, text.data(), text.size());
    return {at, text.size()};
  }
  void clear() {
    if (chunks_.size() > 1) chunks_.resize(1);   // keeps one chunk: runs of the same size do not allocate again
    if (!chunks_.empty()) {
      next_ = chunks_[0].data.get();
      left_ = chunks_[0].size;
    }
  }

 private:
  static constexpr std::size_t kChunkBytes = 256 * 1024;
  struct Chunk { std::unique_ptr<char[]> data; std::size_t size = 0; };
  void grow(std::size_t size) {
    const std::size_t bytes = std::max(kChunkBytes, size + kBufferSlack);
    chunks_.push_back({std::make_unique<char[]>(bytes), bytes});
    next_ = chunks_.back().data.get();
    left_ = bytes;
  }
  std::vector<Chunk> chunks_;
  char* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace skald::engine
