#include "compactor/row_merge.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "skald/chunk/same_entry.h"
#include "skald/codec/hash.h"

namespace skald::compactor {
namespace {

using ColumnsPtr = std::shared_ptr<const chunk::Columns>;

// An open slice and the row it is at.
struct Cursor {
  ColumnsPtr columns;
  std::uint32_t at = 0, end = 0;              // positions; rows unless `order` is set
  std::uint32_t first_row = 0;
  std::uint32_t source = 0;
  std::vector<std::uint32_t> order;           // rows by time, only where a block is not sorted
  std::vector<std::uint16_t> marks;           // by row - first_row; empty: nothing goes

  std::uint32_t row() const { return order.empty() ? at : order[at - first_row]; }
  std::int64_t ts() const { return columns->timestamps_ns[row()]; }
  std::uint16_t mark() const { return marks.empty() ? 0 : marks[row() - first_row]; }
};

struct Candidate {
  ColumnsPtr columns;
  std::uint32_t row = 0;
  std::uint32_t source = 0;
  std::uint16_t mark = 0;
};

// Equal rows of one time.
struct Entry {
  std::size_t candidate = 0;                                   // one of them
  std::size_t kept = 0;
  std::unordered_map<std::uint32_t, std::size_t> by_source;    // how many
};

class Merge {
 public:
  Merge(const model::InternedLabels& labels, std::vector<RowSlice> slices, RowFilter* filter, RowSink& sink, const CallContext& ctx)
      : labels_(labels), slices_(std::move(slices)), filter_(filter), sink_(sink), ctx_(ctx) {}

  Result<RowCounts> run() {
    std::stable_sort(slices_.begin(), slices_.end(), [](const RowSlice& a, const RowSlice& b) { return a.min_ts_ns < b.min_ts_ns; });
    while (true) {
      if (open_.empty() && next_ == slices_.size()) break;
      if (open_.empty()) SKALD_TRY_VOID(open_next());
      std::int64_t now_ns = earliest();
      while (next_ < slices_.size() && slices_[next_].min_ts_ns <= now_ns) {
        SKALD_TRY_VOID(open_next());
        now_ns = earliest();
      }
      if (open_.size() == 1) SKALD_TRY_VOID(drain_single());
      else SKALD_TRY_VOID(take_time(now_ns));
      std::erase_if(open_, [](const Cursor& cursor) { return cursor.at == cursor.end; });
    }
    SKALD_TRY_VOID(flush());
    return counts_;
  }

 private:
  std::int64_t earliest() const {
    std::int64_t ts_ns = open_.front().ts();
    for (const Cursor& cursor : open_) ts_ns = std::min(ts_ns, cursor.ts());
    return ts_ns;
  }

  Result<void> open_next() {
    SKALD_TRY_VOID(ctx_.check());
    const RowSlice& slice = slices_[next_++];
    Cursor cursor;
    SKALD_TRY(cursor.columns, slice.block->load(chunk::kAllColumns, ctx_));
    const chunk::Columns& columns = *cursor.columns;
    if (slice.rows == 0 || slice.first_row > columns.rows || slice.rows > columns.rows - slice.first_row) {
      return Error(ErrorCode::kCorruption, "stream " + labels_.text + ": the index names rows that its block does not have");
    }
    cursor.first_row = cursor.at = slice.first_row;
    cursor.end = slice.first_row + slice.rows;
    cursor.source = slice.source;
    counts_.in += slice.rows;
    const auto first = columns.timestamps_ns.begin() + slice.first_row;
    if (!std::is_sorted(first, first + slice.rows)) {
      cursor.order.resize(slice.rows);
      std::iota(cursor.order.begin(), cursor.order.end(), slice.first_row);
      std::stable_sort(cursor.order.begin(), cursor.order.end(),
                       [&](std::uint32_t a, std::uint32_t b) { return columns.timestamps_ns[a] < columns.timestamps_ns[b]; });
    }
    if (filter_ != nullptr) {
      cursor.marks.assign(slice.rows, 0);
      SKALD_TRY_VOID(filter_->mark(labels_, columns, slice.first_row, cursor.end, cursor.marks));
      if (std::all_of(cursor.marks.begin(), cursor.marks.end(), [](std::uint16_t mark) { return mark == 0; })) cursor.marks.clear();
    }
    // A slice that says it begins later than it does would come too late.
    if (cursor.ts() < slice.min_ts_ns) return Error(ErrorCode::kCorruption, "stream " + labels_.text + ": rows before the time their block names");
    open_.push_back(std::move(cursor));
    return {};
  }

