// Asks an index everything it can be asked. Answers do not matter; errors are fine, crashes and sanitizer reports are not.
#pragma once

#include "skald/index/day_index.h"
#include "skald/index/verify.h"

namespace skald::index::testing {

// True when every question was answered.
inline bool walk(const DayIndexReader& reader) {
  const TimeRange always{.start_ns = INT64_MIN, .end_ns = INT64_MAX};
  bool complete = true;
  std::vector<model::Matcher> matchers;
  for (const auto& [type, name, value] : {std::tuple{model::MatchType::kEqual, "app", "ap-1"}, std::tuple{model::MatchType::kNotEqual, "env", ""},
                                          std::tuple{model::MatchType::kRegex, "pod", "po-1.*"}, std::tuple{model::MatchType::kNotRegex, "pod", "po-2|po-3"}}) {
    const auto matcher = model::Matcher::make(type, name, value);
    complete &= matcher.ok() && reader.match(std::vector{*matcher}).ok();
  }
  auto all = reader.match({});
  if (!all.ok()) return false;
  std::vector<StreamChunkRefs> streams;
  complete &= reader.append_chunk_refs(*all, always, WithSketches::kYes, streams).ok();
  std::vector<model::LabelsPtr> series;
  complete &= reader.append_series(*all, always, series).ok();
  std::vector<std::string> texts;
  complete &= reader.append_label_names(*all, texts).ok();
  SeriesBitmap one(all->size());
  if (one.size() != 0) one.set(one.size() / 2);
  for (const char* name : {"app", "pod", "env"}) {
    complete &= reader.append_label_values(name, *all, texts).ok();
    complete &= reader.append_label_values(name, one, texts).ok();
  }
  complete &= reader.restrict_to({.start_ns = 0, .end_ns = 1}, *all).ok();
  return complete & verify_day_index(reader).empty();
}

}  // namespace skald::index::testing
