#include "objstore/s3_store.h"

#include <gtest/gtest.h>

#include "objstore/s3_fake.h"
#include "skald/objstore/remote_stores.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

using config::S3Config;
using s3_testing::answer;
using s3_testing::FakeS3;
using s3_testing::fault;
using s3_testing::Seen;

class S3StoreTest : public testing::Test {
 protected:
  S3StoreTest() {
    config.buckets = {"logs"};
    config.endpoint = "store:9000";
    config.insecure = true;
    config.access_key_id = "AKID";
    config.secret_access_key = "topsecret";
    config.retry.max_retries = 3;
  }
  ObjectStore& open() {
    auto owned = std::make_unique<FakeS3>();
    fake = owned.get();
    for (const std::string& bucket : config.buckets) fake->buckets[bucket];
    RemoteSeams seams;
    seams.client = std::move(owned);
    seams.sleep = [](std::int64_t, const CallContext& sleeping) { return sleeping.check(); };
    RemoteOptions options{.metric = "loki_s3_request_duration_seconds", .http = {}, .retry = config.retry, .hedging = {}, .subject = "s3"};
    auto remote = Remote::create(options, registry, clock, random, std::move(seams)).value();
    Environment environment{.variable = [this](const char* name) { return variables.contains(name) ? variables.at(name) : std::string(); },
                            .read_file = [](const std::string& path) -> Result<Bytes> { return Error(ErrorCode::kNotFound, path); }};
    store = make_s3_store(config, {.remote = std::move(remote), .environment = std::move(environment), .clock = clock}).value();
    return *store;
  }
  std::size_t count(std::string_view method) const {
    return static_cast<std::size_t>(std::count_if(fake->seen.begin(), fake->seen.end(), [&](const Seen& one) { return one.method == method; }));
  }

  S3Config config;
  std::map<std::string, std::string> variables;
  obs::Registry registry;
  FakeClock clock;
  SeededRandom random{1};
  std::unique_ptr<ObjectStore> store;
  FakeS3* fake = nullptr;
  CallContext ctx;
};

TEST_F(S3StoreTest, SignsBodiesInPlainTextAndNotOverTls) {
  ASSERT_TRUE(open().put("a/b c+ü", "body", ctx).ok());
  const Seen plain = fake->seen.at(0);
  EXPECT_EQ(plain.method + " " + plain.host + plain.path, "PUT store:9000/logs/a/b c+ü");
  EXPECT_EQ(plain.header("X-Amz-Content-Sha256"), sha256_hex("body"));
  EXPECT_NE(plain.header("Authorization").find("Credential=AKID/20231114/us-east-1/s3/aws4_request"), std::string::npos) << plain.header("Authorization");
  EXPECT_EQ(plain.header("Content-MD5"), "");
  for (const http::Header& header : plain.headers) EXPECT_EQ(header.name.find("Checksum"), std::string::npos);
  config.insecure = false;
  ASSERT_TRUE(open().put("k", "body", ctx).ok());
  EXPECT_TRUE(fake->seen.at(0).tls);
  EXPECT_EQ(fake->seen.at(0).header("X-Amz-Content-Sha256"), "UNSIGNED-PAYLOAD");
  config.checksum = S3Config::Checksum::kSha256;
  ASSERT_TRUE(open().put("k", "body", ctx).ok());
  EXPECT_EQ(fake->seen.at(0).header("X-Amz-Content-Sha256"), sha256_hex("body"));
}

TEST_F(S3StoreTest, SendsClassEncryptionAndChecksums) {
  config.storage_class = "STANDARD_IA";
  config.sse = S3Config::Sse::kKms;
  config.sse_kms_key_id = "arn:key";
  config.sse_kms_context = "{\"a\":1}";
  config.checksum = S3Config::Checksum::kCrc32c;
  ASSERT_TRUE(open().put("k", "123456789", ctx).ok());
  const Seen kms = fake->seen.at(0);
  EXPECT_EQ(kms.header("X-Amz-Storage-Class"), "STANDARD_IA");
  EXPECT_EQ(kms.header("X-Amz-Server-Side-Encryption"), "aws:kms");
  EXPECT_EQ(kms.header("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"), "arn:key");
  EXPECT_EQ(kms.header("X-Amz-Server-Side-Encryption-Context"), "eyJhIjoxfQ==");
  EXPECT_EQ(kms.header("X-Amz-Checksum-Crc32c"), "4waSgw==");   // CRC32C of "123456789" is e3069283
  config.sse = S3Config::Sse::kS3;
  config.checksum = S3Config::Checksum::kMd5;
  ASSERT_TRUE(open().put("k", "", ctx).ok());
  EXPECT_EQ(fake->seen.at(0).header("X-Amz-Server-Side-Encryption"), "AES256");
  EXPECT_EQ(fake->seen.at(0).header("Content-MD5"), "1B2M2Y8AsgTpgAmY7PhCfg==");
  // With a key of the customer's every request for the bytes carries it, reads too.
  config.insecure = false;
  config.sse = S3Config::Sse::kCustomer;
  config.sse_customer_key = base64(std::string(32, 'k'));
  ASSERT_TRUE(open().put("k", "v", ctx).ok());
  ASSERT_TRUE(store->get("k", {}, ctx).ok());
  for (const Seen& one : fake->seen) {
    EXPECT_EQ(one.header("X-Amz-Server-Side-Encryption-Customer-Algorithm"), "AES256");
    EXPECT_EQ(one.header("X-Amz-Server-Side-Encryption-Customer-Key"), config.sse_customer_key);
    EXPECT_EQ(one.header("X-Amz-Server-Side-Encryption-Customer-Key-Md5"), base64(md5(std::string(32, 'k'))));
  }
}

