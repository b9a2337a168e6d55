#include "skald/api/ring_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "api/memberlist_page.h"
#include "api/ring_page.h"
#include "skald/http/client.h"

namespace skald::api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ring::Instance;
using ring::InstanceState;

constexpr std::int64_t kNow = 1'700'000'000;

Instance member(const std::string& id, InstanceState state, std::int64_t heartbeat_s, std::vector<std::uint32_t> tokens) {
  Instance out;
  out.id = id, out.state = state, out.heartbeat_s = heartbeat_s, out.tokens = std::move(tokens);
  out.address = id + ":9095", out.zone = "zone-a", out.registered_s = kNow - 60;
  return out;
}

ring::Desc three() {
  ring::Desc desc;
  for (auto& one : {member("a", InstanceState::kActive, kNow - 5, {0x40000000}), member("b", InstanceState::kLeaving, kNow - 60, {0x80000000}),
                    member("c", InstanceState::kActive, kNow - 61, {0xC0000000, 0xFFFFFFFF})})
    desc.instances[one.id] = one;
  return desc;
}

http::Request request(const std::string& query = "", bool json = false) {
  http::Request out;
  out.method = "GET";
  out.query = http::Params::parse(query);
  out.form = out.query;
  if (json) out.headers = {{"Accept", "application/json"}};
  return out;
}

TEST(RingPage, ShowsWhoIsThereAndWhoIsNotHeardOf) {
  const RingView view = view_of("Ingester Ring", ring::Picture(three(), {}), kNow * kNanosPerSecond, kNow);
  ASSERT_EQ(view.rows.size(), 3U);
  EXPECT_EQ(view.rows[0].state, "ACTIVE");
  EXPECT_EQ(view.rows[1].state, "LEAVING");
  EXPECT_EQ(view.rows[2].state, "UNHEALTHY");   // one second over the timeout
  EXPECT_DOUBLE_EQ(view.rows[1].ownership, 0.25);
  const std::string html = ring_page(view, request()).body;
  for (const char* text : {"<title>Ingester Ring</title>", "2023-11-14T22:13:15Z", "5s ago", "25.00%", "UNHEALTHY", "name=\"forget\" value=\"c\"", "zone-a",
                           "Show Tokens"})
    EXPECT_THAT(html, HasSubstr(text));
  EXPECT_THAT(html, Not(HasSubstr("1073741824")));
  EXPECT_THAT(ring_page(view, request("tokens=true")).body, HasSubstr("1073741824"));
}

TEST(RingPage, JsonIsThatOfTheReference) {
  ring::Desc desc;
  desc.instances["a"] = three().instances["a"];
  const auto response = ring_page(view_of("T", ring::Picture(desc, {}), kNow * kNanosPerSecond, kNow), request("", true));
  EXPECT_THAT(response.content_type, HasSubstr("application/json"));
  EXPECT_EQ(response.body,
            R"({"shards":[{"id":"a","state":"ACTIVE","address":"a:9095","timestamp":"2023-11-14T22:13:15Z","registered_timestamp":"2023-11-14T22:12:20Z",)"
            R"("read_only":false,"read_only_updated_timestamp":"","zone":"zone-a","tokens":[1073741824]}],"now":"2023-11-14T22:13:20Z"})");
}

TEST(RingPage, AnEmptyRingSaysSo) {
  const RingView view = view_of("T", ring::Picture({}, {}), kNow * kNanosPerSecond, kNow);
  EXPECT_THAT(ring_page(view, request()).body, HasSubstr("nobody is in this ring"));
  EXPECT_THAT(ring_json(view), HasSubstr("{\"shards\":[],"));
}

TEST(RingPage, TokensAreStableSortedAndDistinct) {
  const auto tokens = member_tokens("node-1", 128);
  EXPECT_EQ(tokens.size(), 128U);
  EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
  EXPECT_EQ(tokens, member_tokens("node-1", 128));
  EXPECT_NE(tokens, member_tokens("node-2", 128));
}

