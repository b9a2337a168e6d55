// Small expressions inside stages: patterns, json paths, address sets, regexes.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include "skald/logql/ip_filter.h"
#include "skald/logql/json_path.h"
#include "skald/logql/pattern.h"
#include "skald/logql/regex.h"

namespace skald::logql {
namespace {

TEST(Pattern, AlternatesLiteralsAndCaptures) {
  const PatternExpression parts = parse_pattern("<ip> - <_> [<ts>] a<b").value();
  const PatternExpression want{{true, "ip"}, {false, " - "}, {true, "_"}, {false, " ["}, {true, "ts"}, {false, "] a<b"}};
  EXPECT_EQ(parts, want);
  EXPECT_TRUE(parts[2].discard());
  EXPECT_EQ(parse_pattern("<<a>").value(), (PatternExpression{{false, "<"}, {true, "a"}}));
  EXPECT_EQ(parse_pattern("<1a><a>").value(), (PatternExpression{{false, "<1a>"}, {true, "a"}}));
}

TEST(Pattern, NamesItsErrors) {
  EXPECT_EQ(parse_pattern("x").error().message(), "at least one capture is required");
  EXPECT_EQ(parse_pattern("<_> x").error().message(), "at least one capture is required");
  EXPECT_EQ(parse_pattern("<a><b>").error().message(), "found consecutive capture '<a><b>': invalid expression");
  EXPECT_EQ(parse_pattern("<a> <a>").error().message(), "duplicate capture name (a): invalid expression");
  EXPECT_EQ(parse_pattern("").error().message(),
            "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL");
  EXPECT_EQ(parse_line_pattern("<x>").error().message(), "named captures are not allowed: found '<x>'");
  EXPECT_EQ(parse_line_pattern("<_><_> bar").error().message(), "found consecutive capture '<_><_>': invalid expression");
  EXPECT_TRUE(parse_line_pattern("").value().empty());
  EXPECT_EQ(parse_line_pattern("<_>").value().size(), 1u);
}

TEST(JsonPath, ReadsFieldsKeysAndIndexes) {
  const JsonPath path = parse_json_path("a.b[\"quoted \\\" key\"][12].c").value();
  const JsonPath want{{false, "a", 0}, {false, "b", 0}, {false, "quoted \" key", 0}, {true, "", 12}, {false, "c", 0}};
  EXPECT_EQ(path, want);
  EXPECT_EQ(parse_json_path("[0]").value(), (JsonPath{{true, "", 0}}));
  EXPECT_EQ(parse_json_path("[\"k\"][1].x").value().size(), 3u);
}

TEST(JsonPath, NamesItsErrors) {
  const auto cause = [](const char* text) { return parse_json_path(text).error().message(); };
  EXPECT_EQ(cause("a["), "cannot parse expression [a[]: syntax error: unexpected $end, expecting STRING or INDEX");
  EXPECT_EQ(cause("cl\xC3\xA9"), "cannot parse expression [cl\xC3\xA9]: unexpected char \xC3\xA9");
  EXPECT_EQ(cause("1digit"), "cannot parse expression [1digit]: syntax error: unexpected $end, expecting LSB or FIELD");
  EXPECT_EQ(cause("req.headers.X-Req-Id"), "cannot parse expression [req.headers.X-Req-Id]: unexpected char -");
  EXPECT_EQ(cause("a..b"), "cannot parse expression [a..b]: syntax error: unexpected DOT, expecting FIELD");
  EXPECT_EQ(cause("a[b]"), "cannot parse expression [a[b]]: syntax error: unexpected FIELD, expecting STRING or INDEX");
  EXPECT_EQ(cause(""), "cannot parse expression []: syntax error: unexpected $end, expecting LSB or FIELD");
  EXPECT_EQ(cause("$.a"), "cannot parse expression [$.a]: syntax error: unexpected $end, expecting LSB or FIELD");
}

TEST(LogfmtKey, IsOneAsciiName) {
  EXPECT_EQ(parse_logfmt_key("a_1").value(), "a_1");
  EXPECT_EQ(parse_logfmt_key("a b").error().message(), "cannot parse expression [a b]: syntax error: unexpected KEY");
  EXPECT_EQ(parse_logfmt_key("key.x").error().message(), "cannot parse expression [key.x]: unexpected char .");
  EXPECT_EQ(parse_logfmt_key("key-x").error().message(), "cannot parse expression [key-x]: unexpected char -");
  EXPECT_FALSE(parse_logfmt_key("").ok());
}

TEST(ParseIp, AcceptsOnlyWellFormedAddresses) {
  for (const char* good : {"1.2.3.4", "::", "::1", "2001:db8::1", "2001:db8:0:0:0:0:0:1", "fe80::1%eth0", "1::",
                           "::ffff:10.0.0.9", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "1::8", "255.255.255.255"})
    EXPECT_TRUE(parse_ip(good).has_value()) << good;
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", ":", ":::", "1:2:3", "12345::",
                          "1:2:3:4:5:6:7:8:9", "1::2::3", "::g", "1:2:3:4:5:6:7:", ":1:2:3:4:5:6:7:8", "bad", "1.2.3.",
                          "1:2:3:4:5:6:7::8:9", "fe80::1%", "1:2:3:4:5:6:7:1.2.3.4"})
    EXPECT_FALSE(parse_ip(bad).has_value()) << bad;
  EXPECT_EQ(parse_ip("2001:db8::1"), parse_ip("2001:0db8:0:0:0:0:0:1"));
}

