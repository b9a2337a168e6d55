// Whole queries over rows, the naive way (naive_row.h).
#pragma once

#include <set>

#include "naive_row.h"
#include "skald/engine/engine.h"

namespace skald::differential {

struct NaiveEntry {
  std::int64_t ts_ns = 0;
  std::string line;
  std::size_t stream = 0;      // where it came from
  LabelMap labels;
  LabelMap categories;         // label → s, m or p
};
struct NaiveElement {
  LabelMap labels;
  double value = 0;
};
struct NaiveAnswer {
  bool log = false;
  std::vector<NaiveEntry> entries;       // in query order, limit and interval applied
  std::size_t cut_ties = 0;              // this many entries at the end are any of `tied`
  std::vector<NaiveEntry> tied;
  bool scalar = false;
  std::map<std::int64_t, std::vector<NaiveElement>> points;  // by milliseconds
};

// Whether a delete request hides the row.
bool hidden_by(const logql::LogSelector& selector, std::int64_t start_ns, std::int64_t end_ns, const Row& row);

// `rows` of one stream are in order of arrival. Throws NaiveError and Undefined.
NaiveAnswer evaluate(const logql::Query& query, const std::vector<Row>& rows, const engine::QueryParams& params);

// naive_vector.cc
using NaiveVector = std::vector<NaiveElement>;
NaiveVector aggregate(const logql::VectorAggregation& aggregation, const NaiveVector& in);
double scalar_operation(logql::BinaryOp op, double left, double right);
NaiveVector with_scalar(const logql::BinaryExpr& e, const NaiveVector& vector, double scalar, bool scalar_left);
NaiveVector with_vector(const logql::BinaryExpr& e, const NaiveVector& left, const NaiveVector& right);
NaiveVector replaced(const logql::LabelReplace& e, const NaiveVector& in);
double running_mean(const std::vector<double>& values);
double variance(const std::vector<double>& values);
LabelMap grouped(const LabelMap& labels, const logql::Grouping& grouping);

}  // namespace skald::differential
