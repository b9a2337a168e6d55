// ip("…") of line and label filters: one address, a range a-b, or a CIDR block, IPv4 or IPv6.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "skald/base/result.h"

namespace skald::logql {

// An address in network byte order; IPv4 uses the first four bytes.
struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const IpAddress&) const = default;
};

// Dotted quad without leading zeros, or RFC 4291 text. A zone (fe80::1%eth0) is accepted and ignored. No allocation.
std::optional<IpAddress> parse_ip(std::string_view text);

// Immutable and thread-safe. No call allocates.
class IpFilter {
 public:
  // kInvalidArgument: `ip: invalid pattern: "bad"`.
  static Result<IpFilter> parse(std::string_view text);

  bool contains(const IpAddress& address) const { return first_ <= address && address <= last_; }
  // False also for text that is no address.
  bool contains_text(std::string_view address) const;
  // True when some maximal run of address characters in `line` is an address inside the set.
  bool matches_line(std::string_view line) const;

 private:
  IpAddress first_, last_;  // same family; v6 sorts behind all of v4, so the order keeps families apart
};

}  // namespace skald::logql
