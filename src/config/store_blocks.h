// One block of a store's keys, old or new style, read into typed values. Keys at their default say nothing: a configuration
// that was printed in full and read again must mean the same.
#pragma once

#include <string>
#include <string_view>

#include "keys.h"
#include "skald/base/result.h"
#include "skald/config/config.h"

namespace skald::config {

// The keys of `block` below `path`, as texts in Config::other.
class Block {
 public:
  Block(const Config& config, std::string path, std::string_view block) : config_(config), path_(std::move(path)), keys_(block_keys(block)) {}

  // `out` becomes the value and true is returned, unless the key is empty or at its default.
  bool set(const char* name, std::string& out) const { return set_value(name, out); }
  bool set(const char* name, std::int64_t& out) const { return set_value(name, out); }
  bool set(const char* name, bool& out) const { return set_value(name, out); }
  bool set(const char* name, std::vector<std::string>& out) const { return set_value(name, out); }
  // The value when it is not the default, else empty.
  std::string text(const char* name) const;
  std::string path_of(const char* name) const { return path_ + "." + name; }

 private:
  template <class T>
  bool set_value(const char* name, T& out) const;
  const Key* key(const char* name) const;

  const Config& config_;
  const std::string path_;
  const std::span<const Key> keys_;
};

// Where a key was given: "line 7: storage_config.aws.s3", or its flag.
std::string where(const Config& config, const std::string& path);

// Each lays what the block says over `out`. Errors name the key and where it stands, never a secret.
Result<void> read_s3(const Config& config, const Block& block, S3Config& out);            // s3 block of Loki 2 and 3
Result<void> read_store_s3(const Config& config, const Block& block, S3Config& out);      // object_store.s3
Result<void> read_azure(const Config& config, const Block& block, AzureConfig& out);
Result<void> read_store_azure(const Config& config, const Block& block, AzureConfig& out);
Result<void> read_gcs(const Config& config, const Block& block, GcsConfig& out);
Result<void> read_store_gcs(const Config& config, const Block& block, GcsConfig& out);
Result<void> read_dynamodb(const Config& config, const Block& s3_block, DynamoConfig& out);   // <s3 block>.dynamodb

}  // namespace skald::config
