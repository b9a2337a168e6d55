// A stored chunk → the same bytes with what an object builder and an index want to know about them.
#include "chunk/layout.h"
#include "chunk/sketch.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/reader.h"
#include "skald/codec/crc32c.h"

namespace skald::chunk {

Result<BuiltChunk> copy_chunk(Bytes bytes) {
  if (bytes.size() < kChunkHeaderBytes + kFooterBytes) return corrupt("truncated");
  const ByteView body = ByteView(bytes).substr(0, bytes.size() - kFooterBytes);
  SKALD_TRY(const Footer footer, read_footer(ByteView(bytes).substr(body.size())));
  if (footer.length != bytes.size() || footer.crc != codec::crc32c(body)) return corrupt("checksum of the whole chunk");
  const auto whole = std::make_shared<const Bytes>(std::move(bytes));
  SKALD_TRY(const std::shared_ptr<ChunkReader> reader, ChunkReader::open(whole));
  BuiltChunk chunk;
  chunk.meta = reader->meta();
  if (!chunk.meta.group) {
    SketchBuilder sketch(chunk.meta.min_ts_ns, chunk.meta.max_ts_ns);
    for (std::size_t i = 0; i < reader->blocks().size(); ++i) {
      SKALD_TRY(const std::shared_ptr<const Columns> columns, reader->block(i)->load(kTimestamps | kLevels | kLineLengths, CallContext()));
      for (const std::int64_t ts : columns->timestamps_ns) {
        if (ts < chunk.meta.min_ts_ns || ts > chunk.meta.max_ts_ns) return corrupt("a row lies outside of the chunk's times");
      }
      sketch.add(*columns);
    }
    chunk.meta.sketch = sketch.finish();
  }
  chunk.bytes = *whole;
  return chunk;
}

}  // namespace skald::chunk
