#include "skald/frontend/split.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "frontend/merge.h"
#include "frontend/plan.h"

namespace skald::frontend {

namespace {

// What the parts' answers hold while they are put together.
class Held {
 public:
  explicit Held(const CallContext& ctx) : budget_(ctx.memory) {}
  ~Held() {
    if (budget_) budget_->give_back(bytes_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  Result<void> add(const engine::QueryResult& result) {
    if (!budget_) return {};
    const std::int64_t bytes = bytes_of(result);
    // Asking again will not help: no 429.
    if (Result<void> taken = budget_->take(bytes); !taken.ok()) return Error(ErrorCode::kInvalidArgument, std::move(taken).error().message());
    bytes_ += bytes;
    return {};
  }

 private:
  static std::int64_t bytes_of(const engine::QueryResult& result) {
    std::size_t bytes = 0;
    if (const auto* logs = std::get_if<engine::LogResult>(&result.data)) {
      for (const engine::LogStream& stream : logs->streams)
        for (const engine::LogEntry& entry : stream.entries) bytes += sizeof entry + entry.line.size();
    } else if (const auto* matrix = std::get_if<engine::MatrixResult>(&result.data)) {
      for (const engine::Series& series : matrix->series) bytes += sizeof series + series.samples.size() * sizeof(engine::Sample);
    } else if (const auto* vector = std::get_if<engine::VectorResult>(&result.data)) {
      bytes = vector->series.size() * (sizeof(engine::Series) + sizeof(engine::Sample));
    }
    return static_cast<std::int64_t>(bytes);
  }
  const std::shared_ptr<MemoryBudget> budget_;
  std::int64_t bytes_ = 0;
};

// Refusals that name what the whole query would read: only the whole query knows.
bool speaks_of_the_whole(const Error& error) {
  if (error.code() != ErrorCode::kInvalidArgument) return false;
  for (const std::string_view text : {"the query would read too many bytes", "the query hit the max number of chunks", "cardinality limit exceeded",
                                      "query too large to execute on a single querier"})
    if (error.message().starts_with(text)) return true;
  return false;
}

std::uint64_t chunks_of(const engine::QueryStats& stats) { return stats.select.ingester_chunks_matched + stats.select.store_chunks_matched; }

// Parts in order: `take` gets each answer after those before it. Statistics are added up here.
class InOrder {
 public:
  explicit InOrder(const CallContext& ctx) : held_(ctx) {}
  template <class Take>   // Result<void>(engine::QueryResult&&)
  Result<void> add(std::size_t part, Result<engine::QueryResult> result, Take&& take) {
    if (!result.ok()) return std::move(result).error();
    SKALD_TRY_VOID(held_.add(*result));
    waiting_.emplace(part, std::move(result).value());
    while (!waiting_.empty() && waiting_.begin()->first == next_) {
      engine::QueryResult ready = std::move(waiting_.begin()->second);
      waiting_.erase(waiting_.begin());
      ++next_;
      add_stats(stats, ready.stats);
      for (std::string& warning : ready.warnings)
        if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end()) warnings.push_back(std::move(warning));
      SKALD_TRY_VOID(take(std::move(ready)));
    }
    return {};
  }
  std::size_t taken() const { return next_; }
  std::size_t waiting() const { return waiting_.size(); }   // for those before them
  engine::QueryStats stats;
  std::vector<std::string> warnings;

 private:
  Held held_;
  std::map<std::size_t, engine::QueryResult> waiting_;
  std::size_t next_ = 0;
};

const char* kWrongKind = "a part of the query was answered with something else";

struct Run {
  const CallContext& ctx;
  const logql::Query& query;
  const Subquery& whole;
  const SplitOptions& options;
  Runner& runner;
  const Plan& plan;
  bool redo = false;   // only the whole query gives the right answer

