#include "engine/eval_replace.h"

#include <re2/re2.h>

#include <algorithm>

namespace skald::engine {

namespace {

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

// RE2 of 2022 knows (?P<name>…) only.
std::string with_python_names(std::string_view regex) {
  std::string out;
  for (std::size_t i = 0; i < regex.size(); ++i) {
    if (regex[i] == '\\' && i + 1 < regex.size()) {
      out += regex[i];
      out += regex[++i];
    } else if (regex.compare(i, 3, "(?<") == 0 && i + 3 < regex.size() && regex[i + 3] != '=' && regex[i + 3] != '!') {
      out += "(?P<";
      i += 2;
    } else {
      out += regex[i];
    }
  }
  return out;
}

}  // namespace

void expand_template(std::string_view text, const std::vector<std::string_view>& groups,
                     const std::map<std::string, int>& names, std::string& out) {
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      out += text[i++];
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == '$') {
      out += '$';
      i += 2;
      continue;
    }
    const bool braced = i + 1 < text.size() && text[i + 1] == '{';
    const std::size_t begin = i + (braced ? 2 : 1);
    std::size_t end = begin;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end == begin || (braced && (end == text.size() || text[end] != '}'))) {   // malformed: the dollar stands for itself
      out += '$';
      ++i;
      continue;
    }
    const std::string_view name = text.substr(begin, end - begin);
    i = end + (braced ? 1 : 0);
    int index = -1;
    if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }) && name.size() < 9 &&
        !(name.size() > 1 && name[0] == '0')) {
      index = std::stoi(std::string(name));
    } else if (const auto it = names.find(std::string(name)); it != names.end()) {
      index = it->second;
    }
    if (index >= 0 && static_cast<std::size_t>(index) < groups.size()) out += groups[static_cast<std::size_t>(index)];
  }
}

Result<Value> evaluate_label_replace(Evaluation& evaluation, const logql::LabelReplace& expression) {
  SKALD_TRY(Value value, evaluate_operand(evaluation, *expression.inner, true));
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  const re2::RE2 regex("^(?:" + with_python_names(expression.regex) + ")$", options);
  if (!regex.ok())
    return Error(ErrorCode::kInvalidArgument, "parse error : invalid regex in label_replace: " + regex.error());
  const int group_count = regex.NumberOfCapturingGroups() + 1;
  const auto& names = regex.NamedCapturingGroups();
  std::vector<re2::StringPiece> pieces(static_cast<std::size_t>(group_count));
  std::vector<std::string_view> groups(static_cast<std::size_t>(group_count));
  for (StepSeries& series : value.series) {
    const std::string source(series.labels.get(expression.source));
    if (!regex.Match(source, 0, source.size(), re2::RE2::ANCHOR_BOTH, pieces.data(), group_count)) continue;
    for (std::size_t g = 0; g < pieces.size(); ++g) groups[g] = {pieces[g].data() ? pieces[g].data() : "", pieces[g].size()};
    std::string replacement;
    expand_template(expression.replacement, groups, names, replacement);
    std::vector<model::Label> pairs = series.labels.pairs();
    std::erase_if(pairs, [&](const model::Label& label) { return label.name == expression.destination; });
    if (!replacement.empty()) pairs.push_back({expression.destination, std::move(replacement)});
    series.labels = model::Labels::from_pairs_with_empty(std::move(pairs));
  }
  if (!value.ordered)
    std::stable_sort(value.series.begin(), value.series.end(), [](const StepSeries& a, const StepSeries& b) { return a.labels < b.labels; });
  return value;
}

}  // namespace skald::engine
