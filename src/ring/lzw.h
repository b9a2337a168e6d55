// LZW as the gossip protocol compresses with it: codes of 9 to 12 bits, least significant bit first, literals of 8 bits,
// clear code 256, end code 257, the width grows without early change (GIF's variant, as in Go's compress/lzw).
#pragma once

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::ring::gossip {

Bytes lzw_compress(ByteView in);
// kCorruption: not LZW, or no end code. kTooLarge: more than `bytes_max`.
Result<Bytes> lzw_decompress(ByteView in, std::size_t bytes_max);

}  // namespace skald::ring::gossip
