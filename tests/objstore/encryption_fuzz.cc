// Any bytes as an encrypted object: as they come, and with a header whose checksum fits. Oracle: no crash, and a header
// that decodes encodes to the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "objstore/encryption_format.h"
#include "skald/base/check.h"
#include "skald/codec/crc32c.h"
#include "skald/objstore/stores.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  using namespace skald::objstore;
  Bytes bytes(reinterpret_cast<const char*>(data), size);
  static const auto keys = KeyRing::parse("k:" + std::string(64, 'a'), "fuzz").value();
  for (const bool sealed : {false, true}) {
    if (sealed) {
      if (bytes.size() < encryption::kHeaderBytes) return 0;
      bytes.replace(0, 4, "SKX1");
      store_le(bytes.data() + 92, codec::crc32c(ByteView(bytes).substr(0, 92)));
    }
    const auto header = encryption::decode_header(ByteView(bytes).substr(0, encryption::kHeaderBytes));
    if (header.ok() && header->has_value()) SKALD_CHECK(encryption::encode_header(**header) == bytes.substr(0, encryption::kHeaderBytes));
    auto bucket = make_memory_store();
    (void)bucket->put("o", bytes, {});
    const auto store = with_encryption(std::move(bucket), keys, {.allow_plaintext = false, .headers_max = 4});
    SKALD_CHECK(!store->get("o", {}, {}).ok());   // nobody guesses a tag
    SKALD_CHECK(!store->get("o", {size, size + 10}, {}).ok());
    SKALD_CHECK(!store->get("o", {600'000, 700'000}, {}).ok());
  }
  return 0;
}
