#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "http/client_test_server.h"
#include "objstore/aws_credentials.h"

namespace skald::objstore {
namespace {

using http::testing_server::Answer;
using http::testing_server::Received;
using http::testing_server::reply;
using http::testing_server::TestServer;

constexpr std::int64_t kNow = 1'763'640'000 * kNanosPerSecond;   // 2025-11-20T12:00:00Z

std::string json(const std::string& key, const std::string& expiration = "2025-11-20T13:00:00Z") {
  return R"({"Code":"Success","AccessKeyId":")" + key + R"(","SecretAccessKey":"secret","Token":"token","Expiration":")" + expiration + "\"}";
}

class AwsCredentialsTest : public testing::Test {
 protected:
  AwsCredentialsSource& open(AwsCredentialsOptions options = {}) {
    if (options.region.empty()) options.region = "us-east-1";
    Environment environment{
        .variable = [this](const char* name) { return variables.contains(name) ? variables.at(name) : std::string(); },
        .read_file = [this](const std::string& path) -> Result<Bytes> {
          if (!files.contains(path)) return Error(ErrorCode::kNotFound, "no file " + path);
          return files.at(path);
        }};
    source = std::make_unique<AwsCredentialsSource>(std::move(options), std::move(environment), clock);
    return *source;
  }
  std::string key() {
    const Result<AwsCredentials> found = source->get({});
    return found.ok() ? found->access_key_id : "error: " + found.error().message();
  }

