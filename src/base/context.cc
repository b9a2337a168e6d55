#include "skald/base/context.h"

namespace skald {

Result<void> MemoryBudget::take(std::int64_t bytes) {
  const std::int64_t now_used = used_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (now_used <= limit_bytes_) return {};
  used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  return Error(ErrorCode::kResourceExhausted, "query needs more than its memory budget of " +
                                                  std::to_string(limit_bytes_) +
                                                  " bytes; narrow the time range or the selector");
}

Result<void> CallContext::check() const {
  if (cancel != nullptr && cancel->cancelled()) {
    return Error(ErrorCode::kCancelled, "the request was cancelled by the client");
  }
  if (clock->monotonic_ns() > deadline_monotonic_ns) {
    return Error(ErrorCode::kDeadlineExceeded,
                 "request timed out, decrease the duration of the request or add more label matchers (prefer exact "
                 "match over regex match) to reduce the amount of data processed");
  }
  return {};
}

}  // namespace skald
