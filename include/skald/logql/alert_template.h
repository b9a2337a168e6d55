// Templates in the labels and annotations of alerting rules: the same language as template.h with the data and functions of
// Prometheus' alert templates: $labels, $value, $externalLabels, $externalURL, humanize, reReplaceAll and so on. Functions
// that query (query, first, label, value …) are not there: a template is expanded from one result alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/base/result.h"
#include "skald/model/labels.h"

namespace skald::logql {

// Everything outlives the expansion.
struct AlertTemplateData {
  const model::Labels& labels;
  const model::Labels& external_labels;
  double value = 0;
  std::string_view external_url;
  std::int64_t now_ns = 0;   // of the evaluation; the function `now`
};

// `name` appears in messages, "__alert_NAME". kInvalidArgument: `error parsing template __alert_x: template: …` or
// `error executing template __alert_x: template: …`.
Result<std::string> expand_alert_template(std::string_view name, std::string_view text, const AlertTemplateData& data);
// Whether it parses; for rules as they are stored.
Result<void> check_alert_template(std::string_view name, std::string_view text);

}  // namespace skald::logql
