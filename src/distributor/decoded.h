// What every push format is decoded into: the same plain rows, views into the body or into `owned`.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/config/limits.h"
#include "skald/model/push_wire.h"

namespace skald::distributor {

// How WirePush::streams[i].labels_text is to be read.
enum class LabelSyntax : std::uint8_t {
  kText = 0,        // {a="b"}
  kJsonObject = 1,  // {"a":"b"}; "" is no labels
};

struct Decoded {
  model::WirePush wire;
  LabelSyntax label_syntax = LabelSyntax::kText;
  SharedBytes body;                // decompressed; the views point here or into `owned`
  std::deque<std::string> owned;
};

// The decoders fill out.wire from out.body. Errors carry Loki's text.
Result<void> decode_loki_json(Decoded& out);
Result<void> decode_legacy_json(Decoded& out);
Result<void> decode_otlp_proto(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out);
Result<void> decode_otlp_json(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out);

// Undoes Content-Encoding. kTooLarge above `limit_bytes`, found before more than that is held.
enum class EncodingSet { kLoki /* gzip deflate snappy */, kOtlp /* gzip zstd lz4 */ };
Result<SharedBytes> undo_content_encoding(const SharedBytes& body, std::string_view encoding, EncodingSet set,
                                          std::uint64_t limit_bytes);

}  // namespace skald::distributor
