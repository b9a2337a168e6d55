// Blocks are ordered by their edge at the wanted end and read in growing waves; reading stops when no unread block can
// hold a row that belongs before the last one wanted.
#include "engine/log_query.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "engine/dedupe.h"
#include "engine/dedupe_deletions.h"
#include "skald/engine/pipeline.h"

namespace skald::engine {

namespace {

constexpr std::uint32_t kRowsPerRun = 2048;   // rows filtered at a time from the wanted end of a block

struct Unit {
  const chunk::StreamData* stream = nullptr;
  const DuplicateFinder* duplicates = nullptr;
  std::uint32_t stream_index = 0;
  std::uint32_t slice = 0;
  std::int64_t edge_ns = 0;   // of its rows, the one nearest the wanted end
};

struct Row {
  std::int64_t timestamp_ns = 0;
  std::uint64_t place = 0;      // stream, then slice, then row: arrival order where times are equal
  std::uint32_t row = 0;
  std::uint32_t set = 0;
  std::uint32_t table = 0;
  std::string line;
};

// What one unit yielded. Its table lives until the result is built.
struct UnitRows {
  std::unique_ptr<LabelSetTable> sets;
  std::vector<Row> rows;
  QueryStats stats;
  Charge charge;
};

constexpr std::uint64_t kBytesPerCharge = 1 << 20;   // lines copied between two looks at the budget

class LogQuery {
 public:
  LogQuery(Evaluation& evaluation, const Pipeline& pipeline, const DeletionFilter& deletions)
      : evaluation_(evaluation), pipeline_(pipeline), deletions_(deletions),
      backward_(evaluation.params.direction == Direction::kBackward), kept_charge_(evaluation.ctx) {}

  Result<LogResult> run(const chunk::SelectResult& selected) {
    plan(selected);
    const QueryParams& params = evaluation_.params;
    std::size_t done = 0;
    // One block per thread first: most queries end there.
    std::size_t wave = std::max<std::size_t>(1, evaluation_.pool.thread_count());
    while (done < units_.size() && result_.size() < params.limit) {
      const std::size_t count = std::min(wave, units_.size() - done);
      SKALD_TRY_VOID(read_wave(done, count));
      done += count;
      wave *= 2;
      settle(done < units_.size() ? &units_[done] : nullptr);
      if (!pending_.empty() && result_.size() + pending_.size() >= params.limit) cutoff_ns_ = pending_.back().timestamp_ns;
      SKALD_TRY_VOID(charge_kept());
    }
    settle(nullptr);
    return build();
  }

 private:
  bool before(std::int64_t a, std::int64_t b) const { return backward_ ? a > b : a < b; }

  void plan(const chunk::SelectResult& selected) {
    const QueryParams& params = evaluation_.params;
    finders_.reserve(selected.streams.size());
    for (std::uint32_t i = 0; i < selected.streams.size(); ++i) {
      const chunk::StreamData& stream = selected.streams[i];
      finders_.emplace_back(stream);
      for (std::uint32_t s = 0; s < stream.blocks.size(); ++s) {
        const chunk::BlockSlice& slice = stream.blocks[s];
        if (slice.rows == 0 || slice.max_ts_ns < params.start_ns || slice.min_ts_ns >= params.end_ns) continue;
        const std::int64_t edge = backward_ ? std::min(slice.max_ts_ns, params.end_ns - 1) : std::max(slice.min_ts_ns, params.start_ns);
        units_.push_back({&stream, &finders_.back(), i, s, edge});
      }
    }
    std::stable_sort(units_.begin(), units_.end(), [this](const Unit& a, const Unit& b) { return before(a.edge_ns, b.edge_ns); });
  }

  Result<void> read_wave(std::size_t begin, std::size_t count) {
    std::vector<UnitRows> outputs(count);
    const std::size_t workers = std::clamp<std::size_t>(evaluation_.pool.thread_count(), 1, count);
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stop{false};
    std::mutex mutex;   // guards failure
    std::optional<Error> failure;
    evaluation_.pool.parallel_for(workers, [&](std::size_t) {
      std::unique_ptr<PipelineRunner> runner = pipeline_.make_runner();
      for (std::size_t i; !stop.load(std::memory_order_relaxed) && (i = next.fetch_add(1)) < count;) {
        Result<void> read = read_unit(units_[begin + i], *runner, outputs[i]);
        if (read.ok()) continue;
        stop = true;
        const std::lock_guard lock(mutex);
        if (!failure) failure = read.error();
      }
    });
    if (failure) return std::move(*failure);
    unit_charges_.clear();
    for (UnitRows& output : outputs) {
      unit_charges_.push_back(std::move(output.charge));
      add_stats(output.stats);
      const std::size_t at = static_cast<std::size_t>(&output - outputs.data());
      if (const chunk::BlockSlice& slice = units_[begin + at].stream->blocks[units_[begin + at].slice]; !slice.from_ingester && output.stats.lines_processed != 0)
        evaluation_.stats.store_chunks_downloaded += opened_.insert(slice.source_id).second ? 1 : 0;
      if (output.rows.empty()) continue;
      for (Row& row : output.rows) row.table = static_cast<std::uint32_t>(tables_.size());
      tables_.push_back(std::move(output.sets));
      pending_.insert(pending_.end(), std::make_move_iterator(output.rows.begin()), std::make_move_iterator(output.rows.end()));
    }
    return {};
  }

