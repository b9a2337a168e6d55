// Requests to one container: addressed, dated and authorized. What the service refuses becomes an Error here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "objstore/azure_account.h"
#include "objstore/remote.h"
#include "objstore/token.h"
#include "skald/http/client.h"

namespace skald::objstore {

// Thread-safe.
class AzureContainer {
 public:
  // Without key and SAS in `account`, `token` is what authorizes. `clock` outlives this.
  AzureContainer(AzureAccount account, std::string container, std::unique_ptr<Remote> remote, std::unique_ptr<CachedToken> token,
                 const Clock& clock);

  struct Call {
    const char* operation;            // metric label
    const char* method;
    std::string_view key;             // empty: the container
    std::string query;                // without '?'; encoded
    std::vector<http::Header> headers;
    ByteView body;
    std::uint64_t response_bytes_max = 1ULL << 30;
    bool hedge = false;
  };
  // Signed anew for each try. A token that is refused (401) is replaced once.
  Result<http::ClientResponse> send(const Call& call, const CallContext& ctx, int* tries = nullptr);

  // What an answer that is no success means.
  Error failure(const Call& call, const http::ClientResponse& response) const;
  // "azure container 'logs' of https://acc.blob.core.windows.net"
  const std::string& subject() const { return subject_; }

 private:
  Result<http::ClientRequest> build(const Call& call, const CallContext& ctx, std::string& used_token) const;
  std::string credential() const;
  std::string skew(const http::ClientResponse& response) const;

  const AzureAccount account_;
  const std::string container_;
  const std::string subject_;
  const std::unique_ptr<Remote> remote_;
  const std::unique_ptr<CachedToken> token_;
  const Clock& clock_;
};

// The service's code for an error: its header, else the body's.
std::string azure_error_code(const http::ClientResponse& response);

}  // namespace skald::objstore
