#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>

#include "chunk/object_layout.h"
#include "skald/base/clock.h"
#include "skald/chunk/builder.h"
#include "skald/codec/compress.h"
#include "skald/codec/crc32c.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"

namespace skald::chunk {
namespace {

using codec::append_varint;

std::int64_t floor_seconds(std::int64_t ns) { return ns / kNanosPerSecond - (ns % kNanosPerSecond < 0 ? 1 : 0); }
std::int64_t ceil_seconds(std::int64_t ns) { return ns / kNanosPerSecond + (ns % kNanosPerSecond > 0 ? 1 : 0); }

void append_ulid(Bytes& out, const Ulid& id) { out.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()); }

// A string as the length it shares with `previous`, and the rest.
void append_front_coded(Bytes& out, std::string_view previous, std::string_view text) {
  const auto shared = static_cast<std::size_t>(
      std::mismatch(previous.begin(), previous.begin() + static_cast<std::ptrdiff_t>(std::min(previous.size(), text.size())), text.begin()).first -
      previous.begin());
  append_varint(out, shared);
  append_varint(out, text.size() - shared);
  out += text.substr(shared);
}

Bytes make_labels_section(const std::map<std::uint64_t, model::LabelsPtr>& streams) {
  std::vector<const model::InternedLabels*> sorted;
  for (const auto& [hash, labels] : streams) sorted.push_back(labels.get());
  // By label set, so that neighbours share prefixes.
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->labels < b->labels; });
  Bytes raw;
  append_varint(raw, sorted.size());
  static const std::vector<model::Label> kNone;
  const std::vector<model::Label>* previous = &kNone;
  for (const model::InternedLabels* stream : sorted) {
    const std::vector<model::Label>& pairs = stream->labels.pairs();
    append_le(raw, stream->hash);
    append_varint(raw, pairs.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const bool has_previous = i < previous->size();
      append_front_coded(raw, has_previous ? (*previous)[i].name : std::string_view{}, pairs[i].name);
      append_front_coded(raw, has_previous ? (*previous)[i].value : std::string_view{}, pairs[i].value);
    }
    previous = &pairs;
  }
  return raw;
}

}  // namespace

struct ObjectBuilder::State {
  std::string tenant;
  std::int64_t shard_start_ns = 0;
  Ulid id;
  Bytes bytes;
  std::vector<PlacedChunk> chunks;
  std::map<std::uint64_t, model::LabelsPtr> streams;
  std::uint64_t labels_bytes = 0;   // raw, for size_bytes()
  std::uint32_t level = 0;
  std::vector<Ulid> inputs;
  std::optional<Error> failed;
};

ObjectBuilder::ObjectBuilder(std::string tenant, std::int64_t shard_start_ns, Ulid id) : state_(std::make_unique<State>()) {
  state_->tenant = std::move(tenant);
  state_->shard_start_ns = shard_start_ns;
  state_->id = id;
  state_->bytes.resize(kObjectHeaderBytes);
}
ObjectBuilder::~ObjectBuilder() = default;

void ObjectBuilder::add(BuiltChunk chunk, std::span<const model::LabelsPtr> streams) {
  State& s = *state_;
  s.bytes.resize((s.bytes.size() + kObjectAlignment - 1) / kObjectAlignment * kObjectAlignment);
  const std::uint64_t offset = s.bytes.size();
  if (time_shard_start(chunk.meta.min_ts_ns) != s.shard_start_ns || time_shard_start(chunk.meta.max_ts_ns) != s.shard_start_ns) {
    s.failed = Error(ErrorCode::kInvalidArgument, "object: a chunk belongs to another time shard");
  }
  s.bytes += chunk.bytes;
  s.chunks.push_back({offset, std::move(chunk.meta)});
  for (const model::LabelsPtr& labels : streams) {
    if (s.streams.emplace(labels->hash, labels).second) s.labels_bytes += labels->text.size() + 16;
  }
  const ChunkMeta& meta = s.chunks.back().meta;
  const auto known = [&](std::uint64_t hash) { return s.streams.contains(hash); };
  const bool labelled = meta.group ? std::all_of(meta.members.begin(), meta.members.end(), [&](const GroupMember& m) { return known(m.stream_hash); })
                                   : known(meta.stream_hash);
  if (!labelled) s.failed = Error(ErrorCode::kInvalidArgument, "object: a chunk's stream has no labels");
}

std::uint64_t ObjectBuilder::size_bytes() const {
  return state_->bytes.size() + state_->chunks.size() * kDirectoryEntryBytes + state_->labels_bytes / 4 + 3 * kSectionEntryBytes + kObjectTrailerBytes;
}

const Ulid& ObjectBuilder::id() const { return state_->id; }

void ObjectBuilder::set_level(std::uint32_t level) { state_->level = level; }

void ObjectBuilder::add_input(const Ulid& replaced) { state_->inputs.push_back(replaced); }

