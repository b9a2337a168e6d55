#include "ingester/slab.h"

namespace skald::ingester {
namespace {

// 16 B below the power of two: room for the allocator's own header.
constexpr std::uint32_t kSizes[] = {512 - 16, 2048 - 16, 8192 - 16, 65536 - 16};

void* allocate(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

SlabChain* SlabChain::create() {
  static_assert(offsetof(SlabChain, first_) + sizeof(Slab) == sizeof(SlabChain));
  auto* chain = new (allocate(kSizes[0])) SlabChain;
  chain->memory_bytes_ = kSizes[0];
  chain->first_.capacity = kSizes[0] - sizeof(SlabChain);
  chain->last_ = &chain->first_;
  return chain;
}

char* SlabChain::reserve(std::uint32_t bytes) {
  std::uint32_t used = last_->used.load(std::memory_order_relaxed);
  if (last_->capacity - used < bytes) {
    // Each class at most about doubles what the chain holds.
    std::uint32_t size = memory_bytes_ < 2048 ? kSizes[1] : memory_bytes_ < 8192 ? kSizes[2] : kSizes[3];
    if (bytes > size - sizeof(Slab)) size = bytes + static_cast<std::uint32_t>(sizeof(Slab));
    auto* slab = new (allocate(size)) Slab;
    slab->capacity = size - static_cast<std::uint32_t>(sizeof(Slab));
    memory_bytes_ += size;
    last_->next.store(slab, std::memory_order_release);
    last_ = slab;
    used = 0;
  }
  last_->used.store(used + bytes, std::memory_order_release);
  return last_->data() + used;
}

void SlabChain::drop_reference() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  for (Slab* slab = first_.next.load(); slab != nullptr;) {
    Slab* next = slab->next.load();
    slab->~Slab();
    std::free(slab);
    slab = next;
  }
  this->~SlabChain();
  std::free(this);
}

}  // namespace skald::ingester
