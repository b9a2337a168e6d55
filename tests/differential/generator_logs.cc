#include "generator.h"

namespace skald::differential {

std::string Generator::field() {
  return pick({"level", "status", "n", "n", "dur", "size", "user", "ip", "msg", "path", "method", "app", "env", "trace", "z", "extra-key", "9lives"});
}

std::string Generator::value_of(const std::string& f) {
  const bool bad = !clean_ && one_in(12);
  if (bad) return pick({"", "abc", "n/a", "-", "1d", "NaN", "0x10", "1e400"});
  if (f == "level") return pick({"info", "warn", "error", "debug"});
  if (f == "status") return pick({"200", "200", "404", "500", "503"});
  if (f == "n") return pick({"0", "1", "2", "3.5", "10", "12.25", "-4", "1e2", "7", "64"});
  if (f == "dur") return pick({"250ms", "1.5s", "2m", "1h30m", "10us", "0", "-1s", "5s"});
  if (f == "size") return pick({"512", "10kb", "1.5MiB", "2 KB", "1,024B", "3KiB", "0"});
  if (f == "user") return pick({"ann", "bob", "zo\xC3\xAB", "root", "d o e"});
  if (f == "ip") return pick({"10.0.0.5", "10.1.2.3", "192.168.1.7", "::1", "2001:db8::5", "10.1.2", "x"});
  if (f == "msg") return pick({"GET /api failed", "timeout after 5s", "login ok", "say \"hi\" now", "tab\there", "back\\slash", "caf\xC3\xA9 \xE6\x97\xA5", ""});
  if (f == "path") return pick({"/api/v1", "/", "/a b", "/metrics"});
  if (f == "method") return pick({"GET", "POST", "PUT"});
  if (f == "app" || f == "env") return pick({"web", "db", "other"});
  if (f == "trace") return pick({"t1", "t2", "t3"});
  return pick({"v", "w", "", " x "});
}

std::string Generator::quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') { out += '\\'; out += c; }
    else if (c == '\t') out += "\\t";
    else if (c == '\n') out += "\\n";
    else if (c == 'a' && one_in(20)) out += "\\u0061";
    else out += c;
  }
  return out + '"';
}

// As quoted(), sometimes with escapes only JSON has.
std::string Generator::json_quoted(const std::string& text) {
  std::string out = quoted(text);
  if (one_in(15)) out.insert(1, pick({"\\u00e9", "\\ud83d\\ude00", "\\/", "\\n", "\\ud800", "\\udc00x", "\\u0000", "\\b", "\xE2\x82"}));
  return out;
}

std::string Generator::json_value(int depth, const std::string& f) {
  if (depth > 0 && one_in(8)) return json_object(depth - 1);
  if (one_in(14)) return pick({"null", "true", "false", "[1,2,3]", "[[{\"x\":[]}],\"]}\"]", "{\"in\":{\"1x\":\"}\",\" \":5}}", "[{\"a\":1},\"x\"]", "[]", "{}", "-0", "1.50"});
  const std::string value = value_of(f);
  const bool number = !value.empty() && (f == "n" || f == "status") && value.find_first_not_of("0123456789.-") == std::string::npos && value != "-";
  return number && !one_in(4) ? value : json_quoted(value);
}

std::string Generator::json_object(int depth) {
  std::string out = "{";
  const std::size_t members = one_in(8) ? below(2) : 2 + below(7);
  const std::string space = one_in(4) ? " " : "";
  for (std::size_t i = 0; i < members; ++i) {
    const std::string f = one_in(9) ? pick({"req", "k v", "caf\xC3\xA9", "a.b", "", " ", "req", "\xE6\x97\xA5", "_x"}) : field();
    if (i > 0) out += "," + space;
    out += quoted(f) + ":" + space + json_value(f == "req" ? 2 : depth, f);
  }
  return out + "}";
}

