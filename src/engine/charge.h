// What one holder takes of a query's memory budget.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "skald/base/context.h"
#include "skald/base/result.h"

namespace skald::engine {

// Movable; gives back what it holds when it goes. Not thread-safe: one per worker or value.
class Charge {
 public:
  Charge() = default;   // of nothing: hold() always succeeds
  explicit Charge(const CallContext& ctx) : budget_(ctx.memory) {}
  Charge(Charge&& other) noexcept : budget_(std::move(other.budget_)), taken_bytes_(std::exchange(other.taken_bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    if (this == &other) return *this;
    release();
    budget_ = std::move(other.budget_);
    taken_bytes_ = std::exchange(other.taken_bytes_, 0);
    return *this;
  }
  ~Charge() { release(); }

  // The holder has `bytes` in all now. The budget is taken in steps, so that workers seldom meet at its counter.
  // kInvalidArgument: the query would hold more than its budget.
  Result<void> hold(std::uint64_t bytes) {
    if (!budget_) return {};
    const auto wanted = static_cast<std::int64_t>((bytes + kStepBytes - 1) / kStepBytes * kStepBytes);
    if (wanted <= taken_bytes_) {
      budget_->give_back(taken_bytes_ - wanted);
    } else if (Result<void> taken = budget_->take(wanted - taken_bytes_); !taken.ok()) {
      return Error(ErrorCode::kInvalidArgument, taken.error().message());   // asking again will not help
    }
    taken_bytes_ = wanted;
    return {};
  }

 private:
  static constexpr std::uint64_t kStepBytes = 64 << 10;
  void release() {
    if (budget_ && taken_bytes_ != 0) budget_->give_back(taken_bytes_);
    taken_bytes_ = 0;
  }
  std::shared_ptr<MemoryBudget> budget_;
  std::int64_t taken_bytes_ = 0;
};

}  // namespace skald::engine
