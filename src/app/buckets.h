// The object stores of a configuration: every bucket that schema periods, delete requests and rules name, opened once and
// wrapped (requests measured, keys prefixed, bytes encrypted), and the periods put together into one store.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "directory_lock.h"
#include "skald/config/config.h"
#include "skald/io/file_system.h"
#include "skald/objstore/encryption.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"

namespace skald::app {

enum class BucketUse {
  kServe,       // directories are made and locked against other processes
  kInspect,     // read only, beside a running server
};

class Buckets {
 public:
  // Contacts nobody. Errors name the store. `files` and `registry` outlive the buckets.
  static Result<Buckets> open(const config::Config& config, BucketUse use, io::FileSystem& files, obs::Registry& registry);

  objstore::ObjectStore& data() const { return *data_; }       // chunks and indexes of all periods
  objstore::ObjectStore& deletes() const { return *deletes_; }
  objstore::ObjectStore& rules() const { return *rules_; }
  const std::vector<std::string>& directories() const { return directories_; }   // of file system buckets
  // The encryption keys, read again. Success without encryption.
  Result<void> reload_keys() const;

 private:
  std::vector<DirectoryLock> locks_;
  std::vector<std::string> directories_;
  std::shared_ptr<objstore::KeyRing> keys_;
  std::map<std::string, std::shared_ptr<objstore::ObjectStore>> by_name_;
  std::shared_ptr<objstore::ObjectStore> data_, deletes_, rules_;
};

}  // namespace skald::app