std::string Generator::line(std::size_t kind) {
  std::string out;
  switch (kind) {
    case 0: out = json_object(2); break;
    case 1: {
      const std::size_t members = below(7);
      for (std::size_t i = 0; i < members; ++i) {
        const std::string f = field(), value = value_of(f);
        if (i > 0) out += one_in(10) ? "  " : " ";
        if (!clean_ && one_in(25)) { out += pick({"bare", "a=b=c", "=x", "q\"x=1", "k=v\"w"}); continue; }
        const bool quotes = value.find_first_of(" \"=\\\t") != std::string::npos || one_in(6);
        out += f + "=" + (quotes ? quoted(value) : value);
      }
      break;
    }
    case 2:
      out = value_of("ip") + " " + value_of("user") + " \"" + pick({"GET", "POST"}) + " " + pick({"/api/v1", "/", "/metrics"}) + "\" " + value_of("status") + " " + value_of("n");
      break;
    case 3:
      out = pick({"", "level=info ", "ERROR "}) + pick({"GET /api failed", "timeout after 5s", "started worker 7", "user ann logged in", "foo bar", "", "x"}) + pick({"", " code=500", " from 10.0.0.5:80", " (::1)"});
      break;
    case 4: out = "{\"_entry\":" + quoted(line(1 + below(3))) + ",\"user\":" + quoted(value_of("user")) + ",\"trace\":" + quoted(value_of("trace")) + ",\"num\":5}"; break;
    case 5: out = "\x1b[31m" + pick({"ERROR", "WARN", "ok"}) + "\x1b[0m " + pick({"foo bar", "GET /api failed"}) + pick({"", "\x1b[1;32m!\x1b[0m"}); break;
    default:
      out = pick({"bad \xff\xfe bytes", "a=\xC3\x28 b=ok", "{\"user\":\"x\xffy\",\"n\":2}", "[1,2]", "\"str\"", "12345", "   {\"n\":1}  ", "{\"n\":1} trailing", "n=1\tuser=ann", "\xE6\x97\xA5\xE6\x9C\xAC n=5", "[\"a\",{\"n\":3}]", "a\nb=2 n=3"});
  }
  if (!clean_ && one_in(25) && !out.empty()) out.resize(below(out.size()));   // cut short
  return out;
}

std::vector<Row> Generator::rows() {
  clean_ = one_in(2);
  static const std::vector<LabelMap> kStreams = {{{"app", "web"}, {"env", "prod"}}, {{"app", "web"}, {"env", "dev"}}, {{"app", "db"}}, {{"app", "db"}, {"env", "prod"}, {"level", "warn"}}, {{"app", "job"}, {"job", "x"}}};
  // Large sets cross the engine's batches.
  const std::size_t streams = 1 + below(4), first_stream = one_in(3) ? 0 : below(5), count = one_in(300) ? 2500 + below(3000) : one_in(6) ? 1 + below(5) : 10 + below(one_in(4) ? 120 : 40);
  std::vector<std::size_t> kinds;
  for (std::size_t i = 0; i < 3; ++i) kinds.push_back(below(7));
  if (one_in(2)) kinds = {kinds[0]};
  const std::int64_t unit = one_in(3) ? 1 : one_in(2) ? 1'000'000 : kSecondNs * 10;
  const bool metadata = one_in(2), levels = one_in(2);
  std::vector<Row> out;
  std::set<std::tuple<std::size_t, std::int64_t, std::string, LabelMap>> seen;
  for (std::size_t i = 0; i < count; ++i) {
    Row row;
    row.stream = (first_stream + below(streams)) % kStreams.size();
    row.labels = kStreams[row.stream];
    row.ts_ns = kBaseNs + static_cast<std::int64_t>(below(600)) * kSecondNs + static_cast<std::int64_t>(random_.next_u64() % kSecondNs);
    row.ts_ns -= row.ts_ns % unit;
    if (!out.empty() && one_in(5)) row.ts_ns = out[below(out.size())].ts_ns;
    row.line = line(kinds[below(kinds.size())]);
    if (metadata && !one_in(3)) row.metadata["trace"] = pick({"t1", "t2", "t3"});
    if (metadata && one_in(3)) row.metadata[pick({"user", "app", "n"})] = pick({"meta", "5", "ann"});
    if (levels) row.level = pick({"", "info", "error", "unknown"});
    if (metadata && row.level.empty() && one_in(10)) row.metadata["detected_level"] = "notice";   // none of the known words
    if (seen.insert({row.stream, row.ts_ns, row.line, row.metadata}).second) out.push_back(std::move(row));
  }
  return out;
}

engine::QueryParams Generator::params(bool log_query) {
  engine::QueryParams p;
  if (log_query) {
    p.start_ns = kBaseNs + static_cast<std::int64_t>(below(3)) * 50 * kSecondNs;
    p.end_ns = one_in(40) ? p.start_ns : kBaseNs + static_cast<std::int64_t>(200 + below(500)) * kSecondNs;
    p.limit = static_cast<std::uint32_t>(one_in(2) ? 1000 : 1 + below(20));
    p.direction = one_in(2) ? engine::Direction::kForward : engine::Direction::kBackward;
    if (one_in(10)) p.interval_ns = static_cast<std::int64_t>(1 + below(90)) * kSecondNs;
    return p;
  }
  p.instant = one_in(2);
  p.start_ns = kBaseNs + static_cast<std::int64_t>(10 + below(55)) * 10 * kSecondNs;
  p.end_ns = p.start_ns;
  if (!p.instant) {
    p.step_ns = static_cast<std::int64_t>(pick({"1", "10", "15", "30", "60", "100", "300"}) == "1" ? 1 + below(7) : 10 * (1 + below(12))) * kSecondNs;
    p.end_ns = p.start_ns + p.step_ns * static_cast<std::int64_t>(below(12)) + static_cast<std::int64_t>(below(2)) * 500'000'000;
  }
  return p;
}

}  // namespace skald::differential
