#include <gtest/gtest.h>

#include "objstore/s3_fake.h"
#include "objstore/s3_store.h"

namespace skald::objstore {
namespace {

using config::S3Config;
using s3_testing::answer;
using s3_testing::FakeS3;
using s3_testing::fault;
using s3_testing::Seen;

// Parts of 5 MiB into the fake; `spoil` may answer a request itself.
class S3Multipart : public testing::Test {
 protected:
  void SetUp() override {
    S3Config config;
    config.buckets = {"logs"};
    config.endpoint = "store";
    config.insecure = true;
    config.access_key_id = config.secret_access_key = "x";
    config.part_size = 1;   // below what the service takes: 5 MiB it is
    config.retry.max_retries = 2;
    auto owned = std::make_unique<FakeS3>();
    fake = owned.get();
    fake->intercept = [this](const Seen& request) { return serve(request); };
    RemoteSeams seams;
    seams.client = std::move(owned);
    seams.sleep = [](std::int64_t, const CallContext& sleeping) { return sleeping.check(); };
    RemoteOptions options{.metric = "loki_s3_request_duration_seconds", .http = {}, .retry = config.retry, .hedging = {}, .subject = "s3"};
    store = make_s3_store(config, {.remote = Remote::create(options, registry, clock, random, std::move(seams)).value(), .environment = process_environment(), .clock = clock}).value();
    body.resize((11 << 20) + 5);
    for (std::size_t i = 0; i < body.size(); i += 4096) body[i] = static_cast<char>(i >> 12);
  }
  std::optional<Result<http::ClientResponse>> serve(const Seen& request) {
    if (spoil) {
      if (auto mine = spoil(request)) return mine;
    }
    if (request.method == "POST" && request.query == "uploads=") {
      uploads["u/1"];
      return answer(200, "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>");
    }
    const std::string* id = request.params.get("uploadId");
    if (id == nullptr) {
      if (request.method == "HEAD") return answer(200, "", {{"Content-Length", std::to_string(stored.size())}});
      return std::nullopt;
    }
    if (!uploads.contains(*id)) return fault(404, "NoSuchUpload");
    if (request.method == "PUT") {
      const int number = std::stoi(*request.params.get("partNumber"));
      uploads[*id][number] = request.body;
      return answer(200, "", {{"ETag", "\"etag-" + std::to_string(number) + "\""}});
    }
    if (request.method == "DELETE") {
      uploads.erase(*id);
      ++aborts;
      return answer(204);
    }
    finish(request);
    return answer(200, "\n <?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
  }
  void finish(const Seen& request) {
    const XmlNode root = parse_xml(request.body).value();
    stored.clear();
    for (const XmlNode& part : root.children) {
      const int number = std::stoi(std::string(part.child_text("PartNumber")));
      EXPECT_EQ(part.child_text("ETag"), "\"etag-" + std::to_string(number) + "\"");
      stored += uploads["u/1"][number];
    }
    uploads.erase("u/1");
  }

  obs::Registry registry;
  FakeClock clock;
  SeededRandom random{1};
  FakeS3* fake = nullptr;
  std::unique_ptr<ObjectStore> store;
  FakeS3::Handler spoil;
  std::map<std::string, std::map<int, std::string>> uploads;
  std::string body, stored;
  int aborts = 0;
};

TEST_F(S3Multipart, PutsThePartsTogether) {
  ASSERT_TRUE(store->put("big", body, {}).ok());
  EXPECT_TRUE(stored == body);
  EXPECT_EQ(fake->seen.size(), 1U + 3U + 1U);
  EXPECT_EQ(fake->seen.front().header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(aborts, 0);
}

TEST_F(S3Multipart, LeavesNothingBehindWhenAPartFails) {
  spoil = [](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.params.get("partNumber") && *request.params.get("partNumber") == "2") return fault(500, "InternalError");
    return std::nullopt;
  };
  const Result<void> result = store->put("big", body, {});
  EXPECT_EQ(result.error().code(), ErrorCode::kUnavailable) << result.error().message();
  EXPECT_EQ(aborts, 1);
  EXPECT_TRUE(uploads.empty());
  EXPECT_TRUE(stored.empty());
}

TEST_F(S3Multipart, AbortsAlthoughTheCallIsCancelled) {
  auto token = std::make_shared<CancelToken>();
  spoil = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.params.get("partNumber") == nullptr) return std::nullopt;
    token->cancel();
    return Error(ErrorCode::kCancelled, "cancelled");
  };
  CallContext ctx;
  ctx.cancel = token;
  EXPECT_EQ(store->put("big", body, ctx).error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(aborts, 1);
}

TEST_F(S3Multipart, SeesAnErrorInAnAnswerOf200) {
  int completions = 0;
  spoil = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method == "POST" && request.params.get("uploadId") && ++completions == 1) return fault(200, "InternalError");
    return std::nullopt;
  };
  ASSERT_TRUE(store->put("big", body, {}).ok());
  EXPECT_EQ(completions, 2);
  EXPECT_TRUE(stored == body);
  completions = -100;   // every one fails
  spoil = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method == "POST" && request.params.get("uploadId")) return fault(200, "InternalError");
    return std::nullopt;
  };
  EXPECT_EQ(store->put("big", body, {}).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(aborts, 1);
}

TEST_F(S3Multipart, BelievesTheStoreAfterALostAnswer) {
  int completions = 0;
  spoil = [&](const Seen& request) -> std::optional<Result<http::ClientResponse>> {
    if (request.method != "POST" || !request.params.get("uploadId") || ++completions > 1) return std::nullopt;
    finish(request);
    return Error(ErrorCode::kUnavailable, "reset");
  };
  ASSERT_TRUE(store->put("big", body, {}).ok());
  EXPECT_EQ(completions, 2);
  EXPECT_EQ(fake->seen.back().method, "HEAD");
  EXPECT_TRUE(stored == body);
}

}  // namespace
}  // namespace skald::objstore
