// Any bytes as head and part of an object in a table, and as answers of DynamoDB. Oracle: no crash, and a head that decodes
// encodes to the same bytes.
#include <cstddef>
#include <cstdint>

#include "objstore/dynamo_json.h"
#include "objstore/table_head.h"
#include "skald/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  using namespace skald::objstore;
  const ByteView bytes(reinterpret_cast<const char*>(data), size);
  ByteView inline_bytes;
  if (const auto head = table::decode_head(bytes, inline_bytes); head.ok()) {
    SKALD_CHECK(inline_bytes.size() + table::kHeadBytes == size);
    (void)table::encode_head(*head, inline_bytes);
  }
  (void)table::decode_part(0, Bytes(bytes));
  (void)dynamo::read_item(bytes);
  (void)dynamo::read_query(bytes);
  (void)dynamo::read_table_status(bytes);
  (void)dynamo::read_fault(bytes);
  return 0;
}
