#include "objstore/azure_store.h"

#include <gtest/gtest.h>

#include <set>

#include "objstore/azure_signing.h"
#include "objstore/azure_xml.h"
#include "objstore/fake_remote.h"

namespace skald::objstore {
namespace {

std::string error_xml(const std::string& code, const std::string& message = "It failed.\nRequestId:1") {
  return "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>" + code + "</Code><Message>" + message + "</Message></Error>";
}

struct Azure {
  FakeClock clock{1'795'176'000LL * kNanosPerSecond};
  SeededRandom random{7};
  std::shared_ptr<RemoteLog> log = std::make_shared<RemoteLog>();
  std::shared_ptr<RemoteLog> tokens = std::make_shared<RemoteLog>();
  std::shared_ptr<FakeEnvironment> environment = std::make_shared<FakeEnvironment>();
  obs::Counter egress;
  config::AzureConfig config;
  std::unique_ptr<ObjectStore> store;
  explicit Azure(Answer answers = {}) {
    log->answer = std::move(answers);
    config.account_name = "acc";
    config.account_key = "a2V5";
    config.container_name = "logs";
  }
  ObjectStore& open() {
    store = make_azure_store(config, {.remote = std::make_unique<FakeRemote>(log),
                                      .token_remotes = fake_token_remotes(tokens),
                                      .environment = environment_of(environment),
                                      .clock = clock,
                                      .random = random,
                                      .egress_bytes = &egress}).value();
    return *store;
  }
};

TEST(AzureStore, PutsSmallObjectsInOneSignedRequest) {
  Azure azure([](const SeenRequest&) { return answer(201); });
  ASSERT_TRUE(azure.open().put("t/a b", "12345", {}).ok());
  ASSERT_EQ(azure.log->seen.size(), 1U);
  const SeenRequest& seen = azure.log->seen[0];
  EXPECT_EQ(seen.operation, "azure.PutObject");
  EXPECT_EQ(seen.method, "PUT");
  EXPECT_EQ(seen.url, "https://acc.blob.core.windows.net/logs/t/a%20b");
  EXPECT_EQ(seen.body, "12345");
  EXPECT_EQ(seen.header("x-ms-blob-type"), "BlockBlob");
  EXPECT_EQ(seen.header("x-ms-date"), "Fri, 20 Nov 2026 12:00:00 GMT");
  EXPECT_EQ(seen.header("Content-MD5"), "gnzLDuqKcGxMNKFokfhOew==");
  EXPECT_EQ(seen.header("If-None-Match"), "");
  EXPECT_TRUE(seen.header("Authorization").starts_with("SharedKey acc:"));
}

TEST(AzureStore, PutsLargeObjectsAsBlocks) {
  std::map<std::string, std::string> blocks;
  std::string committed;
  Azure azure([&](const SeenRequest& request) {
    const std::size_t id = request.url.find("&blockid=");
    if (id != std::string::npos) {
      EXPECT_NE(request.header("Content-MD5"), "");
      blocks[request.url.substr(id + 9)] = request.body;
    } else {
      EXPECT_TRUE(request.url.ends_with("/logs/big?comp=blocklist"));
      EXPECT_EQ(request.header("If-None-Match"), "*");
      for (std::size_t at = 0; (at = request.body.find("<Latest>", at)) != std::string::npos;) {
        at += 8;
        std::string name = request.body.substr(at, request.body.find('<', at) - at);
        for (std::size_t i = 0; (i = name.find_first_of("=+/", i)) != std::string::npos;) {
          name.replace(i, 1, name[i] == '=' ? "%3D" : name[i] == '+' ? "%2B" : "%2F");
          i += 3;
        }
        committed += blocks.at(name);
      }
    }
    return answer(201);
  });
  std::string body(65 << 20, '\0');
  SeededRandom random(1);
  for (std::size_t i = 0; i < body.size(); i += 4096) store_le(body.data() + i, random.next_u64());
  ASSERT_TRUE(azure.open().create("big", body, {}).ok());
  EXPECT_EQ(blocks.size(), 5U);
  EXPECT_TRUE(committed == body);
  ASSERT_TRUE(azure.open().create("big", body, {}).ok());
  EXPECT_EQ(blocks.size(), 10U);   // other ids: two uploads of a key keep out of each other's way
}

TEST(AzureStore, ABlockThatFailsEndsTheUpload) {
  Azure azure([](const SeenRequest& request) {
    return request.url.find("blockid") != std::string::npos ? answer(403, error_xml("AuthorizationPermissionMismatch")) : answer(201);
  });
  EXPECT_EQ(azure.open().put("big", std::string(65 << 20, 'x'), {}).error().code(), ErrorCode::kPermissionDenied);
  for (const SeenRequest& seen : azure.log->seen) EXPECT_EQ(seen.operation, "azure.PutBlock");
}

TEST(AzureStore, ALostAnswerOfCreateIsRecognisedByTheBytes) {
  std::string stored = "mine";
  Azure azure([&](const SeenRequest& request) {
    return request.method == "GET" ? answer(200, stored) : answer(409, error_xml("BlobAlreadyExists"));
  });
  azure.open();
  EXPECT_EQ(azure.store->create("k", "mine", {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(azure.log->seen.size(), 1U);   // one try: it cannot be ours
  azure.log->tries = 2;
  EXPECT_TRUE(azure.store->create("k", "mine", {}).ok());
  stored = "theirs";
  EXPECT_EQ(azure.store->create("k", "mine", {}).error().code(), ErrorCode::kAlreadyExists);
  azure.log->answer = [](const SeenRequest&) { return answer(412, error_xml("LeaseIdMissing")); };
  EXPECT_EQ(azure.store->create("k", "mine", {}).error().code(), ErrorCode::kInternal);
}

TEST(AzureStore, ReadsRangesAndChecksWhatCame) {
  const std::string object = "0123456789";
  std::string lie;
  Azure azure([&](const SeenRequest& request) {
    const std::string range = request.header("x-ms-range");
    if (range.empty()) return answer(200, object);
    const std::size_t dash = range.find('-');
    const std::size_t first = std::stoul(range.substr(6));
    const std::size_t last = dash + 1 < range.size() ? std::min(std::stoul(range.substr(dash + 1)), object.size() - 1) : object.size() - 1;
    if (first >= object.size()) return answer(416, error_xml("InvalidRange"));
    std::string says = "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/10";
    return answer(206, object.substr(first, last - first + 1), {{"content-range", lie.empty() ? says : lie}});
  });
  ObjectStore& store = azure.open();
  EXPECT_EQ(store.get("k", {}, {}).value(), object);
  EXPECT_EQ(azure.log->seen.back().operation, "azure.GetObject");
  EXPECT_EQ(store.get("k", {2, 5}, {}).value(), "234");
  EXPECT_EQ(azure.log->seen.back().header("x-ms-range"), "bytes=2-4");
  EXPECT_EQ(azure.egress.value(), 13);
  EXPECT_EQ(store.get("k", {7, 100}, {}).value(), "789");
  EXPECT_EQ(store.get("k", {7, ByteRange{}.end}, {}).value(), "789");
  EXPECT_EQ(azure.log->seen.back().header("x-ms-range"), "bytes=7-");
  EXPECT_EQ(store.get("k", {10, 12}, {}).value(), "");
  EXPECT_EQ(store.get("k", {3, 3}, {}).value(), "");
  EXPECT_EQ(store.get("k", {11, 12}, {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.get("k", {11, 11}, {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.get("k", {5, 4}, {}).error().code(), ErrorCode::kInvalidArgument);
  for (const char* wrong : {"bytes 1-3/10", "bytes 2-3/10", "bytes 2-5/10", "bytes 4-2/10", "items 2-4/10", "bytes 2-4", "", "bytes */10", "bytes 2-4/10x", "bytes 2-4/4"}) {
    lie = wrong[0] == '\0' ? " " : wrong;
    EXPECT_EQ(store.get("k", {2, 5}, {}).error().code(), ErrorCode::kUnavailable) << wrong;
  }
  lie = "bytes 2-4/*";
  EXPECT_EQ(store.get("k", {2, 5}, {}).value(), "234");
  azure.log->answer = [&](const SeenRequest&) { return answer(200, object); };   // a proxy that ignores ranges
  EXPECT_EQ(store.get("k", {2, 5}, {}).value(), "234");
  EXPECT_EQ(store.get("k", {8, 12}, {}).value(), "89");
  EXPECT_EQ(store.get("k", {11, 12}, {}).error().code(), ErrorCode::kInvalidArgument);
}

TEST(AzureStore, ListsAndPages) {
  Azure azure([](const SeenRequest&) {
    return answer(200,
                  "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"x\" ContainerName=\"logs\"><Prefix>t/</Prefix>"
                  "<Blobs><Blob><Name>t/a &amp; b</Name><Properties><Content-Length>12</Content-Length></Properties></Blob>"
                  "<Blob><Name>t/dir</Name><Properties><ResourceType>directory</ResourceType><Content-Length>0</Content-Length></Properties></Blob>"
                  "<BlobPrefix><Name>t/x/</Name></BlobPrefix></Blobs><NextMarker>2!4</NextMarker></EnumerationResults>");
  });
  const ListPage page = azure.open().list("t/", "", ListDepth::kOneLevel, {}).value();
  ASSERT_EQ(page.objects.size(), 1U);
  EXPECT_EQ(page.objects[0].key, "t/a & b");
  EXPECT_EQ(page.objects[0].size, 12U);
  EXPECT_EQ(page.folders, std::vector<std::string>{"t/x/"});
  EXPECT_EQ(page.next, "2!4");
  EXPECT_EQ(azure.log->seen[0].url, "https://acc.blob.core.windows.net/logs?restype=container&comp=list&maxresults=1000&prefix=t%2F&delimiter=%2F");
  ASSERT_TRUE(azure.store->list("", "2!4", ListDepth::kAll, {}).ok());
  EXPECT_EQ(azure.log->seen[1].url, "https://acc.blob.core.windows.net/logs?restype=container&comp=list&maxresults=1000&marker=2%214");
}

TEST(AzureStore, RefusesListingsThatAreNone) {
  for (const char* xml : {"", "x", "<Error/>", "<EnumerationResults/>", "<EnumerationResults><Blobs><Blob/></Blobs></EnumerationResults>",
                          "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties><Content-Length>1x</Content-Length></Properties></Blob></Blobs></EnumerationResults>",
                          "<EnumerationResults><Blobs><BlobPrefix/></Blobs></EnumerationResults>"})
    EXPECT_FALSE(parse_azure_list(xml).ok()) << xml;
}

TEST(AzureStore, ExplainsRefusals) {
  std::string date = "Fri, 20 Nov 2026 12:00:05 GMT";
  int status = 403;
  std::string code = "AuthenticationFailed";
  Azure azure([&](const SeenRequest&) { return answer(status, error_xml(code), {{"Date", date}, {"x-ms-request-id", "r-1"}}); });
  ObjectStore& store = azure.open();
  Error error = store.get("k", {}, {}).error();
  EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(error.message(),
            "azure container 'logs' of https://acc.blob.core.windows.net: azure.GetObject 'k': 403 AuthenticationFailed: authorized with the account key of "
            "'acc' (shared key): check account_name and account_key; clocks agree (It failed.), request r-1");
  date = "Fri, 20 Nov 2026 12:20:00 GMT";
  EXPECT_NE(store.put("k", "v", {}).error().message().find("this machine's clock is 1200 s behind the service's"), std::string::npos);
  date = "Fri, 20 Nov 2026 11:40:00 GMT";
  EXPECT_NE(store.remove("k", {}).error().message().find("this machine's clock is 1200 s ahead of the service's"), std::string::npos);
  code = "AuthorizationPermissionMismatch";
  EXPECT_NE(store.remove("k", {}).error().message().find("Storage Blob Data Contributor"), std::string::npos);

  status = 404;
  code = "ContainerNotFound";
  for (const Error& e : {store.get("k", {}, {}).error(), store.put("k", "v", {}).error(), store.remove("k", {}).error(),
                         store.list("", "", ListDepth::kAll, {}).error()}) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(e.message().find("container 'logs'"), std::string::npos);
    EXPECT_NE(e.message().find("create it first"), std::string::npos);
  }
  code = "BlobNotFound";
  EXPECT_EQ(store.get("k", {}, {}).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(store.remove("k", {}).ok());
  status = 400;
  code = "Md5Mismatch";
  EXPECT_EQ(store.put("k", "v", {}).error().code(), ErrorCode::kUnavailable);
}

TEST(AzureStore, RefusesBadKeysBeforeItAsks) {
  Azure azure([](const SeenRequest&) { return answer(200); });
  ObjectStore& store = azure.open();
  EXPECT_EQ(store.put("a/../b", "x", {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.create("", "x", {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.get("/a", {}, {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store.remove("a/", {}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(azure.log->seen.empty());
}

TEST(AzureStore, RemovesManyAndReportsTheFirstError) {
  std::set<std::string> gone;
  Azure azure([&](const SeenRequest& request) {
    gone.insert(request.url.substr(request.url.rfind('/') + 1));
    return request.url.ends_with("absent") ? answer(404, error_xml("BlobNotFound")) : answer(202);
  });
  std::vector<std::string> keys{"absent"};
  for (int i = 0; i < 50; ++i) keys.push_back(std::to_string(i));
  ASSERT_TRUE(azure.open().remove_all(keys, {}).ok());
  EXPECT_EQ(gone.size(), 51U);
  EXPECT_EQ(azure.log->seen[0].header("x-ms-delete-snapshots"), "include");
  azure.log->answer = [](const SeenRequest&) { return answer(403, error_xml("AuthenticationFailed")); };
  EXPECT_EQ(azure.store->remove_all(keys, {}).error().code(), ErrorCode::kPermissionDenied);
}

TEST(AzureStore, AppendsASasAndNeverShowsIt) {
  Azure azure([](const SeenRequest&) { return answer(403, error_xml("AuthenticationFailed", "Signature did not match.")); });
  azure.config.connection_string = "BlobEndpoint=https://acc.blob.core.windows.net;SharedAccessSignature=sv=2021&sig=SECRET";
  const Error error = azure.open().put("k", "v", {}).error();
  EXPECT_EQ(azure.log->seen[0].url, "https://acc.blob.core.windows.net/logs/k?sv=2021&sig=SECRET");
  EXPECT_EQ(azure.log->seen[0].header("Authorization"), "");
  EXPECT_NE(error.message().find("SharedAccessSignature"), std::string::npos);
  EXPECT_EQ(error.message().find("SECRET"), std::string::npos);
  EXPECT_FALSE(azure.store->list("", "", ListDepth::kAll, {}).ok());
  EXPECT_TRUE(azure.log->seen[1].url.ends_with("maxresults=1000&sv=2021&sig=SECRET"));
}

TEST(AzureStore, BringsATokenAndReplacesOneThatIsRefused) {
  Azure azure;
  azure.config.account_key = "";
  int given = 0;
  azure.tokens->answer = [&](const SeenRequest&) { return answer(200, R"({"expires_in":3600,"access_token":"t)" + std::to_string(++given) + "\"}"); };
  azure.log->answer = [](const SeenRequest&) { return answer(200, "v"); };
  EXPECT_EQ(azure.open().get("k", {}, {}).value(), "v");
  azure.clock.advance_ns(kNanosPerMinute);
  azure.log->answer = [](const SeenRequest& request) {
    return request.header("Authorization") == "Bearer t1" ? answer(401, error_xml("InvalidAuthenticationInfo")) : answer(200, "v");
  };
  EXPECT_EQ(azure.store->get("k", {}, {}).value(), "v");
  EXPECT_EQ(azure.store->get("k", {}, {}).value(), "v");
  EXPECT_EQ(given, 2);
  azure.clock.advance_ns(kNanosPerMinute);
  azure.log->answer = [](const SeenRequest&) { return answer(401, error_xml("InvalidAuthenticationInfo")); };
  const Error error = azure.store->get("k", {}, {}).error();
  EXPECT_EQ(error.code(), ErrorCode::kPermissionDenied);
  EXPECT_NE(error.message().find("azure managed identity (metadata service http://169.254.169.254)"), std::string::npos);
  EXPECT_EQ(given, 3);   // replaced once, not for ever
  EXPECT_FALSE(azure.store->get("k", {}, {}).ok());
  EXPECT_EQ(given, 3);   // nor with each request
}

TEST(AzureStore, RefusesConfigurationsThatCannotWork) {
  const auto refused = [](auto&& change) {
    Azure azure;
    change(azure.config);
    return !make_azure_store(azure.config, {.remote = std::make_unique<FakeRemote>(azure.log),
                                            .token_remotes = fake_token_remotes(azure.tokens),
                                            .environment = environment_of(azure.environment),
                                            .clock = azure.clock,
                                            .random = azure.random,
                                            .egress_bytes = nullptr}).ok();
  };
  EXPECT_FALSE(refused([](config::AzureConfig&) {}));
  EXPECT_TRUE(refused([](config::AzureConfig& c) { c.container_name = "a/b"; }));
  EXPECT_TRUE(refused([](config::AzureConfig& c) { c.container_name = ""; }));
  EXPECT_TRUE(refused([](config::AzureConfig& c) { c.account_name = ""; }));
  EXPECT_TRUE(refused([](config::AzureConfig& c) { c.account_key = "not base64"; }));
  EXPECT_TRUE(refused([](config::AzureConfig& c) { c.account_key = "", c.endpoint_suffix = "http://127.0.0.1:10000"; }));   // a token in the clear
}

}  // namespace
}  // namespace skald::objstore
