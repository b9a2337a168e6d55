#include "skald/chunk/object_reader.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "chunk/layout.h"
#include "chunk/object_layout.h"
#include "skald/base/clock.h"
#include "skald/codec/crc32c.h"
#include "skald/codec/varint.h"

namespace skald::chunk {
namespace {

using codec::ByteReader;

Error broken(std::string what) { return Error(ErrorCode::kCorruption, "object: " + std::move(what)); }

Ulid read_ulid(ByteReader& in) {
  Ulid id;
  const ByteView bytes = in.bytes(id.bytes.size());
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(id.bytes.data()));
  return id;
}

// `text` becomes its first `shared` bytes, then the rest that is read.
bool read_front_coded(ByteReader& in, std::string_view previous, std::string& text) {
  const std::uint64_t shared = in.varint();
  if (shared > previous.size()) return false;
  text = previous.substr(0, shared);
  text += in.sized_bytes();
  return in.ok();
}

Result<void> read_labels(ByteView raw, ObjectTail& tail) {
  ByteReader in(raw);
  const std::uint64_t streams = in.varint();
  if (!in.ok() || streams > in.remaining() / 9) return broken("labels section: counts exceed its size");
  std::vector<model::Label> previous;
  // Front coding can claim much from few bytes: what comes out is bounded too.
  std::uint64_t total_bytes = 0;
  for (std::uint64_t i = 0; i < streams; ++i) {
    const auto hash = in.fixed<std::uint64_t>();
    const std::uint64_t pairs = in.varint();
    if (!in.ok() || pairs > in.remaining() / 4) return broken("labels section: counts exceed its size");
    std::vector<model::Label> labels(pairs);
    for (std::size_t k = 0; k < pairs; ++k) {
      const bool has_previous = k < previous.size();
      if (!read_front_coded(in, has_previous ? std::string_view(previous[k].name) : std::string_view{}, labels[k].name) ||
          !read_front_coded(in, has_previous ? std::string_view(previous[k].value) : std::string_view{}, labels[k].value)) {
        return broken("labels section: truncated");
      }
      total_bytes += labels[k].name.size() + labels[k].value.size() + sizeof(model::Label);
    }
    if (total_bytes > 4 * kSectionRawBytesMax) return broken("labels section: expands beyond 1 GiB");
    previous = labels;
    model::LabelsPtr interned = model::intern(model::Labels::from_pairs(std::move(labels)));
    if (interned->hash != hash) return broken("labels section: labels do not have the hash they are filed under");
    tail.labels.emplace(hash, std::move(interned));
  }
  if (!in.at_end()) return broken("labels section: bytes behind its end");
  return {};
}

Result<void> read_chunk_directory(ByteView raw, ObjectTail& tail) {
  ByteReader in(raw);
  const auto shard_start_ns = in.fixed<std::int64_t>();
  if (!in.ok() || in.remaining() != std::uint64_t{tail.trailer.chunks} * kDirectoryEntryBytes) {
    return broken("chunk directory: size does not fit the number of chunks");
  }
  if (time_shard_start(shard_start_ns) != shard_start_ns || shard_start_ns > std::numeric_limits<std::int64_t>::max() - 2 * kTimeShardNs) {
    return broken("chunk directory: time shard");
  }
  std::uint64_t end = kObjectHeaderBytes;
  for (std::uint32_t i = 0; i < tail.trailer.chunks; ++i) {
    ObjectChunk c;
    c.stream_hash = in.fixed<std::uint64_t>();
    c.content_id = in.fixed<std::uint64_t>();
    c.offset = in.fixed<std::uint64_t>();
    c.length = in.fixed<std::uint32_t>();
    c.hot_length = in.fixed<std::uint32_t>();
    const auto first_s = in.fixed<std::uint32_t>();
    const auto last_s = in.fixed<std::uint32_t>();
    c.rows = in.fixed<std::uint32_t>();
    c.raw_bytes = std::uint64_t{in.fixed<std::uint32_t>()} * 1024;
    if (c.offset < end || c.offset % kObjectAlignment != 0 || c.offset > tail.trailer.tail_offset || c.length > tail.trailer.tail_offset - c.offset ||
        c.hot_length > c.length) {
      return broken("chunk directory: chunk " + std::to_string(i) + " is out of place");
    }
    if (first_s > last_s || last_s > kTimeShardNs / kNanosPerSecond) return broken("chunk directory: times of chunk " + std::to_string(i));
    c.min_ts_ns = shard_start_ns + first_s * kNanosPerSecond;
    c.max_ts_ns = shard_start_ns + last_s * kNanosPerSecond;
    end = c.offset + c.length;
    tail.chunks.push_back(c);
  }
  return {};
}

}  // namespace

