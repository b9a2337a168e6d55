// Stores in both generations of keys: what is read, what wins, what contradicts, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skald/config/load.h"
#include "without_secrets.h"

namespace skald::config {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = BucketConfig::Kind;

std::string schema_of(const std::string& store) {
  return "schema_config: {configs: [{from: 2024-01-01, store: tsdb, object_store: " + store + ", schema: v13, index: {prefix: index_, period: 24h}}]}\n";
}

Config config_of(const std::string& text) {
  Result<Loaded> loaded = load_text(text, "s.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.error().message() << "\n" << text;
  return loaded.ok() ? loaded->config : Config{};
}

std::string error_of(const std::string& text) {
  const Result<Loaded> loaded = load_text(text, "s.yaml");
  return loaded.ok() ? "loaded" : loaded.error().message();
}

// What is printed in full and read again means the same, apart from secrets.
void expect_same_after_printing(const Config& config) {
  const Config again = config_of(print_config(config));
  EXPECT_EQ(print_config(again), print_config(config));
  EXPECT_EQ(again.schema, config.schema);
  EXPECT_TRUE(without_secrets(again.stores) == without_secrets(config.stores));
  EXPECT_TRUE(without_secrets(again.ruler_bucket) == without_secrets(config.ruler_bucket));
}

TEST(Stores, EveryKeyOfTheOldS3Block) {
  const Config config = config_of(schema_of("aws") + R"(storage_config:
  aws:
    bucketnames: one, two
    endpoint: minio.local:9000
    region: eu-west-1
    access_key_id: id
    secret_access_key: key
    session_token: token
    insecure: true
    s3forcepathstyle: true
    http_config: {timeout: 7s, idle_conn_timeout: 8s, response_header_timeout: 9s, insecure_skip_verify: true, ca_file: /ca.pem}
    storage_class: STANDARD_IA
    sse: {type: SSE-KMS, kms_key_id: 'arn:k', kms_encryption_context: '{"a":"b"}'}
    backoff_config: {min_period: 1s, max_period: 2s, max_retries: 3}
    disable_dualstack: true
    checksum: crc32c
    part_size: 16MB
)");
  EXPECT_EQ(config.schema[0].bucket, "s3");
  const BucketConfig& bucket = config.bucket_of_period(0);
  ASSERT_EQ(bucket.kind, Kind::kS3);
  EXPECT_EQ(bucket.prefix, "");
  const S3Config& s3 = bucket.s3;
  EXPECT_THAT(s3.buckets, ElementsAre("one", "two"));
  EXPECT_EQ(s3.endpoint, "minio.local:9000");
  EXPECT_EQ(s3.region, "eu-west-1");
  EXPECT_EQ(s3.access_key_id, "id");
  EXPECT_EQ(s3.secret_access_key, "key");
  EXPECT_EQ(s3.session_token, "token");
  EXPECT_TRUE(s3.insecure);
  EXPECT_EQ(s3.lookup, S3Config::Lookup::kPath);
  EXPECT_FALSE(s3.dualstack);
  EXPECT_EQ(s3.storage_class, "STANDARD_IA");
  EXPECT_EQ(s3.sse, S3Config::Sse::kKms);
  EXPECT_EQ(s3.sse_kms_key_id, "arn:k");
  EXPECT_EQ(s3.sse_kms_context, "{\"a\":\"b\"}");
  EXPECT_EQ(s3.checksum, S3Config::Checksum::kCrc32c);
  EXPECT_EQ(s3.part_size, 16 << 20);
  EXPECT_EQ(s3.retry, (StoreRetryConfig{kNanosPerSecond, 2 * kNanosPerSecond, 3}));
  EXPECT_EQ(s3.http.timeout, 7 * kNanosPerSecond);
  EXPECT_EQ(s3.http.idle_conn_timeout, 8 * kNanosPerSecond);
  EXPECT_EQ(s3.http.response_header_timeout, 9 * kNanosPerSecond);
  EXPECT_TRUE(s3.http.insecure_skip_verify);
  EXPECT_EQ(s3.http.ca_file, "/ca.pem");
  expect_same_after_printing(config);
}

TEST(Stores, EveryKeyOfTheNewS3Block) {
  const Config config = config_of(schema_of("s3") + R"(storage_config:
  object_store:
    storage_prefix: logs
    s3:
      bucket_name: one
      endpoint: https://s3.eu-central-1.amazonaws.com/
      access_key_id: id
      secret_access_key: key
      session_token: token
      bucket_lookup_type: virtual-hosted
      dualstack_enabled: false
      native_aws_auth_enabled: true
      storage_class: GLACIER_IR
      sts_endpoint: https://sts
      list_objects_version: v2
      part_size: 5242880
      send_content_md5: true
      sse: {type: SSE-C, customer_key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}
      http: {idle_conn_timeout: 8s, response_header_timeout: 9s, insecure_skip_verify: true, tls_handshake_timeout: 3s, max_connections_per_host: 12, tls_ca_path: /ca, tls_cert_path: /c, tls_key_path: /k, tls_server_name: n}
)");
  const BucketConfig& bucket = config.bucket_of_period(0);
  EXPECT_EQ(bucket.prefix, "logs/");
  const S3Config& s3 = bucket.s3;
  EXPECT_THAT(s3.buckets, ElementsAre("one"));
  EXPECT_EQ(s3.endpoint, "s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(s3.region, "");   // the endpoint says it
  EXPECT_FALSE(s3.insecure);
  EXPECT_EQ(s3.lookup, S3Config::Lookup::kVirtualHosted);
  EXPECT_FALSE(s3.dualstack);
  EXPECT_EQ(s3.storage_class, "GLACIER_IR");
  EXPECT_EQ(s3.sts_endpoint, "https://sts");
  EXPECT_EQ(s3.part_size, 5242880);
  EXPECT_EQ(s3.checksum, S3Config::Checksum::kMd5);
  EXPECT_EQ(s3.sse, S3Config::Sse::kCustomer);
  EXPECT_EQ(s3.sse_customer_key, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
  EXPECT_EQ(s3.retry.max_retries, 10);
  EXPECT_EQ(s3.http.tls_handshake_timeout, 3 * kNanosPerSecond);
  EXPECT_EQ(s3.http.max_connections_per_host, 12);
  EXPECT_EQ(s3.http.ca_file + s3.http.cert_file + s3.http.key_file + s3.http.server_name, "/ca/c/kn");
  expect_same_after_printing(config);
}

TEST(Stores, TheS3UrlForm) {
  const auto s3_of = [](const std::string& url, const std::string& more = "") {
    return config_of(schema_of("s3") + "storage_config: {aws: {s3: '" + url + "'" + more + "}}\n").stores.at("s3").s3;
  };
  S3Config s3 = s3_of("s3://AKIA:a%2Fb%2Bc%25@minio.:9000/loki");
  EXPECT_EQ(s3.access_key_id, "AKIA");
  EXPECT_EQ(s3.secret_access_key, "a/b+c%");
  EXPECT_EQ(s3.endpoint, "minio.:9000");
  EXPECT_THAT(s3.buckets, ElementsAre("loki"));
  EXPECT_TRUE(s3.insecure);
  s3 = s3_of("s3://us-east-1/bucket/");
  EXPECT_EQ(s3.region, "us-east-1");
  EXPECT_EQ(s3.endpoint, "");
  EXPECT_FALSE(s3.insecure);
  EXPECT_THAT(s3.buckets, ElementsAre("bucket"));
  s3 = s3_of("s3://k:s@minio:9000", ", bucketnames: b, s3forcepathstyle: true");
  EXPECT_EQ(s3.endpoint, "minio:9000");
  EXPECT_THAT(s3.buckets, ElementsAre("b"));
  EXPECT_EQ(s3.lookup, S3Config::Lookup::kPath);
  s3 = s3_of("s3://us-east-1/bucket", ", endpoint: 'http://ceph:80'");
  EXPECT_EQ(s3.endpoint, "ceph:80");
  EXPECT_TRUE(s3.insecure);
  EXPECT_FALSE(s3_of("s3://k:s@s3.eu-west-1.amazonaws.com/b").insecure);
  EXPECT_TRUE(s3_of("s3://k:s@h.x/b", ", insecure: false").insecure);   // the default says nothing
  EXPECT_FALSE(s3_of("s3://k:s@h.x/b", ", endpoint: other.host").insecure);
}

TEST(Stores, ABadS3UrlIsRefusedWithoutRepeatingTheSecret) {
  const auto error = [](const std::string& url) { return error_of(schema_of("s3") + "storage_config: {aws: {s3: '" + url + "'}}\n"); };
  for (const char* url : {"minio:9000/b", "s3://k:hush/hush@h.x/b", "s3://k:hush%2@h.x/b", "s3://k:hush@/b", "inmemory:///b"}) {
    const std::string message = error(url);
    EXPECT_THAT(message, AllOf(HasSubstr("CONFIG ERROR: invalid storage config: line 2: storage_config.aws.s3"), Not(HasSubstr("hush")))) << url;
  }
  EXPECT_THAT(error("s3://k:a/b@h.x/b"), HasSubstr("write it as %2F"));
  EXPECT_THAT(error("s3://us-east-1"), HasSubstr("names no bucket"));
}

TEST(Stores, SseEncryptionIsSseS3) {
  EXPECT_EQ(config_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, sse_encryption: true}}\n").stores.at("s3").s3.sse, S3Config::Sse::kS3);
  EXPECT_EQ(config_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, sse_encryption: true, sse: {type: SSE-KMS}}}\n").stores.at("s3").s3.sse, S3Config::Sse::kKms);
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, sse: {type: rot13}}}\n"), HasSubstr("line 2: storage_config.aws.sse.type is \"rot13\"; use SSE-S3, SSE-KMS or SSE-C"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, sse: {type: SSE-C}}}\n"), HasSubstr("without a key"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, signature_version: v2}}\n"), HasSubstr("only v4"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, checksum: crc}}\n"), HasSubstr("use auto, none, md5, crc32c or sha256"));
}

