// Queries, alerts and samples without the rest of the process.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "skald/ruler/evaluation.h"

namespace skald::ruler {

inline model::Labels labels(std::vector<model::Label> pairs) { return model::Labels::from_pairs(std::move(pairs)); }

// Answers from a table of expressions; what is not in it finds nothing.
class FakeQueries final : public QueryRunner {
 public:
  struct Asked {
    std::string tenant, expr;
    std::int64_t time_ns = 0;
  };
  Result<std::vector<Sample>> run(const CallContext& ctx, const std::string& expr, std::int64_t time_ns) override {
    const std::scoped_lock lock(mutex);
    asked.push_back({ctx.tenant, expr, time_ns});
    if (on_run) on_run();
    if (failures.contains(expr)) return Error(ErrorCode::kInvalidArgument, failures.at(expr));
    return answers[expr];
  }
  std::mutex mutex;
  std::map<std::string, std::vector<Sample>> answers;
  std::map<std::string, std::string> failures;
  std::vector<Asked> asked;
  std::function<void()> on_run;
};

class FakeAlerts final : public AlertSink {
 public:
  void send(const std::string& tenant, std::vector<Notification> alerts) override {
    for (Notification& alert : alerts) sent.emplace_back(tenant, std::move(alert));
  }
  std::vector<std::pair<std::string, Notification>> sent;
};

class FakeSamples final : public SampleSink {
 public:
  Result<void> append(const std::string&, std::span<const TimedSample> samples) override {
    if (broken) return Error(ErrorCode::kIo, "disk gone");
    taken.insert(taken.end(), samples.begin(), samples.end());
    return {};
  }
  bool broken = false;
  std::vector<TimedSample> taken;
};

}  // namespace skald::ruler