  // Appends the unit's rows, in query direction; never more than the query's limit.
  Result<void> read_unit(const Unit& unit, PipelineRunner& runner, UnitRows& out) {
    SKALD_TRY_VOID(evaluation_.ctx.check());
    if (!runner.begin_stream(*unit.stream->labels)) return {};
    const QueryParams& params = evaluation_.params;
    const chunk::BlockSlice& slice = unit.stream->blocks[unit.slice];
    std::vector<std::uint32_t> skip;
    if (unit.duplicates->may_have_duplicates(unit.slice)) { SKALD_TRY(skip, unit.duplicates->skip_rows(unit.slice, evaluation_.ctx)); }
    if (!deletions_.empty()) SKALD_TRY_VOID(deletions_.add_deleted(*unit.stream, slice, evaluation_.ctx, skip));
    SKALD_TRY(auto columns, slice.block->load(pipeline_.columns(), evaluation_.ctx));
    const std::int64_t* times = columns->timestamps_ns.data();
    // Enough rows are known up to the cutoff; ties are decided later.
    const std::int64_t start_ns = backward_ && cutoff_ns_ ? std::max(params.start_ns, *cutoff_ns_) : params.start_ns;
    const std::int64_t end_ns = !backward_ && cutoff_ns_ ? std::min(params.end_ns, *cutoff_ns_ + 1) : params.end_ns;
    std::uint32_t first = static_cast<std::uint32_t>(std::lower_bound(times + slice.first_row, times + slice.first_row + slice.rows, start_ns) - times);
    std::uint32_t last = static_cast<std::uint32_t>(std::lower_bound(times + first, times + slice.first_row + slice.rows, end_ns) - times);
    const std::size_t most = params.limit;
    out.charge = Charge(evaluation_.ctx);
    std::uint64_t bytes = 0, charged_bytes = 0;
    out.sets = std::make_unique<LabelSetTable>();
    const std::uint64_t place = static_cast<std::uint64_t>(unit.stream_index) << 32 | unit.slice;
    std::uint32_t read = 0;
    while (first < last && out.rows.size() < most) {
      const std::uint32_t rows = std::min(kRowsPerRun, last - first);
      const std::uint32_t from = backward_ ? last - rows : first;
      (backward_ ? last : first) = backward_ ? from : from + rows;
      read += rows;
      const auto skip_begin = std::lower_bound(skip.begin(), skip.end(), from), skip_end = std::lower_bound(skip_begin, skip.end(), from + rows);
      SKALD_TRY(Frame* frame, runner.run(*columns, from, from + rows, params.start_ns, params.end_ns, {skip_begin, skip_end}));
      const std::uint32_t found = frame->size();
      if (found == 0) continue;
      out.stats.post_filter_lines += found;
      const std::span<const std::uint32_t> sets = frame->label_sets(*out.sets, nullptr);
      for (std::uint32_t k = 0; k < found && out.rows.size() < most; ++k) {
        const std::uint32_t i = backward_ ? found - 1 - k : k;
        out.rows.push_back({frame->timestamp_ns(i), place, from + i, sets[i], 0, std::string(frame->line(i))});
        bytes += sizeof(Row) + out.rows.back().line.size();
        if (bytes - charged_bytes < kBytesPerCharge) continue;
        SKALD_TRY_VOID(out.charge.hold(bytes + out.sets->bytes()));
        charged_bytes = bytes;
      }
      SKALD_TRY_VOID(evaluation_.ctx.check());
    }
    count_read(out.stats, slice, read);
    return out.charge.hold(bytes + out.sets->bytes());
  }

  static void count_read(QueryStats& stats, const chunk::BlockSlice& slice, std::uint32_t rows) {
    const std::uint64_t bytes = slice.rows == 0 ? 0 : slice.raw_bytes * rows / slice.rows;
    stats.lines_processed += rows;
    stats.bytes_processed += bytes;
    if (slice.from_ingester) {
      stats.ingester_lines += rows;
      stats.ingester_bytes += bytes;
    } else {
      stats.store_lines += rows;
      stats.store_decompressed_bytes += bytes;
    }
  }

  void add_stats(const QueryStats& from) {
    QueryStats& into = evaluation_.stats;
    into.lines_processed += from.lines_processed;
    into.bytes_processed += from.bytes_processed;
    into.post_filter_lines += from.post_filter_lines;
    into.ingester_lines += from.ingester_lines;
    into.ingester_bytes += from.ingester_bytes;
    into.store_lines += from.store_lines;
    into.store_decompressed_bytes += from.store_decompressed_bytes;
  }

