#include "objstore/gcs_signing.h"

#include <gtest/gtest.h>

#include "objstore/fake_remote.h"
#include "objstore/gcs_store.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kNow = 1'795'176'000LL * kNanosPerSecond;   // 2026-11-20T12:00:00Z
const GcsHmacKey kKey{"GOOG1", "secret"};

std::string value_of(const std::vector<http::Header>& headers, std::string_view name) {
  for (const http::Header& header : headers)
    if (header.name == name) return header.value;
  return "";
}

// Computed by tests/integration/gcs_xml_double.py's reading of the documentation, which shares no code with ours.
TEST(GcsSigning, IsGooglesVariant) {
  const QueryPairs query{{"prefix", "a b/ü"}, {"list-type", "2"}};
  auto headers = gcs_signed_headers({.method = "GET", .host = "h:1", .encoded_path = "/logs", .query = query, .goog_headers = {}, .body = ""}, kKey, kNow);
  EXPECT_EQ(value_of(headers, "x-goog-date"), "20261120T120000Z");
  EXPECT_EQ(value_of(headers, "Authorization"),
            "GOOG4-HMAC-SHA256 Credential=GOOG1/20261120/auto/storage/goog4_request, SignedHeaders=host;x-goog-content-sha256;x-goog-date, Signature=7389f7331c1f5575fd2feb5a21499505087bfb63d156b1a0811f24d907bbf6d4");
  const QueryPairs none;
  headers = gcs_signed_headers({.method = "PUT", .host = "h", .encoded_path = "/logs/a%20b", .query = none,
                                .goog_headers = {{"x-goog-if-generation-match", "0"}, {"x-goog-hash", "crc32c=x"}}, .body = "12345"}, kKey, kNow);
  EXPECT_EQ(value_of(headers, "x-goog-content-sha256"), sha256_hex("12345"));
  EXPECT_EQ(value_of(headers, "Authorization"),
            "GOOG4-HMAC-SHA256 Credential=GOOG1/20261120/auto/storage/goog4_request, "
            "SignedHeaders=host;x-goog-content-sha256;x-goog-date;x-goog-hash;x-goog-if-generation-match, Signature=9c01cdba751e27dfe2be9d368db5e16b7c680ca9b637851698344716fe477388");
}

struct Xml {
  FakeClock clock{kNow};
  std::shared_ptr<RemoteLog> log = std::make_shared<RemoteLog>();
  std::unique_ptr<ObjectStore> store;
  explicit Xml(Answer answers) {
    log->answer = std::move(answers);
    config::GcsConfig config;
    config.bucket_name = "logs";
    config.hmac_access_key = "GOOG1";
    config.hmac_secret = "s3cret";
    store = make_gcs_store(config, {.remote = std::make_unique<FakeRemote>(log),
                                    .token_remotes = fake_token_remotes(std::make_shared<RemoteLog>()),
                                    .environment = environment_of(std::make_shared<FakeEnvironment>()),
                                    .clock = clock}).value();
  }
};
std::string error_xml(const std::string& code) { return "<?xml version='1.0'?><Error><Code>" + code + "</Code><Message>So it is.</Message></Error>"; }

TEST(GcsXmlStore, CreatesUnderGooglesCondition) {
  std::string stored = "mine";
  Xml xml([&](const SeenRequest& request) { return request.method == "GET" ? answer(200, stored) : answer(412, error_xml("PreconditionFailed")); });
  EXPECT_EQ(xml.store->create("a/b c", "mine", {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(xml.log->seen[0].url, "https://storage.googleapis.com/logs/a/b%20c");
  EXPECT_EQ(xml.log->seen[0].header("x-goog-if-generation-match"), "0");
  EXPECT_EQ(xml.log->seen[0].header("x-goog-hash").substr(0, 7), "crc32c=");
  xml.log->tries = 2;
  EXPECT_TRUE(xml.store->create("a/b c", "mine", {}).ok());
  stored = "theirs";
  EXPECT_EQ(xml.store->create("a/b c", "mine", {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(xml.store->put("k", "v", {}).error().code(), ErrorCode::kInternal);
}

TEST(GcsXmlStore, ExplainsRefusals) {
  int status = 403;
  std::string code = "SignatureDoesNotMatch";
  Xml xml([&](const SeenRequest&) { return answer(status, error_xml(code)); });
  const Error error = xml.store->put("k", "v", {}).error();
  EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(error.message(), "gcs bucket 'logs' at https://storage.googleapis.com: PUT 'k': 403 SignatureDoesNotMatch: So it is. (signed with the HMAC key "
                             "GOOG1; check hmac_secret and this machine's clock)");
  status = 404;
  code = "NoSuchKey";
  EXPECT_EQ(xml.store->get("k", {}, {}).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(xml.store->remove("k", {}).ok());
  code = "NoSuchBucket";
  for (const Error& e : {xml.store->get("k", {}, {}).error(), xml.store->put("k", "v", {}).error(), xml.store->remove("k", {}).error(),
                         xml.store->list("", "", ListDepth::kAll, {}).error()})
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
}

TEST(GcsXmlStore, RefusesListingsThatAreNone) {
  std::string body;
  Xml xml([&](const SeenRequest&) { return answer(200, body); });
  for (const char* bad : {"", "<Other/>", "<ListBucketResult><Contents/></ListBucketResult>",
                          "<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>"}) {
    body = bad;
    EXPECT_EQ(xml.store->list("", "", ListDepth::kAll, {}).error().code(), ErrorCode::kUnavailable) << bad;
  }
  body = "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>";
  EXPECT_EQ(xml.store->list("", "", ListDepth::kAll, {}).value().next, "");
}

}  // namespace
}  // namespace skald::objstore
