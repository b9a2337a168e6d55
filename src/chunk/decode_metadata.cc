#include "chunk/decode_metadata.h"

#include <array>
#include <bit>

#include "chunk/page_reader.h"
#include "skald/codec/bitpack.h"
#include "skald/codec/varint.h"

namespace skald::chunk {
namespace {

using codec::ByteReader;

constexpr std::size_t kHexDigitsMax = 256;

struct HexPairs {
  std::array<std::uint16_t, 256> pairs{};
  constexpr HexPairs() {
    constexpr char kDigits[] = "0123456789abcdef";
    for (unsigned i = 0; i < 256; ++i) {
      pairs[i] = static_cast<std::uint16_t>(static_cast<unsigned char>(kDigits[i >> 4]) |
                                            static_cast<unsigned>(static_cast<unsigned char>(kDigits[i & 15])) << 8);
    }
  }
};
constexpr HexPairs kHexPairs;

void append_digits(const char* packed, std::size_t digits, char*& to) {
  for (std::size_t i = 0; i + 1 < digits; i += 2) {
    store_le(to, kHexPairs.pairs[static_cast<unsigned char>(*packed++)]);
    to += 2;
  }
  if (digits % 2 != 0) *to++ = static_cast<char>(kHexPairs.pairs[static_cast<unsigned char>(*packed)] & 0xFF);
}

Error unknown_encoding(std::uint8_t encoding) {
  return Error(ErrorCode::kUnimplemented, "chunk: structured metadata: encoding " + std::to_string(encoding) + " is not known to this release");
}

// Views of the `count` present values into `owner` (or into a text made from it), in order.
Result<std::vector<std::string_view>> decode_values(const TableEntry& entry, std::shared_ptr<const Bytes>& owner, std::size_t count) {
  std::vector<std::string_view> values;
  const ByteView raw = *owner;
  ByteReader in(raw);
  switch (entry.encoding) {
    case kEncConst:
      values.assign(count, raw);
      return values;
    case kEncDict8:
    case kEncDict16: {
      const std::size_t id_bytes = entry.encoding == kEncDict8 ? 1 : 2;
      const std::uint64_t distinct = in.varint();
      if (!in.ok() || distinct == 0 || distinct > in.remaining() || distinct > 65'535) return corrupt("structured metadata: dictionary");
      std::vector<std::uint64_t> lengths(distinct);
      for (std::uint64_t& length : lengths) length = in.varint();
      std::vector<std::string_view> words(distinct);
      for (std::size_t i = 0; i < distinct; ++i) words[i] = in.bytes(lengths[i]);
      if (!in.ok() || in.remaining() != count * id_bytes) return corrupt("structured metadata: dictionary");
      const ByteView ids = in.rest();
      values.resize(count);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t id = id_bytes == 1 ? static_cast<unsigned char>(ids[i]) : load_le<std::uint16_t>(ids.data() + 2 * i);
        if (id >= distinct) return corrupt("structured metadata: dictionary id");
        values[i] = words[id];
      }
      return values;
    }
    case kEncHex:
    case kEncUuid: {
      const bool uuid = entry.encoding == kEncUuid;
      const std::size_t digits = uuid ? 36 : in.fixed<std::uint16_t>();
      const std::size_t packed = uuid ? 16 : (digits + 1) / 2;
      if (!in.ok() || digits == 0 || digits > kHexDigitsMax || in.remaining() != count * packed) return corrupt("structured metadata: packed ids");
      const char* from = in.rest().data();
      auto text = std::make_shared<Bytes>();
      text->resize(count * digits);
      char* to = text->data();
      values.resize(count);
      for (std::size_t i = 0; i < count; ++i, from += packed) {
        values[i] = {to, digits};
        if (!uuid) {
          append_digits(from, digits, to);
          continue;
        }
        std::size_t at = 0;
        for (const std::size_t piece : {4U, 2U, 2U, 2U, 6U}) {
          if (at > 0) *to++ = '-';
          append_digits(from + at, piece * 2, to);
          at += piece;
        }
      }
      owner = std::move(text);
      return values;
    }
    case kEncStrings: {
      const auto lengths_bytes = in.fixed<std::uint32_t>();
      const ByteView packed = in.bytes(lengths_bytes);
      std::vector<std::uint32_t> lengths(count);
      if (!in.ok() || !codec::bitpack_read<std::uint32_t>(packed, lengths)) return corrupt("structured metadata: lengths");
      values.resize(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = in.bytes(lengths[i]);
      if (!in.at_end()) return corrupt("structured metadata: lengths");
      return values;
    }
    default: return unknown_encoding(entry.encoding);
  }
}

}  // namespace

Result<void> MetadataDecoder::add_presence(const TableEntry& entry, ByteView stored) {
  if (entry.encoding != kEncBitpack) return unknown_encoding(entry.encoding);
  const std::size_t bytes = (std::size_t{block_.rows} + 7) / 8;
  if (entry.raw != bytes) return corrupt("presence: size");
  SKALD_TRY(const Page page, open_page(entry, stored, bytes));
  presence_ = Bytes(page.bytes());
  if (block_.rows % 8 != 0 && (static_cast<unsigned char>(presence_.back()) >> (block_.rows % 8)) != 0) return corrupt("presence: bits behind the last row");
  presence_ref_ = entry.ref;
  present_rows_ = 0;
  for (const char byte : presence_) present_rows_ += static_cast<std::uint32_t>(std::popcount(static_cast<unsigned char>(byte)));
  return {};
}

Result<void> MetadataDecoder::add_values(const TableEntry& entry, const std::string& name, ByteView stored, Columns& columns) {
  // The table's sum of raw sizes bounds entry.raw; values cannot be more than rows.
  SKALD_TRY_VOID(check_page(entry, stored));
  SKALD_TRY(Bytes raw, codec::decompress_exact(static_cast<codec::Compression>(entry.codec), stored, entry.raw));
  std::shared_ptr<const Bytes> owner = std::make_shared<const Bytes>(std::move(raw));
  const bool sparse = presence_ref_ == entry.ref;
  const std::size_t count = sparse ? present_rows_ : block_.rows;
  SKALD_TRY(std::vector<std::string_view> values, decode_values(entry, owner, count));
  MetadataColumn column;
  column.name = name;
  if (!sparse) {
    column.values = std::move(values);
  } else {
    column.values.resize(block_.rows);
    std::size_t next = 0;
    for (std::size_t byte = 0; byte < presence_.size(); ++byte) {
      for (unsigned bits = static_cast<unsigned char>(presence_[byte]); bits != 0; bits &= bits - 1) {
        column.values[byte * 8 + static_cast<std::size_t>(std::countr_zero(bits))] = values[next++];
      }
    }
  }
  columns.metadata.push_back(std::move(column));
  columns.keep_alive.push_back(std::move(owner));
  return {};
}

}  // namespace skald::chunk