TEST_F(S3StoreTest, SendsContentMd5OnceTheBucketInsists) {
  open();
  fake->intercept = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method != "PUT" || !request.header("Content-MD5").empty()) return std::nullopt;
    return answer(400, "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters</Message></Error>");
  };
  ASSERT_TRUE(store->put("k", "v", ctx).ok());
  EXPECT_EQ(fake->seen.size(), 2U);
  ASSERT_TRUE(store->put("k", "v", ctx).ok());
  EXPECT_EQ(fake->seen.size(), 3U);   // remembered
  config.checksum = S3Config::Checksum::kNone;
  open();
  fake->intercept = [](const Seen&) -> std::optional<Result<http::ClientResponse>> { return fault(400, "MissingContentMD5"); };
  EXPECT_EQ(store->put("k", "v", ctx).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(fake->seen.size(), 1U);
}

TEST_F(S3StoreTest, ChecksRangesAgainstTheAnswer) {
  open();
  ASSERT_TRUE(store->put("k", "0123456789", ctx).ok());
  EXPECT_EQ(store->get("k", {2, 5}, ctx).value(), "234");   // the fake answers 200 with everything
  EXPECT_EQ(fake->seen.back().header("Range"), "bytes=2-4");
  const auto with = [&](http::ClientResponse response) {
    fake->intercept = [response](const Seen&) -> std::optional<Result<http::ClientResponse>> { return response; };
    return store->get("k", {2, 5}, ctx);
  };
  EXPECT_EQ(with(answer(206, "234", {{"Content-Range", "bytes 2-4/10"}})).value(), "234");
  EXPECT_EQ(with(answer(206, "23", {{"Content-Range", "bytes 2-3/4"}})).value(), "23");
  EXPECT_EQ(with(answer(206, "23", {{"Content-Range", "bytes 2-3/10"}})).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(with(answer(206, "34", {{"Content-Range", "bytes 2-4/10"}})).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(with(answer(206, "345", {{"Content-Range", "bytes 3-5/10"}})).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(with(fault(416, "InvalidRange", "", {{"Content-Range", "bytes */1"}})).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(S3StoreTest, CreatesOnStoresThatHeedTheCondition) {
  open();
  EXPECT_TRUE(store->create("a", "1", ctx).ok());
  EXPECT_EQ(fake->seen.size(), 2U);   // the second finds out whether the condition is heeded
  EXPECT_EQ(fake->seen[0].header("If-None-Match"), "*");
  EXPECT_EQ(store->create("a", "2", ctx).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(store->create("a", "1", ctx).error().code(), ErrorCode::kAlreadyExists);   // equal bytes are no excuse
  EXPECT_EQ(fake->seen.size(), 4U);
  EXPECT_TRUE(store->create("b", "1", ctx).ok());
  EXPECT_EQ(fake->seen.size(), 5U);
  EXPECT_EQ(fake->buckets["logs"]["a"], "1");
}

TEST_F(S3StoreTest, RefusesToCreateWhereTheConditionMeansNothing) {
  open();
  fake->intercept = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method == "PUT") return answer(200);
    return std::nullopt;
  };
  EXPECT_EQ(store->create("a", "1", ctx).error().code(), ErrorCode::kUnimplemented);
  const std::size_t before = fake->seen.size();
  EXPECT_EQ(store->create("b", "1", ctx).error().code(), ErrorCode::kUnimplemented);
  EXPECT_EQ(fake->seen.size(), before);
  for (const http::ClientResponse& no : {fault(501, "NotImplemented"), fault(400, "NotImplemented")}) {
    open();
    fake->intercept = [&](const Seen&) -> std::optional<Result<http::ClientResponse>> { return no; };
    EXPECT_EQ(store->create("a", "1", ctx).error().code(), ErrorCode::kUnimplemented);
  }
}

TEST_F(S3StoreTest, KnowsItsOwnObjectAfterALostAnswer) {
  open();
  int puts = 0;
  fake->intercept = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method != "PUT" || ++puts > 1) return std::nullopt;
    fake->buckets["logs"]["a"] = request.body;   // stored, but the answer does not arrive
    return Error(ErrorCode::kUnavailable, "reset");
  };
  EXPECT_TRUE(store->create("a", "mine", ctx).ok());
  EXPECT_EQ(puts, 2);
  puts = 0;
  fake->intercept = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method != "PUT" || ++puts > 1) return std::nullopt;
    fake->buckets["logs"]["b"] = "theirs";
    return Error(ErrorCode::kUnavailable, "reset");
  };
  EXPECT_EQ(store->create("b", "mine", ctx).error().code(), ErrorCode::kAlreadyExists);
  puts = 0;
  fake->intercept = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method != "PUT" || ++puts > 1) return std::nullopt;
    return fault(409, "ConditionalRequestConflict");
  };
  EXPECT_TRUE(store->create("c", "v", ctx).ok());
  EXPECT_EQ(puts, 2);
}

