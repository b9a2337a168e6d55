#pragma once

#include <string>

#include "skald/base/result.h"

namespace skald::app {

// Two processes over one data directory would overwrite each other. Held until destruction or the process' end.
class DirectoryLock {
 public:
  // The directory must exist. kUnavailable: another process has it.
  static Result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace skald::app
