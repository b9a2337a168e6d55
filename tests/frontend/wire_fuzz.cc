// Bytes that claim to be a subquery or a result: what decodes comes out the same when sent on.
#include <cstdlib>

#include "frontend/results.h"
#include "skald/frontend/subquery.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  const ByteView message(reinterpret_cast<const char*>(data), size);
  if (const auto result = frontend::decode_result(message); result.ok()) {
    const auto again = frontend::decode_result(frontend::encode_result(*result));
    if (!again.ok() || again->ok() != result->ok()) std::abort();
    if (result->ok() && frontend::testing::text_of(**again, true) != frontend::testing::text_of(**result, true)) std::abort();
  }
  if (const auto subquery = frontend::decode_subquery("t", message); subquery.ok()) {
    const Bytes once = frontend::encode_subquery(*subquery);
    if (frontend::encode_subquery(*frontend::decode_subquery("t", once)) != once) std::abort();
  }
  return 0;
}
