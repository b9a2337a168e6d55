// Decorator that makes chosen operations fail, for Nth-failure loops: fail operation 1, 2, … until a scenario passes.
#pragma once

#include <cstdint>
#include <memory>

#include "skald/io/file_system.h"

namespace skald::io {

// Which operations are counted (and may fail).
enum FaultOps : std::uint32_t {
  kFaultAppend = 1,
  kFaultSync = 2,
  kFaultCreate = 4,      // create, open_append
  kFaultRename = 8,
  kFaultRemove = 16,     // remove, truncate
  kFaultSyncDirectory = 32,
  kFaultRead = 64,       // open, read, read_file, list
  kFaultMutations = 63,
  kFaultEverything = 127,
};

enum class FaultKind { kIo, kNoSpace, kShortWrite /* appends half, then fails with kIo; elsewhere like kIo */ };

struct FaultPlan {
  std::uint64_t fail_at = 0;        // 1 = the next counted operation; 0 = never
  bool sticky = false;              // all later counted operations fail too
  FaultKind kind = FaultKind::kIo;
  std::uint32_t operations = kFaultMutations;
};

// Thread-safe. The wrapped file system must outlive it.
class FaultFileSystem final : public FileSystem {
 public:
  explicit FaultFileSystem(FileSystem& base);
  ~FaultFileSystem() override;
  void set_plan(FaultPlan plan);            // counting starts anew
  std::uint64_t counted() const;            // operations counted since set_plan
  bool fired() const;                       // whether any operation was made to fail since set_plan

  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> open_append(const std::string& path) override;
  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override;
  Result<Bytes> read_file(const std::string& path, std::uint64_t limit_bytes) override;
  Result<std::vector<DirEntry>> list(const std::string& directory) override;
  Result<void> make_directories(const std::string& directory) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> truncate(const std::string& path, std::uint64_t size) override;
  Result<void> sync_directory(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  Result<DiskSpace> disk_space(const std::string& path) override;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace skald::io
