// From push to bucket: what a gigabyte of lines costs, and what it becomes. No log, a bucket in memory.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <future>
#include <random>

#include "skald/ingester/ingester.h"
#include "skald/io/memory_file_system.h"
#include "skald/objstore/stores.h"

namespace skald::ingester {
namespace {

constexpr std::int64_t kT0 = 1'700'000'000LL * kNanosPerSecond;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// Lines of all streams in turn, a thousand to a push.
std::vector<std::shared_ptr<model::PushBatch>> make_batches(std::uint64_t streams, std::uint64_t lines_per_stream, std::int64_t span_ns) {
  std::mt19937_64 random(1);
  std::vector<model::LabelsPtr> labels;
  for (std::uint64_t s = 0; s < streams; ++s)
    labels.push_back(model::intern(model::Labels::from_pairs({{"cluster", "eu-1"}, {"namespace", "ns-" + std::to_string(s % 100)}, {"pod", "pod-" + std::to_string(s) + "-x7f9c"}})));
  std::vector<std::shared_ptr<model::PushBatch>> batches;
  const std::uint64_t lines = streams * lines_per_stream;
  for (std::uint64_t line = 0; line < lines; ++line) {
    if (line % 1000 == 0) {
      batches.push_back(std::make_shared<model::PushBatch>());
      batches.back()->tenant = "t";
    }
    model::PushBatch& batch = *batches.back();
    const auto at = static_cast<std::uint32_t>(batch.entries.size());
    model::PushEntry entry;
    entry.timestamp_ns = kT0 + static_cast<std::int64_t>(line) * (span_ns / static_cast<std::int64_t>(lines));
    entry.level = random() % 5 == 0 ? model::Level::kWarn : model::Level::kInfo;
    entry.line = batch.owned.emplace_back("level=info caller=worker.go:" + std::to_string(random() % 300) + " msg=\"job finished\" queue=billing job_id=" + std::to_string(random()) +
                                          " duration=" + std::to_string(random() % 3000) + "ms path=/api/v1/items/" + std::to_string(random() % 100'000));
    entry.metadata_begin = static_cast<std::uint32_t>(batch.metadata.size());
    if (random() % 4 == 0) batch.metadata.push_back({"trace_id", batch.owned.emplace_back(std::to_string(random()) + std::to_string(random()))});
    entry.metadata_end = static_cast<std::uint32_t>(batch.metadata.size());
    batch.line_bytes += entry.line.size();
    batch.entries.push_back(entry);
    batch.streams.push_back({labels[line % streams], at, at + 1});
  }
  return batches;
}

void flush(benchmark::State& state) {
  const auto streams = static_cast<std::uint64_t>(state.range(0)), lines = static_cast<std::uint64_t>(state.range(1));
  const auto batches = make_batches(streams, lines, kNanosPerHour);
  double line_bytes = 0, cpu_s = 0, ship_cpu_s = 0;
  std::uint64_t chunk_bytes = 0, index_bytes = 0;
  for (const auto& batch : batches) line_bytes += static_cast<double>(batch->line_bytes);
  for (auto _ : state) {
    io::MemoryFileSystem fs;
    const auto bucket = objstore::make_memory_store();
    obs::Registry registry;
    exec::Pool pool("bench", 2);
    store::Store store(*bucket, pool, registry, {});
    IngesterOptions options;
    options.limits = [](const std::string&) { return TenantLimits{0, 0, 0, true}; };
    const double begun = cpu_seconds();
    Ingester ingester(options, fs, *bucket, store, pool, registry, system_clock());
    if (!ingester.start().ok()) return state.SkipWithError("start");
    for (const auto& batch : batches) {
      std::promise<bool> done;
      ingester.push(CallContext(), batch, [&](Result<model::PushOutcome> outcome) { done.set_value(outcome.ok() && outcome->refused == 0); });
      if (!done.get_future().get()) return state.SkipWithError("push");
    }
    const double pushed = cpu_seconds();
    if (!ingester.flush_all(CallContext()).ok()) return state.SkipWithError("flush");
    cpu_s += cpu_seconds() - begun;
    ship_cpu_s += cpu_seconds() - pushed;
    chunk_bytes = index_bytes = 0;
    const auto page = bucket->list("", "", objstore::ListDepth::kAll, CallContext());
    if (!page.ok()) return state.SkipWithError("list");
    for (const auto& object : page->objects) (object.key.find("/chunks/") == std::string::npos ? index_bytes : chunk_bytes) += object.size;
  }
  const double gigabytes = line_bytes / 1e9 * static_cast<double>(state.iterations());
  state.counters["cpu_s_per_gb"] = cpu_s / gigabytes;
  state.counters["flush_cpu_s_per_gb"] = ship_cpu_s / gigabytes;
  state.counters["chunk_bytes_per_line_byte"] = static_cast<double>(chunk_bytes) / line_bytes;
  state.counters["index_bytes_per_stream"] = static_cast<double>(index_bytes) / static_cast<double>(streams);
}
BENCHMARK(flush)->Args({20'000, 5})->Args({2'000, 200})->Args({50, 10'000})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace skald::ingester
