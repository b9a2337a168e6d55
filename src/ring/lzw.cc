#include "ring/lzw.h"

#include <array>
#include <memory>

namespace skald::ring::gossip {
namespace {

constexpr unsigned kClear = 256, kEnd = 257, kWidthMin = 9, kWidthMax = 12, kCodes = 1U << kWidthMax;
constexpr unsigned kNone = ~0U;

class BitWriter {
 public:
  explicit BitWriter(Bytes& out) : out_(out) {}
  void write(unsigned code, unsigned width) {
    bits_ |= static_cast<std::uint64_t>(code) << count_;
    for (count_ += width; count_ >= 8; count_ -= 8, bits_ >>= 8) out_.push_back(static_cast<char>(bits_));
  }
  void finish() {
    if (count_ > 0) out_.push_back(static_cast<char>(bits_));
  }

 private:
  Bytes& out_;
  std::uint64_t bits_ = 0;
  unsigned count_ = 0;
};

// (prefix code, next byte) -> code. Open addressing: at most kCodes entries in four times the room.
class Dictionary {
 public:
  Dictionary() { clear(); }
  void clear() { keys_.fill(kNone); }
  unsigned* find_or_slot(unsigned key, bool& found) {
    std::size_t at = (key * 2654435761U) >> 18;
    while (keys_[at] != kNone && keys_[at] != key) at = (at + 1) % keys_.size();
    found = keys_[at] == key;
    slot_ = at;
    return &codes_[at];
  }
  void take_slot(unsigned key, unsigned code) { keys_[slot_] = key, codes_[slot_] = code; }

 private:
  std::array<unsigned, 4 * kCodes> keys_{}, codes_{};
  std::size_t slot_ = 0;
};

}  // namespace

Bytes lzw_compress(ByteView in) {
  Bytes out;
  BitWriter bits(out);
  const auto dictionary = std::make_unique<Dictionary>();
  unsigned width = kWidthMin, last = kEnd;   // `last`: the highest code in use
  bits.write(kClear, width);
  // One more code exists; true: the table was full and begins anew.
  const auto grow = [&] {
    ++last;
    if (last == 1U << width) ++width;
    if (last < kCodes - 1) return false;
    bits.write(kClear, width);
    width = kWidthMin;
    last = kEnd;
    dictionary->clear();
    return true;
  };
  if (!in.empty()) {
    unsigned code = static_cast<unsigned char>(in[0]);
    for (const char c : in.substr(1)) {
      const unsigned literal = static_cast<unsigned char>(c), key = code << 8 | literal;
      bool found = false;
      const unsigned* known = dictionary->find_or_slot(key, found);
      if (found) {
        code = *known;
        continue;
      }
      bits.write(code, width);
      code = literal;
      if (!grow()) dictionary->take_slot(key, last);
    }
    bits.write(code, width);
    grow();
  }
  bits.write(kEnd, width);
  bits.finish();
  return out;
}

Result<Bytes> lzw_decompress(ByteView in, std::size_t bytes_max) {
  const auto malformed = [](const char* what) { return Error(ErrorCode::kCorruption, std::string("lzw: ") + what); };
  Bytes out;
  std::array<std::uint16_t, kCodes> prefix{};
  std::array<char, kCodes> suffix{};
  Bytes word;   // a code's bytes, last first
  unsigned width = kWidthMin, highest = kEnd, last = kNone;
  std::uint64_t bits = 0;
  unsigned bit_count = 0;
  std::size_t at = 0;
  bool full = false;   // codes up to `highest` are all in use
  while (true) {
    while (bit_count < width) {
      if (at == in.size()) return malformed("no end code");
      bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(in[at++])) << bit_count;
      bit_count += 8;
    }
    const unsigned code = static_cast<unsigned>(bits) & ((1U << width) - 1);
    bits >>= width;
    bit_count -= width;
    if (code == kEnd) return out;
    if (code == kClear) {
      width = kWidthMin, highest = kEnd, last = kNone, full = false;
      continue;
    }
    // The code that is being made right now stands for the last word and its own first byte.
    const bool unfinished = code == highest && last != kNone;
    if (code > highest || (code == highest && !unfinished && !full)) return malformed("a code that is not there yet");
    word.clear();
    unsigned link = unfinished ? last : code;
    for (; link > kEnd; link = prefix[link]) word.push_back(suffix[link]);
    if (link >= kClear) return malformed("a control code inside a word");
    const char first = static_cast<char>(link);
    word.push_back(first);
    if (word.size() + 1 > bytes_max - out.size()) return Error(ErrorCode::kTooLarge, "lzw: unpacks to more than " + std::to_string(bytes_max) + " bytes");
    out.append(word.rbegin(), word.rend());
    if (unfinished) out.push_back(first);
    if (last != kNone) {
      prefix[highest] = static_cast<std::uint16_t>(last);
      suffix[highest] = first;
    }
    last = code;
    ++highest;
    if (highest >= 1U << width) {
      if (width == kWidthMax) {
        last = kNone;   // full: nothing is added until a clear code
        --highest;
        full = true;
      } else {
        ++width;
      }
    }
  }
}

}  // namespace skald::ring::gossip
