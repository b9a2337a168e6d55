// The house rules that a compiler does not check: arrows between modules point down, heavy headers stay in one module.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const std::map<std::string, int>& layers() {
  static const std::map<std::string, int> table = {
      {"base", 0},   {"obs", 0},                                                                              //
      {"io", 1},     {"codec", 1},       {"exec", 1},     {"http", 1},                                        //
      {"model", 2},  {"config", 2},                                                                           //
      {"chunk", 3},  {"index", 3},       {"wal", 3},      {"objstore", 3}, {"logql", 3}, {"cache", 3}, {"ring", 3},                      //
      {"pattern", 4}, {"rpc", 4},    {"engine", 4},      {"store", 4},                                                        //
      {"distributor", 5}, {"ingester", 5}, {"querier", 5}, {"frontend", 5}, {"ruler", 5}, {"compactor", 5},                                                    //
      {"api", 6},    {"app", 7},
  };
  return table;
}

// Arrows inside a layer that are part of the design; everything else inside a layer is an arrow sideways.
bool allowed_sideways(const std::string& from, const std::string& to) {
  static const std::vector<std::pair<std::string, std::string>> arrows = {
      {"obs", "base"},     {"io", "codec"},    {"http", "exec"},   {"config", "model"}, {"index", "chunk"},   {"wal", "chunk"}, {"wal", "index"},
      {"engine", "rpc"},   {"store", "rpc"},   {"store", "engine"}, {"chunk", "index"},
  };
  return std::find(arrows.begin(), arrows.end(), std::make_pair(from, to)) != arrows.end();
}

struct Include {
  fs::path file;
  std::string from, to, text;
};

std::vector<Include> project_includes() {
  static const std::regex pattern(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"])re");
  std::vector<Include> out;
  const fs::path root = SKALD_SOURCE_DIR;
  for (const char* top : {"src", "include/skald"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".cc" && extension != ".h") continue;
      const fs::path relative = fs::relative(entry.path(), root / top);
      if (relative.begin() == relative.end() || std::next(relative.begin()) == relative.end()) continue;   // src/main.cc
      const std::string from = relative.begin()->string();
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) {
        std::smatch match;
        if (!std::regex_search(line, match, pattern)) continue;
        const std::string text = match[1];
        std::string to;
        if (text.starts_with("skald/")) {
          to = text.substr(6, text.find('/', 6) - 6);
        } else if (const std::size_t slash = text.find('/'); slash != std::string::npos && layers().contains(text.substr(0, slash)) &&
                                                             fs::exists(root / "src" / text)) {
          to = text.substr(0, slash);
        }
        out.push_back({entry.path(), from, to, text});
      }
    }
  }
  return out;
}

TEST(Layers, EveryFolderHasALayer) {
  for (const char* top : {"src", "include/skald"}) {
    for (const auto& entry : fs::directory_iterator(fs::path(SKALD_SOURCE_DIR) / top)) {
      if (entry.is_directory() && !fs::is_empty(entry.path())) {
        EXPECT_TRUE(layers().contains(entry.path().filename().string())) << entry.path() << " has no layer in this test";
      }
    }
  }
}

TEST(Layers, NoIncludePointsUp) {
  const auto includes = project_includes();
  ASSERT_GT(includes.size(), 100U);
  for (const Include& include : includes) {
    if (include.to.empty() || include.to == include.from) continue;
    ASSERT_TRUE(layers().contains(include.to)) << include.file << " includes " << include.text;
    const int from = layers().at(include.from);
    const int to = layers().at(include.to);
    EXPECT_TRUE(to < from || (to == from && allowed_sideways(include.from, include.to)))
        << include.file << " (layer " << from << ") includes " << include.text << " (layer " << to << ")";
  }
}

TEST(Layers, HeavyHeadersStayInTheirModule) {
  for (const Include& include : project_includes()) {
    if (include.text.starts_with("boost/")) { EXPECT_EQ(include.from, "http") << include.file << " includes " << include.text; }
    if (include.text.starts_with("google/protobuf")) { EXPECT_EQ(include.from, "proto") << include.file; }
    if (include.text.starts_with("curl/")) { EXPECT_EQ(include.from, "http") << include.file; }
    if (include.text.starts_with("yaml-cpp/")) {
      EXPECT_TRUE((include.from == "config" || include.from == "ruler") && include.file.extension() == ".cc") << include.file << ": yaml types stay out of headers";
    }
  }
}

TEST(Layers, NoSourceFileIsTwoIdeas) {
  for (const char* top : {"src", "include/skald"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(SKALD_SOURCE_DIR) / top)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
      EXPECT_LE(lines, 900) << entry.path();
    }
  }
}

// GCC 12 miscompiles these (docs/decisions/001-gcc12-coroutines.md): a lambda with captures by value or a braced list
// inside the expression of a co_await.
TEST(Layers, NoTemporaryThatGcc12DestroysTwiceInsideCoAwait) {
  static const std::regex by_value(R"(co_await [^;]*\[[A-Za-z_=][^&\]]*\])");
  static const std::regex braced(R"(co_await [^;]*[({,]\s*\{)");
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(SKALD_SOURCE_DIR) / "src")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      if (line.find("const auto [") != std::string::npos) line.erase(0, line.find('='));
      EXPECT_FALSE(std::regex_search(line, by_value) || std::regex_search(line, braced)) << entry.path() << ": " << line;
    }
  }
}

}  // namespace
