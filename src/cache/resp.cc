#include "cache/resp.h"

namespace skald::cache {
namespace {

constexpr std::size_t kLineBytesMax = 4096;

Error nonsense(const std::string& line) { return Error(ErrorCode::kCorruption, "unexpected reply '" + line.substr(0, 80) + "'"); }

// Digits with an optional minus; at most 18 of them.
std::optional<std::int64_t> parse_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 18) return std::nullopt;
  std::int64_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + (digit - '0');
  }
  return negative ? -value : value;
}

Result<Reply> read_one(Socket& socket, std::size_t elements_max, std::size_t bulk_bytes_max, std::int64_t deadline_ns, bool nested) {
  SKALD_TRY(const std::string line, socket.read_line(kLineBytesMax, deadline_ns));
  if (line.empty()) return nonsense(line);
  Reply reply;
  reply.text = line.substr(1);
  switch (line.front()) {
    case '+': reply.kind = Reply::Kind::kStatus; return reply;
    case '-': reply.kind = Reply::Kind::kError; return reply;
    case ':': reply.kind = Reply::Kind::kInteger; return reply;
    default: break;
  }
  const std::optional<std::int64_t> count = parse_number(reply.text);
  reply.text.clear();
  if (!count.has_value() || *count < -1) return nonsense(line);
  if (line.front() == '$') {
    if (*count == -1) return reply;   // null
    if (static_cast<std::uint64_t>(*count) > bulk_bytes_max) return nonsense(line);
    reply.kind = Reply::Kind::kBulk;
    const auto size = static_cast<std::size_t>(*count);
    SKALD_TRY_VOID(socket.read_exactly(size + 2, reply.text, deadline_ns));
    if (!reply.text.ends_with("\r\n")) return nonsense("a string without its end");
    reply.text.resize(size);
    return reply;
  }
  if (line.front() != '*' || nested) return nonsense(line);
  if (*count == -1) return reply;
  if (static_cast<std::uint64_t>(*count) > elements_max) return nonsense(line);
  reply.kind = Reply::Kind::kArray;
  for (std::int64_t i = 0; i < *count; ++i) {
    SKALD_TRY(Reply element, read_one(socket, elements_max, bulk_bytes_max, deadline_ns, true));
    reply.elements.push_back(std::move(element));
  }
  return reply;
}

}  // namespace

void append_command(std::string& out, const std::vector<std::string_view>& arguments) {
  out += "*" + std::to_string(arguments.size()) + "\r\n";
  for (const std::string_view argument : arguments) {
    out += "$" + std::to_string(argument.size()) + "\r\n";
    out += argument;
    out += "\r\n";
  }
}

Result<Reply> read_reply(Socket& socket, std::size_t elements_max, std::size_t bulk_bytes_max, std::int64_t deadline_ns) {
  return read_one(socket, elements_max, bulk_bytes_max, deadline_ns, false);
}

}  // namespace skald::cache
