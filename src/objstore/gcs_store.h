// Google Cloud Storage over its JSON API. open_gcs_store() (remote_stores.h) makes the parts; tests bring their own.
#pragma once

#include <memory>

#include "objstore/oauth.h"
#include "objstore/remote.h"
#include "objstore/token.h"
#include "skald/base/clock.h"
#include "skald/config/storage.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

struct GcsParts {
  std::unique_ptr<Remote> remote;         // to the service
  TokenRemotes token_remotes;             // unused with HMAC keys
  Environment environment;
  const Clock& clock;                     // outlives the store
};

// kInvalidArgument: the configuration lacks a part or contradicts itself. With HMAC keys: the XML API (gcs_xml_store.cc).
Result<std::unique_ptr<ObjectStore>> make_gcs_store(const config::GcsConfig& config, GcsParts parts);

// The XML API with HMAC keys.
Result<std::unique_ptr<ObjectStore>> make_gcs_xml_store(const config::GcsConfig& config, GcsParts parts);

}  // namespace skald::objstore
