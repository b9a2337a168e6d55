#include "engine/filter.h"

#include <algorithm>
#include <cstring>

#include <re2/re2.h>

#include "engine/filter_regex.h"
#include "skald/logql/regex.h"

namespace skald::engine {
namespace {

using logql::LineFilterOp;

constexpr std::string_view kKelvinSign = "\xE2\x84\xAA";      // lower case: k
constexpr std::string_view kDottedCapitalI = "\xC4\xB0";      // lower case in Go: i

bool is_negative(LineFilterOp op) {
  return op == LineFilterOp::kNotContains || op == LineFilterOp::kNotRegex || op == LineFilterOp::kNotPattern;
}

// Literals are found leftmost, one after the other, without a way back; a capture takes at least one byte, and what
// follows the last literal must be a capture's. A literal alone is the whole line. In front of a leading literal anything
// may stand: observed with `|> "GET <_>" or "POST <_>"`, which keeps `msg="POST /x"`.
bool pattern_covers(const logql::PatternExpression& parts, std::string_view line) {
  if (parts.empty()) return line.empty();
  if (parts.size() == 1 && !parts[0].capture) return line == parts[0].text;
  std::size_t at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].capture) continue;
    const std::size_t found = line.find(parts[i].text, at);
    if (found == std::string_view::npos) return false;
    if (i != 0 && found == at) return false;
    at = found + parts[i].text.size();
  }
  return parts.back().capture == (at != line.size());
}

// Calls `on_line(row)` for each row of [first, last) that contains a match, in order.
template <class OnLine>
void for_each_hit(const Finder& finder, const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, OnLine on_line) {
  const char* const text = columns.text.data();
  const std::uint32_t* const offsets = columns.line_offsets.data();
  const std::size_t size = finder.needle().size();
  const char* const end = text + offsets[last];
  const char* at = text + offsets[first];
  std::uint32_t row = first;
  while (at < end) {
    const char* const hit = finder.find(at, end);
    if (hit == nullptr) return;
    const auto offset = static_cast<std::uint32_t>(hit - text);
    if (offsets[row + 1] <= offset) {   // gallop: hits may be far apart
      std::uint32_t step = 1;
      while (row + step < last && offsets[row + step] <= offset) step *= 2;
      row = static_cast<std::uint32_t>(std::upper_bound(offsets + row + step / 2, offsets + std::min(last, row + step) + 1, offset) - offsets) - 1;
    }
    if (offset + size < offsets[row + 1]) {   // strictly: the line's '\n' is not part of it
      on_line(row);
      ++row;
      if (row == last) return;
      at = text + offsets[row];
    } else {
      at = hit + 1;
    }
  }
}

}  // namespace

Result<LineTerm> LineTerm::make(LineFilterOp op, const logql::LineFilterTerm& term) {
  LineTerm made;
  if (term.ip) {
    SKALD_TRY(logql::IpFilter ip, logql::IpFilter::parse(term.text));
    made.kind_ = Kind::kIp;
    made.ip_ = ip;
    return made;
  }
  switch (op) {
    case LineFilterOp::kContains:
    case LineFilterOp::kNotContains:
      made.empty_literal_ = term.text.empty();
      if (!term.text.empty()) {
        made.kind_ = Kind::kLiterals;
        made.literals_.emplace_back(term.text);
      }
      return made;
    case LineFilterOp::kRegex:
    case LineFilterOp::kNotRegex: {
      if (auto reduced = reduce_to_literals(term.text)) {
        if (reduced->match_all) return made;
        made.kind_ = Kind::kLiterals;
        for (const std::string& literal : reduced->literals) {
          made.literals_.emplace_back(literal, reduced->fold_case);
          if (reduced->fold_case && made.literals_.back().needle().find_first_of("ki") != std::string::npos) made.unicode_fold_ = true;
        }
        return made;
      }
      SKALD_TRY(made.regex_, logql::compile_regex(term.text));
      made.kind_ = Kind::kRegex;
      if (auto literal = required_literal(term.text)) made.literals_.emplace_back(literal->text, literal->fold_case);
      return made;
    }
    case LineFilterOp::kPattern:
    case LineFilterOp::kNotPattern: {
      SKALD_TRY(made.pattern_, logql::parse_line_pattern(term.text));
      made.kind_ = Kind::kPattern;
      const logql::PatternPart* longest = nullptr;
      for (const auto& part : made.pattern_) {
        if (!part.capture && (longest == nullptr || part.text.size() > longest->text.size())) longest = &part;
      }
      if (longest != nullptr) made.literals_.emplace_back(longest->text);
      return made;
    }
  }
  return Error(ErrorCode::kInternal, "line filter: unknown operator");
}

int LineTerm::cost() const {
  switch (kind_) {
    case Kind::kAlways: return 0;
    case Kind::kLiterals: return static_cast<int>(literals_.size());
    case Kind::kPattern: return literals_.empty() ? 10 : 8;
    case Kind::kRegex: return literals_.empty() ? 40 : 15;
    case Kind::kIp: return 60;
  }
  return 0;
}

bool LineTerm::matches_exact(std::string_view line) const {
  switch (kind_) {
    case Kind::kRegex: return RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), *regex_);
    case Kind::kPattern: return pattern_covers(pattern_, line);
    case Kind::kIp: return ip_->matches_line(line);
    default: return true;
  }
}