Result<ObjectHeader> read_object_header(ByteView bytes) {
  if (bytes.size() < kObjectHeaderBytes) return broken("header: truncated");
  bytes = bytes.substr(0, kObjectHeaderBytes);
  ByteReader in(bytes);
  if (in.fixed<std::uint32_t>() != kObjectMagic) return broken("header: wrong magic");
  if (load_le<std::uint32_t>(bytes.data() + 60) != codec::crc32c(bytes.substr(0, 60))) return broken("header: checksum mismatch");
  const auto major = in.fixed<std::uint8_t>();
  if (major != kObjectMajor) return Error(ErrorCode::kUnimplemented, "object: format version " + std::to_string(major) + " is not known to this release");
  in.bytes(3);   // minor, flags
  ObjectHeader header;
  header.id = read_ulid(in);
  header.tenant_hash = in.fixed<std::uint64_t>();
  header.min_ts_ns = in.fixed<std::int64_t>();
  header.max_ts_ns = in.fixed<std::int64_t>();
  header.level = in.fixed<std::uint32_t>();
  header.chunks = in.fixed<std::uint32_t>();
  return header;
}

Result<ObjectTrailer> read_object_trailer(ByteView bytes, std::uint64_t object_length) {
  if (bytes.size() < kObjectTrailerBytes || object_length < kObjectHeaderBytes + kObjectTrailerBytes) return broken("trailer: truncated");
  bytes = bytes.substr(bytes.size() - kObjectTrailerBytes);
  if (load_le<std::uint32_t>(bytes.data() + 60) != kObjectTrailerMagic) return broken("trailer: wrong magic");
  if (load_le<std::uint32_t>(bytes.data() + 56) != codec::crc32c(bytes.substr(0, 56))) return broken("trailer: checksum mismatch");
  ByteReader in(bytes);
  ObjectTrailer t;
  t.section_table_offset = in.fixed<std::uint64_t>();
  t.section_table_length = in.fixed<std::uint32_t>();
  t.section_table_crc = in.fixed<std::uint32_t>();
  t.tail_offset = in.fixed<std::uint64_t>();
  t.object_length = in.fixed<std::uint64_t>();
  t.id = read_ulid(in);
  t.chunks = in.fixed<std::uint32_t>();
  in.bytes(2);   // flags
  const auto major = in.fixed<std::uint8_t>();
  if (major != kObjectMajor) return Error(ErrorCode::kUnimplemented, "object: format version " + std::to_string(major) + " is not known to this release");
  if (t.object_length != object_length) {
    return broken("trailer: says " + std::to_string(t.object_length) + " bytes, the object has " + std::to_string(object_length));
  }
  const std::uint64_t trailer_offset = object_length - kObjectTrailerBytes;
  if (t.tail_offset < kObjectHeaderBytes || t.tail_offset > t.section_table_offset || t.section_table_offset > trailer_offset ||
      t.section_table_length != trailer_offset - t.section_table_offset || t.section_table_length % kSectionEntryBytes != 0 ||
      t.section_table_length / kSectionEntryBytes > kSectionsMax) {
    return broken("trailer: offsets do not fit the object");
  }
  return t;
}

