// A runner that answers in a random order, with everything going through its form between processes.
#pragma once

#include <map>

#include "skald/base/random.h"
#include "skald/frontend/runner.h"

namespace skald::frontend::testing {

class ShufflingRunner final : public Runner {
 public:
  ShufflingRunner(Evaluate evaluate, std::uint64_t seed) : evaluate_(std::move(evaluate)), random_(seed) {}
  Result<void> run(const CallContext& ctx, const Parts& parts) override {
    std::map<std::size_t, Bytes> running;
    std::size_t window = parts.window, next = 0;
    while (window != 0 && (next < parts.count || !running.empty())) {
      while (next < parts.count && running.size() < window) {
        running[next] = encode_subquery(parts.make(next));
        ++next;
        ++sent;
      }
      widest = std::max(widest, running.size());
      const auto at = std::next(running.begin(), static_cast<std::ptrdiff_t>(random_.next_u64() % running.size()));
      const std::size_t part = at->first;
      const Subquery subquery = decode_subquery(ctx.tenant, at->second).value();
      running.erase(at);
      window = parts.take(part, decode_result(encode_result(evaluate_(ctx, subquery))).value());
    }
    return {};
  }
  std::size_t sent = 0, widest = 0;

 private:
  const Evaluate evaluate_;
  SeededRandom random_;
};

}  // namespace skald::frontend::testing
