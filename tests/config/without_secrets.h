// Printed configurations lose secrets; what else they say must survive being read again.
#pragma once

#include <map>
#include <string>

#include "skald/config/config.h"

namespace skald::config {

// Secrets that are there become "set".
inline BucketConfig without_secrets(BucketConfig store) {
  for (std::string* secret : {&store.s3.secret_access_key, &store.s3.session_token, &store.s3.sse_customer_key, &store.azure.account_key, &store.azure.connection_string,
                              &store.azure.client_secret, &store.gcs.service_account, &store.gcs.hmac_secret})
    if (!secret->empty()) *secret = "set";
  return store;
}

inline std::map<std::string, BucketConfig> without_secrets(std::map<std::string, BucketConfig> stores) {
  for (auto& [name, store] : stores) store = without_secrets(store);
  return stores;
}

}  // namespace skald::config
