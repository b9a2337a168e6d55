// One column of structured metadata: which rows have it, and the values in the encoding that suits them.
#include <algorithm>
#include <array>

#include "chunk/encode.h"
#include "skald/codec/bitpack.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"

namespace skald::chunk {
namespace {

constexpr std::size_t kDictionaryEntriesMax = 65'535;
constexpr std::size_t kHexDigitsMin = 8;
constexpr std::size_t kHexDigitsMax = 256;
constexpr std::size_t kUuidBytes = 36;

constexpr std::array<std::int8_t, 256> make_hex_digits() {
  std::array<std::int8_t, 256> t{};
  for (auto& v : t) v = -1;
  for (int i = 0; i < 10; ++i) t[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
  for (int i = 0; i < 6; ++i) t[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
  return t;
}
constexpr std::array<std::int8_t, 256> kHexDigit = make_hex_digits();

int hex_digit(char c) { return kHexDigit[static_cast<unsigned char>(c)]; }

bool is_lower_hex(std::string_view text) {
  int all = 0;
  for (const char c : text) all |= hex_digit(c);
  return all >= 0;
}

bool is_uuid(std::string_view text) {
  if (text.size() != kUuidBytes) return false;
  for (std::size_t i = 0; i < kUuidBytes; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : hex_digit(text[i]) < 0) return false;
  }
  return true;
}

void append_nibbles(std::string_view digits, Bytes& out) {
  std::size_t i = 0;
  for (; i + 1 < digits.size(); i += 2) out.push_back(static_cast<char>(hex_digit(digits[i]) << 4 | hex_digit(digits[i + 1])));
  if (i < digits.size()) out.push_back(static_cast<char>(hex_digit(digits[i]) << 4));
}

// Distinct values in order of first use. Gives up (false) when a dictionary cannot pay.
class Dictionary {
 public:
  bool build(const std::vector<std::string_view>& values) {
    slots_.assign(64, 0);
    ids_.reserve(values.size());
    const std::size_t distinct_max = std::min(kDictionaryEntriesMax, values.size() / 2 + 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string_view value = values[i];
      if (i > 0 && value == values[i - 1]) {
        ids_.push_back(ids_.back());
        continue;
      }
      ids_.push_back(find_or_add(value));
      if (entries_.size() > distinct_max) return false;
      // Ids that hardly repeat are recognised early, before they are all hashed.
      if (i == 1023 && entries_.size() > 768) return false;
    }
    return true;
  }
  const std::vector<std::string_view>& entries() const { return entries_; }
  const std::vector<std::uint32_t>& ids() const { return ids_; }
  std::size_t entry_bytes() const { return entry_bytes_; }

 private:
  std::uint32_t find_or_add(std::string_view value) {
    if (entries_.size() * 2 >= slots_.size()) grow();
    const std::uint64_t hash = codec::xxh3_64(value);
    std::size_t at = hash & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
      const std::uint32_t id = slots_[at] - 1;
      if (hashes_[id] == hash && entries_[id] == value) return id;
    }
    entries_.push_back(value);
    hashes_.push_back(hash);
    entry_bytes_ += value.size();
    slots_[at] = static_cast<std::uint32_t>(entries_.size());
    return slots_[at] - 1;
  }
  void grow() {
    slots_.assign(slots_.size() * 4, 0);
    for (std::size_t id = 0; id < entries_.size(); ++id) {
      std::size_t at = hashes_[id] & (slots_.size() - 1);
      while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = static_cast<std::uint32_t>(id + 1);
    }
  }
  std::vector<std::uint32_t> slots_;   // id + 1; 0: free
  std::vector<std::string_view> entries_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> ids_;
  std::size_t entry_bytes_ = 0;
};

Result<void> encode_presence(const MetadataColumn& column, std::uint32_t symbol, PageWriter& writer, BlockData& block) {
  Bytes bits((column.values.size() + 7) / 8, '\0');
  for (std::size_t row = 0; row < column.values.size(); ++row) {
    if (column.values[row].data() != nullptr) bits[row / 8] = static_cast<char>(bits[row / 8] | (1 << (row % 8)));
  }
  TableEntry entry;
  entry.kind = kColPresence;
  entry.encoding = kEncBitpack;
  entry.ref = symbol;
  return append_page(block, writer, entry, bits);
}

Bytes make_dictionary_page(const Dictionary& dictionary, bool wide) {
  Bytes raw;
  codec::append_varint(raw, dictionary.entries().size());
  for (const std::string_view value : dictionary.entries()) codec::append_varint(raw, value.size());
  for (const std::string_view value : dictionary.entries()) raw += value;
  for (const std::uint32_t id : dictionary.ids()) {
    raw.push_back(static_cast<char>(id));
    if (wide) raw.push_back(static_cast<char>(id >> 8));
  }
  return raw;
}

Bytes make_strings_page(const std::vector<std::string_view>& values) {
  std::vector<std::uint32_t> lengths;
  lengths.reserve(values.size());
  for (const std::string_view value : values) lengths.push_back(static_cast<std::uint32_t>(value.size()));
  Bytes raw(4, '\0');
  codec::bitpack_append<std::uint32_t>(lengths, raw);
  store_le(raw.data(), static_cast<std::uint32_t>(raw.size() - 4));
  for (const std::string_view value : values) raw += value;
  return raw;
}

}  // namespace

Result<void> encode_metadata(const MetadataColumn& column, PageWriter& writer, BlockData& block) {
  std::vector<std::string_view> values;
  values.reserve(column.values.size());
  for (const std::string_view value : column.values) {
    if (value.data() != nullptr) values.push_back(value);
  }
  if (values.empty()) return {};
  const auto symbol = static_cast<std::uint32_t>(block.table.symbols.size());
  block.table.symbols.push_back(column.name);
  if (values.size() < column.values.size()) SKALD_TRY_VOID(encode_presence(column, symbol, writer, block));

  std::size_t shortest = values[0].size();
  std::size_t longest = values[0].size();
  for (const std::string_view value : values) {
    shortest = std::min(shortest, value.size());
    longest = std::max(longest, value.size());
  }
  TableEntry entry;
  entry.kind = kColMetadata;
  entry.ref = symbol;
  entry.class_mask = kAllTokenClasses;
  entry.min_length = static_cast<std::uint16_t>(std::min<std::size_t>(shortest, 0xFFFF));
  entry.max_length = static_cast<std::uint16_t>(std::min<std::size_t>(longest, 0xFFFF));
  entry.distinct = 0xFFFF;

  Dictionary dictionary;
  const bool repeats = dictionary.build(values);
  if (repeats) entry.distinct = static_cast<std::uint16_t>(dictionary.entries().size());
  if (dictionary.entries().size() == 1) {
    entry.encoding = kEncConst;
    return append_page(block, writer, entry, values[0]);
  }
  const bool one_width = shortest == longest;
  const bool uuid = one_width && longest == kUuidBytes && std::all_of(values.begin(), values.end(), is_uuid);
  const bool hex = !uuid && one_width && longest >= kHexDigitsMin && longest <= kHexDigitsMax &&
                   std::all_of(values.begin(), values.end(), is_lower_hex);
  const std::size_t packed_bytes = uuid ? 16 : (longest + 1) / 2;
  const bool wide = dictionary.entries().size() > 255;
  const std::size_t dictionary_bytes = dictionary.entry_bytes() + dictionary.ids().size() * (wide ? 2 : 1);
  const bool pack = (uuid || hex) && (!repeats || values.size() * packed_bytes <= dictionary_bytes);
  if (repeats && !pack) {
    entry.encoding = wide ? kEncDict16 : kEncDict8;
    return append_page(block, writer, entry, make_dictionary_page(dictionary, wide));
  }
  if (!pack) {
    entry.encoding = kEncStrings;
    return append_page(block, writer, entry, make_strings_page(values));
  }
  Bytes raw;
  raw.reserve(2 + values.size() * packed_bytes);
  if (uuid) {
    entry.encoding = kEncUuid;
    entry.class_mask = 1 | 2 | 64;
    for (const std::string_view value : values) {
      for (const auto& [at, digits] : {std::pair{0, 8}, {9, 4}, {14, 4}, {19, 4}, {24, 12}}) {
        append_nibbles(value.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(digits)), raw);
      }
    }
  } else {
    entry.encoding = kEncHex;
    entry.class_mask = 1 | 2;
    append_le(raw, static_cast<std::uint16_t>(longest));
    for (const std::string_view value : values) append_nibbles(value, raw);
  }
  // Scans over packed ids want them uncompressed; only real repetition is worth a codec.
  return append_page(block, writer, entry, raw, 5);
}

}  // namespace skald::chunk
