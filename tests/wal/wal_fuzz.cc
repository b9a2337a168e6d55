// Arbitrary bytes as a segment, and as the payload of each frame type. Oracle: no crash, and flush records that decode
// encode to something that decodes the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "skald/wal/verify.h"
#include "wal/payload.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  using namespace skald::wal;
  if (size == 0) return 0;
  const ByteView payload(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: {
      Bytes segment = encode_segment_header({1, 1, 0});
      segment += payload;
      (void)describe_wal_segment(segment);
      break;
    }
    case 1:
    case 2: {
      const auto head = decode_push_head(payload);
      model::PushBatch batch;
      if (head.ok()) (void)decode_push_entries(static_cast<FrameType>(data[0] % 6), *head, batch);
      break;
    }
    case 3: {
      const auto records = decode_flush_records(payload);
      if (!records.ok()) break;
      const Bytes again = encode_flush_records(*records);
      const auto second = decode_flush_records(again);
      if (!second.ok() || encode_flush_records(*second) != again) std::abort();
      break;
    }
    case 4: (void)decode_shipped(payload); break;
    default: (void)decode_series(payload); break;
  }
  return 0;
}
