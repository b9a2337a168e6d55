// Bytes of the gossip port: packets and streams of strangers. What is understood must survive being written and read again.
#include <cstdlib>

#include "ring/gossip_socket.h"
#include "ring/gossip_wire.h"
#include "ring/lzw.h"
#include "skald/ring/desc.h"

using namespace skald;
using namespace skald::ring::gossip;

namespace {

void require(bool fine) {
  if (!fine) std::abort();
}

void packet(ByteView bytes) {
  if (const auto framed = unframe_packet(bytes); framed.ok()) (void)parse_packet(*framed, "", true).ok();
  const auto parsed = parse_packet(bytes, "", true);
  if (!parsed.ok()) return;
  for (const Message& message : parsed->messages) {
    const Bytes once = encode(message);
    const auto again = parse_packet(once, "", true);
    require(again.ok() && again->messages.size() == 1 && encode(again->messages[0]) == once);
    if (const auto* user = std::get_if<User>(&message))
      if (const auto pair = decode_key_value(user->payload); pair.ok()) {
        require(encode(decode_key_value(encode(*pair)).value()) == encode(*pair));
        (void)skald::ring::decode(pair->value).ok();
      }
  }
}

void stream(ByteView bytes) {
  const LabelProgress label = parse_label(bytes);
  if (label.needed != 0) return;
  const auto progress = parse_stream(bytes.substr(label.bytes));
  if (!progress.ok()) return;
  if (progress->needed != 0) {
    require(progress->needed > bytes.size() - label.bytes);
    return;
  }
  if (std::holds_alternative<Ping>(progress->message)) return;
  const Bytes once = encode_stream(progress->message, true);
  require(encode_stream(parse_stream(once).value().message, true) == once);
  if (const auto* exchange = std::get_if<PushPull>(&progress->message)) (void)split_state(exchange->state).ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: packet(bytes); break;
    case 1: stream(bytes); break;
    case 2: require(lzw_decompress(lzw_compress(bytes), bytes.size() + 1).value() == bytes); break;
    default: (void)lzw_decompress(bytes, 1 << 20).ok(), (void)io::parse_srv_answer(bytes).ok(); break;
  }
  return 0;
}