  Result<engine::QueryResult> logs(const Evaluate& here);
  Result<engine::QueryResult> steps();
  Result<engine::QueryResult> instant();
  Result<void> all(InOrder& order, const std::function<Result<void>(engine::QueryResult&&)>& take);
  Result<engine::QueryResult> finish(InOrder& order, engine::QueryResult result, std::size_t entries);
  Result<void> check_series(std::size_t series) const {
    if (whole.limits.max_series == 0 || series <= whole.limits.max_series) return {};
    return engine::too_many_series(whole.limits.max_series);
  }
};

// Runs all parts at full width.
Result<void> Run::all(InOrder& order, const std::function<Result<void>(engine::QueryResult&&)>& take) {
  Parts parts;
  parts.count = plan.parts.size();
  parts.window = std::max<std::size_t>(1, options.parallelism);
  parts.make = [&](std::size_t part) { return plan.parts[part]; };
  Result<void> failed;
  parts.take = [&](std::size_t part, Result<engine::QueryResult> result) -> std::size_t {
    failed = order.add(part, std::move(result), take);
    return failed.ok() && !redo ? parts.window : 0;
  };
  SKALD_TRY_VOID(runner.run(ctx, parts));
  return failed;
}

Result<engine::QueryResult> Run::finish(InOrder& order, engine::QueryResult result, std::size_t entries) {
  result.stats = order.stats;
  result.stats.entries_returned = entries;
  result.stats.subqueries = plan.parts.size();
  result.warnings = std::move(order.warnings);
  // Chunks at borders count for both parts, so that the sum alone does not tell.
  if (whole.read.max_chunks_per_query > 0 && chunks_of(order.stats) > static_cast<std::uint64_t>(whole.read.max_chunks_per_query)) redo = true;
  return result;
}

Result<engine::QueryResult> Run::steps() {
  InOrder order(ctx);
  SeriesMerger merger;
  SKALD_TRY_VOID(all(order, [&](engine::QueryResult&& part) -> Result<void> {
    auto* matrix = std::get_if<engine::MatrixResult>(&part.data);
    if (matrix == nullptr) return Error(ErrorCode::kInternal, kWrongKind);
    if (!merger.append(std::move(matrix->series))) redo = true;
    return check_series(merger.size());
  }));
  engine::QueryResult result;
  const std::size_t count = merger.size();
  result.data = engine::MatrixResult{merger.take()};
  return finish(order, std::move(result), count);
}

Result<engine::QueryResult> Run::instant() {
  const std::optional<InstantFold> fold = instant_fold(query.metric());
  SKALD_CHECK(fold.has_value());
  InOrder order(ctx);
  SeriesMerger merger;
  SKALD_TRY_VOID(all(order, [&](engine::QueryResult&& part) -> Result<void> {
    auto* vector = std::get_if<engine::VectorResult>(&part.data);
    if (vector == nullptr || !merger.fold(std::move(vector->series), fold->combine)) return Error(ErrorCode::kInternal, kWrongKind);
    return check_series(merger.size());
  }));
  std::vector<engine::Series> series = merger.take();
  const std::int64_t at_ns = whole.params.start_ns, at_ms = (at_ns - ((at_ns % kNanosPerMilli) + kNanosPerMilli) % kNanosPerMilli) / kNanosPerMilli;
  for (engine::Series& one : series) one.samples[0] = {at_ms, one.samples[0].value / fold->divisor};
  engine::QueryResult result;
  const std::size_t count = series.size();
  result.data = engine::VectorResult{std::move(series), false};
  return finish(order, std::move(result), count);
}

Result<engine::QueryResult> Run::logs(const Evaluate& here) {
  const std::size_t count = plan.parts.size(), widest = std::max<std::size_t>(1, options.parallelism);
  InOrder order(ctx);
  LogMerger merger(whole.params.limit);
  const auto take = [&](engine::QueryResult&& part) -> Result<void> {
    auto* logs = std::get_if<engine::LogResult>(&part.data);
    if (logs == nullptr) return Error(ErrorCode::kInternal, kWrongKind);
    merger.append(std::move(*logs));
    return {};
  };
  // Whoever filters nothing has his lines after a part or two; who does is looking for something rare.
  const bool filters = !query.log().stages.empty();
  std::size_t begin = 0, window = std::min<std::size_t>(4, widest);
  if (!filters) {
    SKALD_TRY_VOID(order.add(0, here(ctx, plan.parts[0]), take));
    begin = 1;
    window = std::min<std::size_t>(2, widest);
  }
  if (!merger.full() && begin < count) {
    Parts parts;
    parts.count = count - begin;
    parts.window = window;
    parts.make = [&](std::size_t part) {
      Subquery made = plan.parts[begin + part];
      made.params.limit = whole.params.limit - merger.size();
      return made;
    };
    Result<void> failed;
    parts.take = [&](std::size_t part, Result<engine::QueryResult> result) -> std::size_t {
      failed = order.add(begin + part, std::move(result), take);
      if (!failed.ok() || merger.full()) return 0;
      window = std::min(widest, window * 2);
      if (merger.size() == 0) return window;
      // As many as should fill the limit, going by what the parts so far held.
      const std::size_t missing = whole.params.limit - merger.size(), wanted = missing * order.taken() / merger.size() + 1;
      return window = std::clamp<std::size_t>(wanted > order.waiting() ? wanted - order.waiting() : 1, 1, window);
    };
    SKALD_TRY_VOID(runner.run(ctx, parts));
    SKALD_TRY_VOID(std::move(failed));
  }
  merger.thin(whole.params.interval_ns, whole.params.direction == engine::Direction::kBackward);
  engine::QueryResult result;
  const std::size_t entries = merger.size();
  result.data = merger.take();
  return finish(order, std::move(result), entries);
}

}  // namespace

Result<engine::QueryResult> run_split(const CallContext& ctx, const logql::Query& query, const Subquery& whole, const SplitOptions& options, Runner& runner,
                                      const Evaluate& here) {
  const std::int64_t begin_ns = ctx.clock->monotonic_ns();
  const Plan plan = make_plan(query, whole, options);
  if (plan.kind == Plan::Kind::kWhole) return here(ctx, whole);
  Run run{ctx, query, whole, options, runner, plan};
  Result<engine::QueryResult> result = plan.kind == Plan::Kind::kSteps     ? run.steps()
                                       : plan.kind == Plan::Kind::kInstant ? run.instant()
                                                                           : run.logs(here);
  if (run.redo || (!result.ok() && speaks_of_the_whole(result.error()))) return here(ctx, whole);
  if (result.ok()) result->stats.exec_ns = ctx.clock->monotonic_ns() - begin_ns;   // what the user waited, not what all readers spent
  return result;
}

}  // namespace skald::frontend
