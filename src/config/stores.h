// From the keys of stores to Config::stores, ruler_bucket and dynamodb.
#pragma once

#include <string>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/config.h"

namespace skald::config {

// The kind of block a file's named_stores entry is: "storage_config.named_stores.aws" is s3. Empty: no such place.
std::string_view named_store_block(std::string_view path);

// The cloud store of common.storage when it names exactly one and no directory: s3, azure or gcs; else empty.
std::string common_cloud_store(const Config& config);

// Needs the schema. Spreads common.storage over storage_config and the ruler, then reads every store.
Result<void> derive_stores(Config& config);
// Every semantic error about stores, each complete.
std::vector<std::string> validate_stores(const Config& config);

}  // namespace skald::config
