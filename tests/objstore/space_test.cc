#include "skald/objstore/space.h"

#include <gtest/gtest.h>

#include "skald/io/fault_file_system.h"
#include "skald/io/memory_file_system.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

void fill(io::FileSystem& files, const std::string& path, std::uint64_t bytes) {
  ASSERT_TRUE(files.make_directories("/other").ok());
  ASSERT_TRUE(files.create(path).value()->append(Bytes(bytes, 'h')).ok());
}

TEST(SpaceReserve, IsAShareWithAFloorThatSmallDisksNeedNotMeet) {
  const SpaceReserve usual;
  EXPECT_EQ(reserve_of(usual, 1000ULL << 30), (1000ULL << 30) / 100 * 5);
  EXPECT_EQ(reserve_of(usual, 2048 * kMiB), 256 * kMiB);
  EXPECT_EQ(reserve_of(usual, 64 * kMiB), 16 * kMiB);
  EXPECT_EQ(reserve_of({.percent = 0, .bytes = 0}, 64 * kMiB), 0U);
  EXPECT_EQ(reserve_of({.percent = 300, .bytes = 0}, 100), 100U);
  EXPECT_EQ(reserve_of({.percent = 10, .bytes = 0}, 1000), 100U);
}

TEST(SpaceGuard, RefusesBelowTheReserveAndOpensAgain) {
  io::MemoryFileSystem files;
  files.set_capacity(100 * kMiB);
  obs::Registry registry;
  SpaceGuard guard(files, {"/data", "", "/wal"}, {}, registry);
  EXPECT_TRUE(guard.check().ok());   // not looked yet
  guard.look();
  EXPECT_TRUE(guard.check().ok());
  fill(files, "/other/hog", 80 * kMiB);
  guard.look();
  const Result<void> refused = guard.check();
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().message(),
            "pushes are refused: the disk of /data has 20 MiB free, below the reserve of 25 MiB; free space, drop data, or lower "
            "storage_config.filesystem.reserve_percent and reserve_bytes; retry later");
  const auto gauge = [&](const char* name, const char* directory) { return registry.gauge_family(name, "", {"directory"}).with({directory}).value(); };
  EXPECT_EQ(gauge("skald_disk_reserve_reached", "/wal"), 1);
  EXPECT_EQ(gauge("skald_disk_free_bytes", "/data"), 20.0 * kMiB);
  EXPECT_EQ(gauge("skald_disk_reserve_bytes", "/data"), 25.0 * kMiB);
  ASSERT_TRUE(files.remove("/other/hog").ok());
  guard.look();
  EXPECT_TRUE(guard.check().ok());
  EXPECT_EQ(gauge("skald_disk_reserve_reached", "/wal"), 0);
}

TEST(SpaceGuard, LooksByItself) {
  io::MemoryFileSystem files;
  files.set_capacity(100 * kMiB);
  obs::Registry registry;
  SpaceGuard guard(files, {"/data"}, {}, registry);
  guard.start();
  EXPECT_TRUE(guard.check().ok());
  fill(files, "/other/hog", 80 * kMiB);
  const std::int64_t deadline_ns = system_clock().monotonic_ns() + 30 * kNanosPerSecond;
  while (guard.check().ok() && system_clock().monotonic_ns() < deadline_ns) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(guard.check().ok());
}

TEST(SpaceGuard, ADirectoryThatCannotBeLookedAtRefusesNothing) {
  obs::Registry registry;
  SpaceGuard guard(io::posix_file_system(), {"/no/such/directory"}, {}, registry);
  guard.look();
  EXPECT_TRUE(guard.check().ok());
}

// Whichever file operation meets the full disk: the old object or the new one, and nothing left over.
TEST(FullDisk, AnObjectIsReplacedAsAWholeOrNotAtAll) {
  for (const io::FaultKind kind : {io::FaultKind::kNoSpace, io::FaultKind::kShortWrite}) {
    for (std::uint64_t nth = 1;; ++nth) {
      io::MemoryFileSystem disk;
      io::FaultFileSystem files(disk);
      auto store = open_filesystem_store(files, "/bucket").value();
      ASSERT_TRUE(store->put("t/index/a", "old", {}).ok());
      files.set_plan({.fail_at = nth, .sticky = false, .kind = kind, .operations = io::kFaultMutations & ~io::kFaultRemove});
      const bool replaced = store->put("t/index/a", "new text", {}).ok();
      const bool added = store->put("t/chunks/s/b", "second", {}).ok();
      const bool created = store->create("t/locks/c", "third", {}).ok();
      const bool fired = files.fired();
      files.set_plan({});
      const Bytes text = store->get("t/index/a", {}, {}).value();
      ASSERT_TRUE(text == "new text" || (!replaced && text == "old")) << nth;
      for (const auto& [ok, key, body] : {std::tuple{added, "t/chunks/s/b", "second"}, std::tuple{created, "t/locks/c", "third"}}) {
        const auto found = store->get(key, {}, {});
        ASSERT_TRUE(found.ok() || !ok) << nth;
        if (found.ok()) {
          ASSERT_EQ(*found, body) << nth;
        }
      }
      ASSERT_TRUE(disk.list("/bucket/.skald-tmp")->empty()) << nth;
      if (!fired) {
        ASSERT_TRUE(replaced && added && created);
        break;
      }
    }
  }
}

TEST(FullDisk, PutsGoOnOnceThereIsSpace) {
  io::MemoryFileSystem disk;
  disk.set_capacity(kMiB);
  auto store = open_filesystem_store(disk, "/bucket").value();
  ASSERT_TRUE(store->put("a", Bytes(600'000, 'a'), {}).ok());
  EXPECT_EQ(store->put("b", Bytes(600'000, 'b'), {}).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(store->put("a", Bytes(600'000, 'c'), {}).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(store->get("a", {}, {}).value(), Bytes(600'000, 'a'));
  EXPECT_TRUE(disk.list("/bucket/.skald-tmp")->empty());
  ASSERT_TRUE(store->remove("a", {}).ok());
  EXPECT_TRUE(store->put("b", Bytes(600'000, 'b'), {}).ok());
}

}  // namespace
}  // namespace skald::objstore