TEST_F(S3StoreTest, FollowsABucketToItsRegion) {
  config.endpoint = "";
  config.insecure = false;
  config.dualstack = false;
  config.region = "us-east-1";
  open();
  fake->intercept = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.host == "logs.s3.eu-west-1.amazonaws.com") return answer(200, "body");
    return fault(301, "PermanentRedirect", "<Endpoint>logs.s3.eu-west-1.amazonaws.com</Endpoint>", {{"x-amz-bucket-region", "eu-west-1"}});
  };
  EXPECT_EQ(store->get("k", {}, ctx).value(), "body");
  EXPECT_EQ(fake->seen.at(0).host, "logs.s3.us-east-1.amazonaws.com");
  EXPECT_NE(fake->seen.at(1).header("Authorization").find("/eu-west-1/s3/"), std::string::npos);
  EXPECT_EQ(store->get("k", {}, ctx).value(), "body");
  EXPECT_EQ(fake->seen.size(), 3U);

  config.endpoint = "store:9000";
  open();
  fake->intercept = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.header("Authorization").find("/garage/s3/") != std::string::npos) return answer(200, "body");
    return fault(400, "AuthorizationHeaderMalformed", "<Region>garage</Region>");
  };
  EXPECT_EQ(store->get("k", {}, ctx).value(), "body");
  EXPECT_EQ(fake->seen.at(1).host, "store:9000");

  open();   // never more than once a request
  fake->intercept = [](const Seen&) -> std::optional<Result<http::ClientResponse>> { return fault(301, "PermanentRedirect", "", {{"x-amz-bucket-region", "mars-1"}}); };
  const Result<Bytes> lost = store->get("k", {}, ctx);
  EXPECT_EQ(lost.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(lost.error().message().find("mars-1"), std::string::npos) << lost.error().message();
  EXPECT_EQ(fake->seen.size(), 2U);
}

TEST_F(S3StoreTest, RenewsCredentialsThatExpired) {
  config.access_key_id = config.secret_access_key = "";
  variables = {{"AWS_ACCESS_KEY_ID", "OLD"}, {"AWS_SECRET_ACCESS_KEY", "s"}, {"AWS_SESSION_TOKEN", "old-token"}};
  open();
  fake->intercept = [this](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.header("X-Amz-Security-Token") == "new-token") return answer(200, "body");
    clock.advance_ns(kNanosPerMinute);
    variables = {{"AWS_ACCESS_KEY_ID", "NEW"}, {"AWS_SECRET_ACCESS_KEY", "s"}, {"AWS_SESSION_TOKEN", "new-token"}};
    return fault(400, "ExpiredToken");
  };
  EXPECT_EQ(store->get("k", {}, ctx).value(), "body");
  EXPECT_EQ(fake->seen.size(), 2U);
}

