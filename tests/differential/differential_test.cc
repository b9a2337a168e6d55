// The engine against the naive evaluator on random logs and queries. A pair is a seed; a failure prints it.
// SKALD_DIFFERENTIAL_PAIRS=100000 SKALD_DIFFERENTIAL_SEED=1 runs more, from there.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <sstream>

#include "generator.h"
#include "naive_eval.h"
#include "skald/logql/parser.h"
#include "sources.h"

namespace skald::differential {
namespace {

std::string text_of(const LabelMap& labels) {
  std::string out = "{";
  for (const auto& [name, value] : labels) {
    out += (out.size() > 1 ? ", " : "") + name + "=";
    model::append_go_quoted(out, value);
  }
  return out + "}";
}

// What is compared of an entry: the text of error details is advisory.
std::string entry_text(LabelMap labels, LabelMap categories, const std::string& line) {
  if (labels.count("__error_details__")) labels["__error_details__"] = "*";
  categories.erase("__error__");
  categories.erase("__error_details__");
  std::string out = text_of(labels) + " " + text_of(categories) + " ";
  model::append_go_quoted(out, line);
  return out;
}

struct Shown {
  std::int64_t ts_ns = 0;
  std::string text;
};

std::string list(const std::vector<Shown>& entries) {
  std::string out;
  for (const Shown& e : entries) {
    if (out.size() > 900) return out + "    …\n";
    out += "    " + std::to_string(e.ts_ns - kBaseNs) + " " + e.text + "\n";
  }
  return out;
}

std::string compare_logs(const NaiveAnswer& naive, const engine::LogResult& result, bool ties_known, engine::Direction direction) {
  std::vector<std::pair<std::uint32_t, Shown>> ordered;
  for (const engine::LogStream& stream : result.streams) {
    LabelMap labels, categories;
    for (const engine::ResultLabel& l : stream.labels.labels) {
      labels[l.name] = l.value;
      categories[l.name] = l.category == engine::LabelCategory::kStream ? "s" : l.category == engine::LabelCategory::kMetadata ? "m" : "p";
    }
    for (const engine::LogEntry& e : stream.entries) ordered.push_back({e.order, {e.timestamp_ns, entry_text(labels, categories, e.line)}});
  }
  std::sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Shown> got;
  for (auto& [order, entry] : ordered) got.push_back(std::move(entry));
  for (std::size_t i = 1; i < got.size(); ++i)
    if (direction == engine::Direction::kForward ? got[i - 1].ts_ns > got[i].ts_ns : got[i - 1].ts_ns < got[i].ts_ns) return "entries out of order\n" + list(got);

  std::vector<Shown> want;
  for (const NaiveEntry& e : naive.entries) want.push_back({e.ts_ns, entry_text(e.labels, e.categories, e.line)});
  if (got.size() != want.size() + naive.cut_ties) return "naive:\n" + list(want) + "    and " + std::to_string(naive.cut_ties) + " tied\n  engine:\n" + list(got);

  std::vector<Shown> cut(got.begin() + static_cast<std::ptrdiff_t>(want.size()), got.end());
  got.resize(want.size());
  std::multiset<std::string> tied;
  for (const NaiveEntry& e : naive.tied) tied.insert(std::to_string(e.ts_ns) + entry_text(e.labels, e.categories, e.line));
  for (const Shown& e : cut) {
    auto it = tied.find(std::to_string(e.ts_ns) + e.text);
    if (it == tied.end()) return "not among the tied: " + e.text;
    tied.erase(it);
  }
  // Equal times: in order of arrival within a stream, any order between streams.
  for (std::size_t begin = 0; begin < want.size();) {
    std::size_t end = begin;
    std::set<std::size_t> streams;
    while (end < want.size() && want[end].ts_ns == want[begin].ts_ns) streams.insert(naive.entries[end++].stream);
    if (streams.size() > 1 || !ties_known) {
      const auto by_text = [](const Shown& a, const Shown& b) { return a.text < b.text; };
      const auto b = static_cast<std::ptrdiff_t>(begin), e = static_cast<std::ptrdiff_t>(end);
      std::sort(want.begin() + b, want.begin() + e, by_text);
      std::sort(got.begin() + b, got.begin() + e, by_text);
    }
    begin = end;
  }
  for (std::size_t i = 0; i < want.size(); ++i)
    if (want[i].ts_ns != got[i].ts_ns || want[i].text != got[i].text) return "naive:\n" + list(want) + "  engine:\n" + list(got);
  return "";
}

bool close(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= 1e-9 * std::max({std::abs(a), std::abs(b), 1.0});
}

using Points = std::map<std::pair<std::int64_t, std::string>, std::vector<double>>;

// Those of `points` that `others` has not.
std::string list(const Points& points, const Points& others) {
  std::ostringstream out;
  out.precision(17);
  for (const auto& [key, values] : points) {
    auto other = others.find(key);
    if (other != others.end() && std::equal(values.begin(), values.end(), other->second.begin(), other->second.end(), close)) continue;
    if (out.tellp() > 900) return out.str() + "    …\n";
    for (double v : values) out << "    " << key.first - kBaseNs / 1'000'000 << "ms " << key.second << " " << v << "\n";
  }
  return out.str();
}

std::string compare_metrics(const NaiveAnswer& naive, const engine::QueryResult& result) {
  Points want, got;
  for (const auto& [ms, elements] : naive.points)
    for (const NaiveElement& e : elements) want[{ms, text_of(e.labels)}].push_back(e.value);
  const auto take = [&](const engine::Series& series) {
    LabelMap labels;
    for (const model::Label& l : series.labels.pairs()) labels[l.name] = l.value;
    for (const engine::Sample& s : series.samples) got[{s.timestamp_ms, text_of(labels)}].push_back(s.value);
  };
  bool scalar = false;
  if (const auto* v = std::get_if<engine::VectorResult>(&result.data)) for (const auto& s : v->series) take(s);
  if (const auto* m = std::get_if<engine::MatrixResult>(&result.data)) for (const auto& s : m->series) take(s);
  if (const auto* s = std::get_if<engine::ScalarResult>(&result.data)) {
    scalar = true;
    got[{s->sample.timestamp_ms, "{}"}].push_back(s->sample.value);
  }
  bool same = want.size() == got.size() && scalar == naive.scalar;
  for (auto w = want.begin(), g = got.begin(); same && w != want.end(); ++w, ++g) {
    std::sort(w->second.begin(), w->second.end());
    std::sort(g->second.begin(), g->second.end());
    same = w->first == g->first && std::equal(w->second.begin(), w->second.end(), g->second.begin(), g->second.end(), close);
  }
  return same ? "" : "naive:\n" + list(want, got) + "  engine:\n" + list(got, want);
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Counts {
  std::uint64_t compared = 0, undefined = 0, failing = 0, empty = 0, different = 0;
  std::map<std::string, std::uint64_t> reasons;
};

void run_pair(std::uint64_t seed, exec::Pool& pool, Counts& counts) {
  Generator generator(seed);
  std::vector<Row> rows = generator.rows();
  std::string text = generator.query();
  if (const char* other = std::getenv("SKALD_DIFFERENTIAL_QUERY")) text = other;   // to narrow a difference down
  auto query = logql::parse(text);
  ASSERT_TRUE(query.ok()) << "seed " << seed << ": " << text << "\n" << query.error().message();
  const engine::QueryParams params = generator.params(query->is_log());
  const Generator::Deletion deletion = generator.deletion();
  const auto layout = static_cast<Layout>(generator.below(6));
  const std::size_t rows_per_block = 1 + generator.below(12);
  SeededRandom random(seed + 1);
  RowSource source(rows, layout, rows_per_block, random);
  if (layout == Layout::kScattered)   // equal times of several sources have no order
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].stream = i;

  std::optional<logql::Query> deleting;
  if (!deletion.selector.empty()) {
    auto parsed = logql::parse(deletion.selector);
    ASSERT_TRUE(parsed.ok()) << "seed " << seed << ": " << deletion.selector << "\n" << parsed.error().message();
    deleting = std::move(*parsed);
    source.hidden = std::make_shared<const std::vector<engine::Deletion>>(std::vector<engine::Deletion>{{deletion.start_ns, deletion.end_ns, deleting->log()}});
  }

  engine::EngineLimits limits;
  limits.max_series = 1'000'000;
  const Result<engine::QueryResult> result = engine::Engine(source, pool).run(CallContext{}, *query, params, limits);
  std::string difference;
  try {
    if (deleting) std::erase_if(rows, [&](const Row& row) { return hidden_by(deleting->log(), deletion.start_ns, deletion.end_ns, row); });
    const NaiveAnswer naive = evaluate(*query, rows, params);
    if (!result.ok()) difference = "only the engine fails: " + result.error().message();
    else if (naive.log) difference = compare_logs(naive, std::get<engine::LogResult>(result->data), layout != Layout::kScattered, params.direction);
    else difference = compare_metrics(naive, *result);
    ++counts.compared;
    if (naive.log ? naive.entries.empty() : naive.points.empty()) ++counts.empty;
  } catch (const NaiveError& error) {
    if (result.ok()) difference = std::string("only the naive evaluator fails: ") + error.what();
    ++counts.compared;
    ++counts.failing;
  } catch (const Undefined& undefined) {
    ++counts.undefined;
    ++counts.reasons[undefined.what()];
  }
  if (difference.empty() && !std::getenv("SKALD_DIFFERENTIAL_QUERY")) return;
  ++counts.different;
  std::ostringstream out;
  out << "seed " << seed << " (" << kLayoutNames[static_cast<int>(layout)] << ", " << rows_per_block << " rows a block)\n  query " << text << "\n  " << (params.instant ? "instant" : "range") << " "
      << (params.start_ns - kBaseNs) / kSecondNs << "s.." << (params.end_ns - kBaseNs) / 1'000'000 << "ms step " << params.step_ns / kSecondNs << "s limit " << params.limit << "\n";
  if (deleting) out << "  hidden " << deletion.selector << " " << (deletion.start_ns - kBaseNs) / kSecondNs << "s.." << (deletion.end_ns - kBaseNs) / kSecondNs << "s\n";
  out << "  rows\n";
  if (from_environment("SKALD_DIFFERENTIAL_ROWS", 0))
    for (const Row& row : rows) {
      std::string line;
      model::append_go_quoted(line, row.line);
      out << "    " << row.ts_ns - kBaseNs << " " << text_of(row.labels) << " " << text_of(row.metadata) << " " << row.level << " " << line << "\n";
    }
  ADD_FAILURE() << out.str() << "  " << difference;
}

TEST(Differential, EngineAnswersLikeTheNaiveEvaluator) {
  const std::uint64_t pairs = from_environment("SKALD_DIFFERENTIAL_PAIRS", 2000), first = from_environment("SKALD_DIFFERENTIAL_SEED", 1);
  const std::uint64_t failures_max = from_environment("SKALD_DIFFERENTIAL_FAILURES", 5);
  exec::Pool pool("differential", 2);
  Counts counts;
  for (std::uint64_t seed = first; seed < first + pairs && counts.different < failures_max; ++seed) {
    run_pair(seed, pool, counts);
    if (HasFatalFailure()) return;
  }
  std::printf("%llu compared (%llu fail, %llu empty), %llu undefined, %llu different\n", static_cast<unsigned long long>(counts.compared), static_cast<unsigned long long>(counts.failing),
              static_cast<unsigned long long>(counts.empty), static_cast<unsigned long long>(counts.undefined), static_cast<unsigned long long>(counts.different));
  for (const auto& [reason, count] : counts.reasons) std::printf("  undefined %llu: %s\n", static_cast<unsigned long long>(count), reason.c_str());
  // A generator that only makes empty answers would test nothing.
  EXPECT_LT(counts.empty, counts.compared * 3 / 5 + 10);
  EXPECT_LT(counts.undefined, pairs / 4 + 10);
}

}  // namespace
}  // namespace skald::differential
