// Memory, disk, and what is put around levels.
#include <gtest/gtest.h>

#include "cache/envelope.h"
#include "cache/fake_server.h"
#include "cache/levels.h"
#include "skald/base/random.h"
#include "skald/io/fault_file_system.h"
#include "skald/io/memory_file_system.h"

namespace skald::cache {
namespace {

using testing::counter;
using testing::get;
using testing::get_all;
using testing::item;
using testing::MapCache;

std::string key_of(int i) { return "key-" + std::to_string(i); }

TEST(Envelope, OnlyTheValueStoredUnderTheKeyComesOut) {
  const Bytes sealed = seal("key", "value");
  ASSERT_NE(unseal("key", sealed), nullptr);
  EXPECT_EQ(*unseal("key", sealed), "value");
  EXPECT_EQ(unseal("kez", sealed), nullptr);
  EXPECT_EQ(unseal("keyv", seal("key", "")), nullptr);
  for (std::size_t keep = 0; keep < sealed.size(); ++keep) EXPECT_EQ(unseal("key", ByteView(sealed).substr(0, keep)), nullptr) << keep;
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes damaged = sealed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(unseal("key", damaged), nullptr) << bit;
  }
}

TEST(MemoryCache, KeepsWhatFitsAndCounts) {
  obs::Registry registry;
  FakeClock clock;
  const auto cache = make_memory_cache({.name = "m", .bytes_max = 10'000}, registry, clock);
  for (int i = 0; i < 100; ++i) cache->store({item(key_of(i), std::string(872 - key_of(i).size() * 2, 'x'))});   // 1000 bytes each with what it costs
  EXPECT_EQ(counter(registry, "loki_embeddedcache_entries{cache=\"m\"}"), 10);
  EXPECT_EQ(counter(registry, "loki_embeddedcache_memory_bytes{cache=\"m\"}"), 10'000);
  EXPECT_EQ(counter(registry, "loki_embeddedcache_added_new_total{cache=\"m\"}"), 100);
  EXPECT_EQ(counter(registry, "loki_embeddedcache_evicted_total{cache=\"m\",reason=\"full\"}"), 90);
  EXPECT_EQ(get(*cache, key_of(89)), "<miss>");
  EXPECT_EQ(get(*cache, key_of(90)).size(), 860U);
}

TEST(MemoryCache, OnePassOverMuchDataDoesNotWashOutWhatIsUsedAgain) {
  obs::Registry registry;
  FakeClock clock;
  const auto cache = make_memory_cache({.name = "m", .bytes_max = 100'000}, registry, clock);
  for (int i = 0; i < 20; ++i) cache->store({item(key_of(i), std::string(800, 'a'))});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(get(*cache, key_of(i)).size(), 800U);
  for (int i = 1000; i < 3000; ++i) cache->store({item(key_of(i), std::string(800, 'b'))});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(get(*cache, key_of(i)).size(), 800U) << i;
  EXPECT_NE(get(*cache, key_of(2999)), "<miss>");
}

TEST(MemoryCache, ReplacesExpiresAndRefusesWhatIsTooBig) {
  obs::Registry registry;
  FakeClock clock;
  const auto cache = make_memory_cache({.name = "m", .bytes_max = 10'000, .ttl_ns = kNanosPerMinute}, registry, clock);
  cache->store({item("k", "one"), item("k", "two"), item("k", "three!"), item("big", std::string(20'000, 'x'))});
  EXPECT_EQ(get_all(*cache, {"k", "big", "none"}), (std::vector<std::string>{"three!", "<miss>", "<miss>"}));
  EXPECT_EQ(counter(registry, "loki_embeddedcache_entries{cache=\"m\"}"), 1);
  clock.advance_ns(kNanosPerMinute + 1);
  EXPECT_EQ(get(*cache, "k"), "<miss>");
  EXPECT_EQ(counter(registry, "loki_embeddedcache_entries{cache=\"m\"}"), 0);
  EXPECT_EQ(counter(registry, "loki_embeddedcache_memory_bytes{cache=\"m\"}"), 0);
}

TEST(MemoryCache, ItemsAreBoundedToo) {
  obs::Registry registry;
  FakeClock clock;
  const auto cache = make_memory_cache({.name = "m", .bytes_max = 100 << 20, .items_max = 10}, registry, clock);
  for (int i = 0; i < 1000; ++i) cache->store({item(key_of(i), "v")});
  EXPECT_LE(counter(registry, "loki_embeddedcache_entries{cache=\"m\"}"), 10);
}

TEST(MemoryCache, ManyThreadsAtOnce) {
  obs::Registry registry;
  const auto cache = make_memory_cache({.name = "m", .bytes_max = 64 << 20}, registry, system_clock());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      SeededRandom random(static_cast<std::uint64_t>(t));
      for (int i = 0; i < 2000; ++i) {
        const std::string key = key_of(static_cast<int>(random.next_u64() % 200));
        if (i % 3 == 0) cache->store({item(key, key + key)});
        const std::string value = get(*cache, key);
        EXPECT_TRUE(value == "<miss>" || value == key + key);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class Disk : public ::testing::Test {
 protected:
  std::shared_ptr<Cache> open(std::uint64_t bytes_max = 1 << 20, std::int64_t ttl_ns = 0) {
    registry = std::make_unique<obs::Registry>();
    auto opened = open_disk_cache({.name = "d", .directory = "/cache", .bytes_max = bytes_max, .ttl_ns = ttl_ns}, files, *registry, clock);
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    return *opened;
  }
  std::vector<std::string> all_files() {
    std::vector<std::string> out;
    const auto folders = files.list("/cache");
    for (const io::DirEntry& folder : *folders) {
      const auto inside = files.list("/cache/" + folder.name);
      for (const io::DirEntry& file : *inside) out.push_back("/cache/" + folder.name + "/" + file.name);
    }
    return out;
  }
  io::MemoryFileSystem files;
  FakeClock clock;
  std::unique_ptr<obs::Registry> registry;
};

TEST_F(Disk, SurvivesARestart) {
  auto cache = open();
  for (int i = 0; i < 50; ++i) cache->store({item(key_of(i), "value " + std::to_string(i))});
  EXPECT_EQ(get(*cache, key_of(7)), "value 7");
  cache.reset();
  cache = open();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(get(*cache, key_of(i)), "value " + std::to_string(i));
  EXPECT_EQ(counter(*registry, "skald_diskcache_entries{cache=\"d\"}"), 50);
}

TEST_F(Disk, StaysWithinItsBytesAndAStartWithFewerRemovesTheOldest) {
  auto cache = open(20 * 4096);
  for (int i = 0; i < 100; ++i) {
    clock.advance_ns(1);
    cache->store({item(key_of(i), std::string(3000, 'x'))});
  }
  EXPECT_EQ(all_files().size(), 20U);
  EXPECT_EQ(counter(*registry, "skald_diskcache_bytes{cache=\"d\"}"), 20 * 4096);
  EXPECT_EQ(get(*cache, key_of(79)), "<miss>");
  EXPECT_EQ(get(*cache, key_of(80)).size(), 3000U);
  cache = open(5 * 4096);
  EXPECT_EQ(all_files().size(), 5U);
  EXPECT_EQ(get(*cache, key_of(94)), "<miss>");
  for (int i = 95; i < 100; ++i) EXPECT_EQ(get(*cache, key_of(i)).size(), 3000U);
}

TEST_F(Disk, ADamagedFileIsAMissAndGoes) {
  const auto cache = open();
  cache->store({item("a", "aaaa"), item("b", "bbbb")});
  for (const std::string& file : all_files()) ASSERT_TRUE(files.corrupt(file, 9, 4).ok());
  EXPECT_EQ(get_all(*cache, {"a", "b"}), (std::vector<std::string>{"<miss>", "<miss>"}));
  EXPECT_TRUE(all_files().empty());
  EXPECT_EQ(counter(*registry, "skald_diskcache_corrupt_total{cache=\"d\"}"), 2);
  cache->store({item("a", "again")});
  EXPECT_EQ(get(*cache, "a"), "again");
}

TEST_F(Disk, APowerCutLeavesValuesOrMisses) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto cache = open();
    for (int i = 0; i < 30; ++i) cache->store({item(key_of(i), "value " + std::to_string(i))});
    cache.reset();
    files.crash(seed);
    cache = open();
    for (int i = 0; i < 30; ++i) {
      const std::string got = get(*cache, key_of(i));
      EXPECT_TRUE(got == "<miss>" || got == "value " + std::to_string(i)) << got;
    }
  }
}

TEST_F(Disk, ExpiresWhereItIsTold) {
  const auto cache = open(1 << 20, kNanosPerHour);
  cache->store({item("a", "1")});
  clock.advance_ns(kNanosPerHour + 1);
  EXPECT_EQ(get(*cache, "a"), "<miss>");
  EXPECT_TRUE(all_files().empty());
  cache->store({item("a", "2")});
  clock.advance_ns(kNanosPerHour / 2 + 1);
  cache->store({item("a", "3")});   // older than half its life: written anew
  EXPECT_EQ(get(*cache, "a"), "3");
  EXPECT_EQ(all_files().size(), 1U);
}

TEST_F(Disk, AFullDiskPausesAndResumes) {
  const auto cache = open();
  cache->store({item("a", "1")});
  files.set_capacity(files.used_bytes() + 1);
  cache->store({item("b", "2")});
  EXPECT_EQ(get(*cache, "b"), "<miss>");
  EXPECT_EQ(get(*cache, "a"), "1");
  files.set_capacity(1 << 30);
  cache->store({item("b", "2")});
  EXPECT_EQ(get(*cache, "b"), "<miss>") << "pauses";
  clock.advance_ns(kNanosPerMinute);
  cache->store({item("b", "2")});
  EXPECT_EQ(get(*cache, "b"), "2");
}

TEST_F(Disk, EveryRefusedOperationIsAMissAtMost) {
  bool any_left = true;
  for (std::uint64_t nth = 1; any_left; ++nth) {
    io::MemoryFileSystem inner;
    io::FaultFileSystem broken(inner);
    broken.set_plan({.fail_at = nth, .kind = nth % 2 == 0 ? io::FaultKind::kShortWrite : io::FaultKind::kNoSpace, .operations = io::kFaultEverything});
    obs::Registry metrics;
    auto opened = open_disk_cache({.name = "d", .directory = "/cache", .bytes_max = 3 * 4096}, broken, metrics, clock);
    if (!opened.ok()) continue;
    for (int i = 0; i < 6; ++i) {
      clock.advance_ns(kNanosPerMinute);
      (*opened)->store({item(key_of(i), key_of(i))});
      const std::string got = get(**opened, key_of(i));
      EXPECT_TRUE(got == "<miss>" || got == key_of(i));
    }
    any_left = broken.fired();
    ASSERT_LT(nth, 1000U);
  }
}

TEST(Background, DropsWhatDoesNotFitAndCounts) {
  obs::Registry registry;
  const auto inner = std::make_shared<MapCache>();
  const auto cache = in_background(inner, {.name = "b", .threads = 1, .batches_max = 3, .bytes_max = 1000}, registry);
  {
    const std::lock_guard hold(inner->gate);
    cache->store({item("first", "x")});
    for (int i = 0; i < 10; ++i) cache->store({item(key_of(i), "x")});
    cache->store({item("huge", std::string(2000, 'x'))});
  }
  cache->flush();
  EXPECT_GE(inner->items.size(), 3U);    // three waited
  EXPECT_LE(inner->items.size(), 4U);    // and perhaps the first one was being written already
  EXPECT_EQ(counter(registry, "loki_cache_dropped_background_writes_total{name=\"b\"}") + static_cast<double>(inner->items.size()), 12);
  EXPECT_FALSE(inner->items.contains("huge"));
  EXPECT_EQ(counter(registry, "loki_cache_background_queue_length{name=\"b\"}"), 0);
  EXPECT_EQ(counter(registry, "loki_cache_background_queue_bytes{name=\"b\"}"), 0);
}

TEST(Tiered, AHitBelowIsCopiedUp) {
  const auto fast = std::make_shared<MapCache>(), middle = std::make_shared<MapCache>(), slow = std::make_shared<MapCache>();
  const auto cache = tiered({fast, middle, slow});
  slow->store({item("a", "1"), item("c", "3")});
  middle->store({item("b", "2")});
  EXPECT_EQ(get_all(*cache, {"c", "none", "a", "b"}), (std::vector<std::string>{"3", "<miss>", "1", "2"}));
  EXPECT_EQ(slow->asked, (std::vector<std::string>{"c", "none", "a"}));
  EXPECT_TRUE(fast->items.contains("a") && fast->items.contains("b") && middle->items.contains("a") && !slow->items.contains("b"));
  slow->asked.clear();
  EXPECT_EQ(get_all(*cache, {"a", "b", "c"}), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_TRUE(slow->asked.empty());
  cache->store({item("d", "4")});
  EXPECT_TRUE(fast->items.contains("d") && middle->items.contains("d") && slow->items.contains("d"));
}

TEST(Tiered, PrefixesKeepUsesApart) {
  const auto inner = std::make_shared<MapCache>();
  const auto a = with_prefix(inner, "a/"), b = with_prefix(inner, "b/");
  a->store({item("k", "1")});
  EXPECT_EQ(get(*a, "k"), "1");
  EXPECT_EQ(get(*b, "k"), "<miss>");
}

TEST(Open, BuildsWhatIsConfigured) {
  obs::Registry registry;
  io::MemoryFileSystem files;
  config::CacheBlockConfig config;
  EXPECT_EQ(*open(config, {.name = "chunks"}, files, registry), nullptr);
  config.embedded_enabled = true;
  EXPECT_EQ(*open(config, {.name = "chunks", .with_memory = false}, files, registry), nullptr);
  config.disk_directory = "/disk";
  const auto cache = *open(config, {.name = "frontend.", .content = Content::kAnswers}, files, registry);
  ASSERT_NE(cache, nullptr);
  cache->store({item("k", "v")});
  cache->flush();
  EXPECT_EQ(get(*cache, "k"), "v");
  EXPECT_TRUE(*files.exists("/disk/frontend"));
  EXPECT_EQ(counter(registry, "loki_cache_hits{name=\"frontend.embedded-cache\"}"), 1);
  EXPECT_EQ(counter(registry, "loki_cache_fetched_keys{name=\"frontend.disk-cache\"}"), 0);
  const auto reopened = *open(config, {.name = "frontend.", .with_memory = false}, files, registry);
  EXPECT_EQ(get(*reopened, "k"), "v");
  config.redis.endpoint = "a:1,b:2";
  const auto refused = open(config, {.name = "x"}, files, registry);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("redis.endpoint"), std::string::npos);
}

}  // namespace
}  // namespace skald::cache
