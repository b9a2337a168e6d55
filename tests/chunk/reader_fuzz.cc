// Any bytes: no crash, no memory beyond what they can justify; and whatever a chunk of them decodes to survives a second
// trip through the writer.
#include <cstdint>
#include <cstdlib>

#include "chunk/content_id.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/object_reader.h"
#include "skald/chunk/reader.h"
#include "skald/chunk/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  using namespace skald::chunk;
  const ByteView bytes(reinterpret_cast<const char*>(data), size);
  (void)open_object_tail(bytes, size);
  (void)verify_object(bytes);
  (void)describe_object(bytes);
  (void)describe_chunk(bytes);
  const auto reader = ChunkReader::open(std::make_shared<const Bytes>(bytes));
  if (!reader.ok()) return 0;
  for (std::size_t i = 0; i < (*reader)->blocks().size(); ++i) {
    const auto columns = (*reader)->block(i)->load(kAllColumns, {});
    if (!columns.ok()) continue;
    const auto again = encode_block(**columns, {});
    if (!again.ok()) continue;   // lines without their newline: readable, not writable
    const auto back = as_block(*again)->load(kAllColumns, {});
    if (!back.ok() || compute_content_id(**back) != compute_content_id(**columns)) std::abort();
  }
  return 0;
}
