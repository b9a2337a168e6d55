#include "objstore/gcs_credentials.h"

#include <gtest/gtest.h>

#include "objstore/fake_remote.h"
#include "objstore/test_rsa.h"
#include "skald/http/message.h"

namespace skald::objstore {
namespace {

constexpr const char* kGoodAnswer = R"({"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"})";

struct Process {
  FakeClock clock;
  std::shared_ptr<FakeEnvironment> environment = std::make_shared<FakeEnvironment>();
  std::shared_ptr<RemoteLog> log = std::make_shared<RemoteLog>();
  TokenRemotes remotes = fake_token_remotes(log);
  config::GcsConfig config;
  bool emulator = false;
  Process() {
    log->answer = [](const SeenRequest&) { return answer(200, kGoodAnswer, {{"Metadata-Flavor", "Google"}}); };
  }
  Result<std::unique_ptr<CachedToken>> make() { return make_gcs_token(config, emulator, environment_of(environment), remotes, clock); }
  const SeenRequest& last() { return log->seen.back(); }
};

std::string json_escape(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\\n") : std::string(1, c);
  return out;
}

std::string service_account() {
  return R"({"type":"service_account","project_id":"p","private_key_id":"kid1","private_key":")" + json_escape(test_rsa_key().private_pem) +
         R"(","client_email":"skald@p.iam.gserviceaccount.com","token_uri":"https://oauth2.example/token"})";
}

// What Google's token service does: the signature counts, and when and for whom it was made.
http::ClientResponse token_service(const SeenRequest& request, std::int64_t now_s) {
  const http::Params form = http::Params::parse(request.body);
  const std::string* assertion = form.get("assertion");
  if (form.get("grant_type") == nullptr || *form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || assertion == nullptr)
    return answer(400, R"({"error":"unsupported_grant_type"})");
  const auto claims = verified_claims(test_rsa_key(), *assertion);
  if (!claims.has_value()) return answer(400, R"({"error":"invalid_grant","error_description":"Invalid JWT Signature."})");
  const std::string expected = R"({"iss":"skald@p.iam.gserviceaccount.com","scope":"https://www.googleapis.com/auth/devstorage.read_write",)"
                               R"("aud":"https://oauth2.example/token","iat":)" + std::to_string(now_s) + R"(,"exp":)" + std::to_string(now_s + 3600) + "}";
  if (*claims != expected) return answer(400, R"({"error":"invalid_grant","error_description":"other claims"})");
  return answer(200, kGoodAnswer);
}

TEST(GcsCredentials, AServiceAccountSignsWhatTheTokenServiceChecks) {
  Process process;
  process.config.service_account = service_account();
  process.log->answer = [&](const SeenRequest& request) { return token_service(request, process.clock.now_ns() / kNanosPerSecond); };
  auto token = process.make().value();
  EXPECT_EQ(token->get({}).value(), "ya29.x");
  EXPECT_EQ(process.last().url, "https://oauth2.example/token");
  EXPECT_EQ(process.last().method, "POST");
  EXPECT_EQ(process.last().operation, "Token");
  process.clock.advance_ns(kNanosPerHour);   // a new token, a new assertion
  EXPECT_EQ(token->get({}).value(), "ya29.x");
  EXPECT_EQ(process.log->seen.size(), 2U);
}

TEST(GcsCredentials, TheReasonOfARefusalIsPassedOn) {
  Process process;
  std::string account = service_account();
  const std::string other = json_escape(other_test_rsa_key().private_pem), own = json_escape(test_rsa_key().private_pem);
  account.replace(account.find(own), own.size(), other);
  process.config.service_account = account;
  process.log->answer = [&](const SeenRequest& request) { return token_service(request, process.clock.now_ns() / kNanosPerSecond); };
  EXPECT_EQ(process.make().value()->get({}).error(),
            Error(ErrorCode::kPermissionDenied, "gcs service account skald@p.iam.gserviceaccount.com at https://oauth2.example: the token service answered "
                                                "400: invalid_grant: Invalid JWT Signature."));
}

TEST(GcsCredentials, AreLookedForInTheEnvironment) {
  Process process;
  process.environment->variables["GOOGLE_APPLICATION_CREDENTIALS"] = "/key.json";
  process.environment->files["/key.json"] = service_account();
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_EQ(process.last().url, "https://oauth2.example/token");
  process.environment->files.clear();
  EXPECT_NE(process.make().error().message().find("GOOGLE_APPLICATION_CREDENTIALS: /key.json: no such file"), std::string::npos);

  process.environment->variables = {{"HOME", "/home/me"}};
  process.environment->files["/home/me/.config/gcloud/application_default_credentials.json"] =
      R"({"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r/1"})";
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_EQ(process.last().url, "https://oauth2.googleapis.com/token");
  EXPECT_EQ(process.last().body, "grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=r%2F1");
}

