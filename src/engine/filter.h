// Line filters: |= != |~ !~ |> !> and ip(). The filters in front of a pipeline run over a block's whole text, later ones
// line by line.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/logql/ast.h"
#include "skald/logql/ip_filter.h"
#include "skald/logql/pattern.h"
#include "engine/scan.h"
#include "engine/stage.h"

namespace re2 { class RE2; }

namespace skald::engine {

// One alternative of a filter. Immutable and thread-safe.
class LineTerm {
 public:
  static Result<LineTerm> make(logql::LineFilterOp op, const logql::LineFilterTerm& term);
  bool matches(std::string_view line) const;
  bool always() const { return kind_ == Kind::kAlways; }
  bool empty_literal() const { return empty_literal_; }
  // Sets hits[row - first] for every row of [first, last) whose line matches. `alive`: rows worth looking at (nullptr:
  // all); used only to save work.
  void mark(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, const std::uint8_t* alive, std::uint8_t* hits) const;
  int cost() const;   // relative, to order filters

 private:
  enum class Kind { kAlways, kLiterals, kRegex, kPattern, kIp };
  bool matches_exact(std::string_view line) const;
  bool matches_folded_unicode(std::string_view line) const;

  Kind kind_ = Kind::kAlways;
  bool empty_literal_ = false;
  std::vector<Finder> literals_;                  // kLiterals: any; else: a line must contain the one, if there is one
  bool unicode_fold_ = false;                     // kLiterals with a folding k or i: U+212A and U+0130 fold to them
  std::shared_ptr<const re2::RE2> regex_;
  logql::PatternExpression pattern_;
  std::optional<logql::IpFilter> ip_;
};

class LineFilter final : public CompiledStage {
 public:
  static Result<std::unique_ptr<const LineFilter>> make(const logql::LineFilterStage& stage);

  bool keeps(std::string_view line) const;
  // Clears alive[row - first] of rows that the filter drops.
  void apply(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, std::vector<std::uint8_t>& alive,
             std::vector<std::uint8_t>& scratch) const;
  bool keeps_all() const { return keeps_all_; }
  bool keeps_none() const { return keeps_none_; }
  int cost() const;

  const StageTraits& traits() const override { return traits_; }
  std::unique_ptr<StageRunner> make_runner(LabelTable& labels) const override;

 private:
  bool negative_ = false;
  bool keeps_all_ = false, keeps_none_ = false;
  std::vector<LineTerm> terms_;
  StageTraits traits_;
};

}  // namespace skald::engine
