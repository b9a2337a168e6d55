// Against real servers, where the environment names them:
//   SKALD_TEST_MEMCACHED=127.0.0.1:11211,127.0.0.1:11212
//   SKALD_TEST_REDIS=127.0.0.1:6379  SKALD_TEST_REDIS_PASSWORD=…  SKALD_TEST_REDIS_TLS=1 (certificate of localhost in SSL_CERT_FILE)
#include <gtest/gtest.h>

#include <cstdlib>

#include "cache/fake_server.h"
#include "cache/levels.h"
#include "skald/base/random.h"

namespace skald::cache {
namespace {

using testing::get;
using testing::get_all;
using testing::item;

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Any bytes as keys and values, sizes from nothing to most of a megabyte, several threads.
void try_hard(Cache& cache) {
  const std::string salt = Ulid::make(system_clock().now_ns(), system_random()).to_string();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      SeededRandom random(static_cast<std::uint64_t>(t));
      std::vector<std::string> keys, values;
      for (int i = 0; i < 100; ++i) {
        std::string key = salt + std::to_string(t) + "/" + std::to_string(i), value;
        if (i % 5 == 0) key += std::string("\r\n \0", 4) + std::string(300, 'k');
        const std::uint64_t size = i == 7 ? 900'000 : random.next_u64() % 5000;
        for (std::uint64_t n = 0; n < size; n += 8) append_le(value, random.next_u64());
        keys.push_back(key);
        values.push_back(value);
        cache.store({item(key, value)});
      }
      EXPECT_EQ(get_all(cache, keys), values);
      EXPECT_EQ(get(cache, salt + "never stored"), "<miss>");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Live, Memcached) {
  config::MemcachedConfig config;
  config.addresses = setting("SKALD_TEST_MEMCACHED");
  if (config.addresses.empty()) GTEST_SKIP() << "SKALD_TEST_MEMCACHED is not set";
  config.timeout = 2 * kNanosPerSecond;
  obs::Registry registry;
  const auto cache = *open_memcached(config, kNanosPerHour, "m", registry);
  try_hard(*cache);
  cache->store({item("too large", std::string(3 << 20, 'x')), item("after", "v")});
  EXPECT_EQ(get_all(*cache, {"too large", "after"}), (std::vector<std::string>{"<miss>", "v"}));
}

TEST(Live, MemcachedByName) {
  config::MemcachedConfig config;
  const std::string first = setting("SKALD_TEST_MEMCACHED").substr(0, setting("SKALD_TEST_MEMCACHED").find(','));
  if (!first.starts_with("127.0.0.1:")) GTEST_SKIP() << "SKALD_TEST_MEMCACHED names no local server";
  config.addresses = "dns+localhost" + first.substr(first.find(':'));
  config.timeout = 2 * kNanosPerSecond;
  obs::Registry registry;
  const auto cache = *open_memcached(config, kNanosPerHour, "m", registry);
  std::string got;
  for (int i = 0; i < 1000 && got != "v"; ++i) {   // until the name is known; ::1 may be among its addresses with nobody there
    for (int n = 0; n < 8; ++n) cache->store({item("by name " + std::to_string(n), "v")});
    for (int n = 0; n < 8 && got != "v"; ++n) got = get(*cache, "by name " + std::to_string(n));
    if (got != "v") std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(got, "v");
}

TEST(Live, Redis) {
  config::RedisConfig config;
  config.endpoint = setting("SKALD_TEST_REDIS");
  if (config.endpoint.empty()) GTEST_SKIP() << "SKALD_TEST_REDIS is not set";
  config.password = setting("SKALD_TEST_REDIS_PASSWORD");
  config.tls_enabled = !setting("SKALD_TEST_REDIS_TLS").empty();
  config.timeout = 2 * kNanosPerSecond;
  config.db = 1;
  obs::Registry registry;
  const auto cache = *open_redis(config, kNanosPerHour, "r", registry);
  std::string got;
  for (int i = 0; i < 1000 && got != "v"; ++i) {   // until the name is known
    cache->store({item("first", "v")});
    got = get(*cache, "first");
  }
  ASSERT_EQ(got, "v");
  try_hard(*cache);
  config.db = 2;
  EXPECT_EQ(get(**open_redis(config, kNanosPerHour, "r", registry), "first"), "<miss>");
}

}  // namespace
}  // namespace skald::cache