  // Moves pending rows that no unread unit can precede to the result, up to the limit.
  void settle(const Unit* unread) {
    const QueryParams& params = evaluation_.params;
    std::sort(pending_.begin(), pending_.end(), [this](const Row& a, const Row& b) {
      if (a.timestamp_ns != b.timestamp_ns) return before(a.timestamp_ns, b.timestamp_ns);
      if (a.place != b.place) return backward_ ? a.place > b.place : a.place < b.place;
      return backward_ ? a.row > b.row : a.row < b.row;
    });
    std::size_t taken = 0;
    for (; taken < pending_.size() && result_.size() < params.limit; ++taken) {
      Row& row = pending_[taken];
      if (unread && !before(row.timestamp_ns, unread->edge_ns)) break;
      result_.push_back(std::move(row));
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(taken));
    // Later rows than the limit allows can never be returned; do not carry them along.
    if (pending_.size() > params.limit - result_.size()) pending_.resize(params.limit - result_.size());
  }

  // Most rows of a wave are let go when it has settled; what stays is counted anew.
  Result<void> charge_kept() {
    std::uint64_t bytes = 0;
    for (const std::vector<Row>* rows : {&pending_, &result_})
      for (const Row& row : *rows) bytes += sizeof(Row) + row.line.size();
    for (const auto& table : tables_) bytes += table->bytes();
    unit_charges_.clear();
    return kept_charge_.hold(bytes);
  }

  // Keeps an entry, then the next at least an interval away. The limit has been applied before: it counts what was read.
  void thin() {
    const std::int64_t interval_ns = evaluation_.params.interval_ns;
    if (interval_ns <= 0 || result_.empty()) return;
    std::size_t kept = 1;
    for (std::size_t i = 1; i < result_.size(); ++i) {
      const std::int64_t previous = result_[kept - 1].timestamp_ns, ts = result_[i].timestamp_ns;
      if (backward_ ? ts > previous - interval_ns : ts < previous + interval_ns) continue;
      if (kept != i) result_[kept] = std::move(result_[i]);
      ++kept;
    }
    result_.resize(kept);
  }

  LogResult build() {
    thin();
    LogResult out;
    std::unordered_map<std::uint64_t, std::uint32_t> by_set;      // table and set → stream
    std::unordered_map<std::string, std::uint32_t> by_labels;     // equal sets of different tables are one stream
    std::string key;
    std::uint32_t order = 0;
    for (Row& row : result_) {
      const auto [it, fresh] = by_set.emplace(static_cast<std::uint64_t>(row.table) << 32 | row.set, 0);
      if (fresh) {
        const ResultLabels& labels = tables_[row.table]->at(row.set);
        key.clear();
        for (const ResultLabel& label : labels.labels) {
          const std::uint32_t head[3] = {static_cast<std::uint32_t>(label.name.size()), static_cast<std::uint32_t>(label.value.size()),
                                         static_cast<std::uint32_t>(label.category)};
          key.append(reinterpret_cast<const char*>(head), sizeof head);
          key += label.name;
          key += label.value;
        }
        const auto [known, first] = by_labels.emplace(key, static_cast<std::uint32_t>(out.streams.size()));
        if (first) out.streams.push_back({labels, {}});
        it->second = known->second;
      }
      out.streams[it->second].entries.push_back({row.timestamp_ns, std::move(row.line), order++});
    }
    evaluation_.stats.entries_returned += order;
    std::sort(out.streams.begin(), out.streams.end(), [](const LogStream& a, const LogStream& b) {
      return std::lexicographical_compare(a.labels.labels.begin(), a.labels.labels.end(), b.labels.labels.begin(), b.labels.labels.end(),
                                          [](const ResultLabel& x, const ResultLabel& y) {
                                            return std::tie(x.name, x.value, x.category) < std::tie(y.name, y.value, y.category);
                                          });
    });
    return out;
  }

  Evaluation& evaluation_;
  const Pipeline& pipeline_;
  const DeletionFilter& deletions_;
  const bool backward_;
  std::vector<DuplicateFinder> finders_;
  std::vector<Unit> units_;
  std::vector<std::unique_ptr<LabelSetTable>> tables_;
  std::unordered_set<std::uint64_t> opened_;   // chunks of the store that were read
  std::vector<Charge> unit_charges_;   // of the wave that has just been read
  Charge kept_charge_;
  std::optional<std::int64_t> cutoff_ns_;   // rows beyond it cannot be among the result; set between waves
  std::vector<Row> pending_;    // read, but an unread unit may hold rows before them
  std::vector<Row> result_;
};

}  // namespace

Result<LogResult> run_log_query(Evaluation& evaluation, const logql::LogSelector& selector) {
  const QueryParams& params = evaluation.params;
  if (params.start_ns >= params.end_ns || params.limit == 0) return LogResult{};
  SKALD_TRY(auto pipeline, Pipeline::compile(selector.stages, PipelineOptions{}));
  SKALD_TRY(chunk::SelectResult selected, evaluation.source.select(evaluation.ctx, {selector.matchers, params.start_ns, params.end_ns - 1}));
  evaluation.stats.select = selected.stats;
  evaluation.stats.streams = selected.streams.size();
  SKALD_TRY(const DeletionFilter deletions, DeletionFilter::make(evaluation.source, evaluation.ctx.tenant));
  LogQuery query(evaluation, *pipeline, deletions);
  return query.run(selected);
}

}  // namespace skald::engine