Result<ObjectTail> open_object_tail(ByteView bytes, std::uint64_t object_length) {
  ObjectTail tail;
  SKALD_TRY(tail.trailer, read_object_trailer(bytes, object_length));
  const ObjectTrailer& t = tail.trailer;
  if (bytes.size() > object_length) return Error(ErrorCode::kInvalidArgument, "object: tail is longer than the object");
  const std::uint64_t begin = object_length - bytes.size();   // of `bytes` in the object
  if (t.tail_offset < begin) {
    return Error(ErrorCode::kInvalidArgument, "object: the tail begins at byte " + std::to_string(t.tail_offset) + ", before the bytes given");
  }
  const ByteView table = bytes.substr(t.section_table_offset - begin, t.section_table_length);
  if (codec::crc32c(table) != t.section_table_crc) return broken("section table: checksum mismatch");
  ByteReader in(table);
  bool has_labels = false;
  bool has_chunks = false;
  while (in.remaining() > 0) {
    ObjectSection s;
    s.id = in.fixed<std::uint16_t>();
    s.flags = in.fixed<std::uint16_t>();
    const auto crc = in.fixed<std::uint32_t>();
    s.offset = in.fixed<std::uint64_t>();
    s.stored = in.fixed<std::uint64_t>();
    s.raw = in.fixed<std::uint64_t>();
    const std::string name = "section " + std::to_string(s.id);
    if (s.offset < t.tail_offset || s.offset > t.section_table_offset || s.stored > t.section_table_offset - s.offset) return broken(name + ": out of place");
    tail.sections.push_back(s);
    if (s.id != kSectionLabels && s.id != kSectionChunks && s.id != kSectionInputs) {
      if ((s.flags & kSectionMustUnderstand) == 0) continue;
      return Error(ErrorCode::kUnimplemented, "object: " + name + " must be understood and is not known to this release");
    }
    if (s.raw > kSectionRawBytesMax) return broken(name + ": raw size above 256 MiB");
    const ByteView stored = bytes.substr(s.offset - begin, s.stored);
    if (codec::crc32c(stored) != crc) return broken(name + ": checksum mismatch");
    const auto compression = (s.flags & kSectionZstd) != 0 ? codec::Compression::kZstd : codec::Compression::kNone;
    SKALD_TRY(const Bytes raw, codec::decompress_exact(compression, stored, s.raw));
    if (s.id == kSectionInputs) {
      if (raw.size() % sizeof(Ulid::bytes) != 0) return broken("inputs section: size");
      for (ByteReader ids(raw); ids.remaining() > 0;) tail.inputs.push_back(read_ulid(ids));
      continue;
    }
    if (s.id == kSectionLabels) SKALD_TRY_VOID(read_labels(raw, tail));
    else SKALD_TRY_VOID(read_chunk_directory(raw, tail));
    (s.id == kSectionLabels ? has_labels : has_chunks) = true;
  }
  if (!has_labels || !has_chunks) return broken("labels or chunk directory are missing");
  for (ObjectChunk& chunk : tail.chunks) chunk.group = !tail.labels.contains(chunk.stream_hash);
  return tail;
}

Result<ObjectKey> parse_object_key(std::string_view key) {
  const auto refuse = [&] { return Error(ErrorCode::kInvalidArgument, "'" + std::string(key) + "' is not the key of a chunk object"); };
  constexpr std::string_view kFolder = "/chunks/";
  const std::size_t folder = key.rfind(kFolder);
  if (folder == std::string_view::npos || folder == 0 || key.substr(0, folder).find('/') != std::string_view::npos) return refuse();
  const std::string_view rest = key.substr(folder + kFolder.size());
  if (rest.size() != 11 + 1 + 26 || rest[11] != '/') return refuse();
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  if (std::sscanf(std::string(rest.substr(0, 11)).c_str(), "%4d%2d%2dT%2d", &year, &month, &day, &hour) != 4) return refuse();
  std::tm utc{};
  utc.tm_year = year - 1900;
  utc.tm_mon = month - 1;
  utc.tm_mday = day;
  utc.tm_hour = hour;
  ObjectKey parsed;
  parsed.tenant = key.substr(0, folder);
  std::int64_t seconds = timegm(&utc);
  if (__builtin_mul_overflow(seconds, kNanosPerSecond, &parsed.shard_start_ns)) return refuse();
  auto id = Ulid::parse(rest.substr(12));
  if (!id.ok()) return refuse();
  parsed.id = *id;
  // Whatever sscanf let pass: only what we would write ourselves is a key.
  if (object_key(parsed.tenant, parsed.shard_start_ns, parsed.id) != key) return refuse();
  return parsed;
}

}  // namespace skald::chunk
