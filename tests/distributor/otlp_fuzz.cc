// Any bytes as OTLP logs, protobuf and JSON.
#include "distributor/fakes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::distributor;
  testing::Bench bench;
  bench.limits.change([](skald::config::Limits& limits) { limits.reject_old_samples = false; });
  const std::string body(reinterpret_cast<const char*>(data), size);
  for (const PushFormat format : {PushFormat::kOtlpProtobuf, PushFormat::kOtlpJson}) {
    bench.ingester.batches.clear();
    (void)bench.push(format, body).ok();
    for (const auto& batch : bench.ingester.batches) (void)testing::rows(*batch);
  }
  return 0;
}
