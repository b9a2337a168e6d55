// Encryption of objects: what sealing an object and reading whole objects and chunk-sized ranges cost.
#include <benchmark/benchmark.h>

#include "skald/objstore/encryption.h"
#include "skald/objstore/stores.h"

namespace {

using namespace skald;
using namespace skald::objstore;

std::unique_ptr<ObjectStore> encrypted_memory_store() {
  return with_encryption(make_memory_store(), KeyRing::parse("k:" + std::string(64, '7'), "benchmark").value());
}

void put(benchmark::State& state) {
  const auto store = encrypted_memory_store();
  const Bytes body(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(store->put("tenant/chunks/20261120T06/o", body, {}).ok());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(put)->Arg(4 << 10)->Arg(1 << 20)->Arg(64 << 20);

void get(benchmark::State& state) {
  const auto store = encrypted_memory_store();
  (void)store->put("o", Bytes(static_cast<std::size_t>(state.range(0)), 'x'), {}).ok();
  for (auto _ : state) benchmark::DoNotOptimize(store->get("o", {}, {}).ok());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(get)->Arg(4 << 10)->Arg(1 << 20)->Arg(64 << 20);

// A chunk of 256 KiB somewhere in an object of 64 MiB.
void get_range(benchmark::State& state) {
  const auto store = encrypted_memory_store();
  (void)store->put("o", Bytes(64 << 20, 'x'), {}).ok();
  std::uint64_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(store->get("o", {at, at + (256 << 10)}, {}).ok());
    at = (at + (7 << 20)) % (60 << 20);
  }
  state.SetBytesProcessed(state.iterations() * (256 << 10));
}
BENCHMARK(get_range);

}  // namespace
