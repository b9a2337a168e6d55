// Redis' serialization protocol, version 2 (https://redis.io/docs/reference/protocol-spec/): commands out, replies in.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/socket.h"

namespace skald::cache {

void append_command(std::string& out, const std::vector<std::string_view>& arguments);

struct Reply {
  enum class Kind { kStatus, kError, kInteger, kBulk, kNull, kArray } kind = Kind::kNull;
  std::string text;              // status, error, integer digits, bulk
  std::vector<Reply> elements;   // kArray; of one level
};

// kCorruption: not the protocol, nested arrays, or more than we would ask for. Sizes are checked before anything is reserved.
Result<Reply> read_reply(Socket& socket, std::size_t elements_max, std::size_t bulk_bytes_max, std::int64_t deadline_ns);

}  // namespace skald::cache
