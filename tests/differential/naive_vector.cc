// Vector aggregations, binary operators and label_replace of the naive evaluator.
#include <algorithm>
#include <cmath>

#include <re2/re2.h>

#include "naive_eval.h"
#include "skald/logql/regex.h"

namespace skald::differential {
namespace {

using logql::BinaryOp;

bool is_comparison(BinaryOp op) {
  return op == BinaryOp::kEqual || op == BinaryOp::kNotEqual || op == BinaryOp::kGreater || op == BinaryOp::kGreaterEqual || op == BinaryOp::kLess || op == BinaryOp::kLessEqual;
}

LabelMap signature(const LabelMap& labels, const logql::VectorMatching& matching) {
  LabelMap out;
  for (const auto& [name, value] : labels) {
    const bool named = std::find(matching.labels.begin(), matching.labels.end(), name) != matching.labels.end();
    if (named != matching.on) continue;
    if (value.empty()) throw Undefined("matching on an empty label");
    out[name] = value;
  }
  return out;
}

// Go's Regexp.Expand: $1, $name, ${name}, $$.
std::string expand(const std::string& text, const re2::RE2& re, const std::vector<re2::StringPiece>& groups) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) { out += text[i]; continue; }
    if (text[i + 1] == '$') { out += '$'; ++i; continue; }
    const bool braces = text[i + 1] == '{';
    std::size_t end = i + 1 + (braces ? 1 : 0);
    std::string name;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) name += text[end++];
    if (name.empty() || (braces && (end == text.size() || text[end] != '}'))) { out += '$'; continue; }
    std::size_t number = groups.size();
    if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); })) number = static_cast<std::size_t>(std::stoul(name));
    else if (auto it = re.NamedCapturingGroups().find(name); it != re.NamedCapturingGroups().end()) number = static_cast<std::size_t>(it->second);
    if (number < groups.size()) out += std::string(groups[number]);
    i = braces ? end : end - 1;
  }
  return out;
}

}  // namespace

double running_mean(const std::vector<double>& values) {
  double mean = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i], n = static_cast<double>(i + 1);
    if (std::isinf(mean)) {
      if (std::isinf(v) && std::signbit(mean) == std::signbit(v)) continue;
      if (!std::isinf(v) && !std::isnan(v)) continue;
    }
    mean += v / n - mean / n;
  }
  return mean;
}

double variance(const std::vector<double>& values) {
  double mean = 0, sum = 0, n = 0;
  for (double v : values) {
    n += 1;
    const double delta = v - mean;
    mean += delta / n;
    sum += delta * (v - mean);
  }
  return sum / n;
}

LabelMap grouped(const LabelMap& labels, const logql::Grouping& grouping) {
  LabelMap out;
  for (const auto& [name, value] : labels) {
    const bool named = std::find(grouping.labels.begin(), grouping.labels.end(), name) != grouping.labels.end();
    if (named != grouping.without) out[name] = value;
  }
  return out;
}

NaiveVector aggregate(const logql::VectorAggregation& a, const NaiveVector& in) {
  using logql::VectorOp;
  if (a.op == VectorOp::kSort || a.op == VectorOp::kSortDesc) return in;
  std::map<LabelMap, NaiveVector> groups;
  for (const NaiveElement& e : in) groups[a.grouping ? grouped(e.labels, *a.grouping) : LabelMap{}].push_back(e);
  NaiveVector out;
  for (auto& [labels, members] : groups) {
    std::vector<double> values;
    for (const NaiveElement& e : members) values.push_back(e.value);
    double value = values[0];
    switch (a.op) {
      case VectorOp::kSum: value = 0; for (double v : values) value += v; break;
      case VectorOp::kAvg: value = running_mean(values); break;
      case VectorOp::kMin: for (double v : values) if (v < value || std::isnan(value)) value = v; break;
      case VectorOp::kMax: for (double v : values) if (v > value || std::isnan(value)) value = v; break;
      case VectorOp::kCount: value = static_cast<double>(values.size()); break;
      case VectorOp::kStdvar: value = variance(values); break;
      case VectorOp::kStddev: value = std::sqrt(variance(values)); break;
      case VectorOp::kTopk:
      case VectorOp::kBottomk:
      case VectorOp::kApproxTopk: {
        const bool largest = a.op != VectorOp::kBottomk;
        const auto before = [&](const NaiveElement& x, const NaiveElement& y) {   // NaN comes last
          if (std::isnan(x.value) || std::isnan(y.value)) return !std::isnan(x.value) && std::isnan(y.value);
          return largest ? x.value > y.value : x.value < y.value;
        };
        std::stable_sort(members.begin(), members.end(), before);
        const auto k = static_cast<std::size_t>(*a.parameter);
        if (k < members.size()) {
          if (!before(members[k - 1], members[k])) throw Undefined("tie at the edge of topk");
          members.resize(k);
        }
        out.insert(out.end(), members.begin(), members.end());
        continue;
      }
      default: break;
    }
    out.push_back({labels, value});
  }
  return out;
}

