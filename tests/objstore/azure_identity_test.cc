#include "objstore/azure_identity.h"

#include <gtest/gtest.h>

#include "objstore/fake_remote.h"

namespace skald::objstore {
namespace {

// One process with a token service that gives out tokens of an hour.
struct Process {
  FakeClock clock;
  std::shared_ptr<FakeEnvironment> environment = std::make_shared<FakeEnvironment>();
  std::shared_ptr<RemoteLog> log = std::make_shared<RemoteLog>();
  TokenRemotes remotes = fake_token_remotes(log);
  config::AzureConfig config;
  Process() {
    log->answer = [this](const SeenRequest&) { return answer(200, R"({"access_token":"t)" + std::to_string(log->seen.size()) + R"(","expires_in":"3600"})"); };
  }
  Result<std::unique_ptr<CachedToken>> make() {
    return make_azure_token(config, "https://login.microsoftonline.com", environment_of(environment), remotes, clock);
  }
  void workload() {
    environment->variables = {{"AZURE_FEDERATED_TOKEN_FILE", "/var/token"}, {"AZURE_CLIENT_ID", "app"}, {"AZURE_TENANT_ID", "dir"},
                              {"AZURE_AUTHORITY_HOST", "https://login.example/"}};
    environment->files["/var/token"] = "assertion-1\n";
  }
};

TEST(AzureIdentity, AsksTheMetadataServiceByDefault) {
  Process process;
  auto token = process.make().value();
  EXPECT_EQ(token->get({}).value(), "t1");
  EXPECT_EQ(process.log->seen[0].method, "GET");
  EXPECT_EQ(process.log->seen[0].url,
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F");
  EXPECT_EQ(process.log->seen[0].header("Metadata"), "true");
  EXPECT_EQ(process.log->seen[0].operation, "metadata Token");   // past all proxies
}

TEST(AzureIdentity, NamesAUserAssignedIdentity) {
  Process process;
  process.config.use_managed_identity = true;
  process.config.user_assigned_id = "11-22";
  process.environment->variables["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:9/";
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_TRUE(process.log->seen[0].url.starts_with("http://127.0.0.1:9/metadata/"));
  EXPECT_TRUE(process.log->seen[0].url.ends_with("&client_id=11-22"));
  process.config.user_assigned_id = "/subscriptions/s/x";
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_TRUE(process.log->seen[1].url.ends_with("&msi_res_id=%2Fsubscriptions%2Fs%2Fx"));
}

TEST(AzureIdentity, UsesTheEndpointOfAppService) {
  Process process;
  process.environment->variables = {{"IDENTITY_ENDPOINT", "http://127.0.0.1:8/msi"}, {"IDENTITY_HEADER", "key"}};
  process.config.user_assigned_id = "id";
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_EQ(process.log->seen[0].url, "http://127.0.0.1:8/msi?api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com%2F&client_id=id");
  EXPECT_EQ(process.log->seen[0].header("X-IDENTITY-HEADER"), "key");
}

TEST(AzureIdentity, TakesWorkloadIdentityWhereThePodHasOneAndReadsItsFileAnew) {
  Process process;
  process.workload();
  for (const bool asked_for : {false, true}) {
    process.log->seen.clear();
    process.config.use_federated_token = asked_for;
    auto token = process.make().value();
    EXPECT_EQ(token->get({}).value(), "t1");
    const SeenRequest& seen = process.log->seen[0];
    EXPECT_EQ(seen.method, "POST");
    EXPECT_EQ(seen.operation, "Token");
    EXPECT_EQ(seen.url, "https://login.example/dir/oauth2/v2.0/token");
    EXPECT_EQ(seen.header("Content-Type"), "application/x-www-form-urlencoded");
    EXPECT_EQ(seen.body,
              "grant_type=client_credentials&client_id=app&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
              "&client_assertion=assertion-1&scope=https%3A%2F%2Fstorage.azure.com%2F.default");
    process.environment->files["/var/token"] = "assertion-2";
    process.clock.advance_ns(56 * kNanosPerMinute);
    EXPECT_EQ(token->get({}).value(), "t2");
    EXPECT_NE(process.log->seen[1].body.find("client_assertion=assertion-2&"), std::string::npos);
    process.environment->files["/var/token"] = "assertion-1\n";
  }
}

TEST(AzureIdentity, SendsTheSecretOfAServicePrincipal) {
  Process process;
  process.config.use_service_principal = true;
  process.config.client_id = "app";
  process.config.client_secret = "s&cret";
  process.config.tenant_id = "dir";
  auto token = process.make().value();
  ASSERT_TRUE(token->get({}).ok());
  EXPECT_EQ(process.log->seen[0].url, "https://login.microsoftonline.com/dir/oauth2/v2.0/token");
  EXPECT_EQ(process.log->seen[0].body, "grant_type=client_credentials&client_id=app&client_secret=s%26cret&scope=https%3A%2F%2Fstorage.azure.com%2F.default");
  process.log->answer = [](const SeenRequest&) { return answer(401, R"({"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret"})"); };
  const Error error = process.make().value()->get({}).error();
  EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(error.message().find("azure service principal app at https://login.microsoftonline.com: the token service answered 401: invalid_client: AADSTS7000215"), std::string::npos);
  EXPECT_EQ(error.message().find("s&cret"), std::string::npos);
}

TEST(AzureIdentity, SaysWhatIsMissing) {
  const auto complaint = [](auto&& change) {
    Process process;
    change(process);
    auto token = process.make();
    if (token.ok()) return (*token)->get({}).error().message();
    EXPECT_EQ(token.error().code(), ErrorCode::kInvalidArgument);
    return token.error().message();
  };
  EXPECT_NE(complaint([](Process& p) { p.config.use_service_principal = true; }).find("tenant_id"), std::string::npos);
  EXPECT_NE(complaint([](Process& p) { p.config.use_service_principal = true, p.config.tenant_id = "t"; }).find("client_id"), std::string::npos);
  EXPECT_NE(complaint([](Process& p) { p.config.use_service_principal = true, p.config.tenant_id = "t", p.config.client_id = "c"; }).find("client_secret"), std::string::npos);
  EXPECT_NE(complaint([](Process& p) { p.config.use_federated_token = true, p.config.tenant_id = "t", p.config.client_id = "c"; }).find("AZURE_FEDERATED_TOKEN_FILE"), std::string::npos);
  EXPECT_NE(complaint([](Process& p) { p.workload(), p.environment->files.clear(); }).find("/var/token: no such file"), std::string::npos);
  EXPECT_NE(complaint([](Process& p) {
              p.log->answer = [](const SeenRequest&) { return Error(ErrorCode::kUnavailable, "connect: no route to host"); };
            }).find("no route to host; outside Azure give account_key"), std::string::npos);
}

}  // namespace
}  // namespace skald::objstore