  FakeClock clock{kNow};
  std::map<std::string, std::string> variables{{"HOME", "/home/u"}, {"AWS_EC2_METADATA_DISABLED", "true"}};
  std::map<std::string, std::string> files;
  std::unique_ptr<AwsCredentialsSource> source;
};

TEST_F(AwsCredentialsTest, ConfigurationThenEnvironmentThenFiles) {
  files["/home/u/.aws/credentials"] = "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n";
  EXPECT_EQ(open().get({}).value().access_key_id, "FILE");
  variables["AWS_ACCESS_KEY_ID"] = "ENV";
  EXPECT_EQ(open().get({}).value().access_key_id, "FILE");   // half a key is none
  variables["AWS_SECRET_ACCESS_KEY"] = "s";
  variables["AWS_SESSION_TOKEN"] = "t";
  EXPECT_EQ(open().get({}).value().session_token, "t");
  open({.fixed = {.access_key_id = "FIXED", .secret_access_key = "s"}});
  EXPECT_EQ(key(), "FIXED");
  EXPECT_FALSE(source->reject("FIXED"));
}

TEST_F(AwsCredentialsTest, ReadsProfilesAndReadsThemAgain) {
  files["/home/u/.aws/credentials"] = "# comment\n[ default ]\nAWS_ACCESS_KEY_ID=D\naws_secret_access_key=s\ns3 =\n  addressing_style = path\n[work]\n"
                                      "aws_access_key_id = W\r\naws_secret_access_key = a=b\r\naws_session_token = t\n";
  files["/home/u/.aws/config"] = "[profile other]\naws_access_key_id = O\naws_secret_access_key = s\n[profile sso]\nsso_start_url = https://x\n";
  open();
  EXPECT_EQ(key(), "D");
  variables["AWS_PROFILE"] = "work";
  const AwsCredentials work = open().get({}).value();
  EXPECT_EQ(work.access_key_id + "|" + work.secret_access_key + "|" + work.session_token, "W|a=b|t");
  variables["AWS_PROFILE"] = "other";
  open();
  EXPECT_EQ(key(), "O");
  files["/home/u/.aws/config"] = "[profile other]\naws_access_key_id = ROTATED\naws_secret_access_key = s\n";
  EXPECT_EQ(key(), "O");
  clock.advance_ns(2 * kNanosPerMinute);
  EXPECT_EQ(key(), "ROTATED");
  files["/home/u/.aws/config"] = "[profile sso]\nsso_start_url = https://x\n";
  variables["AWS_PROFILE"] = "sso";
  EXPECT_NE(open().get({}).error().message().find("sso_start_url, which is not supported"), std::string::npos);
  variables["AWS_PROFILE"] = "absent";
  EXPECT_NE(open().get({}).error().message().find("AWS_PROFILE names 'absent'"), std::string::npos);
  variables.erase("AWS_PROFILE");
  variables["AWS_SHARED_CREDENTIALS_FILE"] = "/etc/keys";
  files["/etc/keys"] = "[default]\naws_access_key_id = E\naws_secret_access_key = s";
  open();
  EXPECT_EQ(key(), "E");
}

TEST_F(AwsCredentialsTest, SaysWhatWasTried) {
  const Error error = open().get({}).error();
  EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
  for (const char* part : {"access_key_id", "environment:", "/home/u/.aws/credentials", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_DISABLED"}) {
    EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
  }
}

TEST_F(AwsCredentialsTest, AssumesARoleWithAWebIdentity) {
  std::string body;
  TestServer server([&](const Received& request) {
    body = request.method + " " + request.target + " " + request.body;
    return reply(200, "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials>"
                      "<AccessKeyId>WEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
                      "<Expiration>2025-11-20T13:00:00.123Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>");
  });
  variables["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/logs";
  variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/var/token";
  EXPECT_FALSE(open({.sts_endpoint = server.url("")}).get({}).ok());   // no file yet
  files["/var/token"] = "ey.a+b\n";
  const AwsCredentials found = open({.sts_endpoint = server.url("")}).get({}).value();
  EXPECT_EQ(found.access_key_id + "|" + found.session_token, "WEB|t");
  EXPECT_EQ(found.expires_ns, kNow + kNanosPerHour);
  EXPECT_EQ(body, "POST / Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Flogs&RoleSessionName=skald&Version=2011-06-15&WebIdentityToken=ey.a%2Bb");
  EXPECT_EQ(key(), "WEB");
  EXPECT_EQ(server.requests(), 1);
  files["/var/token"] = "newer";
  clock.advance_ns(56 * kNanosPerMinute);
  EXPECT_EQ(key(), "WEB");
  EXPECT_EQ(server.requests(), 2);
  EXPECT_TRUE(body.ends_with("WebIdentityToken=newer"));
}

TEST_F(AwsCredentialsTest, SaysWhatTheTokenServiceRefused) {
  TestServer server([](const Received&) {
    return reply(403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>");
  });
  variables["AWS_ROLE_ARN"] = "arn:r";
  variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/var/token";
  files["/var/token"] = "secret-token";
  const Error error = open({.sts_endpoint = server.url("")}).get({}).error();
  EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(error.message().find("role arn:r answered 403: AccessDenied: Not authorized"), std::string::npos) << error.message();
  EXPECT_EQ(error.message().find("secret-token"), std::string::npos);
  EXPECT_EQ(server.requests(), 1);
}

TEST_F(AwsCredentialsTest, AsksTheContainersAgent) {
  std::string authorization;
  std::atomic<int> failures{2};
  TestServer server([&](const Received& request) {
    authorization = request.headers.contains("authorization") ? request.headers.at("authorization") : "";
    if (failures-- > 0) return reply(503);
    return reply(200, json("POD"));
  });
  variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url("/v1/credentials");
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "direct";
  open();
  EXPECT_EQ(key(), "POD");
  EXPECT_EQ(authorization, "direct");
  EXPECT_EQ(server.requests(), 3);
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/token";
  files["/token"] = "from-file\n";
  open();
  EXPECT_EQ(key(), "POD");
  EXPECT_EQ(authorization, "from-file");
  for (const char* url : {"http://evil.example/x", "http://127.0.0.1.evil.example/", "ftp://127.0.0.1/", "http://user@evil/"}) {
    variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_EQ(open().get({}).error().code(), ErrorCode::kPermissionDenied) << url;
  }
}

TEST_F(AwsCredentialsTest, AsksTheInstanceWithASessionToken) {
  TestServer server([&](const Received& request) -> Answer {
    if (request.target == "/latest/api/token") {
      return request.method == "PUT" && request.headers.contains("x-aws-ec2-metadata-token-ttl-seconds") ? reply(200, "session") : reply(400);
    }
    if (!request.headers.contains("x-aws-ec2-metadata-token") || request.headers.at("x-aws-ec2-metadata-token") != "session") return reply(401);
    if (request.target == "/latest/meta-data/iam/security-credentials/") return reply(200, "my role\n");
    if (request.target == "/latest/meta-data/iam/security-credentials/my%20role") return reply(200, json("INSTANCE"));
    return reply(404);
  });
  variables.erase("AWS_EC2_METADATA_DISABLED");
  variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url("");
  open();
  EXPECT_EQ(key(), "INSTANCE");
  TestServer bare([](const Received& request) { return request.method == "PUT" ? reply(200, "s") : reply(404); });
  EXPECT_NE(open({.instance_endpoint = bare.url("/")}).get({}).error().message().find("instance: it has no role"), std::string::npos);
}

TEST_F(AwsCredentialsTest, RenewsOnceForAllAndKeepsTheOldWhileThatFails) {
  std::atomic<bool> fail{false};
  std::promise<void> gate;
  std::shared_future<void> opened = gate.get_future().share();
  std::atomic<bool> slow{false};
  TestServer server([&](const Received& request) {
    if (slow) opened.wait();
    if (fail) return reply(403, "no");
    return reply(200, json("K" + std::to_string(request.number), request.number == 0 ? "2025-11-20T13:00:00Z" : "2025-11-20T14:00:00Z"));
  });
  variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url();
  open();
  std::atomic<int> same{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { same += key() == "K0" ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, 8);
  EXPECT_EQ(server.requests(), 1);

  clock.advance_ns(56 * kNanosPerMinute);   // 4 minutes before the end
  fail = true;
  EXPECT_EQ(key(), "K0");
  EXPECT_EQ(server.requests(), 2);
  EXPECT_EQ(key(), "K0");                   // not asked again at once
  EXPECT_EQ(server.requests(), 2);
  clock.advance_ns(kNanosPerMinute);
  fail = false;
  slow = true;
  std::thread renewing([&] { EXPECT_EQ(key(), "K2"); });
  while (server.requests() < 3) std::this_thread::yield();
  EXPECT_EQ(key(), "K0");                   // who has valid ones does not wait
  gate.set_value();
  renewing.join();
  EXPECT_EQ(key(), "K2");

  clock.advance_ns(2 * kNanosPerHour);
  fail = true;
  EXPECT_EQ(source->get({}).error().code(), ErrorCode::kPermissionDenied);   // expired: nothing to fall back on
  fail = false;
  EXPECT_TRUE(source->get({}).ok());
}

TEST_F(AwsCredentialsTest, FetchesAnewWhenTheStoreRefusedThem) {
  TestServer server([&](const Received& request) { return reply(200, json("K" + std::to_string(request.number))); });
  variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url();
  open();
  EXPECT_EQ(key(), "K0");
  EXPECT_TRUE(source->reject("K-other"));
  EXPECT_EQ(key(), "K0");
  EXPECT_FALSE(source->reject("K0"));   // just fetched: others would be no better
  EXPECT_EQ(key(), "K0");
  clock.advance_ns(kNanosPerMinute);
  EXPECT_TRUE(source->reject("K0"));
  EXPECT_EQ(key(), "K1");
  EXPECT_TRUE(source->reject("K0"));    // somebody else was quicker
  EXPECT_EQ(key(), "K1");
}

TEST(AwsCredentialsText, RefusesAnswersWithoutKeys) {
  for (const char* text : {"", "[]", "{}", "{\"AccessKeyId\":1}", "{\"AccessKeyId\":\"a\"}", "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Expiration\":\"soon\"}"}) {
    EXPECT_FALSE(parse_aws_credentials_json(text).ok()) << text;
  }
  EXPECT_EQ(parse_aws_credentials_json("{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"m\"}").error().code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(parse_aws_credentials_json("{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}").value().expires_ns, 0);
  EXPECT_FALSE(parse_assumed_role("<x/>").ok());
  EXPECT_FALSE(aws_ini_section("[a]\nb=c\n", "d").has_value());
  EXPECT_EQ(aws_ini_section("x=y\n[a\n[a]\nnovalue\nb=c\n", "a")->size(), 1U);
}

}  // namespace
}  // namespace skald::objstore