TEST(Stores, EveryKeyOfTheAzureBlocks) {
  Config config = config_of(schema_of("azure") + R"(storage_config:
  azure: {environment: AzureUSGovernment, account_name: acc, account_key: a2V5, connection_string: cs, container_name: c, endpoint_suffix: s.net,
    use_managed_identity: true, use_federated_token: true, user_assigned_id: u, use_service_principal: true, client_id: ci, client_secret: cx, tenant_id: t,
    request_timeout: 5s, max_retries: 2, min_retry_delay: 1s, max_retry_delay: 3s, chunk_delimiter: "-", download_buffer_size: 512000}
)");
  const AzureConfig& old = config.stores.at("azure").azure;
  AzureConfig wanted;
  wanted.environment = "AzureUSGovernment";
  wanted.account_name = "acc";
  wanted.account_key = "a2V5";
  wanted.connection_string = "cs";
  wanted.container_name = "c";
  wanted.endpoint_suffix = "s.net";
  wanted.use_managed_identity = wanted.use_federated_token = wanted.use_service_principal = true;
  wanted.user_assigned_id = "u";
  wanted.client_id = "ci";
  wanted.client_secret = "cx";
  wanted.tenant_id = "t";
  wanted.http.timeout = 5 * kNanosPerSecond;
  wanted.retry = {kNanosPerSecond, 3 * kNanosPerSecond, 2};
  EXPECT_EQ(old, wanted);
  expect_same_after_printing(config);

  config = config_of(schema_of("azure") + "storage_config: {object_store: {azure: {account_name: acc, container_name: logs, endpoint_suffix: s, user_assigned_id: u, http: {insecure_skip_verify: true}}}}\n");
  const AzureConfig& fresh = config.stores.at("azure").azure;
  EXPECT_EQ(fresh.account_name + fresh.container_name + fresh.endpoint_suffix + fresh.user_assigned_id, "acclogssu");
  EXPECT_EQ(fresh.retry.max_retries, 20);
  EXPECT_TRUE(fresh.http.insecure_skip_verify);
  expect_same_after_printing(config);

  EXPECT_THAT(error_of(schema_of("azure") + "storage_config: {azure: {account_name: a, environment: Mars}}\n"), HasSubstr("AzureChinaCloud"));
  EXPECT_THAT(error_of(schema_of("azure") + "storage_config: {azure: {account_name: a, use_service_principal: true}}\n"), HasSubstr("azure: a service principal needs client_id, client_secret and tenant_id"));
}

