// Log queries, range aggregations and the walk over a metric expression, one evaluation time after another.
#include "naive_eval.h"

#include <algorithm>
#include <cmath>

#include "skald/logql/template.h"

namespace skald::differential {
namespace {

using logql::RangeOp;

bool selected(const logql::LogSelector& selector, const Row& row) {
  return std::all_of(selector.matchers.begin(), selector.matchers.end(), [&](const model::Matcher& m) {
    auto it = row.labels.find(m.name());
    return m.matches(it == row.labels.end() ? "" : it->second);
  });
}

NaiveAnswer log_answer(const logql::LogSelector& selector, const std::vector<Row>& rows, const engine::QueryParams& p) {
  std::vector<NaiveEntry> all;
  for (const Row& row : rows) {
    if (!selected(selector, row) || row.ts_ns < p.start_ns || row.ts_ns >= p.end_ns) continue;
    Working w = start_row(row);
    if (!run_stages(selector.stages, w)) continue;
    NaiveEntry entry{row.ts_ns, w.line, row.stream, w.shown(), {}};
    for (const auto& [name, value] : entry.labels)
      entry.categories[name] = w.parsed.count(name) || name.rfind("__error", 0) == 0 ? "p" : w.metadata.count(name) ? "m" : "s";
    all.push_back(std::move(entry));
  }
  std::stable_sort(all.begin(), all.end(), [](const NaiveEntry& a, const NaiveEntry& b) { return a.ts_ns < b.ts_ns; });
  if (p.direction == engine::Direction::kBackward) std::reverse(all.begin(), all.end());

  NaiveAnswer answer;
  answer.log = true;
  if (all.size() > p.limit) {
    // Entries of one time from several streams have no order among each other: the cut may take any.
    const std::int64_t edge = all[p.limit - 1].ts_ns;
    std::set<std::size_t> streams;
    for (const NaiveEntry& e : all)
      if (e.ts_ns == edge) streams.insert(e.stream);
    if (all[p.limit].ts_ns == edge && streams.size() > 1) {
      for (const NaiveEntry& e : all)
        if (e.ts_ns == edge) answer.tied.push_back(e);
      std::size_t keep = p.limit;
      while (keep > 0 && all[keep - 1].ts_ns == edge) --keep;
      answer.cut_ties = p.limit - keep;
      all.resize(keep);
    } else {
      all.resize(p.limit);
    }
  }
  if (p.interval_ns > 0) {   // thins what the limit let through
    std::vector<NaiveEntry> thin;
    for (std::size_t i = 1; i < all.size(); ++i)
      if (all[i].ts_ns == all[i - 1].ts_ns && all[i].stream != all[i - 1].stream) throw Undefined("interval over ties");
    for (const NaiveEntry& e : all) {
      const std::int64_t gap = thin.empty() ? p.interval_ns : std::abs(e.ts_ns - thin.back().ts_ns);
      if (gap >= p.interval_ns) thin.push_back(e);
    }
    if (answer.cut_ties > 0) throw Undefined("interval over ties");
    all = std::move(thin);
  }
  answer.entries = std::move(all);
  return answer;
}

// ---- range aggregations ---------------------------------------------------------------------------------------------

struct NaiveSample {
  std::int64_t ts_ns = 0;
  double value = 0;
  LabelMap series;
  std::size_t stream = 0;
  std::string error;
};

bool counts_lines(RangeOp op) {
  return op == RangeOp::kCountOverTime || op == RangeOp::kRate || op == RangeOp::kBytesOverTime || op == RangeOp::kBytesRate || op == RangeOp::kSumOverTime;
}

void names_of(const logql::LabelFilter& f, std::set<std::string>& out) {
  if (f.left) names_of(*f.left, out);
  if (f.right) names_of(*f.right, out);
  if (f.matcher) out.insert(f.matcher->name());
  if (!f.label.empty()) out.insert(f.label);
}

void names_of(const std::string& text, std::set<std::string>& out) {
  auto parsed = logql::Template::parse(text);
  if (!parsed.ok()) return;
  for (const std::string& name : parsed->labels_read()) out.insert(name);
  if (parsed->uses_all_labels()) out.insert("*");
}

// Labels the query names after its parsers.
std::set<std::string> names_referenced(const logql::LogRange& range) {
  std::set<std::string> out;
  for (const logql::Stage& stage : range.selector.stages) {
    if (const auto* s = std::get_if<logql::LabelFilterStage>(&stage)) names_of(*s->filter, out);
    if (const auto* s = std::get_if<logql::LineFormatStage>(&stage)) names_of(s->text, out);
    if (const auto* s = std::get_if<logql::LabelFormatStage>(&stage))
      for (const logql::LabelFormat& f : s->formats) {
        if (f.rename) out.insert(f.value);
        else names_of(f.value, out);
      }
  }
  if (range.unwrap) {
    out.insert(range.unwrap->label);
    for (const auto& f : range.unwrap->post_filters) names_of(*f, out);
  }
  return out;
}

bool uses_line(const logql::Stage& stage) {
  if (std::holds_alternative<logql::LineFilterStage>(stage) || std::holds_alternative<logql::JsonStage>(stage) ||
      std::holds_alternative<logql::LogfmtStage>(stage) || std::holds_alternative<logql::RegexpStage>(stage) ||
      std::holds_alternative<logql::PatternStage>(stage) || std::holds_alternative<logql::UnpackStage>(stage) ||
      std::holds_alternative<logql::LineFormatStage>(stage))
    return true;
  if (const auto* s = std::get_if<logql::LabelFormatStage>(&stage))
    return std::any_of(s->formats.begin(), s->formats.end(), [](const logql::LabelFormat& f) { return !f.rename; });   // {{ __line__ }}
  return false;
}

bool is_parser(const logql::Stage& stage) {
  return std::holds_alternative<logql::JsonStage>(stage) || std::holds_alternative<logql::LogfmtStage>(stage) ||
         std::holds_alternative<logql::RegexpStage>(stage) || std::holds_alternative<logql::PatternStage>(stage) ||
         std::holds_alternative<logql::UnpackStage>(stage);
}

// `outer`: grouping of a sum directly around; what is summed is grouped already while it is read.
std::vector<NaiveSample> samples_of(const logql::RangeAggregation& a, const logql::Grouping* outer, const std::vector<Row>& rows) {
  std::vector<logql::Stage> stages = a.range.selector.stages;
  const bool bytes = a.op == RangeOp::kBytesOverTime || a.op == RangeOp::kBytesRate;
  for (std::size_t i = stages.size(); i-- > 0;) {   // nobody sees the line: no line_format
    const bool later = std::any_of(stages.begin() + static_cast<std::ptrdiff_t>(i) + 1, stages.end(), uses_line);
    if (std::holds_alternative<logql::LineFormatStage>(stages[i]) && !later && !bytes) stages.erase(stages.begin() + static_cast<std::ptrdiff_t>(i));
  }
  const std::set<std::string> referenced = names_referenced(a.range);
  const bool groups_nothing = (outer && !outer->without && outer->labels.empty()) || a.op == RangeOp::kAbsentOverTime;
  if (groups_nothing && referenced.empty()) {
    for (const logql::Stage& stage : stages) {   // do they name labels?
      const auto* drop = std::get_if<logql::DropStage>(&stage);
      if (std::holds_alternative<logql::KeepStage>(stage) || (drop && std::any_of(drop->items.begin(), drop->items.end(), [](const auto& item) { return item.matcher.has_value(); })))
        throw Undefined("keep or drop under a sum over nothing");
    }
    stages.erase(std::remove_if(stages.begin(), stages.end(), is_parser), stages.end());
  }
  static const logql::Grouping kNothing;
  const logql::Grouping* grouping = a.op == RangeOp::kAbsentOverTime ? &kNothing : a.grouping ? &*a.grouping : outer;
  const bool keeps_errors = grouping && !grouping->without &&
                            (referenced.count("__error__") || std::count(grouping->labels.begin(), grouping->labels.end(), "__error__"));
  const bool dropped_by_value = grouping && !grouping->without && std::any_of(stages.begin(), stages.end(), [](const logql::Stage& stage) {
    const auto* drop = std::get_if<logql::DropStage>(&stage);
    return drop && std::any_of(drop->items.begin(), drop->items.end(), [](const auto& item) { return item.matcher && item.name == "__error__"; });
  });
  const bool known_to_keep = !dropped_by_value && (!keeps_errors || !a.grouping);

  std::vector<NaiveSample> out;
  for (const Row& row : rows) {
    if (!selected(a.range.selector, row)) continue;
    Working w = start_row(row);
    if (!run_stages(stages, w)) continue;
    NaiveSample sample;
    sample.ts_ns = row.ts_ns;
    sample.stream = row.stream;
    sample.value = bytes ? static_cast<double>(w.line.size()) : 1;
    if (a.range.unwrap) {
      const logql::Unwrap& u = *a.range.unwrap;
      const std::string text = w.value(u.label);
      if (text.empty()) continue;
      const std::optional<double> value = u.conversion == logql::UnwrapConversion::kBytes      ? bytes_of(text)
                                          : u.conversion == logql::UnwrapConversion::kDuration ? duration_seconds_of(text)
                                                                                               : number_of(text);
      if (!value) w.fail("SampleExtractionErr", "not convertible", false);
      sample.value = value.value_or(0);
      if (!std::all_of(u.post_filters.begin(), u.post_filters.end(), [&](const auto& f) { return label_filter_keeps(*f, w); })) continue;
    }
    if (!w.error.empty() && w.parser_failed && !known_to_keep) throw Undefined("__error__ under a grouped range aggregation, or named by a drop only");
    // Reading may stop at the last label needed; what is wrong with the line behind it then goes unnoticed.
    if (w.parser_failed && grouping && !grouping->without) {
      std::set<std::string> needed = referenced;
      needed.insert(grouping->labels.begin(), grouping->labels.end());
      const auto found = [&](const std::string& name) { return w.get(name) || w.get(name + "_extracted") || w.taken.count(name); };
      if (!needed.empty() && std::all_of(needed.begin(), needed.end(), found)) throw Undefined("an error behind the labels needed");
    }
    if (keeps_errors && w.parser_failed && !w.error.empty() && w.error != "JSONParserErr" && w.error != "LogfmtParserErr")
      throw Undefined("another error on a line whose parser error is kept");
    if (!w.error.empty() && !(keeps_errors && w.parser_failed)) sample.error = w.error;
    LabelMap labels = w.shown();
    if (!sample.error.empty()) {
      sample.series = labels;
    } else if (grouping && !grouping->without) {
      sample.series = grouped(labels, *grouping);
    } else {
      if (a.range.unwrap) labels.erase(a.range.unwrap->label);
      sample.series = grouping ? grouped(labels, *grouping) : labels;
      for (auto it = sample.series.begin(); it != sample.series.end();) it = it->second.empty() ? sample.series.erase(it) : std::next(it);
    }
    if (sample.error.empty() && sample.series.count("__error_details__")) throw Undefined("texts of error details in a series");
    out.push_back(std::move(sample));
  }
  std::stable_sort(out.begin(), out.end(), [](const NaiveSample& x, const NaiveSample& y) { return x.ts_ns < y.ts_ns; });
  return out;
}

double fold(const logql::RangeAggregation& a, const std::vector<const NaiveSample*>& s, std::int64_t window_start, std::int64_t window_end) {
  std::vector<double> v;
  for (const NaiveSample* x : s) v.push_back(x->value);
  const double seconds = static_cast<double>(a.range.range_ns) / 1e9;
  double sum = 0;
  for (double x : v) sum += x;
  const auto order_matters = [&](std::size_t i, std::size_t j) {
    if (s[i]->ts_ns == s[j]->ts_ns && s[i]->stream != s[j]->stream && v[i] != v[j]) throw Undefined("order of equal times");
  };
  switch (a.op) {
    case RangeOp::kCountOverTime: return static_cast<double>(v.size());
    case RangeOp::kRate:
    case RangeOp::kBytesRate: return sum / seconds;
    case RangeOp::kBytesOverTime:
    case RangeOp::kSumOverTime: return sum;
    case RangeOp::kAvgOverTime: return running_mean(v);
    case RangeOp::kMinOverTime: {
      double m = v[0];
      for (double x : v) if (x < m || std::isnan(m)) m = x;
      return m;
    }
    case RangeOp::kMaxOverTime: {
      double m = v[0];
      for (double x : v) if (x > m || std::isnan(m)) m = x;
      return m;
    }
    case RangeOp::kStdvarOverTime: return variance(v);
    case RangeOp::kStddevOverTime: return std::sqrt(variance(v));
    case RangeOp::kFirstOverTime:
      for (std::size_t i = 1; i < s.size(); ++i) order_matters(0, i);
      return v.front();
    case RangeOp::kLastOverTime:
      for (std::size_t i = 0; i + 1 < s.size(); ++i) order_matters(s.size() - 1, i);
      return v.back();
    case RangeOp::kQuantileOverTime: {
      for (double x : v) if (std::isnan(x)) throw Undefined("quantile of NaN");
      const double q = *a.parameter;
      if (q > 1) return INFINITY;
      if (q < 0) return -INFINITY;
      std::sort(v.begin(), v.end());
      const double rank = q * static_cast<double>(v.size() - 1);
      const auto low = static_cast<std::size_t>(std::floor(rank));
      const std::size_t high = std::min(low + 1, v.size() - 1);
      const double weight = rank - std::floor(rank);
      return v[low] * (1 - weight) + v[high] * weight;
    }
    case RangeOp::kRateCounter: {
      if (s.size() < 2) return 0;
      for (std::size_t i = 0; i + 1 < s.size(); ++i) order_matters(i, i + 1);
      double delta = v.back() - v.front();
      for (std::size_t i = 1; i < v.size(); ++i) if (v[i] < v[i - 1]) delta += v[i - 1];
      const double first = static_cast<double>(s.front()->ts_ns - window_start) / 1e9, last = static_cast<double>(window_end - s.back()->ts_ns) / 1e9;
      const double span = static_cast<double>(s.back()->ts_ns - s.front()->ts_ns) / 1e9;
      if (span == 0) throw Undefined("rate_counter over one instant");
      const double average = span / static_cast<double>(v.size() - 1);
      double gap_start = first, gap_end = last;
      // The point where the counter would have been zero comes first, then the test for a gap too wide.
      if (delta > 0 && v.front() >= 0) gap_start = std::min(gap_start, span * v.front() / delta);
      if (gap_start >= 1.1 * average) gap_start = average / 2;
      if (gap_end >= 1.1 * average) gap_end = average / 2;
      return delta * (span + gap_start + gap_end) / span / seconds;
    }
    default: throw Undefined("range operation");
  }
}

LabelMap absent_labels(const logql::LogSelector& selector) {
  LabelMap out;
  for (const model::Matcher& m : selector.matchers) {
    const auto uses = std::count_if(selector.matchers.begin(), selector.matchers.end(), [&](const model::Matcher& other) { return other.name() == m.name(); });
    if (m.type() == model::MatchType::kEqual && uses == 1 && !m.value().empty()) out[m.name()] = m.value();
  }
  return out;
}

struct Evaluator {
  const std::vector<Row>& rows;
  std::map<const logql::RangeAggregation*, std::vector<NaiveSample>> samples;

