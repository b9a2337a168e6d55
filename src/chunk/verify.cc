#include "skald/chunk/verify.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>

#include "chunk/content_id.h"
#include "chunk/decode.h"
#include "chunk/layout.h"
#include "skald/chunk/object_reader.h"
#include "skald/chunk/reader.h"
#include "skald/codec/crc32c.h"
#include "skald/model/time.h"

namespace skald::chunk {
namespace {

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void append_format(std::string& out, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  const int n = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out.append(line, static_cast<std::size_t>(std::clamp(n, 0, static_cast<int>(sizeof line) - 1)));
}

class ChunkVerifier {
 public:
  ChunkVerifier(ByteView chunk, std::uint64_t base, VerifyReport& report) : chunk_(chunk), base_(base), report_(report) {}

  // Null when the head cannot be read.
  std::shared_ptr<ChunkReader> run() {
    ++report_.chunks;
    const auto header = read_header(chunk_);
    if (!header.ok()) return add(0, header.error().message()), nullptr;
    if (header->length != chunk_.size()) {
      add(0, "chunk: header says " + std::to_string(header->length) + " bytes, " + std::to_string(chunk_.size()) + " are there");
      return nullptr;
    }
    check_footer(*header);
    auto reader = ChunkReader::open(std::make_shared<const Bytes>(chunk_));
    if (!reader.ok()) return add(kChunkHeaderBytes, reader.error().message()), nullptr;
    const auto directory = read_directory(chunk_.substr(kChunkHeaderBytes), *header);
    SKALD_CHECK(directory.ok());   // the reader above read the same bytes
    check_blocks(*header, *directory, **reader);
    return *reader;
  }

 private:
  void add(std::uint64_t offset, std::string what) { report_.problems.push_back({base_ + offset, std::move(what)}); }

  void check_footer(const ChunkHeader& header) {
    const std::uint64_t at = chunk_.size() - kFooterBytes;
    const auto footer = read_footer(chunk_);
    if (!footer.ok()) return add(at, footer.error().message());
    if (footer->stream_hash != header.stream_hash || footer->content_id != header.content_id || footer->rows != header.rows || footer->length != header.length) {
      add(at, "chunk: footer and header differ");
    }
    if (codec::crc32c(chunk_.substr(0, at)) != footer->crc) add(at, "chunk: checksum of the whole chunk differs");
  }

  void check_blocks(const ChunkHeader& header, const std::vector<BlockEntry>& directory, const ChunkReader& reader) {
    std::uint64_t content_id = 0;
    std::int64_t last_ts = header.min_ts_ns;
    bool complete = true;
    for (std::size_t i = 0; i < directory.size(); ++i) {
      const BlockEntry& entry = directory[i];
      const std::string name = "block " + std::to_string(i) + ": ";
      const auto loaded = reader.block(i)->load(kAllColumns, CallContext());
      if (!loaded.ok()) {
        complete = false;
        add(locate(entry, header), name + loaded.error().message());
        continue;
      }
      const Columns& columns = **loaded;
      ++report_.blocks;
      report_.rows += columns.rows;
      report_.raw_bytes += entry.raw_bytes;
      content_id += compute_content_id(columns);
      for (std::uint32_t row = 0; row < columns.rows; ++row) {
        if (columns.text[columns.line_offsets[row + 1] - 1] == '\n') continue;
        add(entry.data_offset, name + "line " + std::to_string(row) + " does not end in a newline");
        break;
      }
      if ((header.flags & kFlagSorted) == 0 || header.kind == kGroup) continue;
      if (columns.timestamps_ns.front() < last_ts || !std::is_sorted(columns.timestamps_ns.begin(), columns.timestamps_ns.end())) {
        add(entry.hot_offset, name + "rows are out of order though the chunk says they are sorted");
      }
      last_ts = columns.timestamps_ns.back();
    }
    if (complete && content_id != header.content_id) add(32, "chunk: the rows do not have the content id of the header");
  }

