#include "chunk/encode.h"

#include <algorithm>
#include <bit>

#include "skald/codec/bitpack.h"
#include "skald/codec/crc32c.h"
#include "skald/codec/varint.h"

namespace skald::chunk {
namespace {

// Below this no codec pays for its own framing.
constexpr std::size_t kPackBytesMin = 24;

unsigned bytes_for(std::uint64_t range) { return std::max(1U, (static_cast<unsigned>(std::bit_width(range)) + 7) / 8); }

std::uint8_t scale_of(std::span<const std::int64_t> timestamps_ns) {
  std::uint8_t scale = 9;
  std::int64_t unit = 1'000'000'000;
  for (const std::int64_t ts : timestamps_ns) {
    while (ts % unit != 0) {
      unit /= 1000;
      scale = static_cast<std::uint8_t>(scale - 3);
      if (scale == 0) return 0;
    }
  }
  return scale;
}

std::int64_t unit_of(std::uint8_t scale) {
  return scale == 9 ? 1'000'000'000 : scale == 6 ? 1'000'000 : scale == 3 ? 1'000 : 1;
}

}  // namespace

Result<PageWriter::Stored> PageWriter::pack(ByteView raw, unsigned least_saving_percent) {
  if (compression_ == codec::Compression::kNone || raw.size() < kPackBytesMin) return Stored{raw};
  scratch_.clear();
  SKALD_TRY_VOID(codec::compress_append(compression_, level_, raw, scratch_));
  if (scratch_.size() > raw.size() - raw.size() * least_saving_percent / 100) return Stored{raw};
  return Stored{scratch_, compression_};
}

Result<void> append_page(BlockData& block, PageWriter& writer, TableEntry entry, ByteView raw, unsigned least_saving_percent) {
  SKALD_TRY(const PageWriter::Stored stored, writer.pack(raw, least_saving_percent));
  entry.codec = static_cast<std::uint8_t>(stored.compression);
  entry.offset = static_cast<std::uint32_t>(block.data.size());
  entry.stored = static_cast<std::uint32_t>(stored.bytes.size());
  entry.raw = static_cast<std::uint32_t>(raw.size());
  entry.crc = codec::crc32c(stored.bytes);
  block.data += stored.bytes;
  block.table.entries.push_back(entry);
  return {};
}

void append_planes(std::span<const std::uint64_t> values, unsigned width, Bytes& out) {
  const std::size_t begin = out.size();
  out.resize(begin + values.size() * width);
  char* to = out.data() + begin;
  for (unsigned plane = 0; plane < width; ++plane) {
    for (const std::uint64_t value : values) *to++ = static_cast<char>(value >> (8 * plane));
  }
}

Result<TimestampsEncoded> encode_timestamps(std::span<const std::int64_t> timestamps_ns, PageWriter& writer, Bytes& hot) {
  TimestampsEncoded result;
  result.scale = scale_of(timestamps_ns);
  const std::int64_t unit = unit_of(result.scale);
  const std::size_t n = timestamps_ns.size() - 1;
  std::vector<std::int64_t> deltas(n);
  std::int64_t previous = timestamps_ns[0] / unit;
  Bytes raw;
  codec::append_zigzag(raw, previous);
  const std::size_t first_bytes = raw.size();
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t now = unit == 1 ? timestamps_ns[i + 1] : timestamps_ns[i + 1] / unit;
    // Wraps for times centuries apart; the reader wraps back.
    deltas[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(previous));
    previous = now;
  }
  const auto write = [&]() -> Result<TimestampsEncoded> {
    SKALD_TRY(const PageWriter::Stored stored, writer.pack(raw));
    append_hot_page(hot, kColTimestamps, result.encoding, stored.compression, static_cast<std::uint32_t>(raw.size()), stored.bytes);
    return result;
  };

