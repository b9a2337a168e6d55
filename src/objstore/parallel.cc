#include "objstore/parallel.h"

#include <atomic>
#include <mutex>
#include <optional>

namespace skald::objstore {

Result<void> for_all(exec::Pool& pool, std::size_t count, const std::function<Result<void>(std::size_t)>& body) {
  std::mutex mutex;   // guards first
  std::optional<Error> first;
  std::atomic<bool> failed{false};
  pool.parallel_for(count, [&](std::size_t i) {
    if (failed.load(std::memory_order_relaxed)) return;
    Result<void> result = body(i);
    if (result.ok()) return;
    failed.store(true, std::memory_order_relaxed);
    const std::lock_guard lock(mutex);
    if (!first.has_value()) first = std::move(result).error();
  });
  if (first.has_value()) return *std::move(first);
  return {};
}

}  // namespace skald::objstore
