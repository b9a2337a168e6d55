// What the write-ahead log holds, as values, and their bytes (docs/formats/wal.md).
//
// Two facts make replay exact. Every append of one stream's entries from one push carries an ordinal from one global
// counter, taken under the stream's lock: within a stream, ordinals rise in append order. And a flush record says which
// ordinals of a stream (and which time shard of them) lie in a chunk, so replay leaves out exactly those.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/index/chunk_ref.h"
#include "skald/model/labels.h"
#include "skald/model/push.h"

namespace skald::wal {

// One stream's share of a push.
struct StreamAppend {
  std::uint64_t stream_id = 0;   // unique in the process while the stream lives; keys the writer's series table
  model::LabelsPtr labels;
  std::uint64_t ordinal = 0;
  std::uint32_t entries = 0;
};

// A push ready to be framed. Series numbers are added by the writer, which alone knows the segment.
struct PushRecord {
  std::string tenant;
  std::int64_t arrival_ns = 0;
  std::vector<StreamAppend> streams;
  bool received = false;         // body is the request's own; else the canonical encoding
  Bytes prefix;                  // received: level runs; canonical: raw size
  Bytes own_body;                // canonical
  SharedBytes shared_body;       // received
  std::uint64_t bytes() const { return prefix.size() + own_body.size() + (shared_body ? shared_body->size() : 0) + 24 * streams.size() + 64; }
};

// The whole batch, nothing refused, as it was received. Requires batch.received_body.
PushRecord make_received_record(const model::PushBatch& batch, std::int64_t arrival_ns);
// The entries of `batch` named by `accepted` (indexes, stream by stream in batch order); compresses, so call it outside
// of locks. `streams` of the result is left for the caller, whose counts must add up to accepted.size().
Result<PushRecord> make_canonical_record(const model::PushBatch& batch, const std::vector<std::uint32_t>& accepted, std::int64_t arrival_ns);

// The entries of `body` (prefix and body of a record, one after the other) in order; `total` is how many its streams say they
// have. `batch.streams` stays empty. kCorruption, or kInvalidArgument for a received body that is none.
Result<void> decode_push_body(bool received, ByteView body, std::uint64_t total, model::PushBatch& batch);

// Entries of a stream with first_ordinal ≤ ordinal ≤ last_ordinal and a timestamp in the time shard are in `entry.chunk`.
struct FlushRecord {
  std::string tenant;
  index::IndexEntry entry;
  std::uint64_t flush_id = 0;        // from the ordinal counter; rises in the order in which entries reach the store
  std::uint64_t first_ordinal = 0, last_ordinal = 0;
  std::int64_t shard_start_ns = 0;
};

// Payload codecs of frame types 3 and 4 (flush, shipped).
Bytes encode_flush_records(const std::vector<FlushRecord>& records);
Result<std::vector<FlushRecord>> decode_flush_records(ByteView payload);

}  // namespace skald::wal
