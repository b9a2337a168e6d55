// An ingester with its store over a disk and a bucket that outlive it, and what it holds as text.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "skald/base/random.h"
#include "skald/ingester/ingester.h"
#include "skald/io/memory_file_system.h"
#include "skald/objstore/stores.h"
#include "wal/wal_fixture.h"

namespace skald::ingester::testing {

using test::make_batch;
using test::Row;
using test::StreamOfRows;

inline constexpr std::int64_t kT0 = 1'700'000'000LL * kNanosPerSecond;

// Object store whose puts can be made to fail.
class FlakyStore final : public objstore::ObjectStore {
 public:
  explicit FlakyStore(objstore::ObjectStore& base) : base_(base) {}
  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    const std::uint64_t n = ++puts;
    if (fail_at != 0 && (sticky ? n >= fail_at : n == fail_at)) {
      fired = true;
      return Error(ErrorCode::kUnavailable, "injected");
    }
    return base_.put(key, body, ctx);
  }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return base_.create(key, body, ctx); }
  Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return base_.get(key, range, ctx); }
  Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override {
    return base_.list(prefix, next, depth, ctx);
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override { return base_.remove(key, ctx); }
  std::atomic<std::uint64_t> puts{0}, fail_at{0};
  std::atomic<bool> sticky{false}, fired{false};

 private:
  objstore::ObjectStore& base_;
};

inline IngesterOptions test_options() {
  IngesterOptions options;
  options.wal_directory = "/wal";
  options.durability = Durability::kAlways;
  options.flush_check_ns = kNanosPerHour;
  options.memory_soft_bytes = 1ULL << 30;
  return options;
}

// One process: ingester and store over a disk and a bucket that outlive it.
struct Process {
  Process(io::FileSystem& fs, objstore::ObjectStore& bucket, IngesterOptions options = test_options(), FakeClock* shared_clock = nullptr)
      : clock(shared_clock != nullptr ? *shared_clock : own_clock), objects(bucket), store(objects, pool, registry, {}),
        ingester(std::move(options), fs, objects, store, pool, registry, clock) {}
  Result<RecoveryReport> start() {
    SKALD_TRY_VOID(store.refresh(context()));
    return ingester.start();
  }
  static CallContext context(std::string tenant = "fake") {
    CallContext ctx;
    ctx.tenant = std::move(tenant);
    return ctx;
  }
  Result<model::PushOutcome> push(std::shared_ptr<model::PushBatch> batch) {
    std::mutex mutex;
    std::condition_variable wake;
    std::optional<Result<model::PushOutcome>> result;
    ingester.push(context(batch->tenant), batch, [&](Result<model::PushOutcome> r) {
      std::lock_guard lock(mutex);
      result = std::move(r);
      wake.notify_one();
    });
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return result.has_value(); });
    return *result;
  }

  FakeClock own_clock{kT0};
  FakeClock& clock;
  exec::Pool pool{"test", 2};
  obs::Registry registry;
  FlakyStore objects;
  store::Store store;
  Ingester ingester;
};

inline std::string describe(const model::InternedLabels& labels, std::int64_t ts, std::string_view line, std::uint8_t level,
                     std::vector<std::pair<std::string, std::string>> metadata) {
  std::sort(metadata.begin(), metadata.end());
  std::string out = labels.text + " " + std::to_string(ts) + " " + std::string(line) + " " + std::to_string(level);
  for (const auto& [name, value] : metadata) out += " " + name + "=" + value;
  return out;
}