TEST(RingPage, NamesAreEscaped) {
  RingRow row;
  row.id = "<b>\"x", row.zone = "<b>", row.address = "<b>";
  const std::string html = ring_html({"<b>", 0, {row}}, true).body;
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;&#34;x"));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
}

// A ring in a store, its pages behind a server.
class RingRoutes : public ::testing::Test {
 protected:
  void SetUp() override {
    clock_.set_ns(kNow * kNanosPerSecond);
    ASSERT_TRUE(kv_->update("collectors/ring", [](ring::Desc& desc) -> Result<bool> { desc = three(); return true; }, {}).ok());
    ring_ = std::make_unique<ring::Ring>(*kv_, ring::RingOptions{}, registry_, clock_);
    compactors_ = std::make_unique<ring::Ring>(*kv_, ring::RingOptions{.key = "collectors/compactor", .name = "compactor"}, registry_, clock_);
    ASSERT_TRUE(ring_->wait_until_known({}).ok());
    server_ = std::make_unique<http::Server>(http::ServerOptions{.listen_address = "127.0.0.1", .port = 0, .io_threads = 1}, pool_, registry_);
    add_ring_routes(*server_, {{"/ring", "Ingester Ring", ring_.get()}, {"/compactor/ring", "Compactor Ring", compactors_.get()}});
    add_memberlist_route(*server_, nullptr);
    ASSERT_TRUE(server_->start().ok());
    client_ = http::Client::create({.proxy = "none"}).value();
  }
  void TearDown() override { server_->stop(1000); }
  http::ClientResponse call(const std::string& method, const std::string& path, const std::string& body = "", std::vector<http::Header> headers = {}) {
    const http::ClientRequest request{.method = method, .url = "http://127.0.0.1:" + std::to_string(server_->port()) + path, .headers = std::move(headers), .body = body};
    auto response = client_->call(request, {});
    EXPECT_TRUE(response.ok());
    return response.ok() ? *std::move(response) : http::ClientResponse{};
  }

  FakeClock clock_;
  obs::Registry registry_;
  exec::Pool pool_{"test", 2};
  std::unique_ptr<ring::KvStore> kv_ = ring::make_memory_kv();
  std::unique_ptr<ring::Ring> ring_, compactors_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Client> client_;
};

TEST_F(RingRoutes, EachPageShowsItsRing) {
  EXPECT_THAT(call("GET", "/ring").body, HasSubstr("UNHEALTHY"));
  EXPECT_THAT(call("GET", "/ring", "", {{"Accept", "application/json"}}).body, HasSubstr("\"state\":\"UNHEALTHY\""));
  EXPECT_THAT(call("GET", "/compactor/ring").body, HasSubstr("nobody is in this ring"));
  EXPECT_EQ(call("GET", "/memberlist").body, "This instance doesn't use memberlist.\n");
}