  const auto [low, high] = std::minmax_element(deltas.begin(), deltas.end());
  if (n == 0 || *low == *high) {
    result.encoding = kEncConst;
    codec::append_zigzag(raw, n == 0 ? 0 : *low);
    return write();
  }
  // Planes win only when bursts and pauses alternate; their codec is worth trying from about a byte a row.
  const std::size_t packed_bytes = codec::compute_bitpack_size<std::int64_t>(deltas);
  if (packed_bytes > n) {
    const std::uint64_t range = static_cast<std::uint64_t>(*high) - static_cast<std::uint64_t>(*low);
    const unsigned width = bytes_for(range);
    std::vector<std::uint64_t> above(n);
    for (std::size_t i = 0; i < n; ++i) above[i] = static_cast<std::uint64_t>(deltas[i]) - static_cast<std::uint64_t>(*low);
    codec::append_zigzag(raw, *low);
    raw.push_back(static_cast<char>(width));
    append_planes(above, width, raw);
    SKALD_TRY(const PageWriter::Stored stored, writer.pack(raw));
    if (stored.bytes.size() < packed_bytes - packed_bytes / 8) {
      result.encoding = kEncPlanes;
      append_hot_page(hot, kColTimestamps, kEncPlanes, stored.compression, static_cast<std::uint32_t>(raw.size()), stored.bytes);
      return result;
    }
    raw.resize(first_bytes);
  }
  result.encoding = kEncDelta;
  codec::bitpack_append<std::int64_t>(deltas, raw);
  return write();
}

Result<void> encode_levels(std::span<const std::uint8_t> levels, PageWriter& writer, Bytes& hot) {
  if (levels.empty()) return {};
  const auto [low, high] = std::minmax_element(levels.begin(), levels.end());
  if (*high == 0) return {};
  Bytes raw;
  std::uint8_t encoding = kEncConst;
  if (*low == *high) {
    raw.push_back(static_cast<char>(*low));
  } else {
    Bytes runs;
    const std::size_t packed_bytes = codec::compute_bitpack_size<std::uint8_t>(levels);
    for (std::size_t i = 0; i < levels.size() && runs.size() < packed_bytes;) {
      std::size_t end = i;
      while (end < levels.size() && levels[end] == levels[i]) ++end;
      runs.push_back(static_cast<char>(levels[i]));
      codec::append_varint(runs, end - i);
      i = end;
    }
    if (runs.size() < packed_bytes) {
      encoding = kEncRuns;
      raw = std::move(runs);
    } else {
      encoding = kEncBitpack;
      codec::bitpack_append<std::uint8_t>(levels, raw);
    }
  }
  SKALD_TRY(const PageWriter::Stored stored, writer.pack(raw));
  append_hot_page(hot, kColLevel, encoding, stored.compression, static_cast<std::uint32_t>(raw.size()), stored.bytes);
  return {};
}

Result<void> encode_line_lengths(std::span<const std::uint32_t> offsets, PageWriter& writer, BlockData& block) {
  const std::size_t rows = offsets.size() - 1;
  std::vector<std::uint32_t> lengths(rows);
  for (std::size_t i = 0; i < rows; ++i) lengths[i] = offsets[i + 1] - offsets[i] - 1;
  const auto [low, high] = std::minmax_element(lengths.begin(), lengths.end());
  TableEntry entry;
  entry.kind = kColLineLengths;
  entry.min = *low;
  entry.max = *high;
  Bytes raw;
  if (*low == *high) {
    entry.encoding = kEncConst;
    codec::append_varint(raw, *low);
    return append_page(block, writer, entry, raw);
  }
  const unsigned width = bytes_for(*high - *low);
  std::vector<std::uint64_t> above(rows);
  for (std::size_t i = 0; i < rows; ++i) above[i] = lengths[i] - *low;
  Bytes planes;
  codec::append_zigzag(planes, *low);
  planes.push_back(static_cast<char>(width));
  append_planes(above, width, planes);
  SKALD_TRY(const PageWriter::Stored stored, writer.pack(planes));
  const std::size_t planes_bytes = stored.bytes.size();
  codec::bitpack_append<std::uint32_t>(lengths, raw);
  SKALD_TRY(const PageWriter::Stored packed, writer.pack(raw));
  // Bit packing reads faster: planes have to earn their codec.
  if (planes_bytes + planes_bytes / 32 < packed.bytes.size()) {
    entry.encoding = kEncPlanes;
    return append_page(block, writer, entry, planes);
  }
  entry.encoding = kEncBitpack;
  return append_page(block, writer, entry, raw);
}

}  // namespace skald::chunk
