// The wire form of a push: protobuf logproto.PushRequest, walked once without building objects. Field numbers:
// PushRequest.streams=1; Stream.labels=1 .entries=2; Entry.timestamp=1{seconds=1,nanos=2} .line=2
// .structuredMetadata=3{name=1,value=2}. Unknown fields are skipped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/model/labels.h"

namespace skald::model {

struct WireEntry {
  std::int64_t timestamp_ns = 0;
  std::string_view line;
  std::uint32_t metadata_begin = 0, metadata_end = 0;  // in WirePush::metadata, as sent
};
struct WireStream {
  std::string_view labels_text;
  std::uint32_t entries_begin = 0, entries_end = 0;
};
struct WirePush {
  std::vector<WireStream> streams;   // as sent, empty ones too
  std::vector<WireEntry> entries;
  std::vector<LabelView> metadata;
  void clear();                      // keeps capacity
};

// Fills `out` with views into `body`. kInvalidArgument with the decoder's text on malformed input.
Result<void> walk_push(ByteView body, WirePush& out);

// Snappy block format; refuses a declared size above `limit_bytes` before reserving (kTooLarge), and corrupt input
// ("snappy: corrupt input"). The result has kBufferSlack readable bytes behind it.
Result<std::string> snappy_uncompress(ByteView body, std::uint64_t limit_bytes);

// Structured-metadata name rule (push-protocol §6): characters outside [A-Za-z0-9_] become '_', runs of '_' collapse, a
// leading digit gets "key_", __x__ keeps its underscores. True and `out` untouched if `name` is already normal.
// kInternal for a name that cannot be normalised.
Result<bool> normalize_metadata_name(std::string_view name, std::string& out);

}  // namespace skald::model
