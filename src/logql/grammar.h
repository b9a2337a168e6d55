// The recursive-descent parser behind parser.h. One token of look-ahead, read only when a decision needs it: an error of
// the scanner therefore never hides an earlier error of the grammar.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "logql/lexer.h"
#include "skald/base/result.h"
#include "skald/logql/ast.h"

namespace skald::logql {

// Deep enough for any query a person or a dashboard writes, shallow enough for every stack that later walks the tree.
inline constexpr int kDepthMax = 500;
inline constexpr int kNodesMax = 2000;

class Grammar {
 public:
  explicit Grammar(std::string_view text) : lexer_(text) {}
  // The whole text; not yet validated (validate.h).
  Result<Query> query();

 private:
  using Operand = std::variant<LogSelector, MetricPtr>;

  // ---- tokens
  Result<Tok> peek();
  Token take();  // the token peeked at
  // Takes `want`, or fails naming `expected` (the tokens Loki would list; none: its state accepts more than four).
  Result<Token> expect(Tok want, std::initializer_list<Tok> expected);
  Error unexpected(std::initializer_list<Tok> expected = {}) const;
  Result<Token> name(std::initializer_list<Tok> expected);

  // ---- log expressions (grammar_log.cc)
  Result<LogSelector> selector();
  Result<model::Matcher> matcher_after(const Token& label, bool first);
  // Stages up to the first token that starts none. With `unwrap` an unwrap stage may end them.
  Result<void> stages(LogSelector& selector, std::optional<Unwrap>* unwrap);
  Result<Stage> pipe_stage();
  Result<LineFilterStage> line_filter();
  Result<std::vector<LabelExtraction>> extractions();
  Result<LabelFormatStage> label_format();
  Result<std::vector<DropKeepItem>> named_list();
  Result<std::shared_ptr<const LabelFilter>> label_filter(int floor);
  Result<std::shared_ptr<const LabelFilter>> label_filter_primary();
  Result<std::shared_ptr<const LabelFilter>> label_comparison();
  Result<std::shared_ptr<const LabelFilter>> join(LabelFilter::Kind kind, std::shared_ptr<const LabelFilter> left,
                                                  std::shared_ptr<const LabelFilter> right, bool comma);
  Result<Unwrap> unwrap();  // behind the word unwrap

  // ---- metric expressions (grammar_metric.cc)
  Result<Operand> expression(int floor);
  Result<Operand> expression_after(Operand left, int floor);
  Result<Operand> operand();
  Result<Operand> combine(BinaryExpr shape, Operand left, Operand right);
  Result<MetricPtr> metric_argument();
  Result<MetricPtr> range_aggregation();
  Result<MetricPtr> vector_aggregation();
  Result<MetricPtr> label_replace();
  Result<MetricPtr> vector_literal();
  Result<MetricPtr> literal(const Token& number, bool negative);
  Result<void> modifiers(BinaryExpr& shape);
  Result<Grouping> grouping();
  Result<std::vector<std::string>> name_list(bool may_be_empty);
  Result<LogRange> log_range(std::initializer_list<Tok> expected);
  Result<void> offset(LogRange& range);

  // Bounds recursion; every production that can contain itself holds one.
  class Depth {
   public:
    explicit Depth(Grammar& grammar) : grammar_(grammar) { ++grammar_.depth_; }
    ~Depth() { --grammar_.depth_; }
    Depth(const Depth&) = delete;
    Result<void> check() const;

   private:
    Grammar& grammar_;
  };

  Lexer lexer_;
  std::optional<Token> ahead_;
  int depth_ = 0;
  int nodes_ = 0;  // joins of label filters and metrics; bounds the height of the tree
};

}  // namespace skald::logql
