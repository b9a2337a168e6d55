// Detected level: one byte per row in memory, WAL and chunks. The numbers are part of the formats; never renumber.
#pragma once

#include <cstdint>
#include <string_view>

namespace skald::model {

enum class Level : std::uint8_t {
  kNone = 0,     // no detected_level on this row
  kUnknown = 1, kTrace = 2, kDebug = 3, kInfo = 4, kWarn = 5, kError = 6, kCritical = 7, kFatal = 8,
};
inline constexpr std::uint8_t kLevelCount = 9;
inline constexpr std::string_view kDetectedLevelName = "detected_level";

// "" for kNone, else the word. A detected_level whose value is not one of the words travels as ordinary
// structured metadata named detected_level, and the row's level is kNone.
std::string_view level_text(Level level);
Level level_from_text(std::string_view exact_word);  // kNone when not one of the words

}  // namespace skald::model