double scalar_operation(BinaryOp op, double l, double r) {
  switch (op) {
    case BinaryOp::kAdd: return l + r;
    case BinaryOp::kSub: return l - r;
    case BinaryOp::kMul: return l * r;
    case BinaryOp::kDiv: return r == 0 ? NAN : l / r;
    case BinaryOp::kMod: return r == 0 ? NAN : std::fmod(l, r);
    case BinaryOp::kPow: return std::pow(l, r);
    case BinaryOp::kEqual: return l == r;
    case BinaryOp::kNotEqual: return l != r;
    case BinaryOp::kGreater: return l > r;
    case BinaryOp::kGreaterEqual: return l >= r;
    case BinaryOp::kLess: return l < r;
    case BinaryOp::kLessEqual: return l <= r;
    default: throw Undefined("set operator between scalars");
  }
}

NaiveVector with_scalar(const logql::BinaryExpr& e, const NaiveVector& vector, double scalar, bool scalar_left) {
  NaiveVector out;
  for (const NaiveElement& element : vector) {
    const double result = scalar_left ? scalar_operation(e.op, scalar, element.value) : scalar_operation(e.op, element.value, scalar);
    if (is_comparison(e.op) && !e.return_bool) {
      if (result != 0) out.push_back(element);
    } else {
      out.push_back({element.labels, result});
    }
  }
  return out;
}

NaiveVector with_vector(const logql::BinaryExpr& e, const NaiveVector& left, const NaiveVector& right) {
  using Card = logql::VectorMatching::Card;
  const logql::VectorMatching& m = e.matching;
  std::set<LabelMap> left_signatures, right_signatures;
  for (const NaiveElement& x : left) left_signatures.insert(signature(x.labels, m));
  for (const NaiveElement& x : right) right_signatures.insert(signature(x.labels, m));
  NaiveVector out;
  if (e.op == BinaryOp::kAnd || e.op == BinaryOp::kUnless) {
    for (const NaiveElement& x : left)
      if (right_signatures.count(signature(x.labels, m)) == (e.op == BinaryOp::kAnd ? 1U : 0U)) out.push_back(x);
    return out;
  }
  if (e.op == BinaryOp::kOr) {
    out = left;
    for (const NaiveElement& x : right)
      if (!left_signatures.count(signature(x.labels, m))) out.push_back(x);
    return out;
  }
  const bool swapped = m.card == Card::kOneToMany;
  const NaiveVector& many = swapped ? right : left;
  const NaiveVector& one = swapped ? left : right;
  std::map<LabelMap, NaiveElement> ones;
  for (const NaiveElement& x : one)
    if (!ones.emplace(signature(x.labels, m), x).second) throw NaiveError(true, "found duplicate series on the one side");
  std::set<LabelMap> matched;
  std::set<std::pair<LabelMap, LabelMap>> results;
  for (const NaiveElement& x : many) {
    const LabelMap s = signature(x.labels, m);
    auto other = ones.find(s);
    if (other == ones.end()) continue;
    const double l = swapped ? other->second.value : x.value, r = swapped ? x.value : other->second.value;
    double value = scalar_operation(e.op, l, r);
    const bool filter = is_comparison(e.op) && !e.return_bool;
    const bool kept = !filter || value != 0;
    if (filter) value = l;
    LabelMap labels;
    if (m.card == Card::kOneToOne) {
      labels = x.labels;
      if (m.given) labels = grouped(x.labels, logql::Grouping{!m.on, m.labels});
      if (!matched.insert(s).second) throw NaiveError(true, "multiple matches for labels: many-to-one matching must be explicit");
    } else {
      labels = x.labels;
      for (const std::string& name : m.include) {
        auto it = other->second.labels.find(name);
        if (it == other->second.labels.end() || it->second.empty()) labels.erase(name);
        else labels[name] = it->second;
      }
      if (!results.insert({s, labels}).second) throw NaiveError(true, "multiple matches for labels: grouping labels must ensure unique matches");
    }
    if (kept) out.push_back({labels, value});
  }
  return out;
}

NaiveVector replaced(const logql::LabelReplace& e, const NaiveVector& in) {
  auto re = logql::compile_regex("^(?:" + e.regex + ")$");
  if (!re.ok()) throw NaiveError(false, re.error().message());
  NaiveVector out;
  for (NaiveElement element : in) {
    auto it = element.labels.find(e.source);
    const std::string source = it == element.labels.end() ? "" : it->second;
    std::vector<re2::StringPiece> groups(static_cast<std::size_t>((*re)->NumberOfCapturingGroups()) + 1);
    if (!valid_utf8(source)) throw Undefined("regex over bytes that are no UTF-8");
    if ((*re)->Match(source, 0, source.size(), re2::RE2::ANCHOR_BOTH, groups.data(), static_cast<int>(groups.size()))) {
      const std::string value = expand(e.replacement, **re, groups);
      if (value.empty()) element.labels.erase(e.destination);
      else element.labels[e.destination] = value;
    }
    out.push_back(std::move(element));
  }
  return out;
}

}  // namespace skald::differential