TEST(Stores, EveryKeyOfTheGcsBlocks) {
  Config config = config_of(schema_of("gcs") + "storage_config: {gcs: {bucket_name: b, endpoint: 'http://e', service_account: '{}', chunk_buffer_size: 7, request_timeout: 4s, enable_retries: false, enable_http2: true, hmac_access_key: h, hmac_secret: x}}\n");
  const GcsConfig& old = config.stores.at("gcs").gcs;
  EXPECT_EQ(old.bucket_name + old.endpoint + old.service_account + old.hmac_access_key + old.hmac_secret, "bhttp://e{}hx");
  EXPECT_EQ(old.chunk_buffer_size, 7);
  EXPECT_EQ(old.http.timeout, 4 * kNanosPerSecond);
  EXPECT_FALSE(old.enable_retries);
  expect_same_after_printing(config);
  config = config_of(schema_of("gcs") + "storage_config: {object_store: {gcs: {bucket_name: n, service_account: '{}', chunk_buffer_size: 9, max_retries: 3}}}\n");
  EXPECT_EQ(config.stores.at("gcs").gcs.bucket_name, "n");
  EXPECT_EQ(config.stores.at("gcs").gcs.chunk_buffer_size, 9);
  EXPECT_EQ(config.stores.at("gcs").gcs.retry.max_retries, 3);
  expect_same_after_printing(config);
}

