// Access tokens of Google Cloud: service account key, refresh token, workload identity federation, metadata server
// (https://google.aip.dev/auth/4110 and its siblings).
#pragma once

#include <memory>
#include <string>

#include "objstore/oauth.h"
#include "objstore/token.h"
#include "skald/config/storage.h"

namespace skald::objstore {

// In this order: config.service_account (JSON text), the file GOOGLE_APPLICATION_CREDENTIALS names, gcloud's file of
// default credentials, the metadata server. Null: no credentials, because `emulator` is set and none were named.
// kInvalidArgument: the JSON is not usable; kIo, kNotFound: the named file. Contacts nobody yet.
// `remotes` and `clock` outlive the token.
Result<std::unique_ptr<CachedToken>> make_gcs_token(const config::GcsConfig& config, bool emulator, const Environment& environment,
                                                    const TokenRemotes& remotes, const Clock& clock);

}  // namespace skald::objstore
