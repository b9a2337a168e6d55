// Range aggregations: select, scan blocks on the pool, fold rows into windows, emit series.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "engine/dedupe.h"
#include "engine/dedupe_deletions.h"
#include "engine/eval.h"
#include "engine/index_counter.h"
#include "engine/range_sink.h"
#include "skald/engine/pipeline.h"

namespace skald::engine {

namespace {

using logql::RangeOp;

constexpr std::string_view kErrorLabel = "__error__";

// Rows of one stream in one block.
struct Unit {
  const chunk::StreamData* stream = nullptr;
  const DuplicateFinder* duplicates = nullptr;
  std::uint32_t slice = 0;
};

// The block a worker is in, while slices of it follow each other.
struct HeldBlock {
  const chunk::Block* block = nullptr;
  int mask = 0;
  std::shared_ptr<const chunk::Columns> columns;
  bool searched = false;   // line filters have been through all of it: the runner's any_row() tells
};

struct Worker {
  std::unique_ptr<PipelineRunner> runner;
  HeldBlock held;
  LabelSetTable sets;
  std::unique_ptr<RangeSink> sink;
  QueryStats stats;
  Charge charge;
  std::uint64_t rows_since_charge = 0;
};

// A plan shared by all workers; read only.
struct ScanPlan {
  const logql::RangeAggregation* aggregation = nullptr;
  const WindowGrid* grid = nullptr;
  const Pipeline* pipeline = nullptr;
  const logql::Grouping* grouping = nullptr;   // nullptr: keep all labels
  const DeletionFilter* deletions = nullptr;
  bool plain_count = false;                    // no stages: rows or lengths are all that matters
  bool may_fail = false;                       // rows can carry errors
  bool preserve_errors = false;
};

Error pipeline_error(const model::Labels& labels, std::string_view type) {
  std::string text = "pipeline error: '";
  text += type;
  text += "' for series: '" + labels.to_string() + "'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"";
  text += type;
  text += "\").\nTo skip all potential errors you can match empty errors.(e.g __error__=\"\")\n"
          "The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n";
  return Error(ErrorCode::kInvalidArgument, std::move(text));
}

bool filter_names_error(const logql::LabelFilter& filter) {
  using Kind = logql::LabelFilter::Kind;
  if (filter.kind == Kind::kAnd || filter.kind == Kind::kOr) return filter_names_error(*filter.left) || filter_names_error(*filter.right);
  if (filter.kind == Kind::kString) return filter.matcher && filter.matcher->name() == kErrorLabel;
  return filter.label == kErrorLabel;
}

// Loki keeps failing lines of json, logfmt and unpack when an outer sum is pushed down and somebody asks for __error__;
// not under `without`, which does not tell which labels are needed.
bool wants_errors(const logql::RangeAggregation& aggregation, const logql::Grouping* outer_sum) {
  if (!outer_sum || outer_sum->without) return false;
  if (std::find(outer_sum->labels.begin(), outer_sum->labels.end(), kErrorLabel) != outer_sum->labels.end()) return true;
  for (const logql::Stage& stage : aggregation.range.selector.stages)
    if (const auto* filter = std::get_if<logql::LabelFilterStage>(&stage); filter && filter_names_error(*filter->filter)) return true;
  if (aggregation.range.unwrap)
    for (const auto& filter : aggregation.range.unwrap->post_filters)
      if (filter_names_error(*filter)) return true;
  return false;
}

bool is_parser_error(std::string_view type) { return type == "JSONParserErr" || type == "LogfmtParserErr"; }

// Stages that do nothing without a parser, template or conversion before them.
bool has_no_effect(const std::vector<logql::Stage>& stages) {
  for (const logql::Stage& stage : stages) {
    const auto* drop = std::get_if<logql::DropStage>(&stage);
    if (!drop) return false;
    for (const logql::DropKeepItem& item : drop->items)
      if (item.matcher || (item.name != kErrorLabel && item.name != "__error_details__")) return false;
  }
  return true;
}

// Counting needs nothing of the rows when every label grouped by is the stream's own (a stream label cannot be hidden by
// structured metadata of the same name).
bool groups_by_stream_only(const ScanPlan& plan, const model::Labels& labels) {
  if (!plan.plain_count || !plan.grouping || plan.grouping->without) return false;
  return std::all_of(plan.grouping->labels.begin(), plan.grouping->labels.end(), [&](const std::string& name) { return labels.has(name); });
}

void count_bytes(QueryStats& stats, const chunk::BlockSlice& slice, std::uint64_t rows) {
  stats.lines_processed += rows;
  stats.bytes_processed += slice.raw_bytes;
  if (slice.from_ingester) {
    stats.ingester_lines += rows;
    stats.ingester_bytes += slice.raw_bytes;
  } else {
    stats.store_lines += rows;
    stats.store_decompressed_bytes += slice.raw_bytes;
  }
}

void let_go(Worker& worker) {
  worker.held = {};
  worker.runner->end_block();
}

Result<std::shared_ptr<const chunk::Columns>> load_columns(const CallContext& ctx, Worker& worker, const chunk::BlockSlice& slice, chunk::ColumnMask mask) {
  HeldBlock& held = worker.held;
  if (held.block == slice.block.get() && (held.mask & mask) == mask && held.columns != nullptr) return held.columns;
  let_go(worker);
  SKALD_TRY(auto columns, slice.block->load(mask, ctx));
  held.block = slice.block.get();
  held.mask = mask;
  held.columns = columns;
  return columns;
}

Result<void> count_slice(const CallContext& ctx, const ScanPlan& plan, Worker& worker, const Unit& unit, const std::vector<std::uint32_t>& skip) {
  const chunk::BlockSlice& slice = unit.stream->blocks[unit.slice];
  std::vector<LabelSetTable::View> views;
  for (const model::Label& label : unit.stream->labels->labels.pairs())
    if (std::find(plan.grouping->labels.begin(), plan.grouping->labels.end(), label.name) != plan.grouping->labels.end())
      views.push_back({label.name, label.value, LabelCategory::kStream});
  const std::uint32_t set = worker.sets.intern(views);
  const bool bytes = reads_line_bytes(plan.aggregation->op);
  const WindowGrid& grid = *plan.grid;

  const std::uint32_t first_interval = grid.find(slice.min_ts_ns), last_interval = grid.find(slice.max_ts_ns);
  if (!bytes && skip.empty() && first_interval != WindowGrid::kNone && first_interval == last_interval) {
    worker.sink->add_counted(set, first_interval, slice.rows, 0);   // the directory alone answers
    worker.stats.post_filter_lines += slice.rows;
    return {};
  }
  SKALD_TRY(const auto columns, load_columns(ctx, worker, slice, bytes ? chunk::kTimestamps | chunk::kLineLengths : chunk::kTimestamps));
  const std::int64_t* times = columns->timestamps_ns.data();
  const std::uint32_t end = slice.first_row + slice.rows;
  std::uint32_t row = static_cast<std::uint32_t>(std::upper_bound(times + slice.first_row, times + end, grid.min_ns()) - times);
  std::size_t skipped = 0;
  std::uint32_t interval = 0;
  while (row < end) {
    interval = grid.find(times[row], interval);
    if (interval == WindowGrid::kNone) break;
    const auto next = static_cast<std::uint32_t>(std::upper_bound(times + row, times + end, grid.interval_end(interval)) - times);
    if (grid.covered(interval)) {
      std::uint64_t rows = next - row, length = 0;
      if (bytes) length = columns->line_offsets[next] - columns->line_offsets[row] - rows;
      while (skipped < skip.size() && skip[skipped] < row) ++skipped;
      for (; skipped < skip.size() && skip[skipped] < next; ++skipped) {
        --rows;
        if (bytes) length -= columns->line(skip[skipped]).size();
      }
      if (rows != 0) worker.sink->add_counted(set, interval, rows, length);
      worker.stats.post_filter_lines += rows;
    }
    row = next;
  }
  return {};
}

Result<void> check_errors(const ScanPlan& plan, Worker& worker, const Frame& frame, std::span<const std::uint32_t> sets) {
  for (std::uint32_t i = 0; i < frame.size(); ++i) {
    if (!frame.has_error(i)) continue;
    const std::uint32_t interval = plan.grid->find(frame.timestamp_ns(i));
    if (interval == WindowGrid::kNone || !plan.grid->covered(interval)) continue;
    if (plan.preserve_errors && is_parser_error(frame.error(i))) continue;
    return pipeline_error(worker.sets.at(sets[i]).plain(), frame.error(i));
  }
  return {};
}

// A row adds at most one set and one cell or sample, so that looking at all series once per so many rows misses little.
Result<void> charge_rows(Worker& worker, std::uint64_t rows) {
  worker.rows_since_charge += rows;
  if (worker.rows_since_charge < std::max<std::uint64_t>(4096, worker.sets.size())) return {};
  worker.rows_since_charge = 0;
  return worker.charge.hold(worker.sets.bytes() + worker.sink->bytes());
}

// `search_block`: enough other slices of the unit's block follow to send the line filters through all of it.
Result<void> scan_unit(const CallContext& ctx, const ScanPlan& plan, Worker& worker, const Unit& unit, bool search_block) {
  SKALD_TRY_VOID(ctx.check());
  const chunk::BlockSlice& slice = unit.stream->blocks[unit.slice];
  std::vector<std::uint32_t> skip;
  if (unit.duplicates->may_have_duplicates(unit.slice)) { SKALD_TRY(skip, unit.duplicates->skip_rows(unit.slice, ctx)); }
  if (!plan.deletions->empty()) SKALD_TRY_VOID(plan.deletions->add_deleted(*unit.stream, slice, ctx, skip));
  count_bytes(worker.stats, slice, slice.rows);
  if (groups_by_stream_only(plan, unit.stream->labels->labels)) return count_slice(ctx, plan, worker, unit, skip);

  const bool known = worker.held.block == slice.block.get();
  SKALD_TRY(const auto columns, load_columns(ctx, worker, slice, plan.pipeline->columns()));
  if (search_block && !known) worker.held.searched = worker.runner->begin_block(columns);
  SKALD_TRY(Frame* frame, worker.runner->run(*columns, slice.first_row, slice.first_row + slice.rows, plan.grid->min_ns() + 1,
                                             plan.grid->max_ns() + 1, skip));
  if (frame->size() == 0) return {};
  worker.stats.post_filter_lines += frame->size();
  const std::span<const std::uint32_t> sets = frame->label_sets(worker.sets, plan.grouping);
  if (plan.may_fail) SKALD_TRY_VOID(check_errors(plan, worker, *frame, sets));
  worker.sink->add_frame(*frame, sets);
  return charge_rows(worker, frame->size());
}

void add_stats(QueryStats& into, const QueryStats& from) {
  into.bytes_processed += from.bytes_processed;
  into.lines_processed += from.lines_processed;
  into.post_filter_lines += from.post_filter_lines;
  into.ingester_lines += from.ingester_lines;
  into.ingester_bytes += from.ingester_bytes;
  into.store_lines += from.store_lines;
  into.store_decompressed_bytes += from.store_decompressed_bytes;
}

// Units that one worker reads in a row.
struct UnitRun {
  std::size_t begin = 0, end = 0;
  bool search_block = false;   // they are slices of one block, and much of it
};

// Brings slices of one block together (the streams of a group chunk share blocks), in the order of their rows; all others
// stay in their order.
void order_by_block(std::vector<Unit>& units) {
  std::unordered_map<const chunk::Block*, std::uint32_t> first_use;
  first_use.reserve(units.size());
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;   // (first use of the block, first row), unit
  order.reserve(units.size());
  for (std::uint32_t i = 0; i < units.size(); ++i) {
    const chunk::BlockSlice& slice = units[i].stream->blocks[units[i].slice];
    const std::uint32_t first = first_use.try_emplace(slice.block.get(), i).first->second;
    order.emplace_back(static_cast<std::uint64_t>(first) << 32 | slice.first_row, i);
  }
  if (first_use.size() == units.size()) return;
  std::sort(order.begin(), order.end());
  std::vector<Unit> ordered;
  ordered.reserve(units.size());
  for (const auto& [key, i] : order) ordered.push_back(units[i]);
  units = std::move(ordered);
}

// A shared block is one worker's; blocks of their own are handed out in small numbers.
std::vector<UnitRun> make_batches(const std::vector<Unit>& units, std::size_t workers) {
  const std::size_t most = std::clamp<std::size_t>(units.size() / (workers * 8), 1, 64);
  const auto slice_of = [&](std::size_t i) -> const chunk::BlockSlice& { return units[i].stream->blocks[units[i].slice]; };
  std::vector<UnitRun> batches;
  bool open = false;   // the last batch takes more
  for (std::size_t i = 0; i < units.size();) {
    std::size_t end = i + 1;
    std::uint64_t rows = slice_of(i).rows, last_row = slice_of(i).first_row + rows;
    for (; end < units.size() && slice_of(end).block == slice_of(i).block; ++end) {
      rows += slice_of(end).rows;
      last_row = std::uint64_t{slice_of(end).first_row} + slice_of(end).rows;
    }
    if (end - i > 1) {
      batches.push_back({i, end, rows * 4 >= last_row});
      open = false;
    } else if (open && batches.back().end - batches.back().begin < most) {
      batches.back().end = end;
    } else {
      batches.push_back({i, end, false});
      open = true;
    }
    i = end;
  }
  return batches;
}

Result<void> scan_batch(const CallContext& ctx, const ScanPlan& plan, Worker& worker, const std::vector<Unit>& units, const UnitRun& batch,
                        const std::atomic<bool>& stop) {
  const chunk::StreamData* current = nullptr;
  bool wanted = false;
  for (std::size_t i = batch.begin; i < batch.end && !stop.load(std::memory_order_relaxed); ++i) {
    const Unit& unit = units[i];
    const chunk::BlockSlice& slice = unit.stream->blocks[unit.slice];
    if (worker.held.searched && worker.held.block == slice.block.get() && !worker.runner->any_row(slice.first_row, slice.first_row + slice.rows)) {
      count_bytes(worker.stats, slice, slice.rows);
      continue;
    }
    if (unit.stream != current) {
      current = unit.stream;
      wanted = worker.runner->begin_stream(*current->labels);
    }
    if (wanted) SKALD_TRY_VOID(scan_unit(ctx, plan, worker, unit, batch.search_block));
  }
  let_go(worker);
  return {};
}

// Scans all units on the pool; workers[i] is touched by one thread at a time.
Result<void> scan_all(Evaluation& evaluation, const ScanPlan& plan, std::vector<Unit>& units, std::vector<Worker>& workers) {
  order_by_block(units);
  const std::vector<UnitRun> batches = make_batches(units, workers.size());
  std::atomic<std::size_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;                 // guards failure
  std::optional<Error> failure;
  evaluation.pool.parallel_for(workers.size(), [&](std::size_t w) {
    for (std::size_t b; !stop.load(std::memory_order_relaxed) && (b = next.fetch_add(1)) < batches.size();) {
      Result<void> done = scan_batch(evaluation.ctx, plan, workers[w], units, batches[b], stop);
      if (done.ok()) continue;
      stop = true;
      const std::lock_guard lock(mutex);
      if (!failure) failure = done.error();
    }
  });
  if (failure) return std::move(*failure);
  return {};
}

// Brings all workers' series into the first worker's numbering, equal labels (whatever their category) as one series.
Result<std::vector<StepSeries>> merge_workers(const CallContext& ctx, std::vector<Worker>& workers, const ScanPlan& plan, Charge& charge) {
  const logql::RangeAggregation& aggregation = *plan.aggregation;
  const WindowGrid& grid = *plan.grid;
  std::unique_ptr<RangeSink> all = make_range_sink(aggregation, grid);
  std::vector<model::Labels> labels;
  std::unordered_map<std::string, std::uint32_t> index;
  std::string key;
  // A label named in `by` shows also where lines set it to ""; other series leave empty labels out.
  const bool by = plan.grouping && !plan.grouping->without;
  for (Worker& worker : workers) {
    std::vector<std::uint32_t> map(worker.sets.size());
    for (std::uint32_t s = 0; s < worker.sets.size(); ++s) {
      model::Labels plain = by ? worker.sets.at(s).plain_with_empty() : worker.sets.at(s).plain();
      key.clear();
      append_label_key(key, plain);
      const auto [it, fresh] = index.emplace(key, static_cast<std::uint32_t>(labels.size()));
      if (fresh) labels.push_back(std::move(plain));
      map[s] = it->second;
    }
    // Two of a worker's sets may be one series, so even the first worker is absorbed rather than adopted.
    all->absorb(*worker.sink, map);
  }
  std::vector<StepSeries> series;
  std::uint64_t bytes = 0;
  for (std::uint32_t s = 0; s < labels.size(); ++s) {
    if (s % 64 == 0) SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(std::vector<Point> points, all->finish(s, ctx));
    if (points.empty()) continue;
    bytes += sizeof(StepSeries) + points.capacity() * sizeof(Point) + labels[s].size() * sizeof(model::Label);
    SKALD_TRY_VOID(charge.hold(bytes));
    // A field of a line may be called __error__, too; only errors of parsers may stay.
    if (const std::string_view type = labels[s].get(kErrorLabel); !type.empty() && !(plan.preserve_errors && is_parser_error(type)))
      return pipeline_error(labels[s], type);
    series.push_back({std::move(labels[s]), std::move(points)});
  }
  std::sort(series.begin(), series.end(), [](const StepSeries& a, const StepSeries& b) { return a.labels < b.labels; });
  return series;
}

// Labels of absent_over_time: `=` matchers whose name occurs once.
model::Labels absent_labels(const std::vector<model::Matcher>& matchers) {
  std::vector<model::Label> pairs;
  std::multiset<std::string> names;
  for (const model::Matcher& matcher : matchers) names.insert(matcher.name());
  for (const model::Matcher& matcher : matchers)
    if (matcher.type() == model::MatchType::kEqual && names.count(matcher.name()) == 1) pairs.push_back({matcher.name(), matcher.value()});
  return model::Labels::from_pairs(std::move(pairs));
}

Value absent_value(const std::vector<StepSeries>& present, const std::vector<model::Matcher>& matchers, std::uint32_t steps) {
  std::vector<char> seen(steps, 0);
  for (const StepSeries& series : present)
    for (const Point& p : series.points) seen[p.step] = 1;
  StepSeries absent{absent_labels(matchers), {}};
  for (std::uint32_t k = 0; k < steps; ++k)
    if (!seen[k]) absent.points.push_back({k, 1});
  Value value;
  if (!absent.points.empty()) value.series.push_back(std::move(absent));
  return value;
}

}  // namespace

Result<Value> evaluate_range(Evaluation& evaluation, const logql::RangeAggregation& aggregation, const logql::Grouping* outer_sum) {
  const logql::LogRange& range = aggregation.range;
  const WindowGrid grid(evaluation.steps, range.range_ns, range.offset_ns);
  const logql::Grouping nothing;

  SKALD_TRY(const DeletionFilter deletions, DeletionFilter::make(evaluation.source, evaluation.ctx.tenant));
  ScanPlan plan;
  plan.deletions = &deletions;
  plan.aggregation = &aggregation;
  plan.grid = &grid;
  plan.grouping = aggregation.op == RangeOp::kAbsentOverTime ? &nothing : aggregation.grouping ? &*aggregation.grouping : outer_sum;
  plan.preserve_errors = wants_errors(aggregation, outer_sum);
  plan.plain_count = counts_rows(aggregation) && !range.unwrap && has_no_effect(range.selector.stages);
  plan.may_fail = !plan.plain_count;

  PipelineOptions options;
  if (plan.grouping && !plan.grouping->without) options.needed_labels = plan.grouping->labels;
  options.needs_line = reads_line_bytes(aggregation.op);
  options.unwrap = range.unwrap;
  SKALD_TRY(auto pipeline, Pipeline::compile(range.selector.stages, options));
  plan.pipeline = pipeline.get();

  Value value;
  if (grid.interval_count() != 0) {
    rpc::SelectRequest request{range.selector.matchers, grid.min_ns() + 1, grid.max_ns()};
    std::optional<IndexCounter> counter;   // of chunks that need not be read
    if (plan.plain_count && plan.grouping && !plan.grouping->without && deletions.empty()) {
      counter.emplace(aggregation, *plan.grouping, grid);
      request.counts = &*counter;
    }
    SKALD_TRY(chunk::SelectResult selected, evaluation.source.select(evaluation.ctx, request));
    evaluation.stats.streams += counter ? counter->taken().streams : 0;
    for (const chunk::StreamData& stream : selected.streams) evaluation.stats.streams += !counter || !counter->took_from(*stream.labels);
    evaluation.stats.store_chunks_downloaded += selected.stats.store_chunks_matched;   // all of them are read
    evaluation.stats.select.ingester_chunks_matched += selected.stats.ingester_chunks_matched;
    evaluation.stats.select.store_chunk_refs += selected.stats.store_chunk_refs;
    evaluation.stats.select.store_chunks_matched += selected.stats.store_chunks_matched;
    evaluation.stats.select.chunk_refs_lookup_ns += selected.stats.chunk_refs_lookup_ns;

    std::vector<DuplicateFinder> finders;
    finders.reserve(selected.streams.size());
    std::vector<Unit> units;
    for (const chunk::StreamData& stream : selected.streams) {
      finders.emplace_back(stream);
      for (std::uint32_t s = 0; s < stream.blocks.size(); ++s)
        if (grid.touches(stream.blocks[s].min_ts_ns, stream.blocks[s].max_ts_ns)) units.push_back({&stream, &finders.back(), s});
    }
    std::vector<Worker> workers(units.empty() ? 0 : std::clamp<std::size_t>(evaluation.pool.thread_count(), 1, units.size()));
    for (Worker& worker : workers) {
      worker.runner = pipeline->make_runner();
      worker.sink = make_range_sink(aggregation, grid);
      worker.charge = Charge(evaluation.ctx);
    }
    if (!workers.empty()) SKALD_TRY_VOID(scan_all(evaluation, plan, units, workers));
    if (counter && counter->taken().chunks != 0) {
      Worker& counted = workers.emplace_back();
      counted.sets = counter->take_sets();
      counted.sink = counter->take_sink();
      counted.stats = counter->stats();
      counted.charge = Charge(evaluation.ctx);
      SKALD_TRY_VOID(counted.charge.hold(counted.sets.bytes() + counted.sink->bytes()));
    }
    if (!workers.empty()) {
      for (const Worker& worker : workers) add_stats(evaluation.stats, worker.stats);
      value.charge = Charge(evaluation.ctx);
      SKALD_TRY(value.series, merge_workers(evaluation.ctx, workers, plan, value.charge));
    }
  }
  if (aggregation.op == RangeOp::kAbsentOverTime) return absent_value(value.series, range.selector.matchers, evaluation.steps.count);
  return value;
}

}  // namespace skald::engine
