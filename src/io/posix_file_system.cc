#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "skald/io/file_system.h"

namespace skald::io {
namespace {

Error error_from_errno(int code, const char* what, const std::string& path) {
  ErrorCode kind = ErrorCode::kIo;
  if (code == ENOENT || code == ENOTDIR) kind = ErrorCode::kNotFound;
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) kind = ErrorCode::kResourceExhausted;
  char text[128] = {};
  const char* message = ::strerror_r(code, text, sizeof text);
  return Error(kind, std::string(what) + " " + path + ": " + message);
}

int open_retrying(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

Result<Bytes> read_exactly(int fd, std::uint64_t offset, std::uint64_t length, const std::string& path) {
  Bytes bytes(length, '\0');
  std::uint64_t done = 0;
  while (done < length) {
    const ssize_t n = ::pread(fd, bytes.data() + done, length - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "read", path);
    if (n == 0) return Error(ErrorCode::kCorruption, "read " + path + ": file ends before offset " + std::to_string(offset + length));
    done += static_cast<std::uint64_t>(n);
  }
  return bytes;
}

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(int fd, std::uint64_t size, std::string path) : fd_(fd), size_(size), path_(std::move(path)) {}

  Result<void> append(ByteView data) override {
    while (!data.empty()) {
      const ssize_t n = ::write(fd_.get(), data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return error_from_errno(errno, "write", path_);
      size_ += static_cast<std::uint64_t>(n);
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Result<void> sync() override {
    // EINTR too is final: whether the pages are still dirty is unknown after any failure.
    if (::fdatasync(fd_.get()) != 0) return error_from_errno(errno, "fdatasync", path_);
    return {};
  }

  void preallocate(std::uint64_t bytes) override {
    if (bytes > size_) (void)::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(size_), static_cast<off_t>(bytes - size_));
  }

  std::uint64_t size() const override { return size_; }

 private:
  FileDescriptor fd_;
  std::uint64_t size_;
  const std::string path_;
};

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(int fd, std::uint64_t size, std::string path) : fd_(fd), size_(size), path_(std::move(path)) {}
  std::uint64_t size() const override { return size_; }
  Result<Bytes> read(std::uint64_t offset, std::uint64_t length) const override {
    if (offset > size_ || length > size_ - offset)
      return Error(ErrorCode::kCorruption, "read " + path_ + ": range ends beyond " + std::to_string(size_) + " bytes");
    return read_exactly(fd_.get(), offset, length, path_);
  }

 private:
  FileDescriptor fd_;
  const std::uint64_t size_;
  const std::string path_;
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override {
    const int fd = open_retrying(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return error_from_errno(errno, "create", path);
    return std::unique_ptr<WritableFile>(std::make_unique<PosixWritableFile>(fd, 0, path));
  }

  Result<std::unique_ptr<WritableFile>> open_append(const std::string& path) override {
    const int fd = open_retrying(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0) return error_from_errno(errno, "open", path);
    struct stat info {};
    if (::fstat(fd, &info) != 0) {
      const int code = errno;
      ::close(fd);
      return error_from_errno(code, "stat", path);
    }
    return std::unique_ptr<WritableFile>(std::make_unique<PosixWritableFile>(fd, static_cast<std::uint64_t>(info.st_size), path));
  }

  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override {
    const int fd = open_retrying(path, O_RDONLY);
    if (fd < 0) return error_from_errno(errno, "open", path);
    struct stat info {};
    if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
      const int code = S_ISDIR(info.st_mode) ? EISDIR : errno;
      ::close(fd);
      return error_from_errno(code, "open", path);
    }
    return std::unique_ptr<RandomAccessFile>(std::make_unique<PosixRandomAccessFile>(fd, static_cast<std::uint64_t>(info.st_size), path));
  }

  Result<Bytes> read_file(const std::string& path, std::uint64_t limit_bytes) override {
    SKALD_TRY(const auto file, open(path));
    if (file->size() > limit_bytes)
      return Error(ErrorCode::kTooLarge, "read " + path + ": " + std::to_string(file->size()) + " bytes, limit " + std::to_string(limit_bytes));
    return file->read(0, file->size());
  }

  Result<std::vector<DirEntry>> list(const std::string& directory) override {
    DIR* dir = ::opendir(directory.c_str());
    if (dir == nullptr) return error_from_errno(errno, "list", directory);
    std::vector<DirEntry> entries;
    errno = 0;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat info {};
      if (::fstatat(::dirfd(dir), entry->d_name, &info, 0) == 0)  // gone meanwhile: not an entry
        entries.push_back({name, S_ISDIR(info.st_mode), S_ISDIR(info.st_mode) ? 0 : static_cast<std::uint64_t>(info.st_size)});
      errno = 0;
    }
    const int code = errno;
    ::closedir(dir);
    if (code != 0) return error_from_errno(code, "list", directory);
    std::sort(entries.begin(), entries.end(), [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
    return entries;
  }

  Result<void> make_directories(const std::string& directory) override {
    if (directory.empty() || directory == "/" || directory == ".") return {};
    struct stat info {};
    if (::stat(directory.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) return {};
      return Error(ErrorCode::kIo, "mkdir " + directory + ": a file is in the way");
    }
    const auto slash = directory.find_last_not_of('/') == std::string::npos ? std::string::npos
                                                                            : directory.rfind('/', directory.find_last_not_of('/'));
    const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : directory.substr(0, slash);
    SKALD_TRY_VOID(make_directories(parent));
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return error_from_errno(errno, "mkdir", directory);
    return sync_directory(parent);
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return error_from_errno(errno, "rename", from);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0 && errno != ENOENT) return error_from_errno(errno, "remove", path);
    return {};
  }

  Result<void> truncate(const std::string& path, std::uint64_t size) override {
    if (::truncate(path.c_str(), static_cast<off_t>(size)) != 0) return error_from_errno(errno, "truncate", path);
    return {};
  }

  Result<void> sync_directory(const std::string& directory) override {
    const FileDescriptor fd(open_retrying(directory, O_RDONLY | O_DIRECTORY));
    if (fd.get() < 0) return error_from_errno(errno, "open", directory);
    if (::fsync(fd.get()) != 0) return error_from_errno(errno, "fsync", directory);
    return {};
  }

  Result<bool> exists(const std::string& path) override {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return error_from_errno(errno, "stat", path);
  }

  Result<DiskSpace> disk_space(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) return error_from_errno(errno, "statvfs", path);
    return DiskSpace{static_cast<std::uint64_t>(info.f_blocks) * info.f_frsize, static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize};
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem instance;
  return instance;
}

}  // namespace skald::io
