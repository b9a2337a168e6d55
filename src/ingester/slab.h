// Append-only bytes in a chain of growing slabs (512 B, 2 KiB, 8 KiB, 64 KiB), so that a stream of five lines costs half a
// kilobyte and a busy one few allocations. Appends happen under the stream's lock; whoever noted the length under that
// lock may read that many bytes without it, for as long as it holds a reference: bytes once written never move.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace skald::ingester {

struct Slab {
  std::atomic<Slab*> next{nullptr};
  std::uint32_t capacity = 0;
  std::atomic<std::uint32_t> used{0};
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

class SlabChain {
 public:
  static SlabChain* create();
  // `bytes` contiguous bytes to be filled before the lock is released.
  char* reserve(std::uint32_t bytes);
  std::uint64_t memory_bytes() const { return memory_bytes_; }

  void add_reference() { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference();

  // Calls f(begin, end) for each stretch of the first `length` bytes, in order. Records never straddle stretches.
  template <class F>
  void for_each_stretch(std::uint64_t length, F f) {
    for (Slab* slab = &first_; length > 0; slab = slab->next.load(std::memory_order_acquire)) {
      const std::uint64_t used = slab->used.load(std::memory_order_acquire);
      const std::uint64_t take = used < length ? used : length;
      f(slab->data(), slab->data() + take);
      length -= take;
    }
  }

 private:
  SlabChain() = default;
  std::atomic<std::uint32_t> references_{1};
  std::uint32_t memory_bytes_ = 0;
  Slab* last_ = nullptr;
  Slab first_;  // its bytes follow this object
};

// Intrusive: a stream record has 8 bytes for it.
class ChainRef {
 public:
  ChainRef() = default;
  static ChainRef create() { return ChainRef(SlabChain::create()); }
  ChainRef(const ChainRef& other) : chain_(other.chain_) {
    if (chain_ != nullptr) chain_->add_reference();
  }
  ChainRef(ChainRef&& other) noexcept : chain_(std::exchange(other.chain_, nullptr)) {}
  ChainRef& operator=(ChainRef other) noexcept {
    std::swap(chain_, other.chain_);
    return *this;
  }
  ~ChainRef() {
    if (chain_ != nullptr) chain_->drop_reference();
  }
  explicit operator bool() const { return chain_ != nullptr; }
  SlabChain* operator->() const { return chain_; }

 private:
  explicit ChainRef(SlabChain* chain) : chain_(chain) {}
  SlabChain* chain_ = nullptr;
};

}  // namespace skald::ingester