TEST(Stores, BothStylesMayStandTogetherAndTheNewOneWins) {
  const std::string old_style = "  aws: {bucketnames: b, endpoint: e.x, s3forcepathstyle: true, backoff_config: {max_retries: 2}}\n";
  for (const char* flag : {"true", "false"}) {
    const Config config = config_of(schema_of("s3") + "storage_config:\n" + old_style + "  use_thanos_objstore: " + flag + "\n  object_store: {s3: {bucket_name: b, region: r}}\n");
    const S3Config& s3 = config.stores.at("s3").s3;
    EXPECT_EQ(s3.endpoint, "e.x");
    EXPECT_EQ(s3.region, "r");
    EXPECT_EQ(s3.lookup, S3Config::Lookup::kPath);
    expect_same_after_printing(config);
  }
  EXPECT_EQ(error_of(schema_of("s3") + "storage_config:\n" + old_style + "  object_store: {s3: {bucket_name: c}}\n"),
            "CONFIG ERROR: invalid storage config: line 3: storage_config.aws.bucketnames is b but line 4: storage_config.object_store.s3.bucket_name is c; give one of them, or the same value");
  const std::string secret = error_of(schema_of("s3") + "storage_config:\n  aws: {bucketnames: b, secret_access_key: hush1, access_key_id: i}\n  object_store: {s3: {bucket_name: b, secret_access_key: hush2}}\n");
  EXPECT_THAT(secret, AllOf(HasSubstr("line 3: storage_config.aws.secret_access_key but line 4"), HasSubstr("differs"), Not(HasSubstr("hush"))));
  EXPECT_THAT(error_of(schema_of("azure") + "storage_config: {azure: {account_name: a}, object_store: {azure: {account_name: b}}}\n"), HasSubstr("storage_config.azure.account_name is a but"));
  EXPECT_THAT(error_of(schema_of("gcs") + "storage_config: {gcs: {bucket_name: a}, object_store: {gcs: {bucket_name: b}}}\n"), HasSubstr("storage_config.gcs.bucket_name is a but"));
  EXPECT_THAT(error_of("common: {storage: {s3: {bucketnames: a}, object_store: {s3: {bucket_name: b}}}}\n"), HasSubstr("common.storage.s3.bucketnames is a but"));
}

TEST(Stores, CommonAppliesToChunksRulesAndDeletesUnlessTheyHaveTheirOwn) {
  Config config = config_of(schema_of("s3") + "common: {storage: {s3: {bucketnames: c, endpoint: e.x, access_key_id: i, secret_access_key: s, insecure: true}}}\n");
  EXPECT_THAT(config.stores.at("s3").s3.buckets, ElementsAre("c"));
  EXPECT_EQ(config.ruler_bucket.kind, Kind::kS3);
  EXPECT_EQ(config.ruler_bucket.s3, config.stores.at("s3").s3);
  EXPECT_EQ(config.compactor.delete_request_bucket, "s3");
  EXPECT_EQ(config.other.at("ruler.storage.type"), "s3");
  expect_same_after_printing(config);

  config = config_of(schema_of("s3") + "common: {storage: {s3: {bucketnames: c, endpoint: e.x, insecure: true}}}\nstorage_config: {aws: {bucketnames: own, endpoint: \"\"}}\nruler: {storage: {type: s3, s3: {bucketnames: rules, insecure: false}}}\n");
  EXPECT_THAT(config.stores.at("s3").s3.buckets, ElementsAre("own"));
  EXPECT_EQ(config.stores.at("s3").s3.endpoint, "e.x");   // empty is not set
  EXPECT_THAT(config.ruler_bucket.s3.buckets, ElementsAre("rules"));
  EXPECT_FALSE(config.ruler_bucket.s3.insecure);          // said explicitly
  expect_same_after_printing(config);

  config = config_of(schema_of("s3") + "common: {storage: {object_store: {storage_prefix: p, s3: {bucket_name: c, region: r}}}}\nstorage_config: {aws: {bucketnames: own}}\nruler_storage: {backend: s3, s3: {bucket_name: rules}}\n");
  EXPECT_THAT(config.stores.at("s3").s3.buckets, ElementsAre("own"));   // the component's word, in whichever style
  EXPECT_EQ(config.stores.at("s3").s3.region, "r");
  EXPECT_EQ(config.stores.at("s3").prefix, "p/");
  EXPECT_THAT(config.ruler_bucket.s3.buckets, ElementsAre("rules"));
  EXPECT_EQ(config.ruler_bucket.prefix, "p/");
  expect_same_after_printing(config);
}