  struct Value {
    bool scalar = false;
    double number = 0;
    NaiveVector vector;
  };

  NaiveVector range(const logql::RangeAggregation& a, const logql::Grouping* outer, std::int64_t t) {
    auto known = samples.find(&a);
    if (known == samples.end()) known = samples.emplace(&a, samples_of(a, outer, rows)).first;
    const std::int64_t end = t - a.range.offset_ns, start = end - a.range.range_ns;
    std::map<LabelMap, std::vector<const NaiveSample*>> series;
    for (const NaiveSample& s : known->second) {
      if (s.ts_ns <= start || s.ts_ns > end) continue;
      if (!s.error.empty()) throw NaiveError(false, "pipeline error: '" + s.error + "'");
      series[s.series].push_back(&s);
    }
    NaiveVector out;
    if (a.op == RangeOp::kAbsentOverTime) {
      if (series.empty()) out.push_back({absent_labels(a.range.selector), 1});
      return out;
    }
    for (const auto& [labels, members] : series) out.push_back({labels, fold(a, members, start, end)});
    return out;
  }

  Value eval(const logql::MetricExpr& e, std::int64_t t) {
    if (const auto* a = std::get_if<logql::RangeAggregation>(&e.node)) return {false, 0, range(*a, nullptr, t)};
    if (const auto* a = std::get_if<logql::VectorAggregation>(&e.node)) {
      static const logql::Grouping kNothing;
      if (const auto* inner = std::get_if<logql::RangeAggregation>(&a->inner->node); inner && a->op == logql::VectorOp::kSum && counts_lines(inner->op) && !inner->grouping)
        return {false, 0, aggregate(*a, range(*inner, a->grouping ? &*a->grouping : &kNothing, t))};
      Value in = eval(*a->inner, t);
      if (in.scalar) throw NaiveError(true, "unexpected expr type");
      return {false, 0, aggregate(*a, in.vector)};
    }
    if (const auto* b = std::get_if<logql::BinaryExpr>(&e.node)) {
      Value l = eval(*b->left, t), r = eval(*b->right, t);
      if (l.scalar && r.scalar) return {true, scalar_operation(b->op, l.number, r.number), {}};
      if (l.scalar) return {false, 0, with_scalar(*b, r.vector, l.number, true)};
      if (r.scalar) return {false, 0, with_scalar(*b, l.vector, r.number, false)};
      return {false, 0, with_vector(*b, l.vector, r.vector)};
    }
    if (const auto* r = std::get_if<logql::LabelReplace>(&e.node)) {
      Value in = eval(*r->inner, t);
      if (in.scalar) throw NaiveError(true, "unexpected expr type");
      return {false, 0, replaced(*r, in.vector)};
    }
    if (const auto* l = std::get_if<logql::Literal>(&e.node)) return {true, l->value, {}};
    if (const auto* v = std::get_if<logql::VectorLiteral>(&e.node)) return {false, 0, {{{}, v->value}}};
    throw Undefined("expression");
  }
};

}  // namespace

bool hidden_by(const logql::LogSelector& selector, std::int64_t start_ns, std::int64_t end_ns, const Row& row) {
  if (row.ts_ns < start_ns || row.ts_ns > end_ns || !selected(selector, row)) return false;
  Working w = start_row(row);
  return run_stages(selector.stages, w);
}

NaiveAnswer evaluate(const logql::Query& query, const std::vector<Row>& rows, const engine::QueryParams& p) {
  if (query.is_log()) return log_answer(query.log(), rows, p);
  NaiveAnswer answer;
  Evaluator evaluator{rows, {}};
  for (std::int64_t t = p.start_ns; t <= p.end_ns; t += p.instant ? 1 : p.step_ns) {
    Evaluator::Value value = evaluator.eval(query.metric(), t);
    answer.scalar = value.scalar && p.instant;
    NaiveVector elements = value.scalar ? NaiveVector{{{}, value.number}} : std::move(value.vector);
    if (!elements.empty()) answer.points[t / 1'000'000] = std::move(elements);
  }
  return answer;
}

}  // namespace skald::differential
