// Tokens of Microsoft Entra for Azure Storage: workload identity, managed identity (virtual machine or App Service),
// service principal.
#pragma once

#include <memory>
#include <string>

#include "objstore/oauth.h"
#include "objstore/token.h"
#include "skald/config/storage.h"

namespace skald::objstore {

// What `config` and the environment say, in this order: use_service_principal, use_federated_token, use_managed_identity;
// none of them: a client secret in the environment, workload identity if its variables are there, else managed identity.
// kInvalidArgument: a part is missing. Contacts nobody yet. `remotes` and `clock` outlive the token.
Result<std::unique_ptr<CachedToken>> make_azure_token(const config::AzureConfig& config, const std::string& authority_host,
                                                      Environment environment, const TokenRemotes& remotes, const Clock& clock);

}  // namespace skald::objstore
