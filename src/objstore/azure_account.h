// Which Azure storage account is meant, where it answers, and what the configuration holds to open it.
#pragma once

#include <string>
#include <string_view>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/config/storage.h"

namespace skald::objstore {

struct AzureAccount {
  std::string base_url;         // without '/' at the end: https://acc.blob.core.windows.net, http://127.0.0.1:10000/acc
  std::string name;             // may be empty with a SAS
  Bytes key;                    // of the account; decoded; empty: none
  std::string sas;              // a query string without '?'; empty: none
  std::string authority_host;   // where this cloud's tokens come from: https://login.microsoftonline.com
};

// A connection string wins over everything else (account name, key, environment, suffix, identities); an identity that is
// asked for (use_…) wins over account_key. kInvalidArgument, without secrets.
Result<AzureAccount> resolve_azure_account(const config::AzureConfig& config);

}  // namespace skald::objstore
