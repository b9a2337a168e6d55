#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "skald/base/random.h"
#include "skald/io/fault_file_system.h"
#include "skald/io/memory_file_system.h"
#include "skald/wal/replay.h"
#include "skald/wal/verify.h"
#include "skald/wal/writer.h"
#include "wal/wal_fixture.h"

namespace skald::wal {
namespace {

using test::make_batch;
using test::Row;
using test::StreamOfRows;

constexpr std::int64_t kT0 = 1'700'000'000LL * kNanosPerSecond;

// Everything a log gave back: "tenant{labels} ordinal ts line level name=value…" per entry.
struct Collected final : ReplaySink {
  std::vector<std::string> rows;
  std::vector<FlushRecord> pending;
  void on_pending(FlushRecord record, std::uint64_t) override { pending.push_back(std::move(record)); }
  void on_push(const model::PushBatch& batch, std::span<const std::uint64_t> ordinals, std::int64_t) override {
    for (std::size_t s = 0; s < batch.streams.size(); ++s)
      for (auto i = batch.streams[s].entries_begin; i < batch.streams[s].entries_end; ++i)
        rows.push_back(describe(batch, s, i, ordinals[s]));
  }
  static std::string describe(const model::PushBatch& batch, std::size_t s, std::uint32_t i, std::uint64_t ordinal) {
    const auto& entry = batch.entries[i];
    std::string out = batch.tenant + batch.streams[s].labels->text + " " + std::to_string(ordinal) + " " + std::to_string(entry.timestamp_ns) + " " +
                      std::string(entry.line) + " " + std::to_string(static_cast<int>(entry.level));
    for (auto k = entry.metadata_begin; k < entry.metadata_end; ++k)
      out += " " + std::string(batch.metadata[k].name) + "=" + std::string(batch.metadata[k].value);
    return out;
  }
};

class Log {
 public:
  explicit Log(io::FileSystem& fs, WriterOptions options = {}, std::vector<SegmentInfo> existing = {}) {
    if (options.directory.empty()) options.directory = "/wal";
    writer = std::make_unique<Writer>(fs, options, std::move(existing), counter, registry, clock);
  }
  // Appends and waits; the expected rows grow on success.
  Result<void> push(const std::shared_ptr<model::PushBatch>& batch, std::vector<std::string>* expected = nullptr) {
    PushRecord record;
    if (batch->received_body) {
      record = make_received_record(*batch, kT0);
    } else {
      std::vector<std::uint32_t> all(batch->entries.size());
      for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
      record = make_canonical_record(*batch, all, kT0).value();
    }
    std::vector<std::string> rows;
    for (std::size_t s = 0; s < batch->streams.size(); ++s) {
      const auto& stream = batch->streams[s];
      const std::uint64_t ordinal = counter.fetch_add(1);
      record.streams.push_back({stream.labels->hash, stream.labels, ordinal, stream.entries_end - stream.entries_begin});
      for (auto i = stream.entries_begin; i < stream.entries_end; ++i) rows.push_back(Collected::describe(*batch, s, i, ordinal));
    }
    std::mutex mutex;
    std::condition_variable wake;
    std::optional<Result<void>> result;
    writer->append(std::move(record), [&](Result<void> r) {
      std::lock_guard lock(mutex);
      result = std::move(r);
      wake.notify_one();
    });
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return result.has_value(); });
    if (result->ok() && expected != nullptr) expected->insert(expected->end(), rows.begin(), rows.end());
    return *result;
  }

  std::atomic<std::uint64_t> counter{1};
  obs::Registry registry;
  FakeClock clock;
  std::unique_ptr<Writer> writer;
};

std::shared_ptr<model::PushBatch> random_batch(SeededRandom& random, bool received) {
  std::vector<StreamOfRows> streams;
  for (std::uint64_t s = 0; s < 1 + random.next_u64() % 3; ++s) {
    StreamOfRows stream{{{"app", "a" + std::to_string(random.next_u64() % 5)}, {"s", std::to_string(s)}}, {}};
    for (std::uint64_t r = 0; r < 1 + random.next_u64() % 6; ++r) {
      Row row{kT0 + static_cast<std::int64_t>(random.next_u64() % 1'000'000'000), std::string(random.next_u64() % 40, 'x') + std::to_string(random.next_u64()),
              static_cast<model::Level>(random.next_u64() % model::kLevelCount), {}};
      if (random.next_u64() % 2 == 0) row.metadata = {{"pod", "p" + std::to_string(random.next_u64() % 9)}, {"trace_id", "t"}};
      stream.rows.push_back(std::move(row));
    }
    streams.push_back(std::move(stream));
  }
  auto batch = make_batch("tenant", streams);
  if (received) test::set_received_body(*batch);
  return batch;
}

ReplayReport replay_all(io::FileSystem& fs, Collected& out) {
  exec::Pool pool("test", 2);
  auto report = replay(fs, "/wal", pool, out);
  EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message());
  return report.ok() ? *report : ReplayReport{};
}

