#include "buckets.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "fsck.h"
#include "skald/base/check.h"
#include "skald/objstore/period_store.h"
#include "skald/objstore/remote_stores.h"
#include "skald/objstore/stores.h"
#include "skald/objstore/table_store.h"

namespace skald::app {
namespace {

using config::BucketConfig;

// Days since 1970 of "2026-11-20", which the configuration has checked.
std::int64_t day_of(const std::string& date) {
  using namespace std::chrono;
  const year_month_day parsed{year(std::stoi(date.substr(0, 4))), month(static_cast<unsigned>(std::stoi(date.substr(5, 2)))),
                              day(static_cast<unsigned>(std::stoi(date.substr(8, 2))))};
  return sys_days(parsed).time_since_epoch().count();
}

// As metrics and messages call it.
std::string label_of(const BucketConfig& config) {
  switch (config.kind) {
    case BucketConfig::Kind::kFilesystem: return "filesystem";
    case BucketConfig::Kind::kS3: return config.s3.buckets.empty() ? "s3" : config.s3.buckets.front();
    case BucketConfig::Kind::kAzure: return config.azure.container_name;
    case BucketConfig::Kind::kGcs: return config.gcs.bucket_name;
  }
  return "";
}

struct Opening {
  const config::Config& config;
  BucketUse use;
  io::FileSystem& files;
  obs::Registry& registry;
  std::shared_ptr<objstore::KeyRing> keys;
  std::vector<DirectoryLock>& locks;
  std::vector<std::string>& directories;

  Result<std::unique_ptr<objstore::ObjectStore>> open_plain(const BucketConfig& bucket) {
    const objstore::RemoteContext context{registry, config.storage.hedging};
    switch (bucket.kind) {
      case BucketConfig::Kind::kS3: return objstore::open_s3_store(bucket.s3, context);
      case BucketConfig::Kind::kAzure: return objstore::open_azure_store(bucket.azure, context);
      case BucketConfig::Kind::kGcs: return objstore::open_gcs_store(bucket.gcs, context);
      case BucketConfig::Kind::kFilesystem: break;
    }
    if (use == BucketUse::kInspect) {
      SKALD_TRY(const bool exists, files.exists(bucket.directory));
      if (!exists) return Error(ErrorCode::kNotFound, "directory " + bucket.directory + " does not exist");
      directories.push_back(bucket.directory);
      return open_directory_to_read(files, bucket.directory);   // the other kind deletes a running server's unfinished uploads
    }
    SKALD_TRY_VOID(files.make_directories(bucket.directory));
    SKALD_TRY(DirectoryLock lock, DirectoryLock::take(bucket.directory));
    locks.push_back(std::move(lock));
    directories.push_back(bucket.directory);
    return objstore::open_filesystem_store(files, bucket.directory);
  }

  std::shared_ptr<objstore::ObjectStore> encrypted(std::shared_ptr<objstore::ObjectStore> store) const {
    if (!keys) return store;
    return objstore::with_encryption(std::move(store), keys, {.allow_plaintext = config.storage.encryption.allow_plaintext});
  }

  Result<std::shared_ptr<objstore::ObjectStore>> open(const BucketConfig& bucket) {
    SKALD_TRY(std::unique_ptr<objstore::ObjectStore> store, open_plain(bucket));
    store = objstore::with_metrics(std::move(store), label_of(bucket), registry);
    if (bucket.kind != BucketConfig::Kind::kFilesystem) store = objstore::with_server_errors(std::move(store));
    if (!bucket.prefix.empty()) store = objstore::with_prefix(std::move(store), bucket.prefix);
    return std::shared_ptr<objstore::ObjectStore>(std::move(store));
  }

  // The bucket with its index objects in a table.
  Result<std::shared_ptr<objstore::ObjectStore>> with_table(std::shared_ptr<objstore::ObjectStore> bucket) {
    SKALD_TRY(std::unique_ptr<objstore::TableClient> table, objstore::open_dynamo_table(config.dynamodb, {registry, {}}));
    return std::shared_ptr<objstore::ObjectStore>(objstore::with_table_index(std::move(bucket), std::move(table)));
  }
};

struct OpenedBucket {
  const BucketConfig* config = nullptr;
  std::shared_ptr<objstore::ObjectStore> plain, complete;
  std::shared_ptr<objstore::ObjectStore> with_table;   // complete, for periods with a table; null until one asks
};

}  // namespace

Result<Buckets> Buckets::open(const config::Config& config, BucketUse use, io::FileSystem& files, obs::Registry& registry) {
  Buckets out;
  if (config.storage.encryption.enabled) {
    SKALD_TRY(out.keys_, objstore::KeyRing::open(config.storage.encryption));
  }
  Opening opening{config, use, files, registry, out.keys_, out.locks_, out.directories_};
  std::deque<OpenedBucket> opened;
  // Equal settings are one bucket, whatever names they go by.
  const auto bucket_of = [&](const std::string& name, const BucketConfig& bucket) -> Result<OpenedBucket*> {
    for (OpenedBucket& known : opened)
      if (*known.config == bucket) return &known;
    auto store = opening.open(bucket);
    if (!store.ok()) return std::move(store).error().with_prefix("store " + name);
    opened.push_back({.config = &bucket, .plain = *store, .complete = opening.encrypted(*store), .with_table = nullptr});
    return &opened.back();
  };
  const auto store_of = [&](const std::string& name, const BucketConfig& bucket) -> Result<std::shared_ptr<objstore::ObjectStore>> {
    SKALD_TRY(OpenedBucket* const found, bucket_of(name, bucket));
    return found->complete;
  };
  SKALD_CHECK(!config.schema.empty());
  std::vector<objstore::Period> periods;
  for (std::size_t i = 0; i < config.schema.size(); ++i) {
    SKALD_TRY(OpenedBucket* const bucket, bucket_of(config.schema[i].bucket, config.bucket_of_period(i)));
    const bool in_table = config.schema[i].store == "dynamodb";
    if (in_table && bucket->with_table == nullptr) {
      SKALD_TRY(std::shared_ptr<objstore::ObjectStore> store, opening.with_table(bucket->plain));
      bucket->with_table = opening.encrypted(std::move(store));
    }
    periods.push_back({.first_day = day_of(config.schema[i].from), .store = in_table ? bucket->with_table : bucket->complete});
  }
  const std::shared_ptr<objstore::ObjectStore> newest = periods.back().store;
  const bool one_store = std::all_of(periods.begin(), periods.end(), [&](const objstore::Period& period) { return period.store == newest; });
  out.data_ = one_store ? newest : std::shared_ptr<objstore::ObjectStore>(objstore::with_periods(std::move(periods)));
  out.deletes_ = newest;
  if (const auto named = config.stores.find(config.compactor.delete_request_bucket); named != config.stores.end()) {
    SKALD_TRY(out.deletes_, store_of(named->first, named->second));
  }
  SKALD_TRY(out.rules_, store_of("ruler", config.ruler_bucket));
  return out;
}

Result<void> Buckets::reload_keys() const {
  if (!keys_) return {};
  return keys_->reload();
}

}  // namespace skald::app