TEST(Stores, WithoutASchemaTheOnlyCloudStoreOfCommonIsUsed) {
  Config config = config_of("common: {storage: {gcs: {bucket_name: g}}}\n");
  EXPECT_EQ(config.schema.at(0).bucket, "gcs");
  EXPECT_EQ(config.bucket_of_period(0).gcs.bucket_name, "g");
  config = config_of("common: {storage: {object_store: {azure: {account_name: a}}}}\n");
  EXPECT_EQ(config.schema.at(0).bucket, "azure");
  config = config_of("common: {storage: {filesystem: {chunks_directory: /c}}}\nstorage_config: {aws: {bucketnames: b}}\n");
  EXPECT_EQ(config.schema.at(0).bucket, "filesystem");
  EXPECT_EQ(config.bucket_of_period(0).directory, "/c");
  EXPECT_TRUE(config.stores.contains("s3"));
  config = config_of("auth_enabled: false\n");
  EXPECT_EQ(config.bucket_of_period(0).directory, "./data/chunks");
  EXPECT_EQ(config.ruler_bucket, config.bucket_of_period(0));
  EXPECT_EQ(config.stores.size(), 1u);
  EXPECT_THAT(error_of("common: {storage: {s3: {bucketnames: b}, gcs: {bucket_name: g}}}\n"), HasSubstr("too many storage configs provided in the common config"));
}

TEST(Stores, PeriodsMayLieInDifferentStores) {
  const Config config = config_of(R"(schema_config:
  configs:
    - {from: 2023-01-01, store: tsdb, object_store: filesystem, schema: v12, index: {prefix: a_, period: 24h}}
    - {from: 2024-01-01, store: tsdb, object_store: archive, schema: v13, index: {prefix: b_, period: 24h}}
    - {from: 2025-01-01, store: tsdb, object_store: aws, schema: v13, index: {prefix: c_, period: 24h}}
storage_config:
  filesystem: {directory: /old}
  object_prefix: /team/logs/
  aws: {bucketnames: now, region: r}
  named_stores:
    aws: {archive: {bucketnames: cold, storage_class: STANDARD_IA, region: r}}
    filesystem: {disk_2: {directory: /two}}
  object_store:
    named_stores: {gcs: {goog: {bucket_name: g}}}
)");
  EXPECT_EQ(config.bucket_of_period(0).directory, "/old");
  EXPECT_THAT(config.bucket_of_period(1).s3.buckets, ElementsAre("cold"));
  EXPECT_EQ(config.bucket_of_period(1).s3.storage_class, "STANDARD_IA");
  EXPECT_THAT(config.bucket_of_period(2).s3.buckets, ElementsAre("now"));
  EXPECT_EQ(config.bucket_of_period(2).prefix, "team/logs/");
  EXPECT_EQ(config.stores.at("disk_2").directory, "/two");
  EXPECT_EQ(config.stores.at("goog").gcs.bucket_name, "g");
  EXPECT_EQ(config.compactor.delete_request_bucket, "s3");
  expect_same_after_printing(config);
}

TEST(Stores, CommonMayNameStoresToo) {
  const Config config = config_of(schema_of("far") + "common: {storage: {object_store: {named_stores: {s3: {far: {bucket_name: f, region: r}}}}}}\n");
  EXPECT_THAT(config.bucket_of_period(0).s3.buckets, ElementsAre("f"));
  expect_same_after_printing(config);
}