  // The structure a block fails at, as near as its checksums tell.
  std::uint64_t locate(const BlockEntry& entry, const ChunkHeader& header) const {
    Columns columns;
    if (!decode_hot(entry, chunk_.substr(entry.hot_offset, entry.hot_length), kTimestamps | kLevels, columns).ok()) return entry.hot_offset;
    const auto table = read_table(chunk_.substr(entry.table_offset, entry.table_length), entry, header.metadata_bytes);
    if (!table.ok()) return entry.table_offset;
    for (const TableEntry& page : table->entries) {
      const std::uint64_t at = std::uint64_t{entry.data_offset} + page.offset;
      if (codec::crc32c(chunk_.substr(at, page.stored)) != page.crc) return at;
    }
    return entry.data_offset;
  }

  const ByteView chunk_;
  const std::uint64_t base_;
  VerifyReport& report_;
};

void check_chunk_in_object(const ObjectChunk& listed, const ObjectTail& tail, const ChunkMeta& meta, VerifyReport& report) {
  const auto add = [&](std::string what) { report.problems.push_back({listed.offset, std::move(what)}); };
  if (meta.stream_hash != listed.stream_hash || meta.content_id != listed.content_id || meta.rows != listed.rows || meta.hot_length != listed.hot_length) {
    add("chunk: header and chunk directory differ");
  }
  if (meta.min_ts_ns < listed.min_ts_ns || meta.max_ts_ns > listed.max_ts_ns) add("chunk: rows outside the times of the chunk directory");
  if (meta.group != listed.group) return add("chunk: its stream is not in the labels section");
  for (const GroupMember& member : meta.members) {
    if (!tail.labels.contains(member.stream_hash)) return add("chunk: a member of the group is not in the labels section");
  }
}

std::string text_of(std::int64_t ts_ns) { return model::format_rfc3339_nano(ts_ns); }

const char* codec_text(std::uint8_t codec) {
  return codec::compression_known(codec) ? codec::compression_name(static_cast<codec::Compression>(codec)) : "?";
}

const char* column_text(std::uint16_t kind) {
  switch (kind) {
    case kColTimestamps: return "timestamps";
    case kColLevel: return "levels";
    case kColLineLengths: return "line lengths";
    case kColLines: return "lines";
    case kColMetadata: return "metadata";
    case kColPresence: return "presence";
    default: return "unknown column";
  }
}

const char* encoding_text(std::uint8_t encoding) {
  switch (encoding) {
    case kEncConst: return "const";
    case kEncBitpack: return "bitpack";
    case kEncDelta: return "delta";
    case kEncPlanes: return "planes";
    case kEncDict8: return "dict8";
    case kEncDict16: return "dict16";
    case kEncHex: return "hex";
    case kEncUuid: return "uuid";
    case kEncStrings: return "strings";
    case kEncRuns: return "runs";
    case kEncSpliced: return "spliced";
    default: return "unknown encoding";
  }
}

void describe_block(ByteView chunk, const ChunkHeader& header, const BlockEntry& e, std::size_t i, std::string& out) {
  append_format(out, "  block %zu: %u rows from %u, %s .. %s, %u bytes raw, encoding %u\n", i, e.rows, e.first_row, text_of(e.min_ts_ns).c_str(),
                text_of(e.max_ts_ns).c_str(), e.raw_bytes, e.encoding);
  const auto hot = read_hot_pages(chunk.substr(e.hot_offset, e.hot_length));
  if (!hot.ok()) out += "    " + hot.error().message() + "\n";
  else {
    for (const HotPage& p : *hot) {
      append_format(out, "    %-13s %-8s %-6s %8zu stored %9u raw\n", column_text(p.kind), encoding_text(p.encoding), codec_text(p.codec), p.stored.size(), p.raw);
    }
  }
  const auto table = read_table(chunk.substr(e.table_offset, e.table_length), e, header.metadata_bytes);
  if (!table.ok()) {
    out += "    " + table.error().message() + "\n";
    return;
  }
  for (const TableEntry& p : table->entries) {
    append_format(out, "    %-13s %-8s %-6s %8u stored %9u raw", column_text(p.kind), encoding_text(p.encoding), codec_text(p.codec), p.stored, p.raw);
    if (p.kind == kColMetadata || p.kind == kColPresence) append_format(out, "  %.100s", table->symbols[p.ref].c_str());
    out += '\n';
  }
}

}  // namespace

VerifyReport verify_chunk(ByteView chunk) {
  VerifyReport report;
  ChunkVerifier(chunk, 0, report).run();
  return report;
}

VerifyReport verify_object(ByteView object) {
  VerifyReport report;
  const auto add = [&](std::uint64_t offset, std::string what) { report.problems.push_back({offset, std::move(what)}); };
  const auto header = read_object_header(object);
  if (!header.ok()) add(0, header.error().message());
  const auto tail = open_object_tail(object, object.size());
  if (!tail.ok()) {
    add(object.size() < kObjectTrailerBytes ? 0 : object.size() - kObjectTrailerBytes, tail.error().message());
    return report;
  }
  if (header.ok() && (header->id != tail->trailer.id || header->chunks != tail->trailer.chunks)) add(0, "object: header and trailer differ");
  for (const ObjectChunk& listed : tail->chunks) {
    const auto reader = ChunkVerifier(object.substr(listed.offset, listed.length), listed.offset, report).run();
    if (reader == nullptr) continue;
    check_chunk_in_object(listed, *tail, reader->meta(), report);
    if (header.ok() && (reader->meta().min_ts_ns < header->min_ts_ns || reader->meta().max_ts_ns > header->max_ts_ns)) {
      add(listed.offset, "chunk: rows outside the times of the object's header");
    }
  }
  return report;
}

std::string describe_chunk(ByteView chunk) {
  const auto header = read_header(chunk);
  if (!header.ok()) return header.error().message() + "\n";
  std::string out;
  append_format(out, "%s chunk, stream %016llx, content %016llx, codec %s\n", header->kind == kGroup ? "group" : "single-stream",
                static_cast<unsigned long long>(header->stream_hash), static_cast<unsigned long long>(header->content_id),
                codec_text(static_cast<std::uint8_t>(header->codec)));
  append_format(out, "  %s .. %s\n  %u rows in %u blocks, %u streams, %u bytes stored (%u hot), %llu raw, %u of metadata, %s\n",
                text_of(header->min_ts_ns).c_str(), text_of(header->max_ts_ns).c_str(), header->rows, header->blocks, header->streams, header->length,
                header->hot_length, static_cast<unsigned long long>(header->raw_bytes), header->metadata_bytes,
                (header->flags & kFlagSorted) != 0 ? "sorted" : "not sorted");
  if (chunk.size() < header->length) {
    append_format(out, "  truncated: %zu of %u bytes\n", chunk.size(), header->length);
    return out;
  }
  const auto directory = read_directory(chunk.substr(kChunkHeaderBytes), *header);
  if (!directory.ok()) return out + "  " + directory.error().message() + "\n";
  for (std::size_t i = 0; i < directory->size(); ++i) describe_block(chunk, *header, (*directory)[i], i, out);
  return out;
}

std::string describe_object(ByteView object) {
  std::string out;
  if (const auto header = read_object_header(object); !header.ok()) {
    out += header.error().message() + "\n";
  } else {
    append_format(out, "object %s, tenant hash %016llx, level %u, %u chunks, %s .. %s, %zu bytes\n", header->id.to_string().c_str(),
                  static_cast<unsigned long long>(header->tenant_hash), header->level, header->chunks, text_of(header->min_ts_ns).c_str(),
                  text_of(header->max_ts_ns).c_str(), object.size());
  }
  const auto tail = open_object_tail(object, object.size());
  if (!tail.ok()) return out + tail.error().message() + "\n";
  append_format(out, "tail at %llu: %zu streams\n", static_cast<unsigned long long>(tail->trailer.tail_offset), tail->labels.size());
  for (const ObjectSection& s : tail->sections) {
    append_format(out, "  section %u at %llu: %llu stored, %llu raw\n", s.id, static_cast<unsigned long long>(s.offset),
                  static_cast<unsigned long long>(s.stored), static_cast<unsigned long long>(s.raw));
  }
  for (const ObjectChunk& c : tail->chunks) {
    append_format(out, "at %llu: ", static_cast<unsigned long long>(c.offset));
    if (const auto labels = tail->labels.find(c.stream_hash); labels != tail->labels.end()) out += labels->second->text + ": ";
    out += describe_chunk(object.substr(c.offset, c.length));
  }
  return out;
}

}  // namespace skald::chunk
