// Runs the cases of tests/logql/cases/*.test and the examples of docs/logql.md (its ```logql blocks).
//
//   # what the case shows
//   load {app="web"}  1s "GET /a"  2s "GET /b"      entries with escapes, or one raw entry on each indented line below
//   load {app="web"} meta {trace="t1"}              structured metadata of all entries of this load
//     3s GET /c
//   query (options) {app="web"} |= `b`              may go on over several lines
//   ----
//   2s GET /b
//
// The answer ends at an empty line. A load behind a query starts new data. Options, separated by commas: from TIME, to
// TIME, step TIME, at TIME, limit N, backward, labels (entries show all their labels instead of the line), full (both).
// Log queries read [0s, 1h) forward; metrics are evaluated at 1m. Nothing found: "(nothing)". "error TEXT": the query
// fails, and the message contains TEXT. SKALD_LANGUAGE_REWRITE=1 writes the answers into the files instead: read the diff.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/eval_fixture.h"
#include "skald/logql/units.h"
#include "skald/model/time.h"

namespace skald::language {
namespace {

using engine::testing::Entry;
using engine::testing::MemorySource;

std::string shown_text(const std::string& text) {
  const bool plain = !text.empty() && text.front() != ' ' && text.back() != ' ' && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= ' '; });
  if (plain) return text;
  std::string out;
  model::append_go_quoted(out, text);
  return out;
}

std::string shown_time(std::int64_t ns) { return model::format_prom_duration(ns); }

class Script {
 public:
  // Text of the expected answer → text of the actual one; called per query with the line number of `query`.
  template <class Answer>
  void run(const std::vector<std::string>& lines, bool markdown, const Answer& answer) {
    bool inside = !markdown;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string& line = lines[i];
      if (markdown && line.rfind("```", 0) == 0) {
        inside = line == "```logql";
        continue;
      }
      if (!inside || line.empty() || line[0] == '#') continue;
      if (line.rfind("load", 0) == 0) {
        if (queried_) source_ = std::make_unique<MemorySource>(), queried_ = false;
        std::vector<std::string> raw;
        while (i + 1 < lines.size() && lines[i + 1].rfind("  ", 0) == 0) raw.push_back(lines[++i]);
        load(line, raw, i + 1);
      } else if (line.rfind("query", 0) == 0) {
        const std::size_t at = i;
        std::string text = line.substr(5);
        while (i + 1 < lines.size() && lines[i + 1] != "----") text += "\n" + lines[++i];
        ++i;   // ----
        const std::size_t first = i + 1;
        std::size_t last = first;
        while (last < lines.size() && !lines[last].empty() && !(markdown && lines[last] == "```")) ++last;
        queried_ = true;
        answer(at + 1, text, first, last, query(text));
        i = last - 1;
      } else {
        ADD_FAILURE() << "line " << i + 1 << " is neither load nor query: " << line;
      }
    }
  }

 private:
  static std::int64_t time_of(const std::string& text) {
    auto ns = model::parse_go_duration(text);
    if (!ns) ADD_FAILURE() << "no time: " << text;
    return ns.value_or(0);
  }

  // The text between { and its }, which is taken off `rest`.
  static std::string braces(std::string& rest) {
    const std::size_t open = rest.find('{');
    bool quoted = false;
    for (std::size_t i = open; i < rest.size(); ++i) {
      if (rest[i] == '\\') ++i;
      else if (rest[i] == '"') quoted = !quoted;
      else if (rest[i] == '}' && !quoted) {
        std::string found = rest.substr(open, i + 1 - open);
        rest.erase(0, i + 1);
        return found;
      }
    }
    ADD_FAILURE() << "no braces: " << rest;
    return "{}";
  }

  static std::string unescaped(std::istream& in) {
    std::string out;
    for (char c = 0; in.get(c) && c != '"';) {
      if (c != '\\') { out += c; continue; }
      in.get(c);
      if (c == 'n') out += '\n';
      else if (c == 't') out += '\t';
      else if (c == 'x') {
        char digits[3] = {};
        in.read(digits, 2);
        out += static_cast<char>(std::strtol(digits, nullptr, 16));
      } else out += c;
    }
    return out;
  }

  void load(const std::string& line, const std::vector<std::string>& raw, std::size_t number) {
    std::string rest = line.substr(4);
    const std::string labels = braces(rest);
    std::vector<model::Label> metadata;
    model::Level level = model::Level::kNone;
    if (rest.rfind(" meta", 0) == 0) {
      auto parsed = model::parse_label_text(braces(rest));
      ASSERT_TRUE(parsed.ok()) << "line " << number;
      for (model::Label& l : *parsed) {
        if (l.name != model::kDetectedLevelName) { metadata.push_back(l); continue; }
        for (std::uint8_t v = 1; v < model::kLevelCount; ++v)
          if (model::level_text(static_cast<model::Level>(v)) == l.value) level = static_cast<model::Level>(v);
      }
    }
    std::vector<Entry> entries;
    std::istringstream in(rest);
    for (std::string time; in >> time;) {
      char quote = 0;
      in >> quote;
      ASSERT_EQ(quote, '"') << "line " << number;
      entries.push_back({time_of(time), unescaped(in), metadata, level});
    }
    for (const std::string& text : raw) {
      std::istringstream words(text);
      std::string time, entry;
      words >> time >> std::ws;
      std::getline(words, entry);
      entries.push_back({time_of(time), entry, metadata, level});
    }
    ASSERT_FALSE(entries.empty()) << "line " << number;
    source_->add(labels, entries, next_source_++);
  }

  std::string query(std::string text) {
    engine::QueryParams params;
    params.direction = engine::Direction::kForward;
    params.end_ns = 3600'000'000'000;
    std::int64_t at = 60'000'000'000;
    bool labels = false, full = false;
    const std::size_t start = text.find_first_not_of(" \n");
    if (start != std::string::npos && text[start] == '(' && text.find(')') != std::string::npos && is_options(text.substr(start + 1))) {
      const std::size_t end = text.find(')');
      std::istringstream in(text.substr(start + 1, end - start - 1));
      text.erase(0, end + 1);
      for (std::string option; std::getline(in, option, ',');) {
        std::istringstream words(option);
        std::string word, value;
        words >> word >> value;
        if (word == "from") params.start_ns = time_of(value);
        else if (word == "to") params.end_ns = time_of(value);
        else if (word == "step") params.step_ns = time_of(value);
        else if (word == "at") at = time_of(value);
        else if (word == "limit") params.limit = static_cast<std::uint32_t>(std::stoul(value));
        else if (word == "interval") params.interval_ns = time_of(value);
        else if (word == "backward") params.direction = engine::Direction::kBackward;
        else if (word == "labels") labels = true;
        else if (word == "full") full = true;
      }
    }
    text.erase(0, text.find_first_not_of(" \n"));
    auto parsed = logql::parse(text);
    if (!parsed.ok()) return "error " + first_line(parsed.error().message());
    if (!parsed->is_log() && params.step_ns == 0) {
      params.instant = true;
      params.start_ns = params.end_ns = at;
    }
    auto result = engine::Engine(*source_, pool_).run(CallContext{}, *parsed, params, engine::EngineLimits{});
    if (!result.ok()) return "error " + first_line(result.error().message());
    return shown(*result, labels, full);
  }

  static bool is_options(const std::string& text) {
    for (const char* word : {"from ", "to ", "step ", "at ", "limit ", "interval ", "backward", "labels", "full"})
      if (text.rfind(word, 0) == 0) return true;
    return false;
  }
  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  static std::string shown(const engine::QueryResult& result, bool labels, bool full) {
    std::string out;
    if (const auto* log = std::get_if<engine::LogResult>(&result.data)) {
      std::vector<std::pair<std::uint32_t, std::string>> entries;
      for (const engine::LogStream& stream : log->streams) {
        std::vector<model::Label> pairs;
        for (const engine::ResultLabel& l : stream.labels.labels) pairs.push_back({l.name, l.value});
        const std::string all = model::Labels::from_pairs_with_empty(std::move(pairs)).to_string();
        for (const engine::LogEntry& e : stream.entries)
          entries.push_back({e.order, shown_time(e.timestamp_ns) + " " + (labels ? all : full ? all + " " + shown_text(e.line) : shown_text(e.line)) + "\n"});
      }
      std::sort(entries.begin(), entries.end());
      for (const auto& [order, text] : entries) out += text;
    } else if (const auto* vector = std::get_if<engine::VectorResult>(&result.data)) {
      for (const engine::Series& s : vector->series) out += s.labels.to_string() + " " + logql::format_go_float_f(s.samples.at(0).value) + "\n";
    } else if (const auto* matrix = std::get_if<engine::MatrixResult>(&result.data)) {
      for (const engine::Series& s : matrix->series) {
        out += s.labels.to_string();
        for (const engine::Sample& sample : s.samples) out += " " + shown_time(sample.timestamp_ms * 1'000'000) + ":" + logql::format_go_float_f(sample.value);
        out += "\n";
      }
    } else {
      out = logql::format_go_float_f(std::get<engine::ScalarResult>(result.data).sample.value) + "\n";
    }
    return out.empty() ? "(nothing)" : out.substr(0, out.size() - 1);
  }

  std::unique_ptr<MemorySource> source_ = std::make_unique<MemorySource>();
  bool queried_ = false;
  std::uint64_t next_source_ = 1;
  exec::Pool pool_{"language", 2};
};

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