TEST(Stores, NamedStoresAreChecked) {
  const auto error = [](const std::string& named) { return error_of(schema_of("filesystem") + "storage_config: {named_stores: " + named + "}\n"); };
  EXPECT_THAT(error("{aws: {s3: {bucketnames: b}}}"), HasSubstr("must not have the name of a kind of store"));
  EXPECT_THAT(error("{aws: {x: {region: r}}}"), HasSubstr("storage_config.named_stores.aws.x names no bucket"));
  EXPECT_THAT(error("{aws: {x: {bucketname: r}}}"), HasSubstr("field bucketname not found in storage_config.named_stores.aws.x; did you mean \"bucketnames\"?"));
  EXPECT_THAT(error("{aws: {a.b: {bucketnames: r}}}"), HasSubstr("letters, digits"));
  EXPECT_THAT(error("{aws: {x: 3}}"), HasSubstr("line 2: storage_config.named_stores.aws: a named store is"));
  EXPECT_THAT(error("{aws: [x]}"), HasSubstr("must be a map of names"));
  EXPECT_THAT(error("{aws: {x: {bucketnames: b}}, gcs: {x: {bucket_name: b}}}"), HasSubstr("the named store x is defined more than once"));
  EXPECT_THAT(error("{floppy: {x: {}}}"), HasSubstr("field floppy not found in storage_config.named_stores"));
  EXPECT_EQ(error("{aws: , gcs: {}}"), "loaded");
}

TEST(Stores, WhatAPeriodNeedsMustBeNamed) {
  EXPECT_THAT(error_of(schema_of("s3")), HasSubstr("object_store s3 names no bucket; set storage_config.aws.bucketnames, common.storage.s3.bucketnames or storage_config.object_store.s3.bucket_name"));
  EXPECT_THAT(error_of(schema_of("azure")), HasSubstr("object_store azure names no account; set storage_config.azure.account_name"));
  EXPECT_THAT(error_of(schema_of("gcs")), HasSubstr("object_store gcs names no bucket; set storage_config.gcs.bucket_name"));
  EXPECT_EQ(error_of(schema_of("azure") + "storage_config: {azure: {connection_string: UseDevelopmentStorage=true}}\n"), "loaded");
  EXPECT_EQ(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b}}\n"), "loaded");   // credentials may come from elsewhere
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, access_key_id: i}}\n"), HasSubstr("access_key_id and secret_access_key go together"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, backoff_config: {min_period: 5s}}}\n"), HasSubstr("s3: the back-off"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {object_prefix: ../x, aws: {bucketnames: b}}\n"), HasSubstr("its parts must be names"));
  EXPECT_THAT(error_of(schema_of("filesystem") + "storage_config: {hedging: {up_to: 0}}\n"), HasSubstr("hedging"));
}

TEST(Stores, TheRulersStore) {
  Config config = config_of(schema_of("filesystem") + "ruler: {storage: {type: local, local: {directory: /rules}}}\n");
  EXPECT_EQ(config.ruler.local_directory, "/rules");
  EXPECT_EQ(config.ruler_bucket, config.bucket_of_period(0));
  config = config_of(schema_of("filesystem") + "common: {storage: {filesystem: {chunks_directory: /c, rules_directory: /r}}}\n");
  EXPECT_EQ(config.ruler.local_directory, "/r");
  EXPECT_EQ(config.ruler_bucket.directory, "/c");
  config = config_of(schema_of("filesystem") + "ruler_storage: {backend: filesystem, filesystem: {dir: /api}}\n");
  EXPECT_EQ(config.ruler_bucket.directory, "/api");
  config = config_of(schema_of("filesystem") + "ruler: {storage: {type: gcs, gcs: {bucket_name: g}}}\n");
  EXPECT_EQ(config.ruler_bucket.gcs.bucket_name, "g");
  config = config_of(schema_of("filesystem") + "ruler_storage: {backend: azure, storage_prefix: r, azure: {account_name: a}}\n");
  EXPECT_EQ(config.ruler_bucket.azure.account_name, "a");
  EXPECT_EQ(config.ruler_bucket.prefix, "r/");
  EXPECT_THAT(error_of(schema_of("filesystem") + "ruler: {storage: {type: swift}}\n"), HasSubstr("line 2: ruler.storage.type is \"swift\"; use local, s3, azure, gcs or filesystem"));
  EXPECT_THAT(error_of(schema_of("filesystem") + "ruler: {storage: {type: s3}}\n"), HasSubstr("invalid ruler config: the rule store names no bucket"));
}

