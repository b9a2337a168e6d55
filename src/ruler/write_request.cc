#include "ruler/write_request.h"

#include <bit>

#include "skald/codec/proto_writer.h"

namespace skald::ruler {

Bytes encode_write_request(std::span<const TimedSample> samples) {
  Bytes out, series, inner;
  for (const TimedSample& sample : samples) {
    series.clear();
    for (const model::Label& label : sample.labels.pairs()) {
      inner.clear();
      codec::append_proto_bytes(inner, 1, label.name);
      codec::append_proto_bytes(inner, 2, label.value);
      codec::append_proto_bytes(series, 1, inner);
    }
    inner.clear();
    codec::append_proto_fixed64(inner, 1, std::bit_cast<std::uint64_t>(sample.value));
    codec::append_proto_varint(inner, 2, static_cast<std::uint64_t>(sample.timestamp_ms));
    codec::append_proto_bytes(series, 2, inner);
    codec::append_proto_bytes(out, 1, series);
  }
  return out;
}

}  // namespace skald::ruler