TEST(IpFilter, SetsContainTheirAddresses) {
  const IpFilter block = IpFilter::parse("10.0.0.0/15").value();
  EXPECT_TRUE(block.contains_text("10.1.255.255"));
  EXPECT_FALSE(block.contains_text("10.2.0.0"));
  EXPECT_FALSE(block.contains_text("not"));
  const IpFilter range = IpFilter::parse("192.168.4.5-192.168.4.20").value();
  EXPECT_TRUE(range.contains_text("192.168.4.5"));
  EXPECT_TRUE(range.contains_text("192.168.4.20"));
  EXPECT_FALSE(range.contains_text("192.168.4.21"));
  const IpFilter six = IpFilter::parse("2001:db8::10/124").value();
  EXPECT_TRUE(six.contains_text("2001:db8::1c"));
  EXPECT_FALSE(six.contains_text("2001:db8::20"));
  EXPECT_FALSE(IpFilter::parse("0.0.0.0/0").value().contains_text("::1"));
  for (const char* bad : {"", "bad", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0.0/33", "::/129", "10.0.0.0/", "/8"})
    EXPECT_EQ(IpFilter::parse(bad).error().message(), "ip: invalid pattern: \"" + std::string(bad) + "\"");
}

TEST(IpFilter, FindsDelimitedAddressesInLines) {
  const char* line = "version 1.2.3.4 and 10.20.30.40.50 and 172.16.5.4/32";
  EXPECT_TRUE(IpFilter::parse("1.2.3.4").value().matches_line(line));
  EXPECT_TRUE(IpFilter::parse("172.16.5.4").value().matches_line(line));
  EXPECT_FALSE(IpFilter::parse("10.20.30.40").value().matches_line(line));
  const char* six = "fe80::1%eth0 and ::1 and ::ffff:10.0.0.9 and 2001:db8:0:0:0:0:0:1";
  EXPECT_TRUE(IpFilter::parse("::1").value().matches_line(six));
  EXPECT_TRUE(IpFilter::parse("2001:db8::1").value().matches_line(six));
  EXPECT_FALSE(IpFilter::parse("10.0.0.9").value().matches_line(six));
  EXPECT_TRUE(IpFilter::parse("10.0.0.1").value().matches_line("ip=10.0.0.1:8080"));
  EXPECT_FALSE(IpFilter::parse("10.0.0.1").value().matches_line(""));
  EXPECT_TRUE(IpFilter::parse("10.0.0.1").value().matches_line("10.0.0.1"));
}

TEST(Regex, SpeaksGo) {
  EXPECT_EQ(compile_regex("(").error().message(), "error parsing regexp: missing closing ): `(`");
  EXPECT_TRUE(compile_regex("(?<a>x)").ok());
  EXPECT_FALSE(re2::RE2::FullMatch("a\nb", *compile_regex("a.b").value()));
  EXPECT_TRUE(re2::RE2::FullMatch("a\nb", *compile_regex("a.b", {.dot_matches_newline = true}).value()));
  EXPECT_EQ(compile_regexp_parser("x").error().message(), "at least one named capture must be supplied");
  EXPECT_TRUE(compile_regexp_parser("(?P<a>x)(?<b>y)").ok());
}

}  // namespace
}  // namespace skald::logql
