// The loader against damaged files: no crash, always a message, and what loads prints and reads back the same.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "skald/config/load.h"
#include "without_secrets.h"

namespace skald::config {
namespace {

std::string sample() {
  std::ifstream in(std::string(SKALD_SOURCE_DIR) + "/configs/multi-tenant.yaml");
  std::stringstream text;
  text << in.rdbuf();
  return text.str() + "limits_config2: &a {retention_stream: [{selector: '{a=\"b\"}', period: 24h}], x: *a}\n";
}

// Every way to name a store at once, and caches.
constexpr const char* kStores = R"(common:
  path_prefix: /p
  storage: {s3: {bucketnames: c, endpoint: 'http://m:9', insecure: true, sse: {type: SSE-S3}}, object_store: {storage_prefix: p, s3: {bucket_name: c, region: r}}, hedging: {at: 1s}}
schema_config: {configs: [{from: 2024-01-01, store: tsdb, object_store: s3, schema: v13, index: {prefix: i_, period: 24h}}, {from: 2025-01-01, store: tsdb, object_store: far, schema: v13}]}
storage_config:
  aws: {s3: 's3://k:a%2Fb@h.x:1/b', backoff_config: {max_retries: 2}, http_config: {timeout: 3s}, dynamodb: {dynamodb_url: dynamodb://us-east-1}}
  azure: {account_name: a, use_federated_token: true}
  object_prefix: p/
  named_stores: {aws: {far: {bucketnames: 'x,y', checksum: md5}}, filesystem: {two: {directory: /t}}}
  object_store: {named_stores: {gcs: {g: {bucket_name: b}}}, azure: {container_name: q}}
ruler_storage: {backend: s3, s3: {bucket_name: rules}}
chunk_store_config: {chunk_cache_config: {memcached_client: {addresses: 'm:1'}, disk_cache: {directory: /d}}, chunk_cache_config_l2: {redis: {endpoint: r}}}
query_range: {results_cache: {cache: {enable_fifocache: true, fifocache: {max_size_bytes: 3MB, ttl: 1m}}}, label_results_cache: {cache: {embedded_cache: {enabled: true}}}}
compactor: {retention_enabled: true, delete_request_store: far, apply_retention_interval: 20m}
)";

void check(const std::string& text) {
  const Result<Loaded> loaded = load_text(text, "m.yaml");
  if (!loaded.ok()) {
    ASSERT_FALSE(loaded.error().message().empty()) << text;
    return;
  }
  const std::string printed = print_config(loaded->config);
  const Result<Loaded> again = load_text(printed, "printed.yaml");
  ASSERT_TRUE(again.ok()) << again.error().message() << "\nfrom\n" << text;
  ASSERT_EQ(print_config(again->config), printed) << text;
  const Config& one = loaded->config;
  const Config& other = again->config;
  ASSERT_TRUE(without_secrets(other.stores) == without_secrets(one.stores)) << text;
  ASSERT_TRUE(without_secrets(other.ruler_bucket) == without_secrets(one.ruler_bucket)) << text;
  ASSERT_TRUE(other.chunk_cache == one.chunk_cache && other.query_range.results_cache == one.query_range.results_cache) << text;
  ASSERT_EQ(other.schema, one.schema) << text;
}

void damage(const std::string& text, int rounds) {
  const std::string alphabet = "{}[]:,-&*!|>'\"%@`#? \n\t<~0aZ\x01\xff";
  std::mt19937 random(20260115);
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = text;
    const int changes = 1 + static_cast<int>(random() % 6);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = random() % damaged.size();
      const char c = alphabet[random() % alphabet.size()];
      switch (random() % 3) {
        case 0: damaged[at] = c; break;
        case 1: damaged.insert(at, 1 + random() % 3, c); break;
        default: damaged.erase(at, 1 + random() % 5); break;
      }
    }
    check(damaged);
  }
}

TEST(Mutation, TruncationAtManyPlaces) {
  const std::string text = sample();
  for (std::size_t keep = 0; keep < text.size(); keep += 9) check(text.substr(0, keep));
}

TEST(Mutation, StoresSurviveTruncationAndDamage) {
  const std::string text = kStores;
  ASSERT_TRUE(load_text(text, "whole.yaml").ok()) << load_text(text, "whole.yaml").error().message();
  for (std::size_t keep = 0; keep < text.size(); keep += 31) check(text.substr(0, keep));
  damage(text, 120);
}

TEST(Mutation, RandomDamage) { damage(sample(), 250); }

TEST(Mutation, ACommaOutsideOfAnyListIsRefused) {
  for (const char* text : {",", ",,a: 1", ",auth_enabled: true\nserver: {}", "- a\n,", "[a],", "{auth_enabled: true} ,", ",}", "---\n,", "auth_enabled: true\n---\n,\n"})
    EXPECT_FALSE(load_text(text, "comma.yaml").ok()) << text;
  for (const char* text : {"", "---\n", "---\n---\n", "--- \nauth_enabled: true\n...\n---\n", "# only a comment\n", "auth_enabled: true\n...\n", "---\n---\n---\n"})
    EXPECT_TRUE(load_text(text, "documents.yaml").ok()) << text << load_text(text, "documents.yaml").error().message();
}

TEST(Mutation, DeepNestingIsRefusedNotFollowed) {
  for (const char* open : {"[", "{a: ", "- ", "? "}) {
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += open;
    const Result<Loaded> loaded = load_text(text, "deep.yaml");
    EXPECT_FALSE(loaded.ok());
  }
}

}  // namespace
}  // namespace skald::config
