// Checks stored bytes as thoroughly as they allow, and describes them to people: `skald fsck` and `skald inspect`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/bytes.h"

namespace skald::chunk {

struct Problem {
  std::uint64_t offset = 0;   // of the damaged structure, from the start of the bytes given
  std::string what;
};

struct VerifyReport {
  std::vector<Problem> problems;   // empty: everything checks out
  std::uint64_t chunks = 0, blocks = 0, rows = 0, raw_bytes = 0;   // of what could be read
};

// Every checksum, every page decoded, every sum compared with what directories and headers say, the content id computed
// anew, rows in order, each chunk's stream in the labels section. Reads on after a problem as far as it can.
VerifyReport verify_object(ByteView object);
VerifyReport verify_chunk(ByteView chunk);

// Several lines of text, also of damaged bytes.
std::string describe_object(ByteView object);
std::string describe_chunk(ByteView chunk);

}  // namespace skald::chunk