TEST(GcsCredentials, ComeFromTheMetadataServerLast) {
  Process process;
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_EQ(process.last().url,
            "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_write");
  EXPECT_EQ(process.last().header("Metadata-Flavor"), "Google");
  EXPECT_EQ(process.last().operation, "metadata Token");   // past all proxies
  process.environment->variables["GCE_METADATA_HOST"] = "127.0.0.1:81";
  ASSERT_TRUE(process.make().value()->get({}).ok());
  EXPECT_TRUE(process.last().url.starts_with("http://127.0.0.1:81/computeMetadata/"));
  process.log->answer = [](const SeenRequest&) { return answer(200, kGoodAnswer); };   // a hotel's portal
  EXPECT_NE(process.make().value()->get({}).error().message().find("not Google's"), std::string::npos);
  process.log->answer = [](const SeenRequest&) { return Error(ErrorCode::kUnavailable, "no route"); };
  EXPECT_NE(process.make().value()->get({}).error().message().find("no route; outside Google Cloud give service_account"), std::string::npos);
}

TEST(GcsCredentials, AreNotNeededByAnEmulatorUnlessNamed) {
  Process process;
  process.emulator = true;
  process.environment->variables["HOME"] = "/h";
  EXPECT_EQ(process.make().value(), nullptr);
  process.config.service_account = service_account();
  EXPECT_NE(process.make().value(), nullptr);
}

TEST(GcsCredentials, AForeignTokenIsExchanged) {
  Process process;
  process.config.service_account =
      R"({"type":"external_account","audience":"//iam/p","subject_token_type":"urn:jwt","token_url":"https://sts.example/v1/token",
          "credential_source":{"file":"/subject","format":{"type":"json","subject_token_field_name":"tok"}}})";
  process.environment->files["/subject"] = R"({"tok":"first"})";
  auto token = process.make().value();
  ASSERT_TRUE(token->get({}).ok());
  EXPECT_EQ(process.last().url, "https://sts.example/v1/token");
  EXPECT_EQ(process.last().body,
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience=%2F%2Fiam%2Fp&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2F"
            "devstorage.read_write&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&subject_token_type=urn%3Ajwt&subject_token=first");
  process.environment->files["/subject"] = R"({"tok":"second"})";   // read anew
  process.clock.advance_ns(kNanosPerHour);
  ASSERT_TRUE(token->get({}).ok());
  EXPECT_TRUE(process.last().body.ends_with("subject_token=second"));
  process.environment->files["/subject"] = R"({"other":"x"})";
  process.clock.advance_ns(kNanosPerHour);
  EXPECT_NE(token->get({}).error().message().find("'tok'"), std::string::npos);
}

TEST(GcsCredentials, AForeignTokenFromAUrlActsAsAServiceAccount) {
  Process process;
  process.config.service_account =
      R"({"type":"external_account","audience":"a","subject_token_type":"t","token_url":"https://sts.example/t",
          "service_account_impersonation_url":"https://iam.example/x:generateAccessToken",
          "credential_source":{"url":"http://meta.example/tok","headers":{"X-Key":"1"}}})";
  process.log->answer = [&](const SeenRequest& request) {
    if (request.url == "http://meta.example/tok") return answer(request.header("X-Key") == "1" ? 200 : 401, "subject\n");
    if (request.url == "https://sts.example/t") {
      EXPECT_TRUE(request.body.ends_with("subject_token=subject"));
      return answer(200, R"({"access_token":"federated","expires_in":100})");
    }
    EXPECT_EQ(request.header("Authorization"), "Bearer federated");
    EXPECT_NE(request.body.find("devstorage.read_write"), std::string::npos);
    return answer(200, R"({"accessToken":"acting","expireTime":"2023-11-14T23:13:20Z"})");   // an hour after the clock
  };
  auto token = process.make().value();
  EXPECT_EQ(token->get({}).value(), "acting");
  process.clock.advance_ns(54 * kNanosPerMinute);
  EXPECT_EQ(token->get({}).value(), "acting");
  EXPECT_EQ(process.log->seen.size(), 3U);
  process.clock.advance_ns(kNanosPerMinute);
  EXPECT_EQ(token->get({}).value(), "acting");
  EXPECT_EQ(process.log->seen.size(), 6U);
}

TEST(GcsCredentials, ThatAreUnusableAreExplainedWithoutTheirContent) {
  for (const char* text : {"SECRET", "[]", "{}", R"({"type":"SECRETLESS"})", R"({"type":"service_account","client_email":"a","private_key":"SECRET"})",
                           R"({"type":"service_account","private_key":"SECRET"})", R"({"type":"authorized_user","client_secret":"SECRET"})",
                           R"({"type":"external_account","audience":"SECRET"})",
                           R"({"type":"external_account","audience":"a","subject_token_type":"t","token_url":"https://x","credential_source":{"executable":{}}})"}) {
    Process process;
    process.config.service_account = text;
    const auto token = process.make();
    ASSERT_FALSE(token.ok()) << text;
    EXPECT_EQ(token.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(token.error().message().find("SECRET\""), std::string::npos) << token.error().message();
  }
}

}  // namespace
}  // namespace skald::objstore