TEST_F(S3StoreTest, DeletesInBatches) {
  open();
  std::vector<std::string> keys;
  for (int i = 0; i < 2'001; ++i) {
    keys.push_back("k<&>" + std::to_string(i));
    fake->buckets["logs"][keys.back()] = "v";
  }
  keys.push_back("with\x01" "control");
  fake->buckets["logs"][keys.back()] = "v";
  ASSERT_TRUE(store->remove_all(keys, ctx).ok());
  EXPECT_TRUE(fake->buckets["logs"].empty());
  EXPECT_EQ(count("POST"), 2U);     // two full batches; the one left over goes alone
  EXPECT_EQ(count("DELETE"), 2U);
  EXPECT_EQ(fake->seen.at(0).header("Content-MD5"), base64(md5(fake->seen.at(0).body)));
  EXPECT_EQ(fake->seen.at(0).path + "?" + fake->seen.at(0).query, "/logs?delete=");
}

TEST_F(S3StoreTest, DeletesOneByOneWhereThereAreNoBatches) {
  open();
  fake->intercept = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method == "POST") return fault(501, "NotImplemented");
    return std::nullopt;
  };
  const std::vector<std::string> keys{"a", "b", "c"};
  for (const std::string& key : keys) fake->buckets["logs"][key] = "v";
  ASSERT_TRUE(store->remove_all(keys, ctx).ok());
  EXPECT_TRUE(fake->buckets["logs"].empty());
  ASSERT_TRUE(store->remove_all(keys, ctx).ok());
  EXPECT_EQ(count("POST"), 1U);
}

TEST_F(S3StoreTest, SaysWhichObjectsABatchLeft) {
  open();
  fake->intercept = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method != "POST") return std::nullopt;
    return answer(200, "<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>");
  };
  const std::vector<std::string> keys{"a", "b", "c"};
  const Result<void> result = store->remove_all(keys, ctx);
  EXPECT_EQ(result.error().code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(result.error().message().find("object 'b': S3.DeleteObjects: AccessDenied: no (1 of 3"), std::string::npos) << result.error().message();
}