void run_file(const std::filesystem::path& path) {
  const std::vector<std::string> lines = lines_of(path);
  ASSERT_FALSE(lines.empty()) << path;
  const bool rewrite = std::getenv("SKALD_LANGUAGE_REWRITE") != nullptr;
  std::string rewritten;
  std::size_t copied = 0, queries = 0;
  Script().run(lines, path.extension() == ".md", [&](std::size_t number, const std::string& text, std::size_t first, std::size_t last, const std::string& actual) {
    ++queries;
    std::string expected;
    for (std::size_t i = first; i < last; ++i) expected += (i > first ? "\n" : "") + lines[i];
    const bool error = expected.rfind("error ", 0) == 0;
    const bool fails_so = error && actual.rfind("error ", 0) == 0 && actual.find(expected.substr(6)) != std::string::npos;
    if (rewrite) {
      for (; copied < std::min(first, lines.size()); ++copied) rewritten += lines[copied] + "\n";
      rewritten += (fails_so ? expected : actual) + "\n";
      copied = last;
      return;
    }
    if (fails_so) return;
    EXPECT_EQ(actual, expected) << path.filename().string() << ":" << number << ":" << text;
  });
  EXPECT_GT(queries, 0U) << path << ": no queries";
  if (!rewrite) return;
  for (; copied < lines.size(); ++copied) rewritten += lines[copied] + "\n";
  std::ofstream(path) << rewritten;
}

TEST(Language, ExamplesOfTheDocumentationHold) { run_file(std::filesystem::path(SKALD_SOURCE_DIR) / "docs/logql.md"); }

TEST(Language, Cases) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(SKALD_SOURCE_DIR) / "tests/logql/cases"))
    if (entry.path().extension() == ".test") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) run_file(file);
}

}  // namespace
}  // namespace skald::language
