// JSON text as Loki writes it, appended to a string: HTML-escaped, invalid UTF-8 replaced, numbers without exponents.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "skald/model/labels.h"

namespace skald::api {

// "…" with \" \\ \n \r \t, other control bytes as \u00xx, < > & and U+2028/9 as \uxxxx, invalid UTF-8 as \ufffd.
void append_json_string(std::string& out, std::string_view text);
void append_json_integer(std::string& out, std::int64_t value);
void append_json_unsigned(std::string& out, std::uint64_t value);
// Shortest decimal that reads back as `value`, never with an exponent: NaN, +Inf, -Inf, 0.0000001, 100000000000000000000.
void append_decimal(std::string& out, double value);
// A JSON number for durations and rates: as above, but 0 for what JSON cannot say.
void append_json_double(std::string& out, double value);
// Seconds since 1970 with at most three decimals: 1700000000, 1700000000.5.
void append_seconds(std::string& out, std::int64_t timestamp_ms);
// {"app":"web","env":"prod"}
void append_json_labels(std::string& out, std::span<const model::Label> labels);

}  // namespace skald::api
