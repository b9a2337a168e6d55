#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "skald/io/fault_file_system.h"
#include "skald/io/memory_file_system.h"

namespace skald::io {
namespace {

std::string temp_directory() {
  const char* base = std::getenv("TMPDIR");
  std::string path = std::string(base == nullptr ? "/tmp" : base) + "/skald_io_XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

// Both implementations keep the same contract.
class FileSystemContract : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      memory_ = make_memory_file_system();
      fs_ = memory_.get();
      root_ = "/data";
      ASSERT_TRUE(fs_->make_directories(root_).ok());
    } else {
      fs_ = &posix_file_system();
      root_ = temp_directory();
    }
  }
  void TearDown() override {
    if (!GetParam()) (void)std::system(("rm -rf " + root_).c_str());
  }
  void write(const std::string& path, ByteView text) {
    auto file = fs_->create(path);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file.value()->append(text).ok());
    ASSERT_TRUE(file.value()->sync().ok());
  }
  std::unique_ptr<FileSystem> memory_;
  FileSystem* fs_ = nullptr;
  std::string root_;
};

TEST_P(FileSystemContract, ReadsBackWhatWasAppended) {
  const std::string path = root_ + "/a";
  write(path, "hello ");
  auto file = fs_->open_append(path);
  ASSERT_TRUE(file.ok());
  file.value()->preallocate(1 << 20);
  ASSERT_TRUE(file.value()->append("world").ok());
  EXPECT_EQ(file.value()->size(), 11u);
  auto reader = fs_->open(path);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader.value()->size(), 11u);
  EXPECT_EQ(reader.value()->read(6, 5).value(), "world");
  EXPECT_EQ(reader.value()->read(6, 6).error().code(), ErrorCode::kCorruption);
  EXPECT_EQ(fs_->read_file(path, 5).error().code(), ErrorCode::kTooLarge);
}

TEST_P(FileSystemContract, ListsSortedAndSaysNotFound) {
  ASSERT_TRUE(fs_->make_directories(root_ + "/d/e").ok());
  write(root_ + "/d/z", "1");
  write(root_ + "/d/b", "22");
  const auto entries = fs_->list(root_ + "/d");
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "b");
  EXPECT_EQ((*entries)[0].size, 2u);
  EXPECT_TRUE((*entries)[1].is_directory);
  EXPECT_EQ((*entries)[2].name, "z");
  EXPECT_EQ(fs_->list(root_ + "/none").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(fs_->open(root_ + "/none").error().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(fs_->exists(root_ + "/none").value());
}

TEST_P(FileSystemContract, RenameReplacesAndRemoveForgivesAbsence) {
  write(root_ + "/from", "new");
  write(root_ + "/to", "old");
  ASSERT_TRUE(fs_->rename(root_ + "/from", root_ + "/to").ok());
  EXPECT_EQ(fs_->read_file(root_ + "/to", 10).value(), "new");
  EXPECT_FALSE(fs_->exists(root_ + "/from").value());
  EXPECT_TRUE(fs_->remove(root_ + "/from").ok());
  EXPECT_TRUE(fs_->remove(root_ + "/to").ok());
  EXPECT_FALSE(fs_->exists(root_ + "/to").value());
}

TEST_P(FileSystemContract, TruncateAndReplaceFile) {
  write(root_ + "/t", "abcdef");
  ASSERT_TRUE(fs_->truncate(root_ + "/t", 2).ok());
  EXPECT_EQ(fs_->read_file(root_ + "/t", 10).value(), "ab");
  ASSERT_TRUE(replace_file(*fs_, root_ + "/t", "fresh").ok());
  EXPECT_EQ(fs_->read_file(root_ + "/t", 10).value(), "fresh");
  EXPECT_FALSE(fs_->exists(root_ + "/t.tmp").value());
  EXPECT_GT(fs_->disk_space(root_)->total_bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, FileSystemContract, testing::Bool(), [](const auto& p) { return p.param ? "memory" : "posix"; });

TEST(MemoryFileSystem, StrictCrashKeepsExactlyWhatWasSynced) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.make_directories("/d").ok());
  auto kept = fs.create("/d/kept").value();
  ASSERT_TRUE(kept->append("synced").ok());
  ASSERT_TRUE(kept->sync().ok());
  ASSERT_TRUE(fs.sync_directory("/d").ok());
  ASSERT_TRUE(kept->append(" not synced").ok());
  auto nameless = fs.create("/d/nameless").value();
  ASSERT_TRUE(nameless->append("x").ok());
  ASSERT_TRUE(nameless->sync().ok());  // its name was never synced
  fs.crash(0);
  EXPECT_EQ(fs.read_file("/d/kept", 100).value(), "synced");
  EXPECT_FALSE(fs.exists("/d/nameless").value());
  EXPECT_EQ(kept->append("dead").error().code(), ErrorCode::kIo);
}