bool LineTerm::matches_folded_unicode(std::string_view line) const {
  if (line.find(kKelvinSign) == std::string_view::npos && line.find(kDottedCapitalI) == std::string_view::npos) return false;
  std::string folded;
  folded.reserve(line.size());
  for (std::size_t i = 0; i < line.size();) {
    if (line.substr(i).starts_with(kKelvinSign)) {
      folded.push_back('k');
      i += kKelvinSign.size();
    } else if (line.substr(i).starts_with(kDottedCapitalI)) {
      folded.push_back('i');
      i += kDottedCapitalI.size();
    } else {
      folded.push_back(line[i++]);
    }
  }
  return std::any_of(literals_.begin(), literals_.end(), [&](const Finder& f) { return f.contained_in(folded); });
}

bool LineTerm::matches(std::string_view line) const {
  if (kind_ == Kind::kAlways) return true;
  if (kind_ == Kind::kLiterals) {
    for (const Finder& finder : literals_) {
      if (finder.contained_in(line)) return true;
    }
    return unicode_fold_ && matches_folded_unicode(line);
  }
  if (!literals_.empty() && !literals_[0].contained_in(line)) return false;
  return matches_exact(line);
}

void LineTerm::mark(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, const std::uint8_t* alive,
                    std::uint8_t* hits) const {
  const auto wanted = [&](std::uint32_t row) { return alive == nullptr || alive[row - first] != 0; };
  if (kind_ == Kind::kAlways) {
    std::memset(hits, 1, last - first);
    return;
  }
  if (kind_ == Kind::kLiterals) {
    for (const Finder& finder : literals_) {
      for_each_hit(finder, columns, first, last, [&](std::uint32_t row) { hits[row - first] = 1; });
    }
    if (!unicode_fold_) return;
    for (const std::string_view rune : {kKelvinSign, kDottedCapitalI}) {
      for_each_hit(Finder(rune), columns, first, last, [&](std::uint32_t row) {
        if (hits[row - first] == 0 && wanted(row) && matches_folded_unicode(columns.line(row))) hits[row - first] = 1;
      });
    }
    return;
  }
  const auto check = [&](std::uint32_t row) {
    if (wanted(row) && matches_exact(columns.line(row))) hits[row - first] = 1;
  };
  if (!literals_.empty()) {
    for_each_hit(literals_[0], columns, first, last, check);
  } else {
    for (std::uint32_t row = first; row < last; ++row) check(row);
  }
}

Result<std::unique_ptr<const LineFilter>> LineFilter::make(const logql::LineFilterStage& stage) {
  auto made = std::make_unique<LineFilter>();
  made->negative_ = is_negative(stage.op);
  made->traits_.reads_line = true;
  for (const logql::LineFilterTerm& term : stage.terms) {
    SKALD_TRY(LineTerm compiled, LineTerm::make(stage.op, term));
    made->terms_.push_back(std::move(compiled));
  }
  // An empty string beside others does nothing: `|= "foo" or ""` is `|= "foo"`.
  if (made->terms_.size() > 1) {
    std::erase_if(made->terms_, [](const LineTerm& term) { return term.empty_literal(); });
  }
  const bool matches_all = made->terms_.empty() ||
                           std::any_of(made->terms_.begin(), made->terms_.end(), [](const LineTerm& t) { return t.always(); });
  made->keeps_all_ = matches_all && !made->negative_;
  made->keeps_none_ = matches_all && made->negative_;
  return std::unique_ptr<const LineFilter>(std::move(made));
}

int LineFilter::cost() const {
  int sum = 0;
  for (const LineTerm& term : terms_) sum += term.cost();
  return sum;
}

bool LineFilter::keeps(std::string_view line) const {
  if (keeps_all_) return true;
  if (keeps_none_) return false;
  for (const LineTerm& term : terms_) {
    if (term.matches(line)) return !negative_;
  }
  return negative_;
}

void LineFilter::apply(const chunk::Columns& columns, std::uint32_t first, std::uint32_t last, std::vector<std::uint8_t>& alive,
                       std::vector<std::uint8_t>& scratch) const {
  if (keeps_all_) return;
  const std::uint32_t rows = last - first;
  if (keeps_none_) {
    std::fill(alive.begin(), alive.begin() + rows, std::uint8_t{0});
    return;
  }
  const auto living = static_cast<std::uint32_t>(std::count(alive.begin(), alive.begin() + rows, std::uint8_t{1}));
  if (living < rows / 8) {   // few lines left: look at them alone
    for (std::uint32_t i = 0; i < rows; ++i) {
      if (alive[i] != 0 && !keeps(columns.line(first + i))) alive[i] = 0;
    }
    return;
  }
  scratch.assign(rows, 0);
  for (const LineTerm& term : terms_) term.mark(columns, first, last, alive.data(), scratch.data());
  const std::uint8_t flip = negative_ ? 1 : 0;
  for (std::uint32_t i = 0; i < rows; ++i) alive[i] &= scratch[i] ^ flip;
}

namespace {
class LineFilterRunner final : public StageRunner {
 public:
  explicit LineFilterRunner(const LineFilter& filter) : filter_(filter) {}
  void run(Batch& batch) override {
    std::erase_if(batch.selection, [&](std::uint32_t row) { return !filter_.keeps(batch.line(row)); });
  }

 private:
  const LineFilter& filter_;
};
}  // namespace

std::unique_ptr<StageRunner> LineFilter::make_runner(LabelTable&) const { return std::make_unique<LineFilterRunner>(*this); }

}  // namespace skald::engine
