#include "skald/logql/alert_template.h"

#include <gtest/gtest.h>

namespace skald::logql {
namespace {

const model::Labels kLabels = model::Labels::from_pairs({{"app", "web"}, {"instance", "db-1.example.org:9100"}});
const model::Labels kExternal = model::Labels::from_pairs({{"cluster", "eu"}});

std::string expand(const std::string& text, double value = 0) {
  const auto out = expand_alert_template("X", text, {kLabels, kExternal, value, "https://g.example/sub/", 1'700'000'000'500'000'000});
  return out.ok() ? *out : "ERROR " + out.error().message();
}

TEST(AlertTemplate, KnowsTheAlert) {
  EXPECT_EQ(expand("plain }} text"), "plain }} text");
  EXPECT_EQ(expand("{{ $labels.app }}/{{ .Labels.app }}/{{ index $labels \"app\" }}"), "web/web/web");
  EXPECT_EQ(expand("[{{ $labels.missing }}]"), "[]");
  EXPECT_EQ(expand("{{ $value }} {{ .Value }} {{ printf \"%.2f\" $value }}", 1.5), "1.5 1.5 1.50");
  EXPECT_EQ(expand("{{ $externalLabels.cluster }} {{ $externalURL }} {{ externalURL }} {{ pathPrefix }}"), "eu https://g.example/sub/ https://g.example/sub/ /sub/");
  EXPECT_EQ(expand("{{ range $name, $v := $labels }}{{ $name }}={{ $v }};{{ end }}"), "app=web;instance=db-1.example.org:9100;");
  EXPECT_EQ(expand("{{ if gt $value 1.0 }}high{{ else }}low{{ end }}", 2), "high");
}

TEST(AlertTemplate, Humanizes) {
  EXPECT_EQ(expand("{{ humanize $value }}", 0), "0");
  EXPECT_EQ(expand("{{ humanize $value }}", 1234567), "1.235M");
  EXPECT_EQ(expand("{{ humanize $value }}", -0.00012), "-120u");
  EXPECT_EQ(expand("{{ humanize \"0.1\" }}"), "100m");
  EXPECT_EQ(expand("{{ humanize1024 $value }}", 1048576), "1Mi");
  EXPECT_EQ(expand("{{ humanize1024 $value }}", 0.5), "0.5");
  EXPECT_EQ(expand("{{ humanizeDuration $value }}", 0), "0s");
  EXPECT_EQ(expand("{{ humanizeDuration $value }}", 60), "1m 0s");
  EXPECT_EQ(expand("{{ humanizeDuration $value }}", 3661), "1h 1m 1s");
  EXPECT_EQ(expand("{{ humanizeDuration $value }}", 86400 * 2 + 5), "2d 0h 0m 5s");
  EXPECT_EQ(expand("{{ humanizeDuration $value }}", -59.5), "-59.5s");
  EXPECT_EQ(expand("{{ humanizeDuration $value }}", 0.0015), "1.5ms");
  EXPECT_EQ(expand("{{ humanizePercentage $value }}", 0.1234567), "12.35%");
  EXPECT_EQ(expand("{{ humanizeTimestamp $value }}", 1435065584.128), "2015-06-23 13:19:44.128 +0000 UTC");
  EXPECT_EQ(expand("{{ humanize $value }}", 1.0 / 0.0), "+Inf");
  EXPECT_EQ(expand("{{ parseDuration \"1h30m\" }}"), "5400");
  EXPECT_EQ(expand("{{ now }}"), "1.7000000005e+09");
}

TEST(AlertTemplate, WorksOnTexts) {
  EXPECT_EQ(expand("{{ reReplaceAll \"(w)eb\" \"$1-x\" $labels.app }}"), "w-x");
  EXPECT_EQ(expand("{{ if match \"^w.b$\" $labels.app }}yes{{ end }}"), "yes");
  EXPECT_EQ(expand("{{ if match \"^x\" $labels.app }}yes{{ end }}"), "");
  EXPECT_EQ(expand("{{ toUpper $labels.app }} {{ \"AbC\" | toLower }} {{ title \"aa bb\" }}"), "WEB abc Aa Bb");
  EXPECT_EQ(expand("{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }} {{ stripDomain \"10.0.0.1:80\" }}"), "db-1.example.org db-1:9100 10.0.0.1:80");
  EXPECT_EQ(expand("{{ graphLink \"a b\" }} {{ tableLink \"x\" }}"), "/graph?g0.expr=a+b&g0.tab=0 /graph?g0.expr=x&g0.tab=1");
  EXPECT_EQ(expand("{{ define \"t\" }}<{{ .arg0 }} {{ .arg1 }}>{{ end }}{{ template \"t\" (args 1 $labels.app) }}"), "<1 web>");
}

TEST(AlertTemplate, SaysWhatIsWrong) {
  EXPECT_TRUE(expand("{{ nope }}").starts_with("ERROR error parsing template __alert_X: template: __alert_X:1")) << expand("{{ nope }}");
  EXPECT_TRUE(expand("{{ humanize $labels }}").starts_with("ERROR error executing template __alert_X: template: __alert_X:1")) << expand("{{ humanize $labels }}");
  EXPECT_NE(expand("{{ regexReplaceAll \"a\" \"b\" \"c\" }}").find("not defined"), std::string::npos) << "a function of log queries";
  EXPECT_FALSE(check_alert_template("X", "{{ if }}").ok());
  EXPECT_TRUE(check_alert_template("X", "{{ $value }}").ok());
}

}  // namespace
}  // namespace skald::logql