Result<ObjectBuilder::Object> ObjectBuilder::finish() {
  State& s = *state_;
  if (s.failed) return *s.failed;
  if (s.chunks.empty()) return Error(ErrorCode::kInvalidArgument, "object: has no chunks");
  Bytes& out = s.bytes;
  out.resize((out.size() + kObjectAlignment - 1) / kObjectAlignment * kObjectAlignment);
  const std::uint64_t tail_offset = out.size();
  Bytes table;
  const auto add_section = [&](SectionId id, std::uint16_t flags, const Bytes& raw) -> Result<void> {
    SKALD_TRY(const Bytes packed, codec::compress(codec::Compression::kZstd, raw));
    const bool smaller = packed.size() < raw.size();
    const Bytes& stored = smaller ? packed : raw;
    append_le(table, static_cast<std::uint16_t>(id));
    append_le(table, static_cast<std::uint16_t>(flags | (smaller ? kSectionZstd : 0)));
    append_le(table, codec::crc32c(stored));
    append_le(table, static_cast<std::uint64_t>(out.size()));
    append_le(table, static_cast<std::uint64_t>(stored.size()));
    append_le(table, static_cast<std::uint64_t>(raw.size()));
    out += stored;
    return {};
  };
  SKALD_TRY_VOID(add_section(kSectionLabels, kSectionMustUnderstand, make_labels_section(s.streams)));
  Bytes directory;
  append_le(directory, s.shard_start_ns);
  std::int64_t min_ts_ns = s.chunks[0].meta.min_ts_ns;
  std::int64_t max_ts_ns = s.chunks[0].meta.max_ts_ns;
  const std::int64_t shard_s = floor_seconds(s.shard_start_ns);
  for (const PlacedChunk& chunk : s.chunks) {
    const ChunkMeta& m = chunk.meta;
    append_le(directory, m.stream_hash);
    append_le(directory, m.content_id);
    append_le(directory, chunk.offset);
    append_le(directory, m.length);
    append_le(directory, m.hot_length);
    append_le(directory, static_cast<std::uint32_t>(floor_seconds(m.min_ts_ns) - shard_s));
    append_le(directory, static_cast<std::uint32_t>(ceil_seconds(m.max_ts_ns) - shard_s));
    append_le(directory, m.rows);
    append_le(directory, static_cast<std::uint32_t>((m.raw_bytes + 1023) / 1024));
    min_ts_ns = std::min(min_ts_ns, m.min_ts_ns);
    max_ts_ns = std::max(max_ts_ns, m.max_ts_ns);
  }
  SKALD_TRY_VOID(add_section(kSectionChunks, kSectionMustUnderstand, directory));
  std::sort(s.inputs.begin(), s.inputs.end());
  s.inputs.erase(std::unique(s.inputs.begin(), s.inputs.end()), s.inputs.end());
  Bytes inputs;
  for (const Ulid& input : s.inputs) append_ulid(inputs, input);
  SKALD_TRY_VOID(add_section(kSectionInputs, 0, inputs));

  const std::uint64_t table_offset = out.size();
  out += table;
  const std::uint64_t object_length = out.size() + kObjectTrailerBytes;
  if (object_length > kObjectBytesMax) return Error(ErrorCode::kTooLarge, "object: above 1 GiB");
  Bytes trailer;
  append_le(trailer, table_offset);
  append_le(trailer, static_cast<std::uint32_t>(table.size()));
  append_le(trailer, codec::crc32c(table));
  append_le(trailer, tail_offset);
  append_le(trailer, object_length);
  append_ulid(trailer, s.id);
  append_le(trailer, static_cast<std::uint32_t>(s.chunks.size()));
  append_le(trailer, std::uint16_t{0});
  append_le(trailer, kObjectMajor);
  append_le(trailer, kObjectMinor);
  append_le(trailer, codec::crc32c(trailer));
  append_le(trailer, kObjectTrailerMagic);
  SKALD_CHECK(trailer.size() == kObjectTrailerBytes);
  out += trailer;

  Bytes header;
  append_le(header, kObjectMagic);
  append_le(header, kObjectMajor);
  append_le(header, kObjectMinor);
  append_le(header, std::uint16_t{0});
  append_ulid(header, s.id);
  append_le(header, codec::xxh3_64(s.tenant));
  append_le(header, min_ts_ns);
  append_le(header, max_ts_ns);
  append_le(header, s.level);
  append_le(header, static_cast<std::uint32_t>(s.chunks.size()));
  append_le(header, std::uint32_t{0});
  append_le(header, codec::crc32c(header));
  SKALD_CHECK(header.size() == kObjectHeaderBytes);
  std::copy(header.begin(), header.end(), out.begin());

  Object object;
  object.key = object_key(s.tenant, s.shard_start_ns, s.id);
  object.bytes = std::move(out);
  object.tail_offset = tail_offset;
  object.chunks = std::move(s.chunks);
  return object;
}

std::string object_key(std::string_view tenant, std::int64_t shard_start_ns, const Ulid& id) {
  const std::time_t seconds = floor_seconds(shard_start_ns);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char shard[48];
  std::snprintf(shard, sizeof shard, "%04d%02d%02dT%02d", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour);
  return std::string(tenant) + "/chunks/" + shard + "/" + id.to_string();
}

}  // namespace skald::chunk
