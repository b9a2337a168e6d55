// Abstract syntax of LogQL. Built by parser.h, printed by format.h, run by engine/. Immutable after parsing.
// Names follow reference logql.md; times and durations are nanoseconds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "skald/model/matcher.h"

namespace skald::logql {

// ---- log pipelines ---------------------------------------------------------------------------------------------

enum class LineFilterOp { kContains, kNotContains, kRegex, kNotRegex, kPattern, kNotPattern };  // |= != |~ !~ |> !>
struct LineFilterTerm {
  bool ip = false;       // ip("…")
  std::string text;      // literal, regex, pattern or address range, unquoted
};
struct LineFilterStage {
  LineFilterOp op = LineFilterOp::kContains;
  std::vector<LineFilterTerm> terms;  // joined by `or`; at least one
};

struct LabelExtraction {
  std::string label;
  std::string expression;  // path (json) or key (logfmt); equals `label` where none was written
  bool written = false;    // `label="expression"` rather than `label` alone (for the formatter)
};
struct JsonStage { std::vector<LabelExtraction> extractions; };   // empty: all
struct LogfmtStage { bool strict = false; bool keep_empty = false; std::vector<LabelExtraction> extractions; };
struct RegexpStage { std::string regex; };
struct PatternStage { std::string pattern; };
struct UnpackStage {};
struct DecolorizeStage {};

enum class CompareOp { kEqual, kNotEqual, kGreater, kGreaterEqual, kLess, kLessEqual };
struct LabelFilter {
  enum class Kind { kString, kNumber, kDuration, kBytes, kIp, kAnd, kOr };
  Kind kind = Kind::kString;
  std::optional<model::Matcher> matcher;    // kString
  std::string label;                        // kNumber, kDuration, kBytes, kIp
  CompareOp op = CompareOp::kEqual;         // kIp: kEqual or kNotEqual
  double number = 0;                        // kNumber; kDuration in seconds; kBytes in bytes
  std::int64_t duration_ns = 0;             // kDuration
  std::uint64_t bytes = 0;                  // kBytes
  std::string text;                         // kIp: the address or range; kBytes/kDuration/kNumber: as written
  std::shared_ptr<const LabelFilter> left;  // kAnd, kOr
  std::shared_ptr<const LabelFilter> right;
  bool comma = false;                       // kAnd written with a comma or by juxtaposition (precedence, formatter)
};
struct LabelFilterStage { std::shared_ptr<const LabelFilter> filter; };

struct LineFormatStage { std::string text; };
struct LabelFormat {
  std::string name;
  bool rename = false;   // name=other: `value` is the other label; else `value` is template text
  std::string value;
};
struct LabelFormatStage { std::vector<LabelFormat> formats; };

struct DropKeepItem {
  std::string name;
  std::optional<model::Matcher> matcher;
};
struct DropStage { std::vector<DropKeepItem> items; };
struct KeepStage { std::vector<DropKeepItem> items; };

using Stage = std::variant<LineFilterStage, JsonStage, LogfmtStage, RegexpStage, PatternStage, UnpackStage, DecolorizeStage,
                           LabelFilterStage, LineFormatStage, LabelFormatStage, DropStage, KeepStage>;

struct LogSelector {
  std::vector<model::Matcher> matchers;
  std::vector<Stage> stages;
};

enum class UnwrapConversion { kNone, kDuration /* seconds; duration() and duration_seconds() */, kBytes };
struct Unwrap {
  std::string label;
  UnwrapConversion conversion = UnwrapConversion::kNone;
  std::string conversion_name;                                    // as written: duration, duration_seconds, bytes
  std::vector<std::shared_ptr<const LabelFilter>> post_filters;   // label filters after unwrap
};

struct LogRange {
  LogSelector selector;
  std::optional<Unwrap> unwrap;
  std::int64_t range_ns = 0;
  std::int64_t offset_ns = 0;   // may be negative
};

// ---- metric expressions ------------------------------------------------------------------------------------------

struct Grouping {
  bool without = false;
  std::vector<std::string> labels;
};

enum class RangeOp {
  kCountOverTime, kRate, kRateCounter, kBytesOverTime, kBytesRate, kSumOverTime, kAvgOverTime, kMinOverTime, kMaxOverTime,
  kFirstOverTime, kLastOverTime, kStddevOverTime, kStdvarOverTime, kQuantileOverTime, kAbsentOverTime,
};
enum class VectorOp { kSum, kAvg, kMin, kMax, kCount, kStddev, kStdvar, kTopk, kBottomk, kApproxTopk, kSort, kSortDesc };
enum class BinaryOp { kAdd, kSub, kMul, kDiv, kMod, kPow, kEqual, kNotEqual, kGreater, kGreaterEqual, kLess, kLessEqual, kAnd, kOr, kUnless };
const char* range_op_name(RangeOp op);    // "count_over_time"
const char* vector_op_name(VectorOp op);
const char* binary_op_name(BinaryOp op);  // "+", "==", "and"

struct VectorMatching {
  enum class Card { kOneToOne, kManyToOne /* group_left */, kOneToMany /* group_right */ };
  Card card = Card::kOneToOne;
  bool on = false;                     // on(labels); else ignoring(labels)
  bool given = false;                  // on/ignoring was written
  std::vector<std::string> labels;
  std::vector<std::string> include;    // labels of group_left/group_right
};

struct MetricExpr;
using MetricPtr = std::shared_ptr<const MetricExpr>;

struct RangeAggregation {
  RangeOp op = RangeOp::kCountOverTime;
  LogRange range;
  std::optional<double> parameter;     // quantile
  std::optional<Grouping> grouping;
};
struct VectorAggregation {
  VectorOp op = VectorOp::kSum;
  MetricPtr inner;
  std::optional<std::int64_t> parameter;  // k
  std::optional<Grouping> grouping;
};
struct BinaryExpr {
  BinaryOp op = BinaryOp::kAdd;
  MetricPtr left, right;
  bool return_bool = false;
  VectorMatching matching;
};
struct LabelReplace {
  MetricPtr inner;
  std::string destination, replacement, source, regex;
};
struct Literal { double value = 0; };
struct VectorLiteral { double value = 0; };     // vector(5)

struct MetricExpr {
  std::variant<RangeAggregation, VectorAggregation, BinaryExpr, LabelReplace, Literal, VectorLiteral> node;
};

struct Query {
  std::variant<LogSelector, MetricPtr> root;
  bool is_log() const { return root.index() == 0; }
  const LogSelector& log() const { return std::get<0>(root); }
  const MetricExpr& metric() const { return *std::get<1>(root); }
};

// Every log selector the query reads, in order of appearance.
std::vector<const LogSelector*> selectors_of(const Query& query);

}  // namespace skald::logql