FlushRecord flush_record(const model::LabelsPtr& labels, std::uint64_t id, std::uint64_t first, std::uint64_t last, std::int64_t ts) {
  FlushRecord record;
  record.tenant = "tenant";
  record.entry.labels = labels;
  record.entry.chunk.object.id.bytes[3] = static_cast<std::uint8_t>(id);
  record.entry.chunk.offset = 64 * id;
  record.entry.chunk.content_id = 0xABCDEF0123456789ULL;
  record.entry.chunk.rows = 7;
  record.entry.chunk.sketch = {10, 5'000'000'000, {1, 2}, {300, 4}, {{5, {1, 1}}}};
  record.flush_id = id;
  record.first_ordinal = first;
  record.last_ordinal = last;
  record.shard_start_ns = chunk::time_shard_start(ts);
  return record;
}

TEST(Wal, GivesBackWhatWasAppendedInBothEncodings) {
  io::MemoryFileSystem fs;
  Log log(fs);
  SeededRandom random(7);
  std::vector<std::string> expected;
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(log.push(random_batch(random, i % 2 == 0), &expected).ok());
  ASSERT_TRUE(log.writer->close().ok());
  fs.crash(0);
  Collected got;
  const auto report = replay_all(fs, got);
  EXPECT_EQ(got.rows, expected);
  EXPECT_EQ(report.entries, expected.size());
  EXPECT_EQ(report.max_ordinal, log.counter.load() - 1);
  EXPECT_EQ(report.corrupt_frames + report.torn_tail_bytes, 0u);
}

TEST(Wal, MetadataNamesOfAReceivedBodyAreNormalisedSortedAndUnique) {
  io::MemoryFileSystem fs;
  Log log(fs);
  auto sent = make_batch("t", {{{{"a", "b"}}, {{kT0, "l", model::Level::kError, {{"z.z", "1"}, {"b", "2"}, {"b", "3"}, {"c", ""}, {"detected_level", "ERR"}}}}}});
  test::set_received_body(*sent);
  ASSERT_TRUE(log.push(sent).ok());
  ASSERT_TRUE(log.writer->close().ok());
  Collected got;
  replay_all(fs, got);
  ASSERT_EQ(got.rows.size(), 1u);
  EXPECT_EQ(got.rows[0], "t{a=\"b\"} 1 " + std::to_string(kT0) + " l 6 b=3 z_z=1");
}

TEST(Wal, SegmentsRollAndEachStandsAlone) {
  io::MemoryFileSystem fs;
  Log log(fs, {.segment_bytes = 2000});
  SeededRandom random(3);
  std::vector<std::string> expected;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(log.push(random_batch(random, false), &expected).ok());
  const auto segments = log.writer->segments();
  ASSERT_GT(segments.size(), 3u);
  std::uint64_t total = 0;
  for (const auto& segment : segments) total += segment.bytes;
  EXPECT_EQ(log.writer->total_bytes(), total);
  ASSERT_TRUE(log.writer->remove_segments(segments[1].sequence).ok());
  EXPECT_EQ(log.writer->segments().size(), segments.size() - 2);
  ASSERT_TRUE(log.writer->close().ok());
  Collected got;
  const auto report = replay_all(fs, got);
  EXPECT_EQ(report.corrupt_frames, 0u);
  ASSERT_LT(got.rows.size(), expected.size());
  EXPECT_TRUE(std::equal(got.rows.rbegin(), got.rows.rend(), expected.rbegin()));
}

TEST(Wal, FlushedEntriesAreLeftOutByOrdinalAndTimeShard) {
  io::MemoryFileSystem fs;
  Log log(fs);
  const std::int64_t next_shard = chunk::time_shard_start(kT0) + chunk::kTimeShardNs;
  const auto batch = make_batch("tenant", {{{{"a", "b"}}, {{kT0, "one"}, {next_shard, "two"}, {kT0 + 1, "three"}}}});
  ASSERT_TRUE(log.push(batch).ok());  // ordinal 1
  const auto other = make_batch("tenant", {{{{"a", "b"}}, {{kT0 + 2, "four"}}}});
  ASSERT_TRUE(log.push(other).ok());  // ordinal 2
  const auto record = flush_record(batch->streams[0].labels, 9, 1, 1, kT0);
  ASSERT_TRUE(log.writer->append_flush({record}).ok());
  ASSERT_TRUE(log.writer->close().ok());
  fs.crash(0);
  Collected got;
  const auto report = replay_all(fs, got);
  ASSERT_EQ(got.rows.size(), 2u);
  EXPECT_NE(got.rows[0].find("two"), std::string::npos);
  EXPECT_NE(got.rows[1].find("four"), std::string::npos);
  EXPECT_EQ(report.entries_flushed, 2u);
  EXPECT_EQ(report.max_ordinal, 9u);
  ASSERT_EQ(got.pending.size(), 1u);
  const auto& chunk = got.pending[0].entry.chunk;
  EXPECT_EQ(chunk.object, record.entry.chunk.object);
  EXPECT_EQ(chunk.content_id, record.entry.chunk.content_id);
  EXPECT_EQ(chunk.sketch.bytes, record.entry.chunk.sketch.bytes);
  EXPECT_EQ(chunk.sketch.rows_by_level, record.entry.chunk.sketch.rows_by_level);
  EXPECT_EQ(chunk.sketch.width_s, record.entry.chunk.sketch.width_s);
}

TEST(Wal, ShippedMarksEndPendingAndReloggedRecordsCountOnce) {
  io::MemoryFileSystem fs;
  Log log(fs);
  const auto labels = model::intern(model::Labels::from_pairs({{"a", "b"}}));
  ASSERT_TRUE(log.writer->append_flush({flush_record(labels, 1, 1, 1, kT0), flush_record(labels, 2, 2, 2, kT0)}).ok());
  ASSERT_TRUE(log.writer->append_shipped(1).ok());
  ASSERT_TRUE(log.writer->roll().ok());
  ASSERT_TRUE(log.writer->append_flush({flush_record(labels, 2, 2, 2, kT0)}).ok());
  ASSERT_TRUE(log.writer->close().ok());
  Collected got;
  replay_all(fs, got);
  ASSERT_EQ(got.pending.size(), 1u);
  EXPECT_EQ(got.pending[0].flush_id, 2u);
}

// Frames of one segment, as bytes.
Bytes segment_image(std::vector<std::string>& expected, std::vector<std::size_t>& complete_at) {
  io::MemoryFileSystem fs;
  Log log(fs);
  SeededRandom random(11);
  const std::string path = "/wal/00000000000000000001.wal";
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(log.push(random_batch(random, i % 2 == 0), &expected).ok());
    complete_at.push_back(fs.read_file(path, 1 << 20)->size());
    complete_at.push_back(expected.size());
  }
  EXPECT_TRUE(log.writer->close().ok());
  return fs.read_file(path, 1 << 20).value();
}

