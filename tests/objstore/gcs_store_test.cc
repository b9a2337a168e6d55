#include "objstore/gcs_store.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "objstore/fake_remote.h"
#include "objstore/gcs_answers.h"
#include "objstore/gcs_request.h"
#include "objstore/gcs_upload.h"

namespace skald::objstore {
namespace {

std::string object_json(std::string_view body) {
  return R"({"name":"k","size":")" + std::to_string(body.size()) + R"(","crc32c":")" + gcs_crc32c(body) + R"(","generation":"77"})";
}
std::string error_json(int code, const std::string& reason, const std::string& message) {
  return R"({"error":{"code":)" + std::to_string(code) + R"(,"message":")" + message + R"(","errors":[{"reason":")" + reason + R"("}]}})";
}

struct Gcs {
  FakeClock clock;
  std::shared_ptr<RemoteLog> log = std::make_shared<RemoteLog>();
  std::shared_ptr<RemoteLog> tokens = std::make_shared<RemoteLog>();
  std::shared_ptr<FakeEnvironment> environment = std::make_shared<FakeEnvironment>();
  config::GcsConfig config;
  std::unique_ptr<ObjectStore> store;
  explicit Gcs(Answer answers = {}) {
    log->answer = std::move(answers);
    config.bucket_name = "logs";
    config.endpoint = "http://127.0.0.1:4443/storage/v1/";
    config.retry.max_retries = 2;
  }
  Result<std::unique_ptr<ObjectStore>> make() {
    return make_gcs_store(config, {.remote = std::make_unique<FakeRemote>(log),
                                   .token_remotes = fake_token_remotes(tokens),
                                   .environment = environment_of(environment),
                                   .clock = clock});
  }
  ObjectStore& open() {
    store = make().value();
    return *store;
  }
};

TEST(GcsStore, PutsInOneRequestAndComparesWhatWasStored) {
  std::string stored = "12345";
  Gcs gcs([&](const SeenRequest& request) { return request.method == "DELETE" ? answer(204) : answer(200, object_json(stored)); });
  ASSERT_TRUE(gcs.open().put("t/a b", "12345", {}).ok());
  ASSERT_EQ(gcs.log->seen.size(), 1U);
  EXPECT_EQ(gcs.log->seen[0].operation, "POST");
  EXPECT_EQ(gcs.log->seen[0].url, "http://127.0.0.1:4443/upload/storage/v1/b/logs/o?uploadType=media&name=t%2Fa%20b");
  EXPECT_EQ(gcs.log->seen[0].body, "12345");
  EXPECT_EQ(gcs.log->seen[0].header("Authorization"), "");
  for (const char* damaged : {"12346", "1234"}) {
    stored = damaged;
    const Error error = gcs.store->put("k", "12345", {}).error();
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_NE(error.message().find("it was removed"), std::string::npos);
    EXPECT_EQ(gcs.log->seen.back().url, "http://127.0.0.1:4443/storage/v1/b/logs/o/k?ifGenerationMatch=77");
  }
}

TEST(GcsStore, CrcIsBigEndianBase64) { EXPECT_EQ(gcs_crc32c("123456789"), "4waSgw=="); }   // e3069283

TEST(GcsStore, ALostAnswerOfCreateIsRecognisedByTheBytes) {
  std::string stored = "mine";
  Gcs gcs([&](const SeenRequest& request) { return request.method == "GET" ? answer(200, stored) : answer(412, error_json(412, "conditionNotMet", "x")); });
  gcs.open();
  EXPECT_EQ(gcs.store->create("k", "mine", {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(gcs.log->seen[0].url, "http://127.0.0.1:4443/upload/storage/v1/b/logs/o?uploadType=media&name=k&ifGenerationMatch=0");
  EXPECT_EQ(gcs.log->seen.size(), 1U);
  gcs.log->tries = 2;
  EXPECT_TRUE(gcs.store->create("k", "mine", {}).ok());
  stored = "theirs";
  EXPECT_EQ(gcs.store->create("k", "mine", {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(gcs.store->put("k", "mine", {}).error().code(), ErrorCode::kInternal);   // 412 without a condition of ours
}

// A service that takes resumable uploads and fails as it is told.
struct SessionService {
  std::string received, finished;
  std::map<int, std::function<Result<http::ClientResponse>(const SeenRequest&)>> at_put;   // n-th PUT, from 1
  int puts = 0, starts = 0, keep_bytes = 1 << 30;
  std::string condition;

  Result<http::ClientResponse> progress() const {
    if (received.empty()) return answer(308);
    return answer(308, "", {{"Range", "bytes=0-" + std::to_string(received.size() - 1)}});
  }
  Result<http::ClientResponse> operator()(const SeenRequest& request) {
    if (request.method == "GET") return answer(404, "No such object: logs/k");
    if (request.method == "POST") {
      ++starts;
      received.clear();
      condition = request.url.find("ifGenerationMatch=0") == std::string::npos ? "" : "0";
      EXPECT_EQ(request.header("X-Upload-Content-Type"), "application/octet-stream");
      return answer(200, "", {{"Location", "https://elsewhere.example/upload/session?upload_id=" + std::to_string(starts)}});
    }
    EXPECT_EQ(request.method, "PUT");
    EXPECT_EQ(request.url, "http://127.0.0.1:4443/upload/session?upload_id=" + std::to_string(starts));
    ++puts;
    if (at_put.count(puts) != 0) return at_put[puts](request);
    return take(request);
  }
  Result<http::ClientResponse> take(const SeenRequest& request) {
    const std::string range = request.header("Content-Range");
    const std::size_t total = std::stoul(range.substr(range.find('/') + 1));
    if (!range.starts_with("bytes */")) {
      EXPECT_FALSE(request.retry);   // a repeated piece would hide how far the service got
      const std::size_t begin = std::stoul(range.substr(6)), end = std::stoul(range.substr(range.find('-') + 1)) + 1;
      EXPECT_EQ(request.body.size(), end - begin);
      EXPECT_LE(begin, received.size());
      if (end != total) {
        EXPECT_EQ(request.body.size() % (256 << 10), 0U);
      }
      received.resize(begin);
      received += request.body;
    }
    if (received.size() < total) return progress();
    finished = received;
    return answer(200, object_json(finished));
  }
};

struct Session {
  SessionService service;
  Gcs gcs{[this](const SeenRequest& request) { return service(request); }};
  std::string body;
  Session() : body(1'000'000, '\0') {
    SeededRandom random(3);
    for (std::size_t i = 0; i + 8 <= body.size(); i += 8) store_le(body.data() + i, random.next_u64());
    gcs.config.chunk_buffer_size = 200'000;   // becomes 256 KiB: four pieces
    gcs.open();
  }
};

TEST(GcsSessions, SendPieceAfterPiece) {
  Session session;
  ASSERT_TRUE(session.gcs.store->put("k", session.body, {}).ok());
  EXPECT_TRUE(session.service.finished == session.body);
  EXPECT_EQ(session.service.puts, 4);
  EXPECT_EQ(session.gcs.log->seen[0].url, "http://127.0.0.1:4443/upload/storage/v1/b/logs/o?uploadType=resumable&name=k");
  EXPECT_EQ(session.gcs.log->seen[0].header("X-Upload-Content-Length"), "1000000");
  EXPECT_EQ(session.gcs.log->seen[1].header("Content-Range"), "bytes 0-262143/1000000");
  EXPECT_EQ(session.gcs.log->seen[4].header("Content-Range"), "bytes 786432-999999/1000000");
  ASSERT_TRUE(session.gcs.store->create("k", session.body, {}).ok());
  EXPECT_EQ(session.service.condition, "0");
}

TEST(GcsSessions, GoOnWhereTheServiceStopped) {
  Session session;
  const auto cut = [&](std::size_t kept) {
    return [&session, kept](const SeenRequest& request) -> Result<http::ClientResponse> {
      session.service.received += request.body.substr(0, kept);
      return Error(ErrorCode::kUnavailable, "connection reset");
    };
  };
  session.service.at_put[2] = cut(100'000);      // a torn piece; the service keeps what came
  session.service.at_put[5] = cut(0);            // 3 asks how far it got, 4 goes on from 362,144
  ASSERT_TRUE(session.gcs.store->put("k", session.body, {}).ok());
  EXPECT_TRUE(session.service.finished == session.body);
  EXPECT_EQ(session.gcs.log->seen[3].header("Content-Range"), "bytes */1000000");
  EXPECT_EQ(session.gcs.log->seen[4].header("Content-Range"), "bytes 362144-624287/1000000");
  EXPECT_EQ(session.service.starts, 1);
}

TEST(GcsSessions, KnowASuccessWhoseAnswerWasLost) {
  Session session;
  session.service.at_put[4] = [&](const SeenRequest& request) -> Result<http::ClientResponse> {
    EXPECT_TRUE(session.service.take(request).ok());
    return Error(ErrorCode::kDeadlineExceeded, "no answer in time");
  };
  ASSERT_TRUE(session.gcs.store->create("k", session.body, {}).ok());
  EXPECT_EQ(session.service.puts, 5);
}

TEST(GcsSessions, KeepTheBytesWhenTheServiceTookFewerThanSent) {
  Session session;
  session.service.at_put[1] = [&](const SeenRequest& request) {
    session.service.received = request.body.substr(0, 1000);
    return session.service.progress();
  };
  ASSERT_TRUE(session.gcs.store->put("k", session.body, {}).ok());
  EXPECT_TRUE(session.service.finished == session.body);
}

TEST(GcsSessions, BeginAnewWhenTheServiceForgotThemButOnlyOnce) {
  Session session;
  session.service.at_put[2] = [](const SeenRequest&) { return answer(410); };
  ASSERT_TRUE(session.gcs.store->put("k", session.body, {}).ok());
  EXPECT_EQ(session.service.starts, 2);
  EXPECT_TRUE(session.service.finished == session.body);

  Session hopeless;
  for (int i = 1; i < 10; ++i) hopeless.service.at_put[i] = [](const SeenRequest&) { return answer(404); };
  EXPECT_EQ(hopeless.gcs.store->put("k", hopeless.body, {}).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(hopeless.service.starts, 2);
}

TEST(GcsSessions, GiveUpWhenNothingAdvances) {
  Session session;
  for (int i = 1; i < 100; ++i) session.service.at_put[i] = [](const SeenRequest&) { return answer(308); };
  const Error error = session.gcs.store->put("k", session.body, {}).error();
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_NE(error.message().find("does not advance at byte 0"), std::string::npos);
  EXPECT_EQ(session.service.puts, 3);
  Session refused;
  refused.service.at_put[2] = [](const SeenRequest&) { return answer(403, error_json(403, "forbidden", "no")); };
  EXPECT_EQ(refused.gcs.store->put("k", refused.body, {}).error().code(), ErrorCode::kPermissionDenied);
}

TEST(GcsSessions, LeaveAnExistingObjectAlone) {
  Session session;
  session.service.at_put[4] = [](const SeenRequest&) { return answer(412, error_json(412, "conditionNotMet", "x")); };   // somebody was faster
  EXPECT_EQ(session.gcs.store->create("k", session.body, {}).error().code(), ErrorCode::kAlreadyExists);
  session.gcs.log->answer = [](const SeenRequest& request) { return request.method == "GET" ? answer(200, R"({"size":"1"})") : answer(500); };
  session.gcs.log->seen.clear();
  EXPECT_EQ(session.gcs.store->create("k", session.body, {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(session.gcs.log->seen.size(), 1U);   // nothing was sent in vain
}

TEST(GcsStore, ChecksTheHashOfWholeObjects) {
  std::string hash = "crc32c=" + gcs_crc32c("0123456789") + ",md5=eB5eJF1ptWaXm4bijSPyxw==";
  std::string encoding = "identity";
  Gcs gcs([&](const SeenRequest& request) {
    if (request.header("Range") == "bytes=2-4") return answer(206, "234", {{"X-Goog-Hash", hash}, {"Content-Range", "bytes 2-4/10"}});
    return answer(200, "0123456789", {{"X-Goog-Hash", "md5=x"}, {"X-Goog-Hash", hash}, {"X-Goog-Stored-Content-Encoding", encoding}});
  });
  EXPECT_EQ(gcs.open().get("a/b", {}, {}).value(), "0123456789");
  EXPECT_EQ(gcs.log->seen[0].url, "http://127.0.0.1:4443/storage/v1/b/logs/o/a%2Fb?alt=media");
  EXPECT_EQ(gcs.store->get("k", {2, 5}, {}).value(), "234");
  hash = "crc32c=AAAAAA==";
  EXPECT_EQ(gcs.store->get("k", {}, {}).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(gcs.store->get("k", {2, 5}, {}).value(), "234");   // the hash is the whole object's
  encoding = "gzip";
  EXPECT_TRUE(gcs.store->get("k", {}, {}).ok());
}

TEST(GcsStore, ListsAndPages) {
  Gcs gcs([](const SeenRequest&) {
    return answer(200, R"({"items":[{"name":"t/a","size":"12"},{"name":"t/folder/","size":"0"},{"name":"t/ü","size":3}],"prefixes":["t/x/"],"nextPageToken":"p+/="})");
  });
  const ListPage page = gcs.open().list("t/", "", ListDepth::kOneLevel, {}).value();
  ASSERT_EQ(page.objects.size(), 2U);
  EXPECT_EQ(page.objects[0].key, "t/a");
  EXPECT_EQ(page.objects[0].size, 12U);
  EXPECT_EQ(page.objects[1].size, 3U);
  EXPECT_EQ(page.folders, std::vector<std::string>{"t/x/"});
  ASSERT_TRUE(gcs.store->list("", page.next, ListDepth::kAll, {}).ok());
  EXPECT_EQ(gcs.log->seen[1].url,
            "http://127.0.0.1:4443/storage/v1/b/logs/o?maxResults=1000&fields=items%28name%2Csize%29%2Cprefixes%2CnextPageToken&pageToken=p%2B%2F%3D");
  EXPECT_TRUE(parse_gcs_list("{}").value().objects.empty());
  for (const char* bad : {"", "[]", "{", R"({"items":[1]})", R"({"items":[{"name":"a"}]})", R"({"items":[{"name":"a","size":"1x"}]})",
                          R"({"items":[{"size":"1"}]})", R"({"prefixes":[1]})", R"({"items":[{"name":"a","size":"-1"}]})"})
    EXPECT_FALSE(parse_gcs_list(bad).ok()) << bad;
}

TEST(GcsStore, ExplainsRefusals) {
  int status = 403;
  std::string body = error_json(403, "forbidden", "skald@p does not have storage.objects.get access");
  Gcs gcs([&](const SeenRequest&) { return answer(status, body); });
  ObjectStore& store = gcs.open();
  EXPECT_EQ(store.get("k", {}, {}).error(),
            Error(ErrorCode::kPermissionDenied, "gcs bucket 'logs' at http://127.0.0.1:4443: download 'k': 403 forbidden: skald@p does not have "
                                                "storage.objects.get access (authorized with nothing: no credentials are configured; the role Storage Object "
                                                "User on the bucket is enough)"));
  body = error_json(403, "userRateLimitExceeded", "slow down");
  EXPECT_EQ(store.get("k", {}, {}).error().code(), ErrorCode::kUnavailable);
  status = 404;
  body = "No such object: logs/k";
  EXPECT_EQ(store.get("k", {}, {}).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(store.remove("k", {}).ok());
  body = error_json(404, "notFound", "The specified bucket does not exist.");
  for (const Error& error : {store.get("k", {}, {}).error(), store.put("k", "v", {}).error(), store.create("k", "v", {}).error(), store.remove("k", {}).error(),
                             store.list("", "", ListDepth::kAll, {}).error()}) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(error.message().find("'logs'"), std::string::npos);
    EXPECT_NE(error.message().find("create it first"), std::string::npos);
  }
}

TEST(GcsStore, BringsATokenAndReplacesOneThatIsRefused) {
  Gcs gcs;
  gcs.config.endpoint.clear();
  int given = 0;
  gcs.tokens->answer = [&](const SeenRequest&) {
    return answer(200, R"({"expires_in":3600,"access_token":"t)" + std::to_string(++given) + "\"}", {{"Metadata-Flavor", "Google"}});
  };
  gcs.log->answer = [](const SeenRequest&) { return answer(200, "v"); };
  EXPECT_EQ(gcs.open().get("k", {}, {}).value(), "v");
  gcs.clock.advance_ns(kNanosPerMinute);
  gcs.log->answer = [](const SeenRequest& request) {
    return request.header("Authorization") == "Bearer t1" ? answer(401, error_json(401, "authError", "Invalid Credentials")) : answer(200, "v");
  };
  EXPECT_EQ(gcs.store->get("k", {}, {}).value(), "v");
  EXPECT_EQ(gcs.log->seen[0].url, "https://storage.googleapis.com/storage/v1/b/logs/o/k?alt=media");
  EXPECT_EQ(given, 2);
}

TEST(GcsStore, FindsItsEndpoint) {
  auto environment = std::make_shared<FakeEnvironment>();
  const auto resolved = [&](const std::string& endpoint) { return resolve_gcs_endpoint(endpoint, environment_of(environment)).value(); };
  EXPECT_EQ(resolved("").origin, "https://storage.googleapis.com");
  EXPECT_FALSE(resolved("").emulator);
  EXPECT_EQ(resolved("http://h:1/storage/v1/").origin, "http://h:1");
  EXPECT_TRUE(resolved("http://h:1").emulator);
  EXPECT_EQ(resolved("h:1").origin, "https://h:1");
  EXPECT_FALSE(resolved("https://storage.europe-west3.rep.googleapis.com").emulator);
  EXPECT_TRUE(resolved("https://googleapis.com.evil.example").emulator);
  environment->variables["STORAGE_EMULATOR_HOST"] = "localhost:9";
  EXPECT_EQ(resolved("").origin, "http://localhost:9");
  for (const char* bad : {"ftp://x", "http://", "https:///x", "http://a b"}) EXPECT_FALSE(resolve_gcs_endpoint(bad, environment_of(environment)).ok()) << bad;
}

TEST(GcsStore, RefusesConfigurationsThatCannotWork) {
  const auto refused = [](auto&& change) {
    Gcs gcs;
    change(gcs.config);
    return !gcs.make().ok();
  };
  EXPECT_FALSE(refused([](config::GcsConfig&) {}));
  EXPECT_TRUE(refused([](config::GcsConfig& c) { c.bucket_name = ""; }));
  EXPECT_TRUE(refused([](config::GcsConfig& c) { c.bucket_name = "a/b"; }));
  EXPECT_TRUE(refused([](config::GcsConfig& c) { c.chunk_buffer_size = -1; }));
  EXPECT_TRUE(refused([](config::GcsConfig& c) { c.hmac_access_key = "a"; }));
  EXPECT_TRUE(refused([](config::GcsConfig& c) { c.service_account = "{}"; }));
}

TEST(GcsUploads, ReadHowFarTheServiceGot) {
  const auto received = [](const char* range) { return bytes_received(answer(308, "", {{"Range", range}})); };
  EXPECT_EQ(received("bytes=0-0"), 1U);
  EXPECT_EQ(received("bytes=0-524287"), 524'288U);
  for (const char* bad : {"", "bytes=", "bytes=1-5", "bytes=0-", "bytes=0-5x", "bytes 0-5"}) EXPECT_EQ(received(bad), 0U) << bad;
  EXPECT_EQ(bytes_received(answer(308)), 0U);
}

}  // namespace
}  // namespace skald::objstore
