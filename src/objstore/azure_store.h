// Azure Blob Storage over its REST API. open_azure_store() (remote_stores.h) makes the parts; tests bring their own.
#pragma once

#include <memory>

#include "objstore/oauth.h"
#include "objstore/remote.h"
#include "objstore/token.h"
#include "skald/base/clock.h"
#include "skald/base/random.h"
#include "skald/config/storage.h"
#include "skald/obs/metrics.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

struct AzureParts {
  std::unique_ptr<Remote> remote;         // to the account
  TokenRemotes token_remotes;             // unused with an account key or SAS
  Environment environment;
  const Clock& clock;                     // outlives the store, as `random` does
  Random& random;
  obs::Counter* egress_bytes;             // counts what get() returns; may be null
};

// kInvalidArgument: the configuration lacks a part or contradicts itself.
Result<std::unique_ptr<ObjectStore>> make_azure_store(const config::AzureConfig& config, AzureParts parts);

}  // namespace skald::objstore
