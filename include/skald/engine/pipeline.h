// A compiled log pipeline: stages run over selection vectors of a block's rows. Reference logql.md §4–§10.
//
// Life of a query:  Pipeline::compile once → PipelineRunner per worker → begin_stream() per stream (stream-label
// predicates are decided there, once) → run() per slice of a block → rows of the Frame.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/context.h"
#include "skald/base/result.h"
#include "skald/chunk/block.h"
#include "skald/engine/label_set.h"
#include "skald/logql/ast.h"

namespace skald::engine {

struct PipelineOptions {
  // Names the consumer needs after the pipeline (grouping, unwrap). nullopt: all of them (log queries, without-grouping,
  // ungrouped metrics). Parsers then extract only what later stages or the consumer read.
  std::optional<std::vector<std::string>> needed_labels;
  bool needs_line = true;          // false: the consumer looks at neither line nor its length
  std::optional<logql::Unwrap> unwrap;
};

class PipelineRunner;

// Immutable and thread-safe.
class Pipeline {
 public:
  static Result<std::shared_ptr<const Pipeline>> compile(const std::vector<logql::Stage>& stages, const PipelineOptions& options);
  virtual ~Pipeline() = default;
  // Columns a block must have loaded for this pipeline (line filters → lines, metadata filters → metadata …). When the
  // stages keep every row and nothing is read of it this is just kTimestamps, so counting opens no text.
  virtual chunk::ColumnMask columns() const = 0;
  virtual std::unique_ptr<PipelineRunner> make_runner() const = 0;
};

// What came out of one run(): the surviving rows in input order. Views are valid until the next run() or begin_stream().
// A row's labels are those after all stages, `__error__` and `__error_details__` included when set.
class Frame {
 public:
  virtual ~Frame() = default;
  virtual std::uint32_t size() const = 0;
  virtual std::int64_t timestamp_ns(std::uint32_t i) const = 0;
  virtual std::span<const std::int64_t> timestamps() = 0;          // of all rows, ascending
  virtual std::uint32_t block_row(std::uint32_t i) const = 0;      // its row in the block's columns
  virtual std::string_view line(std::uint32_t i) const = 0;        // after line_format; needs_line
  // The row's error must fail a metric query: non-empty __error__, unless needed_labels or a filter names __error__ and a
  // parser raised it; such rows are grouped like others and show __error__ where `by` asks for it (reference §4). After
  // label_sets() also rows whose set shows a parsed field of that name.
  virtual bool has_error(std::uint32_t i) const = 0;
  virtual std::string_view error(std::uint32_t i) const = 0;
  virtual std::string_view error_details(std::uint32_t i) const = 0;
  // Unwrapped value; rows without one (label missing or empty) do not survive the run. Rows whose value is
  // unparsable have has_error() and 0.
  virtual double value(std::uint32_t i) const = 0;
  virtual std::span<const double> unwrapped() const = 0;           // value() of all rows; empty without unwrap
  // Label-set ids of all rows in `table`, after grouping (nullptr: all labels). The label unwrapped is removed from
  // ungrouped sets. Rows with an error keep all their labels (error series are not grouped). One id per row.
  // Cost: per distinct tuple of values, not per row, wherever the columns allow it.
  virtual std::span<const std::uint32_t> label_sets(LabelSetTable& table, const logql::Grouping* grouping) = 0;
  // One label of a row after all stages ("" when absent).
  virtual std::string_view label(std::uint32_t i, std::string_view name) const = 0;
};

// One per worker thread; not thread-safe.
class PipelineRunner {
 public:
  virtual ~PipelineRunner() = default;
  // False: no row of this stream can survive (a stage on stream labels decides), skip its blocks.
  // `labels` must stay alive until the next begin_stream().
  virtual bool begin_stream(const model::InternedLabels& labels) = 0;
  // Columns the blocks of this stream need, after begin_stream(): those of the pipeline, less what the stream's labels
  // make superfluous (no metadata when every label read is one of the stream's).
  virtual chunk::ColumnMask stream_columns() const { return chunk::kAllColumns; }
  // The runs that follow are over many slices of this block: line filters search it once, as a whole. True: any_row() may
  // then be asked, even before begin_stream(), because no stage looks at a stream's labels first.
  virtual bool begin_block(std::shared_ptr<const chunk::Columns> columns) { (void)columns; return false; }
  virtual void end_block() {}
  // False: no row of [first, last) of that block passes the line filters.
  virtual bool any_row(std::uint32_t first, std::uint32_t last) const { (void)first; (void)last; return true; }
  // Rows [first, last) of `columns` whose time lies in [start_ns, end_ns), through all stages. With `skip` (a sorted list
  // of row numbers) those rows are left out (duplicates found by the caller).
  virtual Result<Frame*> run(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, std::int64_t start_ns,
                             std::int64_t end_ns, std::span<const std::uint32_t> skip) = 0;
};

}  // namespace skald::engine