TEST_F(S3StoreTest, ExplainsRefusals) {
  open();
  clock.set_ns(1'763'640'000 * kNanosPerSecond);   // Thu, 20 Nov 2025 12:00:00
  const auto message = [&](http::ClientResponse response, ErrorCode code = ErrorCode::kPermissionDenied) {
    fake->intercept = [response](const Seen&) -> std::optional<Result<http::ClientResponse>> { return response; };
    const Result<void> result = store->put("k", "v", ctx);
    EXPECT_EQ(result.error().code(), code);
    EXPECT_EQ(result.error().message().find("topsecret"), std::string::npos);
    return result.error().message();
  };
  const auto has = [](const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; };
  std::string text = message(fault(403, "SignatureDoesNotMatch", "<StringToSign>AWS4…</StringToSign>", {{"Date", "Thu, 20 Nov 2025 12:00:01 GMT"}}));
  EXPECT_TRUE(has(text, "access key 'AKID', region 'us-east-1', service 's3', host 'store:9000' (path style)")) << text;
  EXPECT_TRUE(has(text, "check secret_access_key")) << text;
  EXPECT_FALSE(has(text, "clock")) << text;
  EXPECT_FALSE(has(text, "StringToSign")) << text;
  text = message(fault(403, "RequestTimeTooSkewed", "", {{"Date", "Thu, 20 Nov 2025 12:20:00 GMT"}}));
  EXPECT_TRUE(has(text, "the clock here is 20 min behind the store's")) << text;
  text = message(fault(403, "SignatureDoesNotMatch", "", {{"Date", "Thu, 20 Nov 2025 11:58:30 GMT"}}));
  EXPECT_TRUE(has(text, "90 s ahead of the store's")) << text;
  text = message(fault(403, "AccessDenied"));
  EXPECT_TRUE(has(text, "must allow s3:PutObject")) << text;
  EXPECT_TRUE(has(store->get("k", {}, ctx).error().message(), "s3:GetObject, and s3:ListBucket"));
  EXPECT_TRUE(has(message(fault(403, "InvalidAccessKeyId")), "does not know this access key"));
  EXPECT_TRUE(has(message(answer(403)), "403 AccessDenied"));
  text = message(fault(404, "NoSuchBucket"), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(has(text, "s3 bucket 'logs' at store:9000: the bucket does not exist")) << text;
  message(fault(400, "EntityTooLarge"), ErrorCode::kTooLarge);
  message(fault(400, "InvalidStorageClass"), ErrorCode::kInvalidArgument);
  message(fault(503, "SlowDown"), ErrorCode::kUnavailable);
  EXPECT_TRUE(has(message(answer(400, "<html>some proxy</html>"), ErrorCode::kInvalidArgument), "status 400: <html>some proxy</html>"));
}

TEST_F(S3StoreTest, SpreadsOverBucketsAndListsThemAsOne) {
  config.buckets = {"one", "two", "three"};
  open();
  fake->page = 4;
  std::vector<std::string> expected;
  for (int i = 0; i < 120; ++i) {
    expected.push_back("t" + std::to_string(random.next_u64() % 9) + "/d" + std::to_string(random.next_u64() % 5) + "/x y+" + std::to_string(i));
    if (i % 10 == 0) expected.back() = "top-" + std::to_string(i);
    ASSERT_TRUE(store->put(expected.back(), expected.back(), ctx).ok());
  }
  for (const std::string& bucket : config.buckets) EXPECT_GT(fake->buckets[bucket].size(), 20U);
  for (const std::string& key : expected) EXPECT_EQ(store->get(key, {}, ctx).value(), key);
  std::sort(expected.begin(), expected.end());
  const auto keys_of = [&](std::string_view prefix) {
    std::vector<std::string> keys;
    const std::vector<ObjectInfo> objects = list_objects(*store, prefix, ctx).value();
    for (const ObjectInfo& object : objects) keys.push_back(object.key);
    return keys;
  };
  EXPECT_EQ(keys_of(""), expected);
  std::vector<std::string> below;
  std::copy_if(expected.begin(), expected.end(), std::back_inserter(below), [](const std::string& key) { return key.starts_with("t3/"); });
  EXPECT_EQ(keys_of("t3/"), below);
  std::set<std::string> folders;
  for (const std::string& key : expected) {
    if (key.find('/') != std::string::npos) folders.insert(key.substr(0, key.find('/') + 1));
  }
  EXPECT_EQ(list_folders(*store, "", ctx).value(), std::vector<std::string>(folders.begin(), folders.end()));
  ASSERT_TRUE(store->remove_all(expected, ctx).ok());
  EXPECT_TRUE(keys_of("").empty());
}

TEST_F(S3StoreTest, RefusesConfigurationsThatCannotWork) {
  const auto code = [&](const std::function<void(S3Config&)>& change) {
    S3Config bad = config;
    change(bad);
    open();
    RemoteOptions options{.metric = "loki_s3_request_duration_seconds", .http = {}, .retry = {}, .hedging = {}, .subject = "s3"};
    auto made = make_s3_store(bad, {.remote = Remote::create(options, registry).value(), .environment = process_environment(), .clock = clock});
    return made.ok() ? ErrorCode::kInternal : made.error().code();
  };
  EXPECT_EQ(code([](S3Config& c) { c.buckets = {}; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](S3Config& c) { c.buckets = {"a/b"}; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](S3Config& c) { c.secret_access_key = ""; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code([](S3Config& c) { c.sse = S3Config::Sse::kCustomer; c.sse_customer_key = base64(std::string(32, 'k')); }), ErrorCode::kInvalidArgument);   // no TLS
  for (const std::string& key : {std::string(), std::string("short"), base64(std::string(31, 'k')), base64(std::string(33, 'k')), std::string(44, '!')}) {
    EXPECT_EQ(code([&](S3Config& c) { c.insecure = false; c.sse = S3Config::Sse::kCustomer; c.sse_customer_key = key; }), ErrorCode::kInvalidArgument) << key;
  }
  EXPECT_EQ(code([](S3Config& c) { c.insecure = false; c.sse = S3Config::Sse::kCustomer; c.sse_customer_key = base64(std::string(32, 'k')); }), ErrorCode::kInternal);
}

TEST(PrefixStore, KeepsToItsPrefix) {
  auto owned = make_memory_store();
  ObjectStore* inner = owned.get();
  auto store = with_prefix(std::move(owned), "cluster/a/");
  ASSERT_TRUE(inner->put("cluster/b/x", "other", {}).ok());
  ASSERT_TRUE(store->put("t/x", "1", {}).ok());
  ASSERT_TRUE(store->create("t/y", "2", {}).ok());
  EXPECT_EQ(inner->get("cluster/a/t/x", {}, {}).value(), "1");
  EXPECT_EQ(store->get("t/y", {}, {}).value(), "2");
  EXPECT_FALSE(store->get("../b/x", {}, {}).ok());
  EXPECT_EQ(store->list("t/", "", ListDepth::kAll, {}).value().objects.at(1).key, "t/y");
  EXPECT_EQ(list_folders(*store, "", {}).value(), std::vector<std::string>{"t/"});
  ASSERT_TRUE(store->remove("t/x", {}).ok());
  const std::vector<std::string> rest{"t/y"};
  ASSERT_TRUE(store->remove_all(rest, {}).ok());
  EXPECT_TRUE(list_objects(*store, "", {}).value().empty());
  EXPECT_EQ(list_objects(*inner, "", {}).value().size(), 1U);
}

}  // namespace
}  // namespace skald::objstore