inline void add_rows(const chunk::SelectResult& result, const CallContext& ctx, const rpc::SelectRequest& request, std::vector<std::string>& out) {
  for (const auto& stream : result.streams) {
    for (const auto& slice : stream.blocks) {
      const auto columns = slice.block->load(chunk::kAllColumns, ctx);
      ASSERT_TRUE(columns.ok()) << columns.error().message();
      const chunk::Columns& c = **columns;
      ASSERT_LE(slice.first_row + slice.rows, c.rows);
      for (std::uint32_t row = slice.first_row; row < slice.first_row + slice.rows; ++row) {
        const std::int64_t ts = c.timestamps_ns[row];
        if (row > slice.first_row) {
          ASSERT_LE(c.timestamps_ns[row - 1], ts);
        }
        ASSERT_GE(ts, slice.min_ts_ns);
        ASSERT_LE(ts, slice.max_ts_ns);
        if (ts < request.start_ns || ts > request.end_ns) continue;
        std::vector<std::pair<std::string, std::string>> metadata;
        for (const auto& column : c.metadata)
          if (column.values[row].data() != nullptr) metadata.emplace_back(column.name, column.values[row]);
        out.push_back(describe(*stream.labels, ts, c.line(row), c.levels.empty() ? 0 : c.levels[row], std::move(metadata)));
      }
    }
  }
}

inline const rpc::SelectRequest kEverything{{}, INT64_MIN / 2, INT64_MAX / 2};

// As a querier reads: ingester first, then the store. Sorted, duplicates kept.
inline std::vector<std::string> read_all(Process& process, const std::string& tenant = "fake", const rpc::SelectRequest& request = kEverything) {
  const CallContext ctx = Process::context(tenant);
  std::vector<std::string> rows;
  const auto recent = process.ingester.select(ctx, request);
  EXPECT_TRUE(recent.ok());
  const auto stored = process.store.select(ctx, request);
  EXPECT_TRUE(stored.ok()) << stored.error().message();
  if (recent.ok()) add_rows(*recent, ctx, request, rows);
  if (stored.ok()) add_rows(*stored, ctx, request, rows);
  std::sort(rows.begin(), rows.end());
  return rows;
}

// None of these tests pushes an entry twice, so no entry may come back twice either, whatever failed.
inline std::set<std::string> as_set(const std::vector<std::string>& rows) {
  EXPECT_EQ(std::adjacent_find(rows.begin(), rows.end()), rows.end());
  return {rows.begin(), rows.end()};
}

inline void expect_rows(const model::PushBatch& batch, std::set<std::string>& expected) {
  for (const auto& stream : batch.streams)
    for (auto i = stream.entries_begin; i < stream.entries_end; ++i) {
      const auto& entry = batch.entries[i];
      std::vector<std::pair<std::string, std::string>> metadata;
      for (auto k = entry.metadata_begin; k < entry.metadata_end; ++k) metadata.emplace_back(batch.metadata[k].name, batch.metadata[k].value);
      expected.insert(describe(*stream.labels, entry.timestamp_ns, entry.line, static_cast<std::uint8_t>(entry.level), std::move(metadata)));
    }
}

inline std::shared_ptr<model::PushBatch> random_batch(SeededRandom& random, std::uint64_t streams = 6) {
  std::vector<StreamOfRows> parts;
  for (std::uint64_t s = 0; s < 1 + random.next_u64() % 3; ++s) {
    StreamOfRows part{{{"app", "a" + std::to_string(random.next_u64() % streams)}}, {}};
    for (std::uint64_t r = 0; r < 1 + random.next_u64() % 8; ++r) {
      Row row{kT0 + static_cast<std::int64_t>(random.next_u64() % 3000) * kNanosPerSecond, "line " + std::to_string(random.next_u64()),
              static_cast<model::Level>(random.next_u64() % model::kLevelCount), {}};
      if (random.next_u64() % 3 == 0) row.metadata = {{"pod", "p" + std::to_string(random.next_u64() % 5)}, {"trace", std::to_string(random.next_u64())}};
      part.rows.push_back(std::move(row));
    }
    parts.push_back(std::move(part));
  }
  auto batch = make_batch("fake", parts);
  if (random.next_u64() % 2 == 0) test::set_received_body(*batch);
  return batch;
}

}  // namespace skald::ingester::testing
