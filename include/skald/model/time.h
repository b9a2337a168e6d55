// Text forms of times and durations, in Go's and Prometheus' spelling.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "skald/base/result.h"

namespace skald::model {

// 2026-01-01T00:00:00Z with as many fraction digits as needed (Go's RFC3339Nano in UTC).
std::string format_rfc3339_nano(std::int64_t ns);
// RFC 3339 with optional fraction and zone.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

// Go's time.Duration: "1h0m0s", "1.5s", "300ms", "0s".
std::string format_go_duration(std::int64_t ns);
// Go's time.ParseDuration: "1h30m", "1.5s", "-2ms", "0"; units ns us µs μs ms s m h.
std::optional<std::int64_t> parse_go_duration(std::string_view text);
// Prometheus' model.Duration: 1y2w3d4h5m6s7ms, descending integer units, "0".
std::optional<std::int64_t> parse_prom_duration(std::string_view text);
// Prometheus' model.Duration text: "1h", "5m", "1d", "1h30m", "1500ms" as "1s500ms"; "0s".
std::string format_prom_duration(std::int64_t ns);

}  // namespace skald::model
