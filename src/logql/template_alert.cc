#include "skald/logql/alert_template.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "logql/template_functions.h"
#include "skald/logql/units.h"
#include "skald/model/time.h"

namespace skald::logql {
namespace {

constexpr std::string_view kDefinitions =
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

class LabelsInput final : public TemplateInput {
 public:
  explicit LabelsInput(const model::Labels& labels) : labels_(labels) {}
  bool label(std::string_view name, std::string_view& value) const override {
    value = labels_.get(name);
    return labels_.has(name);
  }
  std::string_view line() const override { return {}; }
  std::int64_t timestamp_ns() const override { return 0; }
  std::vector<std::string_view> label_names() const override {
    std::vector<std::string_view> names;
    for (const model::Label& label : labels_.pairs()) names.push_back(label.name);
    return names;
  }

 private:
  const model::Labels& labels_;
};

Result<double> number_of(const Value& value) {
  if (value.kind == Kind::kFloat) return value.number;
  if (value.is_integer()) return static_cast<double>(value.integer);
  if (value.is_string()) {
    double number = 0;
    if (parse_go_float(value.text, number) != FloatStatus::kOk)
      return Error(ErrorCode::kInvalidArgument, "strconv.ParseFloat: parsing \"" + std::string(value.text) + "\": invalid syntax");
    return number;
  }
  return Error(ErrorCode::kInvalidArgument, std::string("can't convert ") + type_name(value) + " to float");
}

// %.4g of C and Go agree but for the names of what is no number.
std::string four_digits(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char text[40];
  std::snprintf(text, sizeof text, "%.4g", v);
  return text;
}

bool is_plain(double v) { return v == 0 || std::isnan(v) || std::isinf(v); }

std::string below_one(double v) {
  std::string prefix;
  for (const char* name : {"m", "u", "n", "p", "f", "a", "z", "y"}) {
    if (std::abs(v) >= 1) break;
    prefix = name;
    v *= 1000;
  }
  return four_digits(v) + prefix;
}

FunctionResult fn_humanize(Run& run, Args a) {
  SKALD_TRY(double v, number_of(a[0]));
  if (is_plain(v)) return keep(run, four_digits(v));
  if (std::abs(v) < 1) return keep(run, below_one(v));
  std::string prefix;
  for (const char* name : {"k", "M", "G", "T", "P", "E", "Z", "Y"}) {
    if (std::abs(v) < 1000) break;
    prefix = name;
    v /= 1000;
  }
  return keep(run, four_digits(v) + prefix);
}

FunctionResult fn_humanize1024(Run& run, Args a) {
  SKALD_TRY(double v, number_of(a[0]));
  if (is_plain(v) || std::abs(v) <= 1) return keep(run, four_digits(v));
  std::string prefix;
  for (const char* name : {"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"}) {
    if (std::abs(v) < 1024) break;
    prefix = name;
    v /= 1024;
  }
  return keep(run, four_digits(v) + prefix);
}

FunctionResult fn_humanize_duration(Run& run, Args a) {
  SKALD_TRY(double v, number_of(a[0]));
  if (std::isnan(v) || std::isinf(v)) return keep(run, four_digits(v));
  if (v == 0) return keep(run, "0s");
  if (std::abs(v) < 1) return keep(run, below_one(v) + "s");
  const std::string sign = v < 0 ? "-" : "";
  v = std::abs(v);
  if (v >= 9e18) return keep(run, sign + four_digits(v) + "s");
  const auto whole = static_cast<std::int64_t>(v);
  const std::int64_t seconds = whole % 60, minutes = whole / 60 % 60, hours = whole / 3600 % 24, days = whole / 86'400;
  const auto part = [](std::int64_t n, const char* unit) { return std::to_string(n) + unit; };
  if (days != 0) return keep(run, sign + part(days, "d ") + part(hours, "h ") + part(minutes, "m ") + part(seconds, "s"));
  if (hours != 0) return keep(run, sign + part(hours, "h ") + part(minutes, "m ") + part(seconds, "s"));
  if (minutes != 0) return keep(run, sign + part(minutes, "m ") + part(seconds, "s"));
  return keep(run, sign + four_digits(v) + "s");
}

FunctionResult fn_humanize_percentage(Run& run, Args a) {
  SKALD_TRY(const double v, number_of(a[0]));
  return keep(run, four_digits(v * 100) + "%");
}

FunctionResult fn_humanize_timestamp(Run& run, Args a) {
  SKALD_TRY(const double v, number_of(a[0]));
  if (std::isnan(v) || std::isinf(v)) return keep(run, four_digits(v));
  if (std::abs(v) > 9.2e9) return function_error("timestamp " + four_digits(v) + " cannot be represented");
  const auto ms = static_cast<std::int64_t>(std::llround(v * 1000));
  const std::int64_t rest_ms = ((ms % 1000) + 1000) % 1000;
  const std::time_t seconds = (ms - rest_ms) / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::string out = text;
  if (rest_ms != 0) {
    std::snprintf(text, sizeof text, ".%03d", static_cast<int>(rest_ms));
    out += text;
    while (out.back() == '0') out.pop_back();
  }
  return keep(run, out + " +0000 UTC");
}

FunctionResult fn_parse_duration(Run&, Args a) {
  const auto parsed = model::parse_prom_duration(a[0].text);
  if (!parsed) return function_error("not a valid duration string: \"" + std::string(a[0].text) + "\"");
  return Value::of(static_cast<double>(*parsed) / 1e9);
}

FunctionResult fn_now(Run& run, Args) { return Value::of(static_cast<double>(run.alert->now_ns) / 1e9); }

FunctionResult fn_external_url(Run& run, Args) { return Value::of(run.alert->external_url); }

FunctionResult fn_path_prefix(Run& run, Args) {
  const std::string_view url = run.alert->external_url;
  const std::size_t scheme = url.find("://");
  const std::size_t slash = url.find('/', scheme == std::string_view::npos ? 0 : scheme + 3);
  if (slash == std::string_view::npos) return Value::of(std::string_view());
  const std::size_t end = url.find_first_of("?#", slash);
  return Value::of(url.substr(slash, end == std::string_view::npos ? end : end - slash));
}

std::string link_to(std::string_view expression, bool table) {
  return "/graph?g0.expr=" + url_encode(expression) + (table ? "&g0.tab=1" : "&g0.tab=0");
}
FunctionResult fn_table_link(Run& run, Args a) { return keep(run, link_to(a[0].text, true)); }
FunctionResult fn_graph_link(Run& run, Args a) { return keep(run, link_to(a[0].text, false)); }

// What is before the port: host:1, [::1]:1. Not taken apart when there is none.
bool split_port(std::string_view text, std::string_view& host, std::string_view& port) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  host = text.substr(0, colon);
  port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  else if (host.find_first_of(":[]") != std::string_view::npos) return false;
  return true;
}

FunctionResult fn_strip_port(Run&, Args a) {
  std::string_view host = a[0].text, port;
  if (!split_port(a[0].text, host, port)) host = a[0].text;
  return Value::of(host);
}

FunctionResult fn_strip_domain(Run& run, Args a) {
  std::string_view host, port;
  const bool with_port = split_port(a[0].text, host, port);
  const std::string name(with_port ? host : a[0].text);
  in6_addr address;
  if (inet_pton(AF_INET, name.c_str(), &address) == 1 || inet_pton(AF_INET6, name.c_str(), &address) == 1) return a[0];
  std::string out = name.substr(0, name.find('.'));
  if (with_port) out += ":" + std::string(port);
  return keep(run, out);
}

FunctionResult fn_re_replace_all(Run& run, Args a) {
  const Value arguments[] = {a[0], a[2], a[1]};   // pattern, text, replacement there
  return find_function("regexReplaceAll")->call(run, Args(arguments, 3));
}

FunctionResult fn_match(Run& run, Args a) {
  const Value arguments[] = {a[0], a[1]};
  SKALD_TRY(const Value count, find_function("count")->call(run, Args(arguments, 2)));
  return Value::of(count.integer > 0);
}

FunctionResult fn_same(Run&, Args a) { return a[0]; }

FunctionResult fn_args(Run& run, Args a) {
  static constexpr const char* kNames[] = {"arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "arg7", "arg8", "arg9"};
  if (a.size() > std::size(kNames)) return function_error("more than 10 arguments");
  ValueMap& map = run.arena.map();
  for (std::size_t i = 0; i < a.size(); ++i) map.emplace_back(kNames[i], a[i]);
  return Value::of(&map);
}

constexpr Function kAlertFunctions[] = {
    {"humanize", "a", 0, fn_humanize}, {"humanize1024", "a", 0, fn_humanize1024}, {"humanizeDuration", "a", 0, fn_humanize_duration},
    {"humanizePercentage", "a", 0, fn_humanize_percentage}, {"humanizeTimestamp", "a", 0, fn_humanize_timestamp},
    {"parseDuration", "s", 0, fn_parse_duration}, {"now", "", 0, fn_now}, {"externalURL", "", 0, fn_external_url},
    {"pathPrefix", "", 0, fn_path_prefix}, {"tableLink", "s", 0, fn_table_link}, {"graphLink", "s", 0, fn_graph_link},
    {"stripPort", "s", 0, fn_strip_port}, {"stripDomain", "s", 0, fn_strip_domain}, {"reReplaceAll", "sss", 0, fn_re_replace_all},
    {"match", "ss", 0, fn_match}, {"safeHtml", "s", 0, fn_same}, {"args", "", 'a', fn_args},
};

struct Renamed {
  std::string_view name, of;
};
constexpr Renamed kRenamed[] = {{"toUpper", "upper"}, {"toLower", "lower"}, {"title", "title"}};
constexpr std::string_view kOfTheLanguage[] = {"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print",
                                               "println", "printf", "html", "js", "urlquery", "call"};

const Function* find_alert_function(std::string_view name) {
  for (const Function& function : kAlertFunctions)
    if (function.name == name) return &function;
  for (const Renamed& renamed : kRenamed)
    if (renamed.name == name) return find_function(renamed.of);
  for (const std::string_view known : kOfTheLanguage)
    if (known == name) return find_function(name);
  return nullptr;
}

Result<void> compile(std::string_view name, std::string_view text, Template::Program& program) {
  program.find = find_alert_function;
  const std::string full = "__alert_" + std::string(name);
  const Result<void> compiled = compile_template(full, std::string(kDefinitions) + std::string(text), program);
  if (!compiled.ok()) return compiled.error().with_prefix("error parsing template " + full);
  return {};
}

}  // namespace

Result<void> check_alert_template(std::string_view name, std::string_view text) {
  Template::Program program;
  return compile(name, text, program);
}

Result<std::string> expand_alert_template(std::string_view name, std::string_view text, const AlertTemplateData& data) {
  if (text.find("{{") == std::string_view::npos) return std::string(text);
  Template::Program program;
  SKALD_TRY_VOID(compile(name, text, program));
  const LabelsInput labels(data.labels), external(data.external_labels);
  const ValueMap fields = {{"ExternalLabels", Value::of(&external)}, {"ExternalURL", Value::of(data.external_url)},
                           {"Labels", Value::of(&labels)}, {"Value", Value::of(data.value)}};
  std::string out;
  const Result<void> ran = run_template(program, data, Value::of(&fields), out);
  if (!ran.ok()) return ran.error().with_prefix("error executing template __alert_" + std::string(name));
  return out;
}

}  // namespace skald::logql
