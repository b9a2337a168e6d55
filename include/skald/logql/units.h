// Numbers and units as LogQL reads them: in query text (case matters) and in label values (Go's and humanised forms).
// Pure functions; any thread. Errors carry Go's wording, since __error_details__ shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "skald/base/result.h"

namespace skald::logql {

enum class FloatStatus { kOk, kSyntax, kRange };
// Go's strconv.ParseFloat(text, 64): decimal with `_` between digits, hex floats with exponent, inf, infinity, nan in any
// case. kRange leaves ±Inf in `value`, as Go does; other failures leave 0.
FloatStatus parse_go_float(std::string_view text, double& value);
// `strconv.ParseFloat: parsing "zz": invalid syntax`
std::string go_float_error(std::string_view text, FloatStatus status);

// Go's time.ParseDuration in nanoseconds, with its errors: `time: invalid duration "xx"`, `time: missing unit in
// duration "5"`, `time: unknown unit "d" in duration "1d"`.
Result<std::int64_t> parse_go_duration_text(std::string_view text);

// Sizes in label values: "10kb", "1.5 MiB", "1,024B", "7"; any case. Bytes.
Result<std::uint64_t> parse_humanized_bytes(std::string_view text);
// Sizes in query text: 5B 5kB 5KB 5MB 5GiB 5k 5Ki …; case matters. nullopt: not a size.
std::optional<std::uint64_t> parse_query_bytes(std::string_view text);
// "5.0kB", "12MB", "7B": powers of 1000, one decimal below ten, as Loki prints sizes.
std::string format_humanized_bytes(std::uint64_t bytes);

// Go's strconv.FormatFloat with the shortest digits that read back: 'f' without exponent, 'g' as %v prints floats.
std::string format_go_float_f(double value);
std::string format_go_float_g(double value);

}  // namespace skald::logql
