// Any bytes as a JSON push, new and legacy shape.
#include "distributor/fakes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::distributor;
  testing::Bench bench;
  bench.limits.change([](skald::config::Limits& limits) { limits.reject_old_samples = false; });
  const std::string body(reinterpret_cast<const char*>(data), size);
  (void)bench.push(PushFormat::kLegacyJson, body).ok();
  bench.ingester.batches.clear();
  if (!bench.json(body).ok() || bench.ingester.batches.empty()) return 0;
  const auto first = testing::rows(bench.last());
  SKALD_CHECK(bench.json(body).ok());
  SKALD_CHECK(testing::rows(bench.last()) == first);
  return 0;
}
