#include <cctype>

#include "generator.h"

namespace skald::differential {

std::string Generator::name() {
  return pick({"level", "status", "n", "dur", "size", "user", "ip", "msg", "path", "method", "app", "env", "trace", "z", "req_user", "req_n", "extra_key", "_9lives",
               "detected_level", "app_extracted", "user_extracted", "level_extracted", "nope", "a", "b", "c", "first"});
}
std::string Generator::number_name() { return pick({"n", "n", "n", "n", "n", "n", "status", "status", "dur", "size", "user", "c", "req_n", "nope", "n_extracted"}); }

std::string Generator::selector() {
  return pick({"{app=\"web\"}", "{app=~\".+\"}", "{app=~\".+\"}", "{app=~\".+\"}", "{app=~\".+\"}", "{app=~\".+\"}", "{app=~\"web|db\"}", "{app=\"db\", env!=\"dev\"}", "{app=~\".+\", env=\"prod\"}", "{app=~\".+\", env!~\"p.*\"}", "{app=\"db\", level=\"\"}",
               "{app!=\"x\", env=~\"d.v|prod\"}", "{app=~\"w.*|db\"}", "{app=~\".*b\"}", "{app=~\"(web|job)\", env!=\"x\"}", "{app=~\"[wd].+\", level!~\"w.+\"}", "{app=~\".+\", job=~\".*\"}", "{job=~\"x|y\"}"});
}

std::string Generator::line_filter() {
  std::string out;
  switch (below(7)) {
    case 6: return pick({"|= ", "!= "}) + pick({"`zzz`", "`a`", "`e`"}) + " or `n`";
    case 0: out = pick({"|~ ", "!~ "}) + pick({"`(?i)error|FAILED`", "`[45]\\d\\d`", "`^\\{`", "`n.?=.?1`", "`\"level\":\"(info|warn)\"`", "`fo+ b`", "`after \\d+s$`", "\"\"", "`foo|bar`", "`.*foo.*`", "`^GET`", "`GET|POST|ERROR`",
                                              "`(?i)err.*5`", "`a.*b|c`", "`(a|i)n`", "`\\bfoo\\b`", "`\"[^\"]+\":`", "`.+`", "`.*`", "`error.*`", "`.*error`", "`(?:GET|POST) /`", "`caf.`", "`\xE6\x97\xA5`", "`^$`",
                                              "`x*`", "`^.ser`", "`[[:digit:]]{3}`", "`(?s)a.b`", "`\\.0\\.`", "`(?i)Get /API`", "`(user|level)=(ann|info)`", "`n=-?[0-9]+\\.5`", "`time(out|r)`", "`\\{\"`", "`e{2}|o{2}`",
                                              "`^(?:level=)?info`", "`fail(ed)?$`"}); break;
    case 1: out = pick({"|> ", "!> "}) + pick({"`<_>error<_>`", "`GET <_>`", "`<_> bar`", "`{<_>}`", "`<_>`", "`<_>=<_> <_>`", "`foo bar`", "`<_> after <_>`"}); break;
    case 2: out = pick({"|= ", "!= "}) + "ip(\"" + pick({"10.0.0.0/8", "10.0.0.5", "192.168.1.0-192.168.1.20", "::1", "2001:db8::/32"}) + "\")"; break;
    default: out = pick({"|= ", "|= ", "!= "}) + pick({"`error`", "`info`", "`\"n\"`", "`n=`", "`a`", "`GET`", "`5`", "`{`", "\"\"", "`\\`", "\"caf\xC3\xA9\"", "`ERROR`", "`user ann logged in`", "`\"status\":\"500\"`", "`timeout after 5s`", "`,\"trace\":\"t`", "`level=info GET /api failed code=500`", "` `", "`=\"`", "\"\\x1b\""});
  }
  if (one_in(5)) out += " or " + pick({"`warn`", "`404`", "`bar`"});
  return out;
}

std::string Generator::comparison() {
  switch (below(7)) {
    case 0: case 1: return name() + pick({"=", "!=", "!="}) + pick({"`info`", "`error`", "\"\"", "`ann`", "`web`", "`t1`", "`200`", "`GET`", "`v`"});
    case 2: return name() + pick({"=~", "!~"}) + pick({"`info|warn`", "`.+`", "`.*`", "``", "`.*o.*`", "`(?i)ERR.+`", "`[45]..`", "`ann|bob|root`", "`w(eb)?`", "`.`", "`t1|t2|`", "`[0-9]+`", "`t.`", "`(?i)GET|x`", "`a.*`"});
    case 3: return number_name() + " " + pick({">", ">=", "<", "<=", "==", "!=", "="}) + " " + pick({"2", "0", "-1", "3.5", "200", "1e2", "404"});
    case 4: return pick({"dur", "dur", "n", "nope"}) + pick({">", ">=", "<", "==", "!="}) + pick({"1s", "250ms", "1m30s", "0s", "1.5s"});
    case 5: return pick({"size", "size", "n"}) + pick({">", "<=", "==", "!="}) + pick({"1KB", "10kB", "1KiB", "512B", "1MB"});
    default:
      if (one_in(2)) return pick({"ip", "ip", "user"}) + pick({"=", "!="}) + "ip(\"" + pick({"10.0.0.0/8", "192.168.1.7", "::1", "10.0.0.1-10.0.0.9"}) + "\")";
      return "__error__" + pick({"=\"\"", "!=\"\"", "=\"JSONParserErr\"", "=~\".+Err\"", "!=\"LabelFilterErr\""});
  }
}

std::string Generator::label_filter(int depth) {
  if (depth == 0 || !one_in(3)) return comparison();
  if (one_in(3)) return "(" + label_filter(depth - 1) + ")";
  return label_filter(depth - 1) + pick({" and ", " or ", " or ", ", ", " "}) + label_filter(depth - 1);
}

std::string Generator::template_text() {
  return pick({"`{{.user}} {{.n}}`", "`{{.msg}}`", "`{{ .level | ToUpper }}:{{ .status }}`", "`{{ __line__ }}!`", "`n={{.n}} user=\"{{.user}}\"`", "`{\"n\":{{.n | default \"1\"}},\"z\":\"{{.app}}\"}`", "``", "`const`",
               "`{{ add .n 1 }}`", "`{{ div 10 (int .n) }}`", "`{{ if eq .level \"error\" }}bad{{ else }}{{ .app }}{{ end }}`", "`{{ .size | bytes }}`", "`{{ __timestamp__ | unixEpoch }}`", "`{{ trunc 3 .msg }}`", "`{{ .nope }}x`",
               "`{{ range $k, $v := . }}{{ $k }};{{ end }}`", "`{{.ip}} {{.user}} \"{{.method}} {{.path}}\" 200 3`"});
}

std::string Generator::parser() {
  switch (below(9)) {
    case 0: case 1: return "| json";
    case 2: return "| json " + pick({"n", "a=\"n\"", "a=\"req.user\", b=\"msg\"", "app", "app=\"user\", level", "c=\"[0]\"", "b=\"req\"", "c=\"tags[1]\", n", "a=`[\"k v\"]`"});
    case 3: case 4: return "| logfmt" + pick({"", "", "", " --strict", " --keep-empty", " --strict --keep-empty"});
    case 5: return "| logfmt " + pick({"n", "a=\"n\"", "user, b=\"level\"", "app", "app=\"user\", level", "--strict a=\"msg\"", "--keep-empty c=\"status\", z"});
    case 6: return "| regexp " + pick({"`(?P<ip>\\S+) (?P<user>\\S+)`", "`n.?[=:].?(?P<n>[0-9.]+)`", "`(?P<method>GET|POST)(?: (?P<path>/\\S*))?`", "`(?P<app>\\w+)$`", "`^(?P<first>[^ ]*)`"});
    case 7: return "| pattern " + pick({"`<ip> <user> \"<method> <path>\" <status> <n>`", "`<first> <_>`", "`<_>=<a> <b>`", "`{<c>}`", "`level=<level> <_>`", "`<a>\"<b>`"});
    default: return "| unpack";
  }
}

std::string Generator::stage() {
  switch (below(15)) {
    case 0: case 1: case 2: return parser();
    case 3: case 4: case 5: return "| " + label_filter(2);
    case 6: return parser();
    case 7: return "| line_format " + template_text();
    case 8: return "| label_format " + pick({"a=user", "app=level", "z=n,n=z", "b=`{{.user}}-{{.n}}`", "level=`{{.level | ToUpper}}`", "a=n, b=`{{.a}}`", "a=`new`, b=`{{.a}}`", "z=``", "trace=`fixed`", "c=`{{ div 10 (int .n) }}`", "n=`{{ add .n 1 }}`",
                                             "first=app,z=`{{.app}}`", "c=`{{ __line__ | len }}`"});
    case 9: return "| drop " + pick({"level", "app", "trace, user", "n=~\"[0-9]\"", "level=\"info\", z", "__error__, __error_details__", "env, nope=\"\"", "__error__=\"JSONParserErr\", __error_details__", "msg!=\"\"", "detected_level"});
    case 10: return "| keep " + pick({"level, app", "n, user", "app=\"web\", level", "trace=~\"t.\", status, n", "nope", "size, dur, n, status, user"});
    case 11: return "| decolorize";
    default: return line_filter();
  }
}

std::string Generator::pipeline(std::size_t stages_max, bool wants_parser) {
  std::string out;
  if (wants_parser && !one_in(6)) out += " " + parser();
  for (std::size_t i = below(stages_max + 1); i > 0; --i) {
    std::string next = stage();
    // Behind a bare name of drop or keep, != and !~ would be read as its matcher.
    if (next[0] == '!' && !out.empty() && (std::isalnum(static_cast<unsigned char>(out.back())) || out.back() == '_')) next = "|= `a`";
    out += " " + next;
  }
  return out;
}

std::string Generator::grouping(bool may_be_empty) {
  if (may_be_empty && one_in(2)) return "";
  std::string out = pick({"by (", "by (", "without ("});
  for (std::size_t i = below(4); i > 0; --i) out += name() + (i > 1 ? ", " : "");
  if (one_in(15) && out.back() != '(') out += ", __error__";
  return out + ")";
}

std::string Generator::log_range(bool unwrapped) {
  std::string range = "[" + pick({"30s", "1m", "2m", "5m", "10m", "10m", "1m30s", "500ms", "7s", "1h"}) + "]";
  if (one_in(6)) range += " offset " + pick({"30s", "1m", "-30s", "1.5m"});
  std::string stages = pipeline(unwrapped ? 1 : 2, unwrapped || one_in(2));
  if (unwrapped) {
    stages += " | unwrap " + pick({"", "", "conv"}).substr(0, 0);
    stages += one_in(3) ? pick({"duration(dur)", "duration_seconds(dur)", "bytes(size)", "duration(n)", "bytes(n)"}) : number_name();
    if (one_in(3)) stages += " | __error__=\"\"";
    if (one_in(6)) stages += " | " + label_filter(1);
  } else if (one_in(4)) {
    stages += " | __error__=\"\"";
  }
  switch (below(3)) {
    case 0: return selector() + range + stages;
    case 1: return "(" + selector() + stages + ")" + range;
    default: return selector() + stages + " " + range;
  }
}

std::string Generator::range_aggregation() {
  switch (below(10)) {
    case 0: return "rate(" + log_range(one_in(3)) + ")";
    case 1: return pick({"bytes_rate(", "bytes_over_time("}) + log_range(false) + ")";
    case 2: return "absent_over_time(" + log_range(one_in(3)) + ")";
    case 3: return pick({"sum_over_time(", "rate_counter("}) + log_range(true) + ")";
    case 4: return "quantile_over_time(" + pick({"0.5", "0.99", "0", "1", "0.25", "1.5"}) + ", " + log_range(true) + ") " + grouping(true);
    case 5: case 6: case 7:
      return pick({"avg_over_time(", "min_over_time(", "max_over_time(", "first_over_time(", "last_over_time(", "stddev_over_time(", "stdvar_over_time("}) + log_range(true) + ") " + grouping(true);
    default: return "count_over_time(" + log_range(false) + ")";
  }
}

std::string Generator::vector_expression(int depth) {
  if (depth <= 0) return range_aggregation();
  switch (below(8)) {
    case 0: return "topk " + grouping(true) + " (" + pick({"1", "2", "3"}) + ", " + vector_expression(depth - 1) + ")";
    case 1: return "bottomk " + grouping(true) + " (" + pick({"1", "2"}) + ", " + vector_expression(depth - 1) + ")";
    case 2: return pick({"avg ", "min ", "max ", "count ", "stddev ", "stdvar "}) + grouping(true) + " (" + vector_expression(depth - 1) + ")";
    case 3: return pick({"sort(", "sort_desc("}) + vector_expression(depth - 1) + ")";
    case 4: return "label_replace(" + vector_expression(depth - 1) + ", \"" + name() + "\", \"" + pick({"$1", "x-${1}", "", "const", "$1$1"}) + "\", \"" + name() + "\", \"" + pick({"(.*)", "(w.*)|(d).*", "([a-z]+).*", "nomatch", "(.)(.*)"}) + "\")";
    case 5: return "vector(" + pick({"0", "1", "2.5"}) + ")";
    default: return "sum " + grouping(true) + " (" + vector_expression(depth - 1) + ")";
  }
}

std::string Generator::matching() {
  if (one_in(2)) return "";
  std::string out = pick({"on (", "ignoring ("});
  for (std::size_t i = below(3); i > 0; --i) out += name() + (i > 1 ? ", " : "");
  out += ") ";
  if (one_in(3)) out += pick({"group_left (", "group_right ("}) + (one_in(2) ? name() : "") + ") ";
  return out;
}

std::string Generator::metric(int depth) {
  if (depth <= 0) return vector_expression(static_cast<int>(below(3)));
  switch (below(8)) {
    case 0: return metric(depth - 1) + pick({" + ", " - ", " * ", " / ", " % ", " ^ ", " > ", " <= ", " == ", " != ", " > bool ", " == bool "}) + matching() + metric(depth - 1);
    case 1: {
      std::string m = matching();
      if (const std::size_t group = m.find("group_"); group != std::string::npos) m.resize(group);
      return vector_expression(1) + pick({" and ", " or ", " unless "}) + m + vector_expression(1);
    }
    case 2: return vector_expression(1) + pick({" + ", " * ", " / ", " % ", " > ", " < bool ", " != ", " ^ ", " >= bool "}) + pick({"2", "0", "0.5", "-1", "10"});
    case 3: return pick({"2", "0", "0.5", "-1"}) + pick({" + ", " - ", " / ", " > ", " < bool ", " % "}) + vector_expression(1);
    case 4: {
      // The same kind of sum on both sides, so that elements do meet.
      const std::string group = grouping(false);
      return "sum " + group + " (" + range_aggregation() + ")" + pick({" / ", " - ", " > ", " and ", " or ", " unless ", " * "}) + "sum " + group + " (" + range_aggregation() + ")";
    }
    default: return vector_expression(static_cast<int>(below(4)));
  }
}

Generator::Deletion Generator::deletion() {
  if (!one_in(15)) return {};
  Deletion d{selector() + pipeline(2, one_in(3)), kBaseNs + static_cast<std::int64_t>(below(300)) * kSecondNs, 0};
  d.end_ns = d.start_ns + static_cast<std::int64_t>(below(400)) * kSecondNs;
  return d;
}

std::string Generator::query() {
  if (!one_in(100) && one_in(2)) return selector() + pipeline(4, one_in(2));
  if (one_in(60)) return pick({"1 + 2 * 3", "2 ^ 3 ^ 2", "7 % 4", "1 > 2", "-2 ^ 2", "vector(3) + 1", "10 - 2 - 3", "4 / 2"});
  return metric(static_cast<int>(below(3)));
}

}  // namespace skald::differential