TEST(Stores, DeleteRequestsGoToTheNamedStore) {
  const std::string two = schema_of("s3") + "storage_config: {aws: {bucketnames: b}, gcs: {bucket_name: g}}\n";
  EXPECT_EQ(config_of(two + "compactor: {retention_enabled: true, delete_request_store: gcs}\n").compactor.delete_request_bucket, "gcs");
  EXPECT_EQ(config_of(two + "compactor: {retention_enabled: true, delete_request_store: aws}\n").compactor.delete_request_bucket, "s3");
  EXPECT_EQ(config_of(two).compactor.delete_request_bucket, "s3");
  EXPECT_THAT(error_of(two + "compactor: {retention_enabled: true, delete_request_store: floppy}\n"), HasSubstr("invalid compactor config: unrecognized delete_request_store \"floppy\""));
  EXPECT_THAT(error_of(two + "compactor: {retention_enabled: true, delete_request_store: azure}\n"), HasSubstr("object_store azure names no account"));
}

TEST(Stores, HedgingComesFromCommonUnlessGiven) {
  HedgingConfig hedging = config_of(schema_of("filesystem") + "storage_config: {hedging: {at: 250ms, max_per_second: 20, up_to: 3}}\n").storage.hedging;
  EXPECT_EQ(hedging, (HedgingConfig{250 * kNanosPerMilli, 3, 20}));
  const Config config = config_of(schema_of("filesystem") + "common: {storage: {hedging: {at: 1s, up_to: 4}}}\nstorage_config: {hedging: {up_to: 3}}\n");
  EXPECT_EQ(config.storage.hedging, (HedgingConfig{kNanosPerSecond, 3, 5}));
  expect_same_after_printing(config);
}

TEST(Stores, TheDynamoTable) {
  const auto schema = [](const std::string& url) {
    return "schema_config: {configs: [{from: 2024-01-01, store: dynamodb, object_store: s3, schema: v13, index: {prefix: i_, period: 24h}}]}\n"
           "storage_config: {aws: {bucketnames: b, region: eu-west-1, access_key_id: i, secret_access_key: s, dynamodb: {dynamodb_url: '" + url + "', table: t, create_table: false}}}\n";
  };
  DynamoConfig dynamo = config_of(schema("dynamodb://us-east-2")).dynamodb;
  EXPECT_EQ(dynamo.region, "us-east-2");
  EXPECT_EQ(dynamo.endpoint, "");
  EXPECT_EQ(dynamo.access_key_id, "i");
  EXPECT_EQ(dynamo.table, "t");
  EXPECT_FALSE(dynamo.create_table);
  dynamo = config_of(schema("dynamodb://k:x%2Fy@localhost:4567")).dynamodb;
  EXPECT_EQ(dynamo.endpoint, "http://localhost:4567");
  EXPECT_EQ(dynamo.region, "eu-west-1");
  EXPECT_EQ(dynamo.access_key_id + dynamo.secret_access_key, "kx/y");
  dynamo = config_of(schema("dynamodb://k:x@dynamodb.eu-west-3.amazonaws.com")).dynamodb;
  EXPECT_EQ(dynamo.endpoint + " " + dynamo.region, "https://dynamodb.eu-west-3.amazonaws.com eu-west-3");
  EXPECT_EQ(config_of(schema("https://k:x@alternator.x:8043")).dynamodb.endpoint, "https://alternator.x:8043");
  EXPECT_THAT(error_of(schema("ftp://hush:hush@h.x")), AllOf(HasSubstr("the scheme is \"ftp\""), Not(HasSubstr("hush"))));
  EXPECT_THAT(error_of(schema("")), HasSubstr("set storage_config.aws.dynamodb.dynamodb_url"));
  EXPECT_THAT(print_config(config_of(schema("dynamodb://k:hush@h.x"))), AllOf(HasSubstr("dynamodb://k:********@h.x"), Not(HasSubstr("hush"))));
}