TEST_F(RingRoutes, ForgetRemovesTheEntryAndAnswersWithTheSamePage) {
  const auto response = call("POST", "/ring", "forget=c", {{"Content-Type", "application/x-www-form-urlencoded"}});
  EXPECT_EQ(response.status, 302);
  ASSERT_NE(response.header("Location"), nullptr);
  EXPECT_EQ(*response.header("Location"), "#");
  EXPECT_FALSE(kv_->get("collectors/ring", {})->instances.contains("c"));
  for (int i = 0; i < 500 && ring_->picture()->desc().instances.contains("c"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_THAT(call("GET", "/ring").body, Not(HasSubstr("value=\"c\"")));
  EXPECT_THAT(call("GET", "/ring").body, HasSubstr("value=\"a\""));
  // Of whom nobody knows: nothing to do. Nobody named: a mistake.
  EXPECT_EQ(call("POST", "/ring", "forget=zz", {{"Content-Type", "application/x-www-form-urlencoded"}}).status, 302);
  EXPECT_EQ(call("POST", "/ring").status, 400);
  EXPECT_EQ(kv_->get("collectors/ring", {})->instances.size(), 2U);
}

class FakeMemberlist final : public ring::Memberlist {
 public:
  ring::KvStore& kv() override { return *kv_; }
  bool joined() const override { return true; }
  std::vector<Member> members() const override {
    Member self{.name = "n2", .address = "10.0.0.2:7946", .state = "alive", .incarnation = 3, .meta = ""};
    Member other{.name = "n1<", .address = "[fd00::1]:7947", .state = "dead", .incarnation = 1, .meta = std::string("\x01\x02", 2)};
    return {self, other};
  }
  std::vector<Value> values() const override {
    ring::Desc desc = three();
    desc.instances["gone"] = member("gone", InstanceState::kLeft, kNow - 9, {});
    return {{.key = "collectors/ring", .codec = "ringDesc", .version = 7, .updated_ms = kNow * 1000, .desc = desc, .bytes = 123}};
  }

 private:
  std::unique_ptr<ring::KvStore> kv_ = ring::make_memory_kv();
};

TEST(MemberlistPage, ListsMembersAndValues) {
  const FakeMemberlist memberlist;
  const auto page = [&](const std::string& query, bool json = false) { return memberlist_page(&memberlist, request(query, json), kNow * kNanosPerSecond); };
  const std::string html = page("").body;
  for (const char* text : {"n1&lt;", "n2 <span class=\"dim\">(this process)</span>", "10.0.0.2:7946", "dead", "ringDesc",
                           "?viewKey=collectors%2Fring&amp;format=json-pretty", "?downloadKey=collectors%2Fring", ">3<"})
    EXPECT_THAT(html, HasSubstr(text));
  EXPECT_EQ(page("", true).body,
            R"({"Now":"2023-11-14T22:13:20Z","Memberlist":{},"SortedMembers":[)"
            R"({"Name":"n1\u003c","Addr":"fd00::1","Port":7947,"Meta":"AQI=","State":2,"PMin":1,"PMax":5,"PCur":2,"DMin":0,"DMax":0,"DCur":0},)"
            R"({"Name":"n2","Addr":"10.0.0.2","Port":7946,"Meta":null,"State":0,"PMin":1,"PMax":5,"PCur":2,"DMin":0,"DMax":0,"DCur":0}],)"
            R"("Store":{"collectors/ring":{"Version":7,"CodecID":"ringDesc","Deleted":false,"UpdateTime":"2023-11-14T22:13:20Z"}},)"
            R"("StoreSizes":{"collectors/ring":123},"TotalStoreSize":123,"MessageHistoryBufferBytes":0,"SentMessages":null,"ReceivedMessages":null,)"
            R"("ZoneAwareRouting":false})");
}

TEST(MemberlistPage, ShowsOneValue) {
  const FakeMemberlist memberlist;
  const auto page = [&](const std::string& query) { return memberlist_page(&memberlist, request(query), kNow * kNanosPerSecond); };
  EXPECT_THAT(page("viewKey=collectors/ring&format=json").body,
              HasSubstr(R"("a":{"addr":"a:9095","timestamp":1699999995,"state":0,"tokens":[1073741824],"zone":"zone-a","registered_timestamp":1699999940,"id":"a"})"));
  EXPECT_THAT(page("viewKey=collectors/ring").body, HasSubstr("\"gone\":{"));
  EXPECT_THAT(page("viewKey=collectors/ring&format=json-pretty").body, HasSubstr("\n        \"a\": {\n            \"addr\": \"a:9095\","));
  EXPECT_THAT(page("viewKey=collectors/ring&format=struct").body, HasSubstr("b: LEAVING, address b:9095, zone \"zone-a\", heartbeat 2023-11-14T22:12:20Z (1m0s ago)"));
  EXPECT_EQ(page("viewKey=collectors/ring&format=x").status, 400);
  EXPECT_EQ(page("viewKey=nope").status, 404);
  EXPECT_EQ(page("downloadKey=nope").status, 404);
  const auto download = page("downloadKey=collectors/ring");
  EXPECT_EQ(*ring::decode(download.body), memberlist.values()[0].desc);
  EXPECT_EQ(download.headers[0].value, "attachment; filename=7-collectors-ring");
}

}  // namespace
}  // namespace skald::api
