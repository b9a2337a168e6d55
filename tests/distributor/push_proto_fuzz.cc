// Any bytes as a protobuf push: no crash, and what is accepted lies inside the body and is accepted again the same way.
#include "distributor/fakes.h"
#include "skald/model/push_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::distributor;
  testing::Bench bench;
  bench.limits.change([](skald::config::Limits& limits) { limits.reject_old_samples = false; });
  const std::string plain(reinterpret_cast<const char*>(data), size);
  if (!bench.push(PushFormat::kLokiProtobuf, testing::snappy(plain)).ok() || bench.ingester.batches.empty()) return 0;
  const auto first = testing::rows(bench.last());
  SKALD_CHECK(bench.push(PushFormat::kLokiProtobuf, testing::snappy(plain)).ok());
  SKALD_CHECK(testing::rows(bench.last()) == first);
  // A kept body must walk to exactly the rows of the batch.
  const auto& batch = bench.last();
  if (batch.received_body == nullptr) return 0;
  const auto walked_body = skald::model::snappy_uncompress(*batch.received_body, 1 << 30);
  SKALD_CHECK(walked_body.ok());
  skald::model::WirePush push;
  SKALD_CHECK(skald::model::walk_push(*walked_body, push).ok());
  SKALD_CHECK(push.entries.size() == batch.entries.size());
  for (std::size_t i = 0; i < push.entries.size(); ++i) {
    SKALD_CHECK(push.entries[i].line == batch.entries[i].line);
    SKALD_CHECK(push.entries[i].timestamp_ns == batch.entries[i].timestamp_ns);
    SKALD_CHECK(push.entries[i].metadata_end - push.entries[i].metadata_begin ==
                batch.entries[i].metadata_end - batch.entries[i].metadata_begin);
  }
  return 0;
}
