#include "objstore/token.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "objstore/oauth.h"
#include "objstore/fake_remote.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kSecond = kNanosPerSecond;

struct Source {
  FakeClock clock;
  std::atomic<int> fetches{0};
  std::int64_t life_ns = 3600 * kSecond;
  bool fails = false;
  CachedToken token{"test token",
                    [this](const CallContext&) -> Result<Token> {
                      const int n = ++fetches;
                      if (fails) return Error(ErrorCode::kUnavailable, "no service");
                      return Token{"t" + std::to_string(n), clock.now_ns() + life_ns};
                    },
                    clock};
};

TEST(CachedTokens, AreFetchedOnceAndRenewedFiveMinutesBeforeTheirEnd) {
  Source source;
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.clock.advance_ns(3299 * kSecond);
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.clock.advance_ns(1 * kSecond);
  EXPECT_EQ(source.token.get({}).value(), "t2");
  EXPECT_EQ(source.fetches, 2);
}

TEST(CachedTokens, OfShortLifeAreRenewedHalfway) {
  Source source;
  source.life_ns = 60 * kSecond;
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.clock.advance_ns(29 * kSecond);
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.clock.advance_ns(1 * kSecond);
  EXPECT_EQ(source.token.get({}).value(), "t2");
}

TEST(CachedTokens, ServeToTheLastSecondWhileRenewingFails) {
  Source source;
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.fails = true;
  source.clock.advance_ns(3400 * kSecond);
  EXPECT_EQ(source.token.get({}).value(), "t1");
  EXPECT_EQ(source.token.get({}).value(), "t1");
  EXPECT_EQ(source.fetches, 2);   // not again for ten seconds
  source.clock.advance_ns(10 * kSecond);
  EXPECT_EQ(source.token.get({}).value(), "t1");
  EXPECT_EQ(source.fetches, 3);
  source.clock.advance_ns(190 * kSecond);
  EXPECT_EQ(source.token.get({}).error().message(), "no service");
  source.fails = false;
  EXPECT_EQ(source.token.get({}).value(), "t5");
}

TEST(CachedTokens, ThatAreRefusedAreReplacedOnce) {
  Source source;
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.token.reject("t1");   // too young: another would be refused as well
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.clock.advance_ns(10 * kSecond);
  source.token.reject("another");
  EXPECT_EQ(source.token.get({}).value(), "t1");
  source.token.reject("t1");
  EXPECT_EQ(source.token.get({}).value(), "t2");
  source.clock.advance_ns(10 * kSecond);
  source.token.reject("t1");   // a request that was slow to fail
  EXPECT_EQ(source.token.get({}).value(), "t2");
}

TEST(CachedTokens, ThatAreBornDeadAreAnError) {
  Source source;
  source.life_ns = 0;
  EXPECT_NE(source.token.get({}).error().message().find("clock"), std::string::npos);
}

// A service that answers when the test says so.
struct SlowSource {
  FakeClock clock;
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  bool fails = false;
  int fetches = 0;
  CachedToken token{"slow token",
                    [this](const CallContext&) -> Result<Token> {
                      std::unique_lock lock(mutex);
                      ++fetches;
                      changed.notify_all();
                      changed.wait(lock, [&] { return open; });
                      if (fails) return Error(ErrorCode::kPermissionDenied, "refused");
                      return Token{"t" + std::to_string(fetches), clock.now_ns() + 3600 * kSecond};
                    },
                    clock};
  void wait_for_fetch() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return fetches > 0; });
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
};

TEST(CachedTokens, AreFetchedByOneForAll) {
  for (const bool fails : {false, true}) {
    SlowSource source;
    source.fails = fails;
    std::atomic<int> good{0}, refused{0};
    std::vector<std::thread> threads;
    const auto ask_once = [&] {
      const auto token = source.token.get({});
      if (token.ok()) ++good;
      else if (token.error().message() == "refused") ++refused;
    };
    threads.emplace_back(ask_once);
    source.wait_for_fetch();
    for (int i = 0; i < 7; ++i) threads.emplace_back(ask_once);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));   // so that they wait already; a late one asks again when `fails`
    source.let_go();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(good, fails ? 0 : 8);
    EXPECT_EQ(refused, fails ? 8 : 0);
    if (!fails) {
      EXPECT_EQ(source.fetches, 1);
    }
  }
}

