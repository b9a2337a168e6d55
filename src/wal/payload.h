// Payloads of push, series, flush and shipped frames: encoding beside decoding.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "skald/wal/records.h"
#include "wal/frame.h"

namespace skald::wal {

struct SeriesDefinition {
  std::uint64_t number = 0;
  std::string tenant;
  model::Labels labels;
};
void append_series(Bytes& out, std::uint64_t number, std::string_view tenant, const model::Labels& labels);
Result<std::vector<SeriesDefinition>> decode_series(ByteView payload);

// `numbers[i]`: series number of record.streams[i] in this segment.
void append_push_payload(Bytes& out, const PushRecord& record, const std::vector<std::uint64_t>& numbers);

struct PushHead {
  std::int64_t arrival_ns = 0;
  struct Stream {
    std::uint64_t number = 0, ordinal = 0, entries = 0;
  };
  std::vector<Stream> streams;
  ByteView rest;   // level runs + body, or raw size + compressed entries
};
Result<PushHead> decode_push_head(ByteView payload);

// Entries of a push in order, `head.streams` telling which belong to which stream. `batch.streams` stays empty.
Result<void> decode_push_entries(FrameType type, const PushHead& head, model::PushBatch& batch);

Bytes encode_shipped(std::uint64_t up_to_flush_id);
Result<std::uint64_t> decode_shipped(ByteView payload);

}  // namespace skald::wal
