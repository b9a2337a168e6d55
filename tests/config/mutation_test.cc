// The loader against damaged files: no crash, always a message, and what loads prints and reads back the same.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "skald/config/load.h"

namespace skald::config {
namespace {

std::string sample() {
  std::ifstream in(std::string(SKALD_SOURCE_DIR) + "/configs/multi-tenant.yaml");
  std::stringstream text;
  text << in.rdbuf();
  return text.str() + "limits_config2: &a {retention_stream: [{selector: '{a=\"b\"}', period: 24h}], x: *a}\n";
}

void check(const std::string& text) {
  const Result<Loaded> loaded = load_text(text, "m.yaml");
  if (!loaded.ok()) {
    ASSERT_FALSE(loaded.error().message().empty()) << text;
    return;
  }
  const std::string printed = print_config(loaded->config);
  const Result<Loaded> again = load_text(printed, "printed.yaml");
  ASSERT_TRUE(again.ok()) << again.error().message() << "\nfrom\n" << text;
  ASSERT_EQ(print_config(again->config), printed) << text;
}

TEST(Mutation, TruncationAtManyPlaces) {
  const std::string text = sample();
  for (std::size_t keep = 0; keep < text.size(); keep += 9) check(text.substr(0, keep));
}

TEST(Mutation, RandomDamage) {
  const std::string text = sample();
  const std::string alphabet = "{}[]:,-&*!|>'\"%@`#? \n\t<~0aZ\x01\xff";
  std::mt19937 random(20260115);
  for (int round = 0; round < 250; ++round) {
    std::string damaged = text;
    const int changes = 1 + static_cast<int>(random() % 6);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = random() % damaged.size();
      const char c = alphabet[random() % alphabet.size()];
      switch (random() % 3) {
        case 0: damaged[at] = c; break;
        case 1: damaged.insert(at, 1 + random() % 3, c); break;
        default: damaged.erase(at, 1 + random() % 5); break;
      }
    }
    check(damaged);
  }
}

TEST(Mutation, DeepNestingIsRefusedNotFollowed) {
  for (const char* open : {"[", "{a: ", "- ", "? "}) {
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += open;
    const Result<Loaded> loaded = load_text(text, "deep.yaml");
    EXPECT_FALSE(loaded.ok());
  }
}

}  // namespace
}  // namespace skald::config
