// Structured log to stderr: logfmt or JSON, one line per event, Loki's keys (ts, level, caller is left out, msg).
//   log::info("flushed object", {{"tenant", t}, {"chunks", n}});
// Thread-safe. Lines are written with one write(2).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace skald::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format { kLogfmt, kJson };

struct Field {
  std::string_view key;
  std::string value;
  Field(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  Field(std::string_view k, double v);
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  Field(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
};

void set_level(Level level);          // also at run time (/log_level)
Level level();
bool parse_level(std::string_view text, Level& out);  // debug info warn error
const char* level_name(Level level);
void set_format(Format format);

void write(Level level, std::string_view message, std::initializer_list<Field> fields);
inline void debug(std::string_view m, std::initializer_list<Field> f = {}) { if (level() <= Level::kDebug) write(Level::kDebug, m, f); }
inline void info(std::string_view m, std::initializer_list<Field> f = {}) { if (level() <= Level::kInfo) write(Level::kInfo, m, f); }
inline void warn(std::string_view m, std::initializer_list<Field> f = {}) { if (level() <= Level::kWarn) write(Level::kWarn, m, f); }
inline void error(std::string_view m, std::initializer_list<Field> f = {}) { write(Level::kError, m, f); }

}  // namespace skald::log
