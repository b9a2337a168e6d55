// Files behind an interface that tests can break: posix, in-memory (which forgets unsynced bytes on crash()), and a
// fault-injecting decorator. Paths are plain strings. Thread-safe; a File is used by one writer at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::io {

class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes without syncing
  // Appends all of `data` or fails (kResourceExhausted: no space; kIo: anything else). Retries EINTR and short writes.
  virtual Result<void> append(ByteView data) = 0;
  // Data (and size) on disk when this returns. A failed sync must never be retried (the page cache may have dropped it).
  virtual Result<void> sync() = 0;
  // Reserves disk space without changing the visible size, where the file system can; otherwise does nothing.
  virtual void preallocate(std::uint64_t bytes) = 0;
  virtual std::uint64_t size() const = 0;
};

class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  virtual std::uint64_t size() const = 0;
  // Exactly `length` bytes at `offset`, else kCorruption (beyond the end) or kIo.
  virtual Result<Bytes> read(std::uint64_t offset, std::uint64_t length) const = 0;
};

struct DirEntry {
  std::string name;
  bool is_directory = false;
  std::uint64_t size = 0;
};

struct DiskSpace {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;  // truncates
  virtual Result<std::unique_ptr<WritableFile>> open_append(const std::string& path) = 0;
  virtual Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) = 0;  // kNotFound
  virtual Result<Bytes> read_file(const std::string& path, std::uint64_t limit_bytes) = 0;
  virtual Result<std::vector<DirEntry>> list(const std::string& directory) = 0;  // sorted by name; kNotFound
  virtual Result<void> make_directories(const std::string& directory) = 0;  // durable on return
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;  // replaces
  virtual Result<void> remove(const std::string& path) = 0;  // absent is success; directories must be empty
  virtual Result<void> truncate(const std::string& path, std::uint64_t size) = 0;
  virtual Result<void> sync_directory(const std::string& directory) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;
  virtual Result<DiskSpace> disk_space(const std::string& path) = 0;
};

FileSystem& posix_file_system();
std::unique_ptr<FileSystem> make_memory_file_system();  // memory_file_system.h to crash it, fault_file_system.h to break it

// Writes beside, syncs, renames, syncs the directory: the old content or the new, never a mixture.
Result<void> replace_file(FileSystem& fs, const std::string& path, ByteView content);

}  // namespace skald::io
