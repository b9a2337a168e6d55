// Matchers → set of series, the same for every kind of index. A Table offers
//   Result<void> or_value(std::string_view name, std::string_view value, SeriesBitmap&) const
//   Result<void> or_values_if(std::string_view name, Predicate, SeriesBitmap&) const      Predicate: bool(string_view)
// A missing label is the empty value, which no table lists: what accepts "" is found by complement.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "skald/index/postings.h"
#include "skald/model/matcher.h"

namespace skald::index {

template <class Table>
Result<SeriesBitmap> find_positive(const Table& table, std::uint32_t series_count, const model::Matcher& matcher) {
  using model::MatchType;
  SeriesBitmap found(series_count);
  const std::string& name = matcher.name();
  if (matcher.type() == MatchType::kEqual || matcher.type() == MatchType::kNotEqual) {
    if (!matcher.value().empty()) {
      SKALD_TRY_VOID(table.or_value(name, matcher.value(), found));
      return found;
    }
    SKALD_TRY_VOID(table.or_values_if(name, [](std::string_view) { return true; }, found));
    found.invert();
    return found;
  }
  const bool negated = matcher.type() == MatchType::kNotRegex;
  const auto accepts = [&](std::string_view value) { return matcher.matches(value) != negated; };
  if (accepts("")) {
    SKALD_TRY_VOID(table.or_values_if(name, [&](std::string_view value) { return !accepts(value); }, found));
    found.invert();
  } else if (!matcher.literals().empty()) {
    for (const std::string& literal : matcher.literals()) SKALD_TRY_VOID(table.or_value(name, literal, found));
  } else {
    SKALD_TRY_VOID(table.or_values_if(name, accepts, found));
  }
  return found;
}

template <class Table>
Result<SeriesBitmap> match_series(const Table& table, std::uint32_t series_count, std::span<const model::Matcher> matchers) {
  // Direct look-ups first: when they leave nothing, no regex runs over a dictionary.
  const auto cost = [](const model::Matcher& m) {
    const bool is_regex = m.type() == model::MatchType::kRegex || m.type() == model::MatchType::kNotRegex;
    return is_regex && m.literals().empty() ? 2 : m.matches_empty() ? 1 : 0;
  };
  std::vector<const model::Matcher*> order;
  for (const model::Matcher& matcher : matchers) order.push_back(&matcher);
  std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) { return cost(*a) < cost(*b); });

  SeriesBitmap result(series_count, true);
  for (const model::Matcher* matcher : order) {
    SKALD_TRY(const SeriesBitmap found, find_positive(table, series_count, *matcher));
    if (matcher->type() == model::MatchType::kNotEqual || matcher->type() == model::MatchType::kNotRegex) {
      result.and_not(found);
    } else {
      result &= found;
    }
    if (!result.any()) break;
  }
  return result;
}

}  // namespace skald::index