TEST(CachedTokens, LetAWaiterGoWhenItIsCancelled) {
  SlowSource source;
  std::thread first([&] { EXPECT_TRUE(source.token.get({}).ok()); });
  source.wait_for_fetch();
  CallContext ctx;
  auto cancel = std::make_shared<CancelToken>();
  ctx.cancel = cancel;
  std::thread second([&] { EXPECT_EQ(source.token.get(ctx).error().code(), ErrorCode::kCancelled); });
  cancel->cancel();
  second.join();
  source.let_go();
  first.join();
}

TEST(TokenAnswers, AreReadInEveryDialect) {
  const std::int64_t now = 1'700'000'000 * kSecond;
  const auto expiry_s = [&](const std::string& body) { return (read_token(answer(200, body), "x", now).value().expires_ns - now) / kSecond; };
  EXPECT_EQ(expiry_s(R"({"access_token":"a","expires_in":3599})"), 3599);
  EXPECT_EQ(expiry_s(R"({"access_token":"a","expires_in":"3599","expires_on":"1"})"), 3599);      // Azure's metadata service
  EXPECT_EQ(expiry_s(R"({"access_token":"a","expires_on":"1700000100"})"), 100);                  // App Service
  EXPECT_EQ(expiry_s(R"({"access_token":"a","expires_on":1700000100})"), 100);
  EXPECT_EQ(expiry_s(R"({"access_token":"a"})"), 3600);
  EXPECT_EQ(expiry_s(R"({"access_token":"a","expires_in":-5})"), 0);
  EXPECT_GT(expiry_s(R"({"access_token":"a","expires_in":9223372036854775807})"), 0);
  EXPECT_EQ(read_token(answer(200, R"({"access_token":"abc"})"), "x", now).value().value, "abc");
}

TEST(TokenAnswers, OfRefusalSayWhy) {
  const auto error = [](int status, const std::string& body) { return read_token(answer(status, body), "who", 0).error(); };
  EXPECT_EQ(error(400, R"({"error":"invalid_grant","error_description":"Account\n not found."})"),
            Error(ErrorCode::kPermissionDenied, "who: the token service answered 400: invalid_grant: Account not found."));
  EXPECT_EQ(error(403, R"({"error":{"code":403,"message":"no access"}})").message(), "who: the token service answered 403: no access");
  EXPECT_EQ(error(404, "<html>").message(), "who: the token service answered 404: <html>");
  EXPECT_EQ(error(302, "").code(), ErrorCode::kUnavailable);
  for (const char* body : {"", "[]", "{}", R"({"access_token":""})", R"({"access_token":7})", R"({"access_token":"a\r\nX: b"})", R"({"access_token":"a)"})
    EXPECT_EQ(error(200, body).code(), ErrorCode::kUnavailable) << body;
}

TEST(Forms, AreEncoded) {
  EXPECT_EQ(form_encode({{"a", "x y&z=ü/+"}, {"left_out", ""}, {"b~-._", "1"}}), "a=x%20y%26z%3D%C3%BC%2F%2B&b~-._=1");
  EXPECT_EQ(percent_encode("a/b c", "/"), "a/b%20c");
  EXPECT_EQ(origin_of("https://user:secret@host:1/path?q"), "https://host:1");
}

TEST(OneLine, CutsBetweenCharacters) {
  EXPECT_EQ(one_line("  a \r\n b\t"), "a b");
  for (std::size_t max = 1; max < 12; ++max) {
    const std::string text = one_line("äöü€😀z", max);
    EXPECT_TRUE(text.ends_with("…")) << max;
    EXPECT_LE(text.size(), max + 3);
    for (std::size_t i = 0; i + 3 < text.size();) {   // each character is whole
      const auto c = static_cast<unsigned char>(text[i]);
      const std::size_t length = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
      ASSERT_GE(c, 0x01);
      ASSERT_NE(c & 0xC0, 0x80) << max;
      i += length;
      ASSERT_LE(i, text.size() - 3) << max;
    }
  }
}

}  // namespace
}  // namespace skald::objstore
