#include <algorithm>
#include <chrono>
#include <thread>

#include "skald/frontend/runner.h"

namespace skald::frontend {

namespace {

class LocalRunner final : public Runner {
 public:
  explicit LocalRunner(Evaluate evaluate) : evaluate_(std::move(evaluate)) {}
  Result<void> run(const CallContext& ctx, const Parts& parts) override {
    for (std::size_t part = 0; part < parts.count; ++part) {
      SKALD_TRY_VOID(ctx.check());
      if (parts.take(part, evaluate_(ctx, parts.make(part))) == 0) break;
    }
    return {};
  }

 private:
  const Evaluate evaluate_;
};

// False: the context is over.
bool pause(const CallContext& ctx, std::int64_t pause_ns) {
  constexpr std::int64_t kSliceNs = 20 * kNanosPerMilli;   // cancellation is noticed within
  for (; pause_ns > 0 && ctx.check().ok(); pause_ns -= kSliceNs) std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(pause_ns, kSliceNs)));
  return ctx.check().ok();
}

}  // namespace

std::unique_ptr<Runner> make_local_runner(Evaluate evaluate) { return std::make_unique<LocalRunner>(std::move(evaluate)); }

Result<engine::QueryResult> with_retries(const CallContext& ctx, std::int64_t max_retries, std::int64_t pause_ns,
                                         const std::function<Result<engine::QueryResult>()>& run) {
  Result<engine::QueryResult> result = run();
  for (std::int64_t tried = 0; tried < max_retries && !result.ok() && result.error().code() == ErrorCode::kUnavailable; ++tried) {
    if (!pause(ctx, pause_ns)) break;
    pause_ns = std::min(pause_ns * 2, kNanosPerSecond);
    result = run();
  }
  return result;
}

}  // namespace skald::frontend
