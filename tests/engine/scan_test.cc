#include "engine/scan.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "engine/filter_regex.h"

namespace skald::engine {
namespace {

std::size_t naive_find(std::string_view text, std::string_view needle, bool fold) {
  const auto lower = [&](char c) { return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  for (std::size_t at = 0; at + needle.size() <= text.size(); ++at) {
    std::size_t i = 0;
    while (i < needle.size() && lower(text[at + i]) == lower(needle[i])) ++i;
    if (i == needle.size()) return at;
  }
  return std::string_view::npos;
}

std::size_t find_with(ScanKernel kernel, std::string_view text, std::string_view needle, bool fold) {
  const char* const hit = Finder(needle, fold, kernel).find(text.data(), text.data() + text.size());
  return hit == nullptr ? std::string_view::npos : static_cast<std::size_t>(hit - text.data());
}

TEST(Finder, AllKernelsAgreeWithTheNaiveSearch) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    // Few letters, so that needles occur, nearly occur, and overlap themselves.
    const int letters = 1 + static_cast<int>(random() % 3);
    const auto letter = [&] { return "aBk\n\xC3"[random() % static_cast<unsigned>(letters + (round % 7 == 0 ? 2 : 0))]; };
    std::string text(random() % 200, 'a'), needle(1 + random() % (round % 5 == 0 ? 40 : 5), 'a');
    for (char& c : text) c = letter();
    for (char& c : needle) c = letter();
    if (random() % 2 == 0 && text.size() > needle.size()) text.replace(random() % (text.size() - needle.size()), needle.size(), needle);
    const bool fold = random() % 2 == 0;
    // An exact-size heap copy: AddressSanitizer sees a read past the end.
    const std::vector<char> exact(text.begin(), text.end());
    const std::string_view view(exact.data(), exact.size());
    const std::size_t expected = naive_find(view, needle, fold);
    for (const ScanKernel kernel : {ScanKernel::kScalar, ScanKernel::kSse2, ScanKernel::kAvx2, ScanKernel::kAuto}) {
      if (kernel == ScanKernel::kAvx2 && !__builtin_cpu_supports("avx2")) continue;
      ASSERT_EQ(find_with(kernel, view, needle, fold), expected) << "needle '" << needle << "' text '" << text << "' fold " << fold;
    }
  }
}

TEST(Finder, EmptyNeedleAndEmptyText) {
  EXPECT_TRUE(Finder("").contained_in(""));
  EXPECT_TRUE(Finder("").contained_in("x"));
  EXPECT_FALSE(Finder("x").contained_in(""));
  EXPECT_FALSE(Finder("long needle").contained_in("short"));
}

std::string describe(std::string_view regex) {
  const auto reduced = reduce_to_literals(regex);
  if (!reduced) return "regex";
  if (reduced->match_all) return "all";
  std::string text = reduced->fold_case ? "fold" : "any";
  for (const std::string& literal : reduced->literals) text += ":" + literal;
  return text;
}

TEST(RegexReduction, Literals) {
  EXPECT_EQ(describe(""), "all");
  EXPECT_EQ(describe(".*"), "all");
  EXPECT_EQ(describe("error"), "any:error");
  EXPECT_EQ(describe(".*error.*"), "any:error");
  EXPECT_EQ(describe("a|b|c"), "any:a:b:c");
  EXPECT_EQ(describe("(?:a|b)"), "any:a:b");
  EXPECT_EQ(describe("(POST|DELETE)"), "any:POST:DELETE");
  EXPECT_EQ(describe("foo|.*"), "any:foo");
  EXPECT_EQ(describe("(?i)Error"), "fold:Error");
  EXPECT_EQ(describe("a\\.b\\|c"), "any:a.b|c");
  EXPECT_EQ(describe("\\{\"x\\\"\\n"), "any:{\"x\"\n");
}

TEST(RegexReduction, LeftToTheEngine) {
  for (const char* const regex : {"a.b", "^a", "a$", "a+", "a?", "[ab]", "\\d", "(a)(b)", "a|", "a|b+", "(?i)caf\xC3\xA9", "a{2}", ".+",
                                  "x.*y", "(?m)^x", "(a|b)c", "\\bfoo\\b"}) {
    EXPECT_EQ(describe(regex), "regex") << regex;
  }
}

std::string required(std::string_view regex) {
  const auto literal = required_literal(regex);
  return literal ? (literal->fold_case ? "fold:" : "") + literal->text : "-";
}

TEST(RegexReduction, RequiredLiteral) {
  EXPECT_EQ(required("\" 5\\d\\d "), "\" 5");
  EXPECT_EQ(required("(GET|POST) /api/v1"), " /api/v1");
  EXPECT_EQ(required("foo+bar"), "foo");
  EXPECT_EQ(required("colou?r"), "colo");
  EXPECT_EQ(required("x*y*z*"), "-");
  EXPECT_EQ(required("abc|def[0-9]"), "-");
  EXPECT_EQ(required("[abc]def"), "def");
  EXPECT_EQ(required("[]a]xyz[^]b]"), "xyz");
  EXPECT_EQ(required("(?:connection) refused"), "connection");
  EXPECT_EQ(required("(opt)?req"), "req");
  EXPECT_EQ(required("ab\xC3\xA9*cd"), "ab");
  EXPECT_EQ(required("(?i)task failed"), "fold: failed") << "t, a: s and k fold to more than ASCII";
  EXPECT_EQ(required("\\Qa\\E"), "-");
  EXPECT_EQ(required("a{0,3}bc"), "bc");
}

}  // namespace
}  // namespace skald::engine