  // One source alone until the next slice begins.
  Result<void> drain_single() {
    Cursor& cursor = open_.front();
    const std::int64_t until_ns = next_ < slices_.size() ? slices_[next_].min_ts_ns : INT64_MAX;
    const bool everything = next_ == slices_.size();
    if (cursor.order.empty() && cursor.marks.empty()) {
      const auto times = cursor.columns->timestamps_ns.begin();
      const auto end = everything ? times + cursor.end : std::lower_bound(times + cursor.at, times + cursor.end, until_ns);
      const auto last = static_cast<std::uint32_t>(end - times);
      if (last > cursor.at) SKALD_TRY_VOID(keep_run(cursor.columns, cursor.at, last));
      cursor.at = last;
      return {};
    }
    while (cursor.at < cursor.end && (everything || cursor.ts() < until_ns)) {
      SKALD_TRY_VOID(keep({cursor.columns, cursor.row(), cursor.source, cursor.mark()}));
      ++cursor.at;
    }
    return {};
  }

  // All rows of one time.
  Result<void> take_time(std::int64_t ts_ns) {
    candidates_.clear();
    bool several = false;
    for (Cursor& cursor : open_) {
      for (; cursor.at < cursor.end && cursor.ts() == ts_ns; ++cursor.at) {
        candidates_.push_back({cursor.columns, cursor.row(), cursor.source, cursor.mark()});
        several |= cursor.source != candidates_.front().source;
      }
    }
    if (!several) {
      for (const Candidate& candidate : candidates_) SKALD_TRY_VOID(keep(candidate));
      return {};
    }
    // Of equal entries as many are kept as the source with most of them has.
    entries_.clear();
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const Candidate& mine = candidates_[i];
      const std::uint64_t hash = codec::xxh3_64(mine.columns->line(mine.row));
      const auto [begin, end] = entries_.equal_range(hash);
      auto entry = std::find_if(begin, end, [&](const auto& known) {
        const Candidate& theirs = candidates_[known.second.candidate];
        return chunk::same_entry(*mine.columns, mine.row, *theirs.columns, theirs.row);
      });
      if (entry == end) entry = entries_.emplace(hash, Entry{.candidate = i, .kept = 0, .by_source = {}});
      if (++entry->second.by_source[mine.source] <= entry->second.kept) {
        ++counts_.duplicates;
        continue;
      }
      ++entry->second.kept;
      SKALD_TRY_VOID(keep(mine));
    }
    return {};
  }

  Result<void> keep(const Candidate& row) {
    if (row.mark != 0) {
      ++counts_.removed;
      filter_->count(row.mark, row.columns->line(row.row).size());
      return {};
    }
    return keep_run(row.columns, row.row, row.row + 1);
  }

  Result<void> keep_run(const ColumnsPtr& columns, std::uint32_t begin, std::uint32_t end) {
    counts_.out += end - begin;
    if (run_columns_ != columns || run_end_ != begin) {
      SKALD_TRY_VOID(flush());
      run_columns_ = columns;
      run_begin_ = begin;
    }
    run_end_ = end;
    return {};
  }

  Result<void> flush() {
    if (run_columns_ == nullptr) return {};
    SKALD_TRY_VOID(sink_.append(run_columns_, run_begin_, run_end_));
    run_columns_.reset();
    return {};
  }

  const model::InternedLabels& labels_;
  std::vector<RowSlice> slices_;
  RowFilter* const filter_;
  RowSink& sink_;
  const CallContext& ctx_;
  std::size_t next_ = 0;
  std::vector<Cursor> open_;
  std::vector<Candidate> candidates_;
  std::unordered_multimap<std::uint64_t, Entry> entries_;   // of one time, by the line's hash
  ColumnsPtr run_columns_;
  std::uint32_t run_begin_ = 0, run_end_ = 0;
  RowCounts counts_;
};

}  // namespace

Result<RowCounts> merge_rows(const model::InternedLabels& labels, std::vector<RowSlice> slices, RowFilter* filter, RowSink& sink, const CallContext& ctx) {
  return Merge(labels, std::move(slices), filter, sink, ctx).run();
}

}  // namespace skald::compactor
