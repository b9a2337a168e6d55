#include "skald/logql/ip_filter.h"

#include <string>

#include "skald/model/labels.h"

namespace skald::logql {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_v4(std::string_view text, std::uint8_t* out) {
  std::size_t at = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (at == text.size() || text[at] != '.') return false;
      ++at;
    }
    const std::size_t start = at;
    unsigned value = 0;
    while (at < text.size() && is_digit(text[at]) && at - start < 4) value = value * 10 + static_cast<unsigned>(text[at++] - '0');
    if (at == start || value > 255) return false;
    if (at - start > 1 && text[start] == '0') return false;  // 010 is octal to some and ten to others
    out[part] = static_cast<std::uint8_t>(value);
  }
  return at == text.size();
}

bool parse_v6(std::string_view text, std::array<std::uint8_t, 16>& out) {
  std::array<std::uint8_t, 16> head{};
  std::size_t filled = 0, gap = 17;  // gap: bytes in front of ::
  std::size_t at = 0;
  if (text.size() >= 2 && text[0] == ':' && text[1] == ':') {
    gap = 0;
    at = 2;
    if (at == text.size()) { out = head; return true; }
  }
  while (filled < 16) {
    const std::size_t start = at;
    unsigned value = 0;
    while (at < text.size() && hex_value(text[at]) >= 0) {
      if (at - start == 4) return false;
      value = value << 4 | static_cast<unsigned>(hex_value(text[at++]));
    }
    if (at == start) return false;
    if (at < text.size() && text[at] == '.') {
      if (filled > 12 || !parse_v4(text.substr(start), head.data() + filled)) return false;
      if (gap > 16 && filled != 12) return false;
      filled += 4;
      at = text.size();
      break;
    }
    head[filled] = static_cast<std::uint8_t>(value >> 8);
    head[filled + 1] = static_cast<std::uint8_t>(value);
    filled += 2;
    if (at == text.size()) break;
    if (text[at] != ':' || at + 1 == text.size()) return false;
    ++at;
    if (text[at] == ':') {
      if (gap <= 16) return false;
      gap = filled;
      ++at;
      if (at == text.size()) break;
    }
  }
  if (at != text.size()) return false;
  if (filled == 16) {
    if (gap <= 16) return false;  // :: must stand for something
    out = head;
    return true;
  }
  if (gap > 16) return false;
  out = {};
  for (std::size_t i = 0; i < gap; ++i) out[i] = head[i];
  for (std::size_t i = gap; i < filled; ++i) out[16 - filled + i] = head[i];
  return true;
}

// The first and last address that share the first `bits` bits with `address`.
void block_of(const IpAddress& address, unsigned bits, IpAddress& first, IpAddress& last) {
  first = last = address;
  for (unsigned i = bits; i < (address.v6 ? 128u : 32u); ++i) {
    const auto bit = static_cast<std::uint8_t>(0x80u >> (i % 8));
    first.bytes[i / 8] = static_cast<std::uint8_t>(first.bytes[i / 8] & ~bit);
    last.bytes[i / 8] = static_cast<std::uint8_t>(last.bytes[i / 8] | bit);
  }
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.size() > 64) return std::nullopt;
  IpAddress address;
  if (text.find(':') == std::string_view::npos) {
    if (!parse_v4(text, address.bytes.data())) return std::nullopt;
    return address;
  }
  address.v6 = true;
  if (const std::size_t zone = text.find('%'); zone != std::string_view::npos) {
    if (zone + 1 == text.size()) return std::nullopt;
    text = text.substr(0, zone);
  }
  if (!parse_v6(text, address.bytes)) return std::nullopt;
  return address;
}

Result<IpFilter> IpFilter::parse(std::string_view text) {
  const auto bad = [&] {
    std::string message = "ip: invalid pattern: ";
    model::append_go_quoted(message, text);
    return Error(ErrorCode::kInvalidArgument, std::move(message));
  };
  const auto trim = [](std::string_view part) {
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    return part;
  };
  IpFilter filter;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto address = parse_ip(text.substr(0, slash));
    const std::string_view digits = text.substr(slash + 1);
    if (!address || digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits[0] == '0')) return bad();
    unsigned bits = 0;
    for (const char c : digits) {
      if (!is_digit(c)) return bad();
      bits = bits * 10 + static_cast<unsigned>(c - '0');
    }
    if (bits > (address->v6 ? 128u : 32u)) return bad();
    block_of(*address, bits, filter.first_, filter.last_);
    return filter;
  }
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = parse_ip(trim(text.substr(0, dash)));
    const auto last = parse_ip(trim(text.substr(dash + 1)));
    if (!first || !last || first->v6 != last->v6 || *last < *first) return bad();
    filter.first_ = *first;
    filter.last_ = *last;
    return filter;
  }
  const auto address = parse_ip(text);
  if (!address) return bad();
  filter.first_ = filter.last_ = *address;
  return filter;
}

bool IpFilter::contains_text(std::string_view address) const {
  const auto parsed = parse_ip(address);
  return parsed && contains(*parsed);
}

bool IpFilter::matches_line(std::string_view line) const {
  const auto at = [&](std::size_t i) { return i < line.size() ? line[i] : '\0'; };
  for (std::size_t i = 0; i < line.size();) {
    const char c = line[i];
    std::size_t length = 0;
    // Cheap look-ahead first: a digit with a dot within four bytes, or up to four hex digits with a colon behind them.
    if (is_digit(c) && (at(i + 1) == '.' || at(i + 2) == '.' || at(i + 3) == '.')) {
      while (is_digit(at(i + length)) || at(i + length) == '.') ++length;
    } else if ((c == ':' && at(i + 1) == ':' && hex_value(at(i + 2)) >= 0) ||
               (hex_value(c) >= 0 && (at(i + 1) == ':' || (hex_value(at(i + 1)) >= 0 && (at(i + 2) == ':' ||
                (hex_value(at(i + 2)) >= 0 && (at(i + 3) == ':' || (hex_value(at(i + 3)) >= 0 && at(i + 4) == ':')))))))) {
      while (hex_value(at(i + length)) >= 0 || at(i + length) == ':' || at(i + length) == '.') ++length;
    }
    if (length == 0) {
      ++i;
      continue;
    }
    if (contains_text(line.substr(i, length))) return true;
    i += length + 1;  // the byte behind a run belongs to no address
  }
  return false;
}

}  // namespace skald::logql
