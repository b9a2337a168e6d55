#include "skald/index/upkeep.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "index/day_index_format.h"
#include "skald/base/clock.h"

namespace skald::index {
namespace {

enum EntryKind : std::uint16_t { kRetiredObject = 1, kRetiredIndex = 2, kCompactedObject = 3, kAppliedDelete = 4, kBegunDelete = 5 };
constexpr std::size_t kEntryBytes = 40;   // u16 kind, u16 0, u32 value, ULID, i64 a, i64 b
constexpr std::array<std::uint8_t, 2> kMergedMarker = {0x5B, 0xD1};   // first two of the ten random bytes of an ingester's ULID

struct Entry {
  std::uint16_t kind = 0;
  std::uint32_t value = 0;
  Ulid id;
  std::int64_t a = 0, b = 0;
};

void append(Bytes& out, const Entry& entry) {
  append_le(out, entry.kind);
  append_le(out, std::uint16_t{0});
  append_le(out, entry.value);
  out.append(reinterpret_cast<const char*>(entry.id.bytes.data()), entry.id.bytes.size());
  append_le(out, entry.a);
  append_le(out, entry.b);
}

Entry read(const char* from) {
  Entry entry;
  entry.kind = load_le<std::uint16_t>(from);
  entry.value = load_le<std::uint32_t>(from + 4);
  std::memcpy(entry.id.bytes.data(), from + 8, 16);
  entry.a = load_le<std::int64_t>(from + 24);
  entry.b = load_le<std::int64_t>(from + 32);
  return entry;
}

template <class T>
void sort_by_id(std::vector<T>& list) {
  std::sort(list.begin(), list.end(), [](const T& x, const T& y) { return x.id < y.id; });
}

}  // namespace

Bytes encode_upkeep(Upkeep upkeep) {
  sort_by_id(upkeep.retired_objects);
  sort_by_id(upkeep.retired_indexes);
  sort_by_id(upkeep.compacted);
  std::sort(upkeep.deletes.begin(), upkeep.deletes.end(), [](const auto& x, const auto& y) { return std::tuple(!x.complete, x.request) < std::tuple(!y.complete, y.request); });
  Bytes out;
  append_le(out, static_cast<std::uint32_t>(upkeep.retired_objects.size() + upkeep.retired_indexes.size() + upkeep.compacted.size() + upkeep.deletes.size()));
  append_le(out, std::uint32_t{0});
  for (const RetiredObject& one : upkeep.retired_objects) append(out, {kRetiredObject, 0, one.id, one.shard_start_ns, one.retired_at_ms});
  for (const RetiredIndex& one : upkeep.retired_indexes) append(out, {kRetiredIndex, 0, one.id, 0, one.retired_at_ms});
  for (const CompactedObject& one : upkeep.compacted) append(out, {kCompactedObject, one.level, one.id, 0, 0});
  for (const AppliedDelete& one : upkeep.deletes) {
    append(out, {one.complete ? kAppliedDelete : kBegunDelete, one.request, {}, static_cast<std::int64_t>(one.lines), static_cast<std::int64_t>(one.bytes)});
  }
  return out;
}

Result<Upkeep> decode_upkeep(ByteView bytes) {
  if (bytes.size() < 8) return corrupt_index("upkeep: truncated");
  const auto count = load_le<std::uint32_t>(bytes.data());
  if (bytes.size() - 8 != count * std::uint64_t{kEntryBytes}) return corrupt_index("upkeep: number of entries");
  Upkeep upkeep;
  std::tuple<std::uint16_t, Ulid, std::uint32_t> previous{};
  for (std::size_t at = 8; at < bytes.size(); at += kEntryBytes) {
    const Entry entry = read(bytes.data() + at);
    const std::tuple key{entry.kind, entry.id, entry.value};
    if (at != 8 && entry.kind <= kBegunDelete && key <= previous) return corrupt_index("upkeep: not in order");
    previous = key;
    switch (entry.kind) {
      case kRetiredObject: upkeep.retired_objects.push_back({entry.id, entry.a, entry.b}); break;
      case kRetiredIndex: upkeep.retired_indexes.push_back({entry.id, entry.b}); break;
      case kCompactedObject: upkeep.compacted.push_back({entry.id, entry.value}); break;
      case kAppliedDelete:
      case kBegunDelete:
        upkeep.deletes.push_back({entry.value, static_cast<std::uint64_t>(entry.a), static_cast<std::uint64_t>(entry.b), entry.kind == kAppliedDelete});
        break;
      default: break;   // of a later release
    }
  }
  return upkeep;
}

Ulid merged_index_id(std::int64_t day, std::uint64_t generation) {
  const auto start_ms = static_cast<std::uint64_t>(day * (kNanosPerDay / kNanosPerMilli));   // 48 bits of it, also before 1970
  Ulid id;
  for (std::size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(start_ms >> (8 * (5 - i)));
  std::copy(kMergedMarker.begin(), kMergedMarker.end(), id.bytes.begin() + 6);
  for (std::size_t i = 0; i < 8; ++i) id.bytes[8 + i] = static_cast<std::uint8_t>(generation >> (8 * (7 - i)));
  return id;
}

std::optional<std::uint64_t> merged_generation(std::int64_t day, const Ulid& id) {
  std::uint64_t generation = 0;
  for (std::size_t i = 8; i < 16; ++i) generation = generation << 8 | id.bytes[i];
  if (generation == 0 || merged_index_id(day, generation) != id) return std::nullopt;
  return generation;
}

}  // namespace skald::index