void write_segment(io::FileSystem& fs, ByteView bytes) {
  ASSERT_TRUE(fs.make_directories("/wal").ok());
  auto file = fs.create("/wal/00000000000000000001.wal").value();
  ASSERT_TRUE(file->append(bytes).ok());
  ASSERT_TRUE(file->sync().ok());
  ASSERT_TRUE(fs.sync_directory("/wal").ok());
}

TEST(Wal, EveryTruncationYieldsAPrefixOfWhatWasWritten) {
  std::vector<std::string> expected;
  std::vector<std::size_t> complete;
  const Bytes image = segment_image(expected, complete);
  for (std::size_t keep = 0; keep <= image.size(); ++keep) {
    io::MemoryFileSystem fs;
    write_segment(fs, ByteView(image).substr(0, keep));
    Collected got;
    const auto report = replay_all(fs, got);
    std::size_t rows = 0;
    for (std::size_t i = 0; i < complete.size(); i += 2)
      if (complete[i] <= keep) rows = complete[i + 1];
    ASSERT_EQ(got.rows.size(), rows) << "cut at byte " << keep;
    ASSERT_TRUE(std::equal(got.rows.begin(), got.rows.end(), expected.begin())) << "cut at byte " << keep;
    ASSERT_EQ(report.corrupt_frames, 0u);
    Collected again;  // the tail was cut off: nothing is torn the second time
    if (keep >= 64) {
      ASSERT_EQ(replay_all(fs, again).torn_tail_bytes, 0u) << keep;
    }
    ASSERT_EQ(again.rows.size(), keep >= 64 ? rows : 0u);
  }
}

