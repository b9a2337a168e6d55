// Whose signature: AWS credentials from the configuration, the environment, shared files, a web identity, the container or
// the instance, in that order; renewed before they expire.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "objstore/sigv4.h"
#include "objstore/token.h"
#include "skald/base/clock.h"
#include "skald/base/context.h"
#include "skald/config/storage.h"
#include "skald/http/client.h"

namespace skald::objstore {

struct AwsCredentialsOptions {
  AwsCredentials fixed{};            // of the configuration; an empty key id: look elsewhere
  std::string region{};              // of the token service, when none is given
  std::string sts_endpoint{};        // empty: AWS's in the region
  config::StoreHttpConfig http{};    // TLS towards the token service
  std::string instance_endpoint{};   // of the metadata service; empty: AWS_EC2_METADATA_SERVICE_ENDPOINT or 169.254.169.254
};

// Thread-safe. One fetch at a time; whoever still has valid credentials does not wait for it.
class AwsCredentialsSource {
 public:
  // `clock` outlives this. Contacts nobody.
  AwsCredentialsSource(AwsCredentialsOptions options, Environment environment, const Clock& clock);
  ~AwsCredentialsSource();

  // kPermissionDenied: nowhere any, with what was tried. kUnavailable: the service that should give them did not.
  Result<AwsCredentials> get(const CallContext& ctx);
  // The store refused them as expired or unknown. True: get() gives others, so another try makes sense. False for those of
  // the configuration, and for young ones: a store that refuses all must not cause a fetch with each request.
  bool reject(const std::string& access_key_id);

 private:
  using Found = Result<std::optional<AwsCredentials>>;   // nullopt: this source is not configured; `notes` says why
  Result<AwsCredentials> look(const CallContext& ctx, std::int64_t& renew_ns);
  Found from_environment(std::string& notes) const;
  Found from_files(std::string& notes, std::string& role, std::string& token_file) const;
  Found from_web_identity(const std::string& role, const std::string& token_file, const CallContext& ctx);
  Found from_container(std::string& notes, const CallContext& ctx);
  Found from_instance(std::string& notes, const CallContext& ctx);
  // A few quick tries; any status below 500 comes back.
  Result<http::ClientResponse> ask(http::Client& client, const http::ClientRequest& request, const CallContext& ctx) const;
  Result<http::Client*> metadata_client();   // no proxy, short timeouts
  Result<http::Client*> token_client();

  const AwsCredentialsOptions options_;
  const Environment environment_;
  const Clock& clock_;
  std::unique_ptr<http::Client> metadata_client_, token_client_;   // of whoever is fetching

  std::mutex mutex_;   // guards all below
  std::condition_variable fetched_;
  std::optional<AwsCredentials> current_;
  std::int64_t renew_ns_ = 0, fetched_ns_ = 0;
  bool fetching_ = false;
  std::uint64_t failures_ = 0;
  std::optional<Error> last_error_;
};

// One section of a shared credentials or config file; names in lower case. nullopt: no such section.
std::optional<std::vector<std::pair<std::string, std::string>>> aws_ini_section(std::string_view text, std::string_view section);

// {"AccessKeyId":…,"SecretAccessKey":…,"Token":…,"Expiration":…} as containers and instances answer.
Result<AwsCredentials> parse_aws_credentials_json(std::string_view json);
// AssumeRoleWithWebIdentityResponse.
Result<AwsCredentials> parse_assumed_role(std::string_view xml);

}  // namespace skald::objstore
