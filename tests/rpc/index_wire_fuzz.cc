// Messages between index gateways and readers, and the spans of volumes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "rpc/index_wire.h"
#include "skald/rpc/ingester_service.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  static rpc::LabelTexts texts(1000);
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  if (const auto query = rpc::decode_index_query(message); query.ok()) {
    if (!rpc::decode_index_query(rpc::encode_index_query(*query)).ok()) __builtin_trap();
  }
  if (auto page = rpc::decode_refs_page("t", message, index::WithSketches::kYes); page.ok()) {
    (void)rpc::encode_refs_page("t", page->streams, "", 1 << 16);
  }
  (void)rpc::decode_texts(message);
  if (const auto volumes = rpc::decode_volumes(message, [&](std::string_view text) { return texts.intern(text); }); volumes.ok()) {
    if (!rpc::decode_volumes(rpc::encode_volumes(*volumes), [&](std::string_view text) { return texts.intern(text); }).ok()) __builtin_trap();
  }
  return 0;
}