TEST(Wal, AFlippedBitCostsAtMostThePushesItTouches) {
  std::vector<std::string> expected;
  std::vector<std::size_t> complete;
  const Bytes image = segment_image(expected, complete);
  SeededRandom random(5);
  for (int round = 0; round < 1500; ++round) {
    Bytes bytes = image;
    const std::size_t at = random.next_u64() % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random.next_u64() % 8)));
    io::MemoryFileSystem fs;
    write_segment(fs, bytes);
    Collected got;
    const auto report = replay_all(fs, got);
    ASSERT_GT(report.corrupt_frames + report.torn_tail_bytes, 0u) << "flip at " << at;
    // Never a wrong line: what came back is a subsequence of what was written.
    std::size_t k = 0;
    for (const auto& row : got.rows) {
      while (k < expected.size() && expected[k] != row) ++k;
      ASSERT_LT(k++, expected.size()) << "flip at " << at << " invented " << row;
    }
    ASSERT_EQ(verify_wal_segment(bytes).ok() && verify_wal_segment(bytes)->clean(), false);
  }
}

TEST(Wal, PowerLossNeverCostsAnAcknowledgedPush) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    io::MemoryFileSystem fs;
    SeededRandom random(seed + 1);
    std::vector<std::string> expected;
    {
      Log log(fs, {.segment_bytes = 3000});
      const std::uint64_t pushes = random.next_u64() % 25;
      for (std::uint64_t i = 0; i < pushes; ++i) ASSERT_TRUE(log.push(random_batch(random, i % 2 == 0), &expected).ok());
      fs.crash(seed);
    }
    Collected got;
    replay_all(fs, got);
    ASSERT_EQ(got.rows, expected) << "seed " << seed;
  }
}

TEST(Wal, WhateverFailsTheAcknowledgedSurviveAndNothingIsAcknowledgedAfterAFailedSync) {
  for (const auto kind : {io::FaultKind::kIo, io::FaultKind::kNoSpace, io::FaultKind::kShortWrite}) {
    for (std::uint64_t n = 1;; ++n) {
      ASSERT_LT(n, 500u);
      io::MemoryFileSystem memory;
      io::FaultFileSystem fs(memory);
      fs.set_plan({.fail_at = n, .kind = kind});
      std::vector<std::string> expected;
      bool failed = false;
      {
        Log log(fs, {.segment_bytes = 1500});
        SeededRandom random(n);
        for (int i = 0; i < 20; ++i) {
          const auto pushed = log.push(random_batch(random, false), &expected);
          if (!pushed.ok()) {
            EXPECT_EQ(pushed.error().code(), ErrorCode::kUnavailable);
          }
          if (failed && log.writer->failed()) {
            ASSERT_FALSE(pushed.ok());
          }
          failed |= log.writer->failed();
        }
        const bool fired = fs.fired();
        fs.set_plan({});
        memory.crash(n);
        if (!fired) {
          Collected got;
          replay_all(memory, got);
          ASSERT_EQ(got.rows, expected);
          break;
        }
      }
      Collected got;
      replay_all(memory, got);
      // All acknowledged rows, in order; unacknowledged ones may be there too.
      std::size_t k = 0;
      for (const auto& row : got.rows)
        if (k < expected.size() && row == expected[k]) ++k;
      ASSERT_EQ(k, expected.size()) << "operation " << n;
    }
  }
}

TEST(Wal, AFullDiskPassesAndNothingAcknowledgedIsLost) {
  io::MemoryFileSystem fs;
  Log log(fs);
  SeededRandom random(1);
  std::vector<std::string> expected;
  ASSERT_TRUE(log.push(random_batch(random, false), &expected).ok());
  fs.set_capacity(fs.used_bytes() + 20);
  EXPECT_EQ(log.push(random_batch(random, false)).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(log.push(random_batch(random, false)).error().code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(log.writer->failed());
  EXPECT_GE(log.registry.counter("loki_ingester_wal_disk_full_failures_total", "").value(), 1);
  fs.set_capacity(1 << 30);
  ASSERT_TRUE(log.push(random_batch(random, false), &expected).ok());
  ASSERT_TRUE(log.writer->close().ok());
  fs.crash(0);
  Collected got;
  const auto report = replay_all(fs, got);
  EXPECT_EQ(got.rows, expected);
  EXPECT_EQ(report.corrupt_frames + report.torn_tail_bytes, 0u);
}

TEST(Wal, DescribesASegmentForPeople) {
  std::vector<std::string> expected;
  std::vector<std::size_t> complete;
  const Bytes image = segment_image(expected, complete);
  const auto check = verify_wal_segment(image);
  ASSERT_TRUE(check.ok());
  EXPECT_TRUE(check->clean());
  EXPECT_EQ(check->entries, expected.size());
  EXPECT_EQ(check->pushes, 12u);
  const auto text = describe_wal_segment(image);
  ASSERT_TRUE(text.ok());
  EXPECT_NE(text->find("push (canonical)"), std::string::npos);
  EXPECT_FALSE(verify_wal_segment("not a segment").ok());
}

}  // namespace
}  // namespace skald::wal
