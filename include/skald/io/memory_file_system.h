// A file system in memory that keeps what a disk would keep: contents up to the last sync of each file, and names up to
// the last sync of each directory. crash() forgets the rest, as a power loss does.
#pragma once

#include <cstdint>
#include <memory>

#include "skald/io/file_system.h"

namespace skald::io {

class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  // Power loss. Seed 0 is the strictest disk: everything not synced is gone. Other seeds keep, per file, none, all or a
  // torn prefix of the unsynced bytes (its last sector may be garbage), and a prefix of the unsynced creations, renames
  // and removals in the order they were made. Files open at that moment fail from now on (kIo).
  void crash(std::uint64_t seed);

  // What disk_space() says, and the size above which appends fail with kResourceExhausted.
  void set_capacity(std::uint64_t total_bytes);
  std::uint64_t used_bytes() const;
  // Flips bits under everybody's feet: rot for tests. The change is durable. kNotFound, kInvalidArgument beyond the end.
  Result<void> corrupt(const std::string& path, std::uint64_t offset, std::uint8_t xor_mask);

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

  struct State;  // shared with open files

 private:
  std::shared_ptr<State> state_;
};

}  // namespace skald::io
