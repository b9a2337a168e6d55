#include "skald/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "config/keys.h"
#include "config/limits_keys.h"

namespace skald::config {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kSmallest = R"(auth_enabled: false
common:
  path_prefix: /loki
  storage: {filesystem: {chunks_directory: /loki/chunks, rules_directory: /loki/rules}}
  replication_factor: 1
schema_config:
  configs: [{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
)";

Result<Loaded> load_extra(const std::string& extra) { return load_text(kSmallest + extra, "b.yaml"); }

std::string error_of(const std::string& extra) {
  const Result<Loaded> loaded = load_extra(extra);
  return loaded.ok() ? "loaded" : loaded.error().message();
}

TEST(Load, TheSmallestFileGivesItsValuesAndDerivedDirectories) {
  const Result<Loaded> loaded = load_extra("");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const Config& config = loaded->config;
  EXPECT_FALSE(config.auth_enabled);
  EXPECT_EQ(config.ingester.wal_dir, "/loki/wal");
  EXPECT_EQ(config.bucket_directory(), "/loki/chunks");
  EXPECT_EQ(config.ingester.shutdown_marker_path, "/loki");
  EXPECT_EQ(config.compactor.working_directory, "/loki/compactor");
  EXPECT_EQ(config.other.at("ruler.storage.local.directory"), "/loki/rules");
  EXPECT_EQ(config.common.kvstore, "inmemory");
  ASSERT_EQ(config.schema.size(), 1u);
  EXPECT_EQ(config.schema[0].index_prefix, "index_");
}

TEST(Load, EveryDefaultInTheTableIsTheMembersInitialValue) {
  const KeyTable table;
  Config config;
  for (const KeyInfo& key : table.keys()) {
    if (!key.member || key.alias) continue;
    Config changed;
    ASSERT_TRUE(set_from_text(key.kind, key.fallback, key.member(changed)).ok()) << key.path;
    EXPECT_EQ(to_text(key.kind, key.member(changed)), to_text(key.kind, key.member(config))) << key.path;
  }
}

TEST(Load, EveryDefaultOfAKeyWithoutEffectParses) {
  const KeyTable table;
  for (const KeyInfo& key : table.keys()) {
    if (key.member || key.kind == Kind::kAny || key.kind == Kind::kList) continue;
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.scalar = key.fallback;
    EXPECT_TRUE(canonical_text(key.kind, node).ok()) << key.path << " default " << key.fallback;
  }
}

TEST(Load, AnUnknownKeyNamesLineKeyAndTheNearestKnownKey) {
  const std::string message = error_of("server:\n  http_listen_prot: 80\n");
  EXPECT_THAT(message, HasSubstr("failed parsing config: b.yaml: yaml: line 9: field http_listen_prot not found in server"));
  EXPECT_THAT(message, HasSubstr("did you mean \"http_listen_port\"?"));
}

TEST(Load, AnUnknownTopLevelKeyIsAnErrorAndPointsToTheBlockThatHasIt) {
  EXPECT_THAT(error_of("nonsense_key: 1\n"), HasSubstr("line 8: field nonsense_key not found in the top level"));
  EXPECT_THAT(error_of("limit_config: {}\n"), HasSubstr("did you mean \"limits_config\"?"));
  EXPECT_THAT(error_of("http_listen_port: 80\n"), HasSubstr("did you mean \"server.http_listen_port\"?"));
  EXPECT_THAT(error_of("ingestion_rate_mb: 80\n"), HasSubstr("did you mean \"limits_config.ingestion_rate_mb\"?"));
}

TEST(Load, AllUnknownKeysAreInOneMessage) {
  const std::string message = error_of("foo: 1\ningester: {chunk_idle_perod: 1m}\n");
  EXPECT_THAT(message, HasSubstr("line 8: field foo not found"));
  EXPECT_THAT(message, HasSubstr("line 9: field chunk_idle_perod not found in ingester; did you mean \"chunk_idle_period\"?"));
}

TEST(Load, UnknownLimitsAreAcceptedWithAWarning) {
  const Result<Loaded> loaded = load_extra("limits_config: {ingestion_rate: 3, enforce_metric_name: false}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("field ingestion_rate not found in limits; did you mean")));
  EXPECT_THAT(loaded->warnings, Contains("limits_config.enforce_metric_name"));
}

TEST(Load, AKeyGivenTwiceIsAnErrorWithBothLines) {
  EXPECT_THAT(error_of("auth_enabled: true\n"), HasSubstr("line 8: mapping key \"auth_enabled\" already defined at line 1"));
}

TEST(Load, WrongTypesAreRefusedWithTheirLine) {
  EXPECT_THAT(error_of("server: {http_listen_port: \"3100\"}\n"), HasSubstr("line 8: cannot construct !!str `3100` into int"));
  EXPECT_THAT(error_of("server: {http_listen_port: 31x}\n"), HasSubstr("cannot construct !!str `31x` into int"));
  EXPECT_THAT(error_of("server: {http_listen_port: [1]}\n"), HasSubstr("cannot construct !!seq into int"));
  EXPECT_THAT(error_of("server: {register_instrumentation: maybe}\n"), HasSubstr("into bool"));
  EXPECT_THAT(error_of("server: {log_level: warning}\n"), HasSubstr("unrecognized log level \"warning\""));
  EXPECT_THAT(error_of("server: 3\n"), HasSubstr("server must be a map"));
  EXPECT_THAT(error_of("ingester: {chunk_idle_period: 90}\n"), HasSubstr("missing unit in duration \"90\""));
  EXPECT_THAT(error_of("ingester: {chunk_idle_period: 3 hours}\n"), HasSubstr("invalid duration \"3 hours\""));
  EXPECT_THAT(error_of("limits_config: {max_line_size: 1XB}\n"), HasSubstr("parsing \"1XB\": invalid syntax"));
  EXPECT_THAT(error_of("a: [1\n"), HasSubstr("failed parsing config: b.yaml: yaml: line "));
}

TEST(Load, WrongTypesOfKeysWithoutEffectAreRefusedToo) {
  EXPECT_THAT(error_of("querier: {query_store_only: perhaps}\n"), HasSubstr("into bool"));
}

TEST(Load, DurationsAreTakenInBothFormsEverywhere) {
  const Result<Loaded> loaded = load_extra("ingester: {chunk_idle_period: 1d12h, max_chunk_age: 1.5h}\nlimits_config: {retention_period: 744h, max_query_length: 0, query_timeout: 5m}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.ingester.chunk_idle_period, 36 * kNanosPerHour);
  EXPECT_EQ(loaded->config.ingester.max_chunk_age, 90 * kNanosPerMinute);
  EXPECT_EQ(loaded->config.limits.retention_period, 744 * kNanosPerHour);
  EXPECT_EQ(loaded->config.limits.max_query_length, 0);
}

TEST(Load, SizesArePowersOf1024) {
  const Result<Loaded> loaded = load_extra("limits_config: {max_line_size: 256KB, per_stream_rate_limit: 100GB, per_stream_rate_limit_burst: 3mb}\ningester: {chunk_target_size: 1.572864e+06}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.limits.max_line_size, 262144);
  EXPECT_EQ(loaded->config.limits.per_stream_rate_limit, 100LL << 30);
  EXPECT_EQ(loaded->config.limits.per_stream_rate_limit_burst, 3 << 20);
  EXPECT_EQ(loaded->config.ingester.chunk_target_size, 1572864);
  EXPECT_EQ(*parse_size("5MiB"), 5 << 20);
  EXPECT_EQ(*parse_size("1.5MB"), 3 << 19);
  EXPECT_FALSE(parse_size("1 GB").ok());
  EXPECT_FALSE(parse_size("").ok());
  EXPECT_FALSE(parse_size("99999999999TB").ok());
}

TEST(Load, KeysWithoutEffectAreAcceptedAndNamedOnce) {
  const Result<Loaded> loaded = load_extra("querier: {query_partition_ingesters: true}\nprofiling: {block_profile_rate: 3}\nstorage_config: {boltdb_shipper: {index_gateway_client: {server_address: x}}}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_THAT(loaded->warnings, Contains("querier.query_partition_ingesters").Times(1));
  EXPECT_THAT(loaded->warnings, Contains("profiling").Times(1));
  EXPECT_THAT(loaded->warnings, Contains(StartsWith("storage_config.boltdb_shipper\tthe index is tsdb's")).Times(1));
}

TEST(Load, EmptyStringsCountAsNotSet) {
  const Result<Loaded> loaded = load_extra("frontend: {scheduler_address: \"\", tail_proxy_url: \"\"}\nfrontend_worker:\nruler: \"\"\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
}

TEST(Load, SemanticErrorsCarryLokisTexts) {
  EXPECT_EQ(error_of("compactor: {retention_enabled: true}\n"),
            "CONFIG ERROR: invalid compactor config: compactor.delete-request-store should be configured when retention is enabled");
  EXPECT_THAT(error_of("limits_config: {retention_stream: [{selector: '{a=\"b\"}', priority: 1, period: 12h}]}\n"),
              HasSubstr("retention period must be >= 24h was 12h"));
  EXPECT_THAT(error_of("ingester: {chunk_encoding: rar}\n"), HasSubstr("CONFIG ERROR: invalid ingester config: invalid encoding: rar"));
  EXPECT_THAT(error_of("no_auth_tenant: ''\n"), HasSubstr("no_auth_tenant"));
  const std::string two = error_of("ingester: {chunk_encoding: rar}\nruntime_config: {period: 0s}\n");
  EXPECT_THAT(two, HasSubstr("MULTIPLE CONFIG ERRORS FOUND, PLEASE READ CAREFULLY\n"));
  EXPECT_THAT(two, HasSubstr("\ninvalid runtime_config config"));
}

std::string schema_error(const std::string& schema) {
  const Result<Loaded> loaded = load_text("common: {path_prefix: /p}\nschema_config:\n  configs: " + schema + "\n", "c.yaml");
  return loaded.ok() ? "loaded" : loaded.error().message();
}

TEST(Load, SchemaPeriodsAreChecked) {
  EXPECT_EQ(schema_error("[{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13}]"), "loaded");
  EXPECT_EQ(load_text("auth_enabled: false\n", "e.yaml")->config.schema.at(0).schema, "v13");
  EXPECT_THAT(schema_error("[]"), HasSubstr("at least one schema period"));
  EXPECT_THAT(schema_error("[{from: 2020-10-24, store: boltdb-shipper, object_store: filesystem, schema: v13}]"), HasSubstr("only tsdb is supported"));
  EXPECT_THAT(schema_error("[{from: 2020-10-24, store: tsdb, object_store: s3, schema: v13}]"), HasSubstr("object_store s3 names no bucket; set storage_config.aws.bucketnames"));
  EXPECT_THAT(schema_error("[{from: 2020-10-24, store: tsdb, object_store: floppy, schema: v13}]"), HasSubstr("unrecognized object_store"));
  EXPECT_THAT(schema_error("[{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v12}]"), HasSubstr("allow_structured_metadata: false"));
  EXPECT_THAT(schema_error("[{from: 2020-10-24, store: tsdb, object_store: filesystem, schema: v13, index: {period: 168h}}]"),
              HasSubstr("tsdb must always have periodic config for index set to 24h"));
  EXPECT_THAT(schema_error("[{from: yesterday, store: tsdb}]"), HasSubstr("line 3: schema_config: `yesterday` is not a day"));
  EXPECT_THAT(schema_error("[{fron: 2020-10-24}]"), HasSubstr("did you mean \"from\"?"));
  EXPECT_THAT(schema_error("[{from: 2021-01-01, store: tsdb, object_store: filesystem, schema: v13}, {from: 2020-01-01, store: tsdb, object_store: filesystem, schema: v13}]"),
              HasSubstr("ascending order"));
}

TEST(Load, TheComponentKeyBeatsCommonAndTheFlagBeatsBoth) {
  const auto read = [](const std::string& path) -> Result<std::string> {
    if (path != "c.yaml") return Error(ErrorCode::kNotFound, path);
    return std::string(kSmallest) + "ingester: {wal: {dir: /elsewhere/wal}}\nstorage_config: {object_store: {filesystem: {dir: /objects}}}\n";
  };
  const auto no_env = [](const char*) -> const char* { return nullptr; };
  Result<CommandLine> line = parse_command_line({"-config.file=missing.yaml,c.yaml"});
  ASSERT_TRUE(line.ok());
  Result<Loaded> loaded = load(*line, read, no_env);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->file, "c.yaml");
  EXPECT_EQ(loaded->config.ingester.wal_dir, "/elsewhere/wal");
  EXPECT_EQ(loaded->config.bucket_directory(), "/objects");
  line = parse_command_line({"-config.file=c.yaml", "--ingester.wal-dir", "/flag/wal", "-auth.enabled", "-server.http-listen-port=0"});
  ASSERT_TRUE(line.ok());
  loaded = load(*line, read, no_env);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.ingester.wal_dir, "/flag/wal");
  EXPECT_TRUE(loaded->config.auth_enabled);
  EXPECT_EQ(loaded->config.server.http_listen_port, 0);
}

TEST(Load, ANamedFileMustExistAndNoFileAtAllIsASingleNode) {
  const auto none = [](const std::string& path) -> Result<std::string> { return Error(ErrorCode::kNotFound, path); };
  const auto no_env = [](const char*) -> const char* { return nullptr; };
  const Result<Loaded> missing = load(*parse_command_line({"-config.file=a.yaml,b.yaml"}), none, no_env);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message(), "failed parsing config: a.yaml,b.yaml does not exist, set config.file for custom config path");
  const Result<Loaded> built_in = load(*parse_command_line({}), none, no_env);
  ASSERT_TRUE(built_in.ok()) << built_in.error().message();
  EXPECT_EQ(built_in->config.ingester.wal_dir, "./data/wal");
  EXPECT_EQ(built_in->config.bucket_directory(), "./data/chunks");
  EXPECT_FALSE(built_in->config.auth_enabled);
}

TEST(Load, TwoStylesOfOneStoreMustAgree) {
  EXPECT_THAT(error_of("storage_config: {filesystem: {directory: /a}, object_store: {filesystem: {dir: /b}}}\n"), HasSubstr("CONFIG ERROR: invalid storage config"));
  EXPECT_EQ(error_of("storage_config: {filesystem: {directory: /a}, object_store: {filesystem: {dir: /a}}}\n"), "loaded");
  const Result<Loaded> two = load_text("common: {path_prefix: /p, storage: {s3: {bucketnames: b}, filesystem: {chunks_directory: /c}}}\n", "d.yaml");
  ASSERT_FALSE(two.ok());
  EXPECT_THAT(two.error().message(), HasSubstr("too many storage configs provided in the common config"));
}

TEST(Load, MemberlistIsChosenWhenPeersAreNamedAndNoStoreIs) {
  const Result<Loaded> loaded = load_extra("memberlist: {join_members: [a, b]}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.common.kvstore, "memberlist");
  EXPECT_EQ(loaded->config.other.at("distributor.ring.kvstore.store"), "memberlist");
}

TEST(Load, OlderSpellingsCountUnlessTheCurrentOneIsGiven) {
  Result<Loaded> loaded = load_extra("querier: {query_timeout: 3m}\nlimits_config: {per_tenant_override_config: /o.yaml}\nchunk_store_config: {max_look_back_period: 7d}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.limits.query_timeout, 3 * kNanosPerMinute);
  EXPECT_EQ(loaded->config.limits.max_query_lookback, 7 * kNanosPerDay);
  EXPECT_EQ(loaded->config.runtime_config.file, "/o.yaml");
  loaded = load_extra("querier: {query_timeout: 3m}\nlimits_config: {query_timeout: 5m}\n");
  EXPECT_EQ(loaded->config.limits.query_timeout, 5 * kNanosPerMinute);
}

TEST(Load, AnchorsAndMergeKeysWorkAndNestingIsBounded) {
  const Result<Loaded> loaded = load_extra("ingester: &i {chunk_idle_period: 5m}\nlimits_config: {<<: {max_query_series: 7}, volume_max_series: 9}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.limits.max_query_series, 7);
  std::string bomb = "x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "x" + std::to_string(i) + ": &x" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ",*x" : "*x") + std::to_string(i - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(error_of(bomb), HasSubstr("too large or too deep"));
}

TEST(Load, WhatIsPrintedReadsBackTheSame) {
  const Result<Loaded> loaded = load_extra(
      "storage_config: {aws: {secret_access_key: hush, access_key_id: me}}\nmemberlist: {join_members: ['a:1', b]}\n"
      "limits_config: {retention_stream: [{selector: '{app=\"x\"}', priority: 2, period: 48h}], otlp_config: {resource_attributes: {attributes_config: [{action: drop, regex: 'a.*'}]}}, "
      "policy_enforced_labels: {p: [a, b]}, block_ingestion_until: 2026-01-01T00:00:00Z, max_line_size_truncate_identifier: \"it's\\n\"}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const std::string printed = print_config(loaded->config);
  EXPECT_THAT(printed, HasSubstr("secret_access_key: '********'"));
  EXPECT_THAT(printed, Not(HasSubstr("hush")));
  const Result<Loaded> again = load_text(printed, "printed.yaml");
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(print_config(again->config), printed);
  EXPECT_EQ(again->config.limits, loaded->config.limits);
  EXPECT_EQ(again->config.schema, loaded->config.schema);
}

TEST(Load, TheDifferenceShowsOnlyWhatWasChanged) {
  const Result<Loaded> loaded = load_extra("querier: {max_concurrent: 9}\ningester: {max_chunk_age: 3h}\n");
  ASSERT_TRUE(loaded.ok());
  const std::string diff = print_config_diff(loaded->config);
  EXPECT_THAT(diff, AllOf(HasSubstr("max_concurrent: 9"), HasSubstr("max_chunk_age: 3h0m0s")));
  EXPECT_THAT(diff, Not(HasSubstr("http_listen_port")));
}

TEST(Load, LimitsArePublishedInLokisSpelling) {
  const Limits limits;
  const std::string json = limits_json(limits, {"max_query_length", "max_query_bytes_read", "query_timeout", "volume_enabled", "max_entries_limit_per_query"});
  EXPECT_EQ(json, R"({"max_query_length":"30d1h","max_entries_limit_per_query":5000,"query_timeout":"1m","max_query_bytes_read":"0B","volume_enabled":true})");
  EXPECT_THAT(limits_json(limits, {"otlp_config"}), HasSubstr(R"({"resource_attributes": {"attributes_config": [{"action": "index_label","attributes": ["service.name")"));
  EXPECT_THAT(print_limits(limits, {}), HasSubstr("per_stream_rate_limit: 3MB\n"));
  EXPECT_THAT(print_limits(limits, {}), HasSubstr("desired_rate: 1536KB\n"));
}

}  // namespace
}  // namespace skald::config