TEST(MemoryFileSystem, AnySeedKeepsAtLeastTheSyncedPrefix) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    MemoryFileSystem fs;
    ASSERT_TRUE(fs.make_directories("/d").ok());
    auto file = fs.create("/d/f").value();
    ASSERT_TRUE(fs.sync_directory("/d").ok());
    ASSERT_TRUE(file->append("prefix").ok());
    ASSERT_TRUE(file->sync().ok());
    ASSERT_TRUE(file->append(std::string(2000, 'u')).ok());
    fs.crash(seed);
    const auto text = fs.read_file("/d/f", 10'000).value();
    ASSERT_EQ(text.substr(0, 6), "prefix") << seed;
    ASSERT_LE(text.size(), 2006u);
  }
}

TEST(MemoryFileSystem, UnsyncedRenameIsOldOrNewButNeverNeither) {
  bool saw_old = false, saw_new = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    MemoryFileSystem fs;
    ASSERT_TRUE(fs.make_directories("/d").ok());
    ASSERT_TRUE(replace_file(fs, "/d/f", "old").ok());
    auto file = fs.create("/d/f.new").value();
    ASSERT_TRUE(file->append("new").ok());
    ASSERT_TRUE(file->sync().ok());
    ASSERT_TRUE(fs.rename("/d/f.new", "/d/f").ok());
    fs.crash(seed);
    const auto text = fs.read_file("/d/f", 10).value();
    saw_old |= text == "old";
    saw_new |= text == "new";
    ASSERT_TRUE(text == "old" || text == "new") << text;
  }
  EXPECT_TRUE(saw_old && saw_new);
}

TEST(FaultFileSystem, ReplaceFileLeavesOldOrNewWhateverFails) {
  for (const auto kind : {FaultKind::kIo, FaultKind::kNoSpace, FaultKind::kShortWrite}) {
    for (std::uint64_t n = 1;; ++n) {
      ASSERT_LT(n, 100u);
      MemoryFileSystem memory;
      ASSERT_TRUE(memory.make_directories("/d").ok());
      ASSERT_TRUE(replace_file(memory, "/d/f", "old").ok());
      FaultFileSystem fs(memory);
      fs.set_plan({.fail_at = n, .kind = kind});
      const auto result = replace_file(fs, "/d/f", "new");
      if (!fs.fired()) {
        EXPECT_TRUE(result.ok());
        break;
      }
      EXPECT_FALSE(result.ok());
      EXPECT_FALSE(memory.exists("/d/f.tmp").value());
      memory.crash(n);
      const auto text = memory.read_file("/d/f", 10).value();
      ASSERT_TRUE(text == "old" || text == "new");
      if (n <= 3) {
        ASSERT_EQ(text, "old");
      }
    }
  }
}

TEST(FaultFileSystem, CapacityMakesAppendsFailAsAFullDiskDoes) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.make_directories("/d").ok());
  fs.set_capacity(10);
  auto file = fs.create("/d/f").value();
  ASSERT_TRUE(file->append("12345678").ok());
  EXPECT_EQ(file->append("12345678").error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(fs.disk_space("/d")->free_bytes, 0u);
}

}  // namespace
}  // namespace skald::io