TEST(Stores, BlocksOfAnotherGenerationAreNamedWhenTheirValuesAreWrong) {
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucketnames: b, backoff_config: {max_retries: many}}}\n"), HasSubstr("line 2: cannot construct !!str `many` into int"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {object_store: {s3: {bucket_name: b, http: {idle_conn_timeout: 90}}}}\n"), HasSubstr("missing unit in duration"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {object_store: {s3: {bucket_name: b, bucket_lookup_type: dns}}}\n"), HasSubstr("use auto, path or virtual-hosted"));
  EXPECT_THAT(error_of(schema_of("s3") + "storage_config: {aws: {bucket_name: b}}\n"), HasSubstr("field bucket_name not found in storage_config.aws; did you mean \"bucketnames\"?"));
}

TEST(Stores, Encryption) {
  const EncryptionConfig encryption = config_of(schema_of("filesystem") + "storage_config: {encryption: {enabled: true, key_file: /keys}}\n").storage.encryption;
  EXPECT_TRUE(encryption.enabled);
  EXPECT_EQ(encryption.key_file, "/keys");
  EXPECT_THAT(error_of(schema_of("filesystem") + "storage_config: {encryption: {enabled: true}}\n"), HasSubstr("set storage_config.encryption.key_file or storage_config.encryption.key_env"));
  EXPECT_THAT(error_of(schema_of("filesystem") + "storage_config: {encryption: {enabled: true, key_file: /k, key_env: K}}\n"), HasSubstr("from one place"));
}

TEST(Stores, FlagsOfLokiReachTheStores) {
  const auto none = [](const std::string& path) -> Result<std::string> { return Error(ErrorCode::kNotFound, path); };
  const auto no_env = [](const char*) -> const char* { return nullptr; };
  const auto run = [&](const std::vector<std::string>& flags) {
    const Result<CommandLine> line = parse_command_line(flags);
    EXPECT_TRUE(line.ok()) << line.error().message();
    Result<Loaded> loaded = load(*line, none, no_env);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message();
    EXPECT_THAT(loaded->warnings, IsEmpty());
    return loaded->config;
  };
  Config config = run({"-common.storage.s3.buckets=a,b", "-common.storage.s3.endpoint=e.x", "-common.storage.s3.force-path-style", "-common.storage.s3.max-retries=7", "-common.storage.s3.http.timeout=90s"});
  EXPECT_EQ(config.schema.at(0).bucket, "s3");
  EXPECT_THAT(config.stores.at("s3").s3.buckets, ElementsAre("a", "b"));
  EXPECT_EQ(config.stores.at("s3").s3.lookup, S3Config::Lookup::kPath);
  EXPECT_EQ(config.stores.at("s3").s3.retry.max_retries, 7);
  EXPECT_EQ(config.stores.at("s3").s3.http.timeout, 90 * kNanosPerSecond);
  config = run({"-s3.url=s3://k:s@h.x/b", "-azure.account-name=a", "-azure.use-federated-token=true", "-gcs.bucketname=g", "-ruler.storage.type=gcs", "-ruler.storage.gcs.bucketname=r",
                "-compactor.retention-enabled", "-compactor.delete-request-store=azure", "-store.chunks-cache.memcached.addresses=m:1", "-frontend.redis.endpoint=r:1", "-querier.cache-results"});
  EXPECT_THAT(config.stores.at("s3").s3.buckets, ElementsAre("b"));
  EXPECT_TRUE(config.stores.at("azure").azure.use_federated_token);
  EXPECT_EQ(config.stores.at("gcs").gcs.bucket_name, "g");
  EXPECT_EQ(config.ruler_bucket.gcs.bucket_name, "r");
  EXPECT_EQ(config.compactor.delete_request_bucket, "azure");
  EXPECT_EQ(config.chunk_cache.memcached.addresses, "m:1");
  EXPECT_EQ(config.query_range.results_cache.redis.endpoint, "r:1");
  EXPECT_TRUE(config.query_range.cache_results);
  EXPECT_FALSE(parse_command_line({"-s3.force-path-style=maybe"}).ok());
}

TEST(Stores, KeysThatSteerSomethingDoNotWarn) {
  const Result<Loaded> loaded = load_text(schema_of("s3") + "storage_config: {aws: {bucketnames: b, sse: {type: SSE-S3}}, hedging: {at: 1s}, tsdb_shipper: {cache_location: /c}, use_thanos_objstore: true}\n"
                                          "compactor: {compaction_interval: 5m, retention_delete_delay: 3h}\n", "w.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_THAT(loaded->warnings, IsEmpty());
}

}  // namespace
}  // namespace skald::config
