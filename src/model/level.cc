#include "skald/model/level.h"

#include <array>

namespace skald::model {
namespace {
constexpr std::array<std::string_view, kLevelCount> kWords = {"",     "unknown", "trace",    "debug", "info",
                                                              "warn", "error",   "critical", "fatal"};
}

std::string_view level_text(Level level) {
  const auto index = static_cast<std::size_t>(level);
  return index < kWords.size() ? kWords[index] : std::string_view();
}

Level level_from_text(std::string_view exact_word) {
  for (std::size_t i = 1; i < kWords.size(); ++i) {
    if (kWords[i] == exact_word) return static_cast<Level>(i);
  }
  return Level::kNone;
}

}  // namespace skald::model
