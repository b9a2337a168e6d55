#include "rpc/index_wire.h"

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>

#include "skald/base/random.h"
#include "skald/codec/hash.h"
#include "skald/codec/proto_writer.h"
#include "skald/index/day_index.h"
#include "skald/model/proto_cursor.h"

namespace skald::rpc {
namespace {

using codec::append_proto_bytes;
using codec::append_proto_varint;
using model::ProtoCursor;

constexpr std::uint32_t kVarint = 0, kBytes = 2;

// f(field, wire type, cursor): whether it took the field.
template <class F>
Result<void> each_field(ByteView message, const char* what, F f) {
  ProtoCursor cursor{std::string_view(message)};
  std::uint32_t field = 0, wire = 0;
  while (cursor.tag(field, wire))
    if (!f(field, wire, cursor)) cursor.skip(wire);
  if (cursor.error != nullptr) return Error(ErrorCode::kCorruption, std::string("message of an index gateway: ") + what + ": " + cursor.error);
  return {};
}

std::uint64_t size_about(const index::StreamChunkRefs& stream) {
  std::uint64_t size = stream.labels->text.size() + 32;
  for (const index::ChunkRef& ref : stream.chunks) size += 64 + 4 * ref.sketch.rows.size() * (1 + ref.sketch.rows_by_level.size());
  return size;
}

bool by_text(const index::StreamChunkRefs& a, const index::StreamChunkRefs& b) { return a.labels->text < b.labels->text; }

}  // namespace

Bytes encode_index_query(const IndexQuery& query) {
  Bytes out;
  append_proto_bytes(out, 1, encode_select(query.select));
  if (query.with_sketches) append_proto_varint(out, 2, 1);
  if (query.fresh) append_proto_varint(out, 3, 1);
  if (!query.name.empty()) append_proto_bytes(out, 4, query.name);
  if (!query.after.empty()) append_proto_bytes(out, 5, query.after);
  return out;
}

Result<IndexQuery> decode_index_query(ByteView message) {
  IndexQuery query;
  std::string_view select, name, after;
  std::uint64_t with_sketches = 0, fresh = 0;
  SKALD_TRY_VOID(each_field(message, "query", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& in) {
    if (field == 1 && wire == kBytes) return in.bytes(select);
    if (field == 2 && wire == kVarint) return in.varint(with_sketches);
    if (field == 3 && wire == kVarint) return in.varint(fresh);
    if (field == 4 && wire == kBytes) return in.bytes(name);
    if (field == 5 && wire == kBytes) return in.bytes(after);
    return false;
  }));
  SKALD_TRY(query.select, decode_select(select));
  query.with_sketches = with_sketches != 0;
  query.fresh = fresh != 0;
  query.name = name;
  query.after = after;
  return query;
}

Result<Bytes> encode_refs_page(std::string_view tenant, std::vector<index::StreamChunkRefs>& streams, std::string_view after, std::uint64_t page_bytes) {
  std::sort(streams.begin(), streams.end(), by_text);
  auto at = std::upper_bound(streams.begin(), streams.end(), after, [](std::string_view text, const index::StreamChunkRefs& stream) { return text < stream.labels->text; });
  if (after.empty()) at = streams.begin();
  std::map<std::int64_t, std::unique_ptr<index::DayIndexBuilder>> days;
  std::uint64_t bytes = 0;
  const index::StreamChunkRefs* last = nullptr;
  for (; at != streams.end() && (last == nullptr || bytes < page_bytes); ++at) {
    last = &*at;
    bytes += size_about(*at);
    for (const index::ChunkRef& ref : at->chunks) {
      const std::int64_t day = index::day_of(ref.min_ts_ns);
      auto& builder = days[day];
      if (builder == nullptr) builder = std::make_unique<index::DayIndexBuilder>(tenant, day, Ulid{});
      SKALD_TRY_VOID(builder->add(at->labels, ref));
    }
  }
  Bytes out;
  for (const auto& [day, builder] : days) {
    SKALD_TRY(const index::BuiltDayIndex built, builder->finish());
    append_proto_bytes(out, 1, built.bytes);
  }
  if (at != streams.end()) append_proto_bytes(out, 2, last->labels->text);
  return out;
}

Result<RefsPage> decode_refs_page(std::string_view tenant, ByteView message, index::WithSketches with_sketches) {
  RefsPage page;
  std::vector<std::string_view> parts;
  std::string_view after;
  SKALD_TRY_VOID(each_field(message, "references", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& in) {
    if (field == 1 && wire == kBytes) {
      std::string_view part;
      if (in.bytes(part)) parts.push_back(part);
      return true;
    }
    return field == 2 && wire == kBytes && in.bytes(after);
  }));
  page.after = after;
  std::unordered_map<std::string_view, std::size_t> known;   // a stream may have chunks of several days
  for (const std::string_view part : parts) {
    SKALD_TRY(const auto reader, index::DayIndexReader::open(std::make_shared<const Bytes>(part)));
    if (reader->header().tenant_hash != codec::xxh3_64(tenant)) return Error(ErrorCode::kCorruption, "message of an index gateway: another tenant's references");
    SKALD_TRY(const index::SeriesBitmap all, reader->match({}));
    std::vector<index::StreamChunkRefs> found;
    SKALD_TRY_VOID(reader->append_chunk_refs(all, {.start_ns = INT64_MIN, .end_ns = INT64_MAX}, with_sketches, found));
    for (index::StreamChunkRefs& stream : found) {
      const auto [place, fresh] = known.emplace(stream.labels->text, page.streams.size());
      if (fresh) {
        page.streams.push_back(std::move(stream));
        continue;
      }
      std::vector<index::ChunkRef>& chunks = page.streams[place->second].chunks;
      chunks.insert(chunks.end(), std::make_move_iterator(stream.chunks.begin()), std::make_move_iterator(stream.chunks.end()));
    }
  }
  // Parts come by day, but nothing else says so.
  for (index::StreamChunkRefs& stream : page.streams)
    std::stable_sort(stream.chunks.begin(), stream.chunks.end(), [](const index::ChunkRef& a, const index::ChunkRef& b) { return a.min_ts_ns < b.min_ts_ns; });
  return page;
}

Bytes encode_texts(const std::vector<std::string>& texts) {
  Bytes out;
  for (const std::string& text : texts) append_proto_bytes(out, 1, text);
  return out;
}

Result<std::vector<std::string>> decode_texts(ByteView message) {
  std::vector<std::string> texts;
  SKALD_TRY_VOID(each_field(message, "texts", [&](std::uint32_t field, std::uint32_t wire, ProtoCursor& in) {
    if (field != 1 || wire != kBytes) return false;
    std::string_view text;
    if (in.bytes(text)) texts.emplace_back(text);
    return true;
  }));
  return texts;
}

}  // namespace skald::rpc
