// Integers as frames of reference: per 128 values (the last group may be shorter) the smallest value as a zig-zag varint,
// a width byte (0..64), then value - smallest in `width` bits each, low bits first, padded to a whole byte.
#pragma once

#include <cstdint>
#include <span>

#include "skald/base/bytes.h"

namespace skald::codec {

inline constexpr std::size_t kBitpackGroup = 128;

// Also implemented for uint32_t and uint8_t (the numbers on disk are the same).
template <class T>
void bitpack_append(std::span<const T> values, Bytes& out);

// Bytes bitpack_append would add.
template <class T>
std::size_t compute_bitpack_size(std::span<const T> values);

// Fills `values` from exactly all of `in`. False when `in` is too short, too long or holds an impossible width; values
// that do not fit T are cut to its low bits.
template <class T>
[[nodiscard]] bool bitpack_read(ByteView in, std::span<T> values);

// Bytes a well-formed encoding of `count` values can take at most: what a reader accepts before it reserves.
inline std::uint64_t bitpack_bytes_max(std::uint64_t count) { return count * 8 + (count / kBitpackGroup + 1) * 11; }

extern template void bitpack_append<std::int64_t>(std::span<const std::int64_t>, Bytes&);
extern template void bitpack_append<std::uint32_t>(std::span<const std::uint32_t>, Bytes&);
extern template void bitpack_append<std::uint8_t>(std::span<const std::uint8_t>, Bytes&);
extern template std::size_t compute_bitpack_size<std::int64_t>(std::span<const std::int64_t>);
extern template std::size_t compute_bitpack_size<std::uint32_t>(std::span<const std::uint32_t>);
extern template std::size_t compute_bitpack_size<std::uint8_t>(std::span<const std::uint8_t>);
extern template bool bitpack_read<std::int64_t>(ByteView, std::span<std::int64_t>);
extern template bool bitpack_read<std::uint32_t>(ByteView, std::span<std::uint32_t>);
extern template bool bitpack_read<std::uint8_t>(ByteView, std::span<std::uint8_t>);

}  // namespace skald::codec
