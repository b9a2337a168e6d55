// Random LogQL, always well formed. For property tests; the same seed gives the same queries.
#pragma once

#include <string>
#include <vector>

#include "skald/base/random.h"

namespace skald::logql {

class QueryGenerator {
 public:
  explicit QueryGenerator(std::uint64_t seed) : random_(seed) {}

  std::string query() { return one_in(3) ? log() : metric(4); }

  std::string log() {
    std::string out = selector();
    for (std::size_t i = below(5); i > 0; --i) out += space() + stage();
    return out;
  }

  std::string metric(int depth) {
    if (depth <= 0) return range_aggregation();
    switch (below(8)) {
      case 0: return vector_aggregation(depth);
      case 1: return "(" + metric(depth - 1) + ")";
      case 2: return metric(depth - 1) + space() + pick({"+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<="}) +
                     pick({"", " bool"}) + " " + matching() + metric(depth - 1);
      case 3: return metric_vector(depth - 1) + pick({" and ", " or ", " unless "}) + matching() + metric_vector(depth - 1);
      case 4: return metric_vector(depth - 1) + pick({" * ", " / ", " > "}) + number();
      case 5: return "label_replace(" + metric_vector(depth - 1) + "," + string() + "," + string() + "," + string() + ",\"(a|b).*\")";
      case 6: return "vector(" + number() + ")";
      default: return range_aggregation();
    }
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_.next_u64() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::string pick(std::vector<const char*> choices) { return choices[below(choices.size())]; }
  std::string space() { return pick({" ", " ", "\n", "\t", " /* c */ ", " # c\n"}); }
  std::string name() { return pick({"a", "b_1", "level", "rate", "sum", "bytes", "duration", "ip", "Count", "_x", "vector"}); }
  std::string string() { return pick({"\"x\"", "\"\"", "`a\\d`", "\"q\\\"\\n\\u00e9\"", "\"\xE6\x97\xA5\"", "`{{.a}}`", "\"a.b\""}); }
  std::string number() { return pick({"1", "0", "2.5", ".5", "1e3", "1_000", "1e-7", "123456789", "1e21"}); }
  std::string duration() { return pick({"5s", "1m", "1h30m", "1d", "1w2d", "1.5h", "10us", "90m"}); }
  std::string bytes() { return pick({"5B", "1kB", "5KB", "2MiB", "1234B", "3Gi", "7k"}); }
  std::string names() {
    std::string out = name();
    for (std::size_t i = below(3); i > 0; --i) out += ", " + name();
    return out;
  }

  std::string selector() {
    std::string out = "{" + name() + pick({"=\"v\"", "=~\"v.+\""});
    for (std::size_t i = below(3); i > 0; --i) out += "," + space() + name() + pick({"=", "!=", "=~", "!~"}) + pick({"\"v\"", "\"\"", "`w|x`"});
    return out + "}";
  }

  std::string line_filter() {
    std::string out = pick({"|=", "!="}) + space() + pick({"\"x\"", "`y`", "ip(\"10.0.0.0/8\")"});
    if (one_in(3)) out = pick({"|~", "!~"}) + "\"a+\"";
    if (one_in(4)) out = pick({"|>", "!>"}) + "`a <_> b`";
    for (std::size_t i = one_in(3) ? below(3) : 0; i > 0; --i) out += " or \"z\"";
    return out;
  }

  std::string comparison() {
    switch (below(5)) {
      case 0: return name() + pick({"=", "!=", "=~", "!~"}) + pick({"\"v\"", "`w`", "\"\""});
      case 1: return name() + space() + pick({">", ">=", "<", "<=", "=", "==", "!="}) + pick({"", " -", "+"}) + number();
      case 2: return name() + pick({">", "<=", "==", "!="}) + duration();
      case 3: return name() + pick({">", "<=", "==", "="}) + bytes();
      default: return name() + pick({"=", "!="}) + "ip(\"::1-::9\")";
    }
  }

  std::string label_filter(int depth) {
    if (depth == 0 || one_in(2)) return comparison();
    if (one_in(4)) return "(" + label_filter(depth - 1) + ")";
    return label_filter(depth - 1) + pick({" and ", " or ", ", ", " "}) + label_filter(depth - 1);
  }

  std::string stage() {
    switch (below(11)) {
      case 0: return "| json";
      case 1: return "| json " + name() + "=\"a.b[0]\", " + name();
      case 2: return "| logfmt" + pick({"", " --strict", " --keep-empty", " --keep-empty --strict"}) + pick({"", " k", " k=\"v\", l"});
      case 3: return "| regexp \"(?P<x>\\\\w+)\"";
      case 4: return "| pattern `<x> <_> <y>`";
      case 5: return pick({"| unpack", "| decolorize"});
      case 6: return "| line_format " + pick({"\"{{.a}} x\"", "`{{ .b | lower }}`", "\"\""});
      case 7: return "| label_format " + pick({"a=b", "a=\"{{.c}}\",d=e", "x=`y`"});
      // The list ends with a matcher: behind a bare name, != and !~ of a line filter would be read as one.
      case 8: return pick({"| drop ", "| keep "}) + pick({"c!=\"d\"", "a,b=\"c\"", "c, a=~\"b.\""});
      case 9: return "| " + label_filter(3);
      default: return line_filter();
    }
  }

  std::string pipeline() {
    std::string out;
    for (std::size_t i = below(4); i > 0; --i) out += space() + stage();
    return out;
  }
  std::string offset() { return one_in(4) ? " offset " + pick({"5m", "-1h", "1.5h"}) : ""; }
  std::string range() { return "[" + pick({"5m", "1h", "90s", "1d", "1h30m", "250ms"}) + "]"; }

  std::string log_range(bool unwrapped) {
    const std::string unwrap =
        unwrapped ? " | unwrap " + pick({"v", "duration(v)", "bytes(v)", "duration_seconds(v)"}) + pick({"", " | __error__=\"\"", " | a>5 | b=\"c\""}) : "";
    switch (below(3)) {
      case 0: return selector() + range() + offset() + pipeline() + unwrap;
      case 1: return "(" + selector() + pipeline() + unwrap + ")" + range() + offset();
      default: return selector() + pipeline() + unwrap + space() + range() + offset();
    }
  }

  std::string range_aggregation() {
    if (one_in(2)) return pick({"rate", "count_over_time", "bytes_rate", "BYTES_OVER_TIME", "absent_over_time"}) + "(" + log_range(false) + ")";
    if (one_in(3)) return "quantile_over_time(0.99," + log_range(true) + ")" + grouping();
    return one_in(2) ? pick({"rate", "sum_over_time", "rate_counter"}) + "(" + log_range(true) + ")"
                     : pick({"avg_over_time", "max_over_time", "last_over_time", "stdvar_over_time"}) + "(" + log_range(true) + ")" + grouping();
  }
  std::string grouping() { return one_in(2) ? pick({" by ", " without "}) + "(" + (one_in(4) ? "" : names()) + ")" : ""; }

  std::string metric_vector(int depth) { return one_in(2) ? range_aggregation() : vector_aggregation(depth); }
  std::string vector_aggregation(int depth) {
    const std::string inner = metric_vector(depth - 1 > 0 ? depth - 1 : 0);
    switch (below(4)) {
      case 0: return pick({"topk", "bottomk"}) + grouping() + "(3, " + inner + ")";
      case 1: return pick({"sort", "sort_desc"}) + "(" + inner + ")";
      case 2: return pick({"sum", "avg", "count", "STDDEV"}) + "(" + inner + ")" + grouping();
      default: return pick({"min", "max", "stdvar"}) + grouping() + " (" + inner + ")";
    }
  }
  std::string matching() {
    if (!one_in(4)) return "";
    std::string out = pick({"on", "ignoring"}) + "(" + (one_in(3) ? "" : names()) + ") ";
    if (one_in(2)) out += pick({"group_left", "group_right"}) + "(" + (one_in(2) ? "" : names()) + ") ";
    return out;
  }

  SeededRandom random_;
};

}  // namespace skald::logql
