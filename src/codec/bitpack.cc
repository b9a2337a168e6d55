#include "skald/codec/bitpack.h"

#include <algorithm>
#include <bit>

#include "skald/codec/varint.h"

namespace skald::codec {
namespace {

struct Frame {
  std::int64_t base = 0;
  unsigned width = 0;
};

template <class T>
Frame frame_of(std::span<const T> group) {
  const auto [low, high] = std::minmax_element(group.begin(), group.end());
  const auto base = static_cast<std::int64_t>(*low);
  // Unsigned difference: right even when high - low does not fit int64.
  const std::uint64_t range = static_cast<std::uint64_t>(static_cast<std::int64_t>(*high)) - static_cast<std::uint64_t>(base);
  return {base, static_cast<unsigned>(std::bit_width(range))};
}

std::size_t packed_bytes(std::size_t count, unsigned width) { return (count * width + 7) / 8; }

template <class T>
void pack(std::span<const T> group, const Frame& frame, char* out) {
  // `out` is zeroed and has 8 bytes of room behind the packed bytes.
  const auto base = static_cast<std::uint64_t>(frame.base);
  std::size_t bit = 0;
  for (const T value : group) {
    const std::uint64_t delta = static_cast<std::uint64_t>(static_cast<std::int64_t>(value)) - base;
    char* at = out + bit / 8;
    const unsigned shift = bit % 8;
    store_le(at, load_le<std::uint64_t>(at) | (delta << shift));
    if (shift + frame.width > 64) at[8] = static_cast<char>(delta >> (64 - shift));
    bit += frame.width;
  }
}

// Reads up to 8 bytes behind the packed bytes.
template <class T>
void unpack(const char* in, const Frame& frame, std::span<T> group) {
  const auto base = static_cast<std::uint64_t>(frame.base);
  if (frame.width == 0) {
    std::fill(group.begin(), group.end(), static_cast<T>(base));
    return;
  }
  const std::uint64_t mask = frame.width == 64 ? ~0ULL : (1ULL << frame.width) - 1;
  std::size_t bit = 0;
  if (frame.width <= 56) {
    for (T& value : group) {
      value = static_cast<T>(base + ((load_le<std::uint64_t>(in + bit / 8) >> (bit % 8)) & mask));
      bit += frame.width;
    }
    return;
  }
  for (T& value : group) {
    const char* at = in + bit / 8;
    const unsigned shift = bit % 8;
    std::uint64_t word = load_le<std::uint64_t>(at) >> shift;
    if (shift != 0) word |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[8])) << (64 - shift);
    value = static_cast<T>(base + (word & mask));
    bit += frame.width;
  }
}

}  // namespace

template <class T>
void bitpack_append(std::span<const T> values, Bytes& out) {
  for (std::size_t i = 0; i < values.size(); i += kBitpackGroup) {
    const std::span<const T> group = values.subspan(i, std::min(kBitpackGroup, values.size() - i));
    const Frame frame = frame_of(group);
    append_zigzag(out, frame.base);
    out.push_back(static_cast<char>(frame.width));
    const std::size_t bytes = packed_bytes(group.size(), frame.width);
    const std::size_t before = out.size();
    out.resize(before + bytes + 9);
    if (bytes > 0) pack(group, frame, out.data() + before);
    out.resize(before + bytes);
  }
}

template <class T>
std::size_t compute_bitpack_size(std::span<const T> values) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < values.size(); i += kBitpackGroup) {
    const std::span<const T> group = values.subspan(i, std::min(kBitpackGroup, values.size() - i));
    const Frame frame = frame_of(group);
    bytes += varint_size(zigzag(frame.base)) + 1 + packed_bytes(group.size(), frame.width);
  }
  return bytes;
}

template <class T>
bool bitpack_read(ByteView in, std::span<T> values) {
  const char* p = in.data();
  const char* end = p + in.size();
  for (std::size_t i = 0; i < values.size(); i += kBitpackGroup) {
    const std::span<T> group = values.subspan(i, std::min(kBitpackGroup, values.size() - i));
    std::uint64_t base = 0;
    if (!read_varint(p, end, base) || p == end) return false;
    const Frame frame{unzigzag(base), static_cast<unsigned char>(*p++)};
    if (frame.width > 64) return false;
    const std::size_t bytes = packed_bytes(group.size(), frame.width);
    const auto left = static_cast<std::size_t>(end - p);
    if (bytes > left) return false;
    if (bytes + 9 <= left) {
      unpack(p, frame, group);
    } else {
      // The last group(s): the wide loads would run past the input.
      char padded[kBitpackGroup * 8 + 16] = {};
      std::copy_n(p, bytes, padded);
      unpack(padded, frame, group);
    }
    p += bytes;
  }
  return p == end;
}

template void bitpack_append<std::int64_t>(std::span<const std::int64_t>, Bytes&);
template void bitpack_append<std::uint32_t>(std::span<const std::uint32_t>, Bytes&);
template void bitpack_append<std::uint8_t>(std::span<const std::uint8_t>, Bytes&);
template std::size_t compute_bitpack_size<std::int64_t>(std::span<const std::int64_t>);
template std::size_t compute_bitpack_size<std::uint32_t>(std::span<const std::uint32_t>);
template std::size_t compute_bitpack_size<std::uint8_t>(std::span<const std::uint8_t>);
template bool bitpack_read<std::int64_t>(ByteView, std::span<std::int64_t>);
template bool bitpack_read<std::uint32_t>(ByteView, std::span<std::uint32_t>);
template bool bitpack_read<std::uint8_t>(ByteView, std::span<std::uint8_t>);

}  // namespace skald::codec
