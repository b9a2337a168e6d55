// Lines that repeat a value of structured metadata (a trace id in the text and beside it) are stored with one marker byte in
// its place: a random id costs its bytes once instead of twice.
#pragma once

#include <cstdint>
#include <optional>

#include "skald/base/bytes.h"
#include "skald/chunk/block.h"

namespace skald::chunk {

struct Splice {
  std::size_t column = 0;      // index into Columns::metadata
  std::uint8_t marker = 0;     // a byte no line of the block has
  Bytes text;                  // the lines with the first occurrence of the row's value replaced by the marker
};
// Nothing when no column pays.
std::optional<Splice> splice_lines(const Columns& columns);

// Fills columns.text (text_bytes and line_offsets are set) from the stored text. False when markers, values and lengths do
// not add up.
[[nodiscard]] bool unsplice_lines(ByteView stored, char marker, const MetadataColumn& values, Columns& columns);

}  // namespace skald::chunk
