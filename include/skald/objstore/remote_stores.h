// Object stores behind HTTP. All are thread-safe; opening one contacts nobody. Requests are retried, reads hedged, and
// each operation measured (src/objstore/remote.h). Errors name bucket, key, status and the service's own code, never a
// secret. kPermissionDenied: 401 and 403, with what was signed for; kNotFound: the key (a missing bucket is
// kInvalidArgument and says so).
#pragma once

#include <memory>

#include "skald/base/random.h"
#include "skald/config/storage.h"
#include "skald/objstore/object_store.h"
#include "skald/obs/metrics.h"

namespace skald::objstore {

// `registry`, `clock` and `random` outlive the store.
struct RemoteContext {
  obs::Registry& registry;
  config::HedgingConfig hedging;
  const Clock& clock = system_clock();
  Random& random = system_random();
};

// Amazon S3 and what speaks its REST API (SigV4): MinIO, Ceph, Swift, R2 … kInvalidArgument: no bucket, no region etc.
Result<std::unique_ptr<ObjectStore>> open_s3_store(const config::S3Config& config, const RemoteContext& context);
// Azure Blob Storage, block blobs.
Result<std::unique_ptr<ObjectStore>> open_azure_store(const config::AzureConfig& config, const RemoteContext& context);
// Google Cloud Storage: JSON API, or the XML API with HMAC keys.
Result<std::unique_ptr<ObjectStore>> open_gcs_store(const config::GcsConfig& config, const RemoteContext& context);

// Every key gets `prefix` before it.
std::unique_ptr<ObjectStore> with_prefix(std::unique_ptr<ObjectStore> inner, std::string prefix);

}  // namespace skald::objstore
