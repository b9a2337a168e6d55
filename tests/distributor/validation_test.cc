#include <gtest/gtest.h>

#include "distributor/fakes.h"
#include "distributor/label_cache.h"

namespace skald::distributor::testing {
namespace {

std::string proto_text(Bench& bench, const std::string& plain) {
  const auto answer = bench.push(PushFormat::kLokiProtobuf, snappy(plain));
  return answer.ok() ? "ok" : answer.error().message();
}

std::string labels_of(int count) {
  std::string text = "{";
  for (int i = 0; i < count; ++i) text += "l" + std::to_string(10 + i) + "=\"v\",";
  return text + "}";
}

TEST(Validation, LabelErrors) {
  Bench bench;
  const std::vector<Row> row = {{kNow, "x"}};
  EXPECT_EQ(proto_text(bench, proto_stream("{app=\"a\",app=\"b\"}", row)),
            R"(stream '{app="a", app="b", service_name="a"}' has duplicate label name: 'app')");
  EXPECT_EQ(proto_text(bench, proto_stream("{app=", row)),
            "couldn't parse labels: 1:6: parse error: unexpected end of input inside braces");
  EXPECT_EQ(proto_text(bench, proto_stream(labels_of(15), row)), "ok");
  const std::string many = proto_text(bench, proto_stream(labels_of(16), row));
  EXPECT_EQ(many.substr(many.size() - 32), "\"}' has 16 label names; limit 15") << many;
  const std::string long_name(1025, 'n'), long_value(2049, 'v');
  EXPECT_EQ(proto_text(bench, proto_stream("{" + long_name + "=\"v\"}", row)),
            "stream '{" + long_name + "=\"v\", service_name=\"unknown_service\"}' has label name too long: '" + long_name + "'");
  EXPECT_EQ(proto_text(bench, proto_stream("{a=\"" + long_value + "\"}", row)),
            "stream '{a=\"" + long_value + "\", service_name=\"unknown_service\"}' has label value too long: '" + long_value + "'");
  bench.limits.change([](config::Limits& limits) { limits.discover_service_name.clear(); });
  EXPECT_EQ(proto_text(bench, proto_stream("", row)), "error at least one label pair is required per stream");
  bench.limits.change([](config::Limits& limits) { limits.enforced_labels = {"team", "app"}; });
  EXPECT_EQ(proto_text(bench, proto_stream("{app=\"x\"}", row)),
            R"(missing required labels 'team' for user 't' for stream '{app="x"}' (policy: ''))");
}

TEST(Validation, EntryErrorsInOrder) {
  Bench bench;
  const std::string stream = R"({app="p", service_name="p"})";
  const auto one = [&](Row row) { return proto_text(bench, proto_stream("{app=\"p\"}", {std::move(row)})); };
  EXPECT_EQ(one({kNow - 169 * 3600 * kSecond, "x"}),
            "entry for stream '" + stream + "' has timestamp too old: 2023-11-07T21:13:20Z, oldest acceptable timestamp is: 2023-11-07T22:13:20Z");
  EXPECT_EQ(one({kNow + 601 * kSecond, "x"}), "entry for stream '" + stream + "' has timestamp too new: 2023-11-14T22:23:21Z");
  EXPECT_EQ(one({kNow, std::string(262145, 'x')}),
            "max entry size '262144' bytes exceeded for stream '" + stream + "' while adding an entry with length '262145' bytes");
  EXPECT_EQ(one({kNow, std::string(262144, 'x')}), "ok");
  EXPECT_EQ(one({kNow, "x", {{"big", std::string(65536, 'v')}}}),
            "stream '" + stream + "' has structured metadata too large: '65539' bytes, limit: '65536' bytes. Please see "
            "`limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it");
  Row many{kNow, "x"};
  for (int i = 0; i < 129; ++i) many.metadata.emplace_back("n" + std::to_string(i), "v");
  EXPECT_EQ(one(many), "stream '" + stream + "' has too many structured metadata labels: '129', limit: '128'. Please see "
            "`limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it");
  EXPECT_EQ(one({kNow, "x", {{"___", "v"}}}), "normalization for label name \"___\" resulted in invalid name \"_\"");
  bench.limits.change([](config::Limits& limits) { limits.allow_structured_metadata = false; });
  EXPECT_EQ(one({kNow, "x", {{"a", "v"}}}),
            "stream '" + stream + "' includes structured metadata, but this feature is disallowed. Please see "
            "`limits_config.allow_structured_metadata` or contact your Loki administrator to enable it");
}

TEST(Validation, GoodRowsOfABadRequestAreStoredAndErrorsAreGrouped) {
  Bench bench;
  const std::string stream = R"({app="p", service_name="p"})";
  const std::string line_error = "max entry size '262144' bytes exceeded for stream '" + stream + "' while adding an entry with length '300000' bytes";
  const std::string body = proto_stream("{app=\"p\"}", {{kNow, std::string(300000, 'x')}, {kNow + 1, "good"}, {kNow, std::string(300000, 'y')},
                                                        {kNow + 601 * kSecond, "x"}});
  EXPECT_EQ(proto_text(bench, body), "2 errors like: " + line_error + "; 1 errors like: entry for stream '" + stream +
                                         "' has timestamp too new: 2023-11-14T22:23:21Z");
  EXPECT_EQ(rows(bench.last()), (std::vector<std::string>{stream + " 1700000000000000001 good [unknown]"}));
  EXPECT_EQ(bench.last().received_body, nullptr);
  const std::string text = bench.registry.expose_text();
  EXPECT_NE(text.find(R"(reason="line_too_long")"), std::string::npos) << text;
  EXPECT_NE(text.find("loki_distributor_lines_received_total"), std::string::npos);
}

TEST(Validation, RateLimitRefusesTheWholeRequest) {
  Bench bench;
  bench.limits.change([](config::Limits& limits) { limits.ingestion_rate_mb = limits.ingestion_burst_size_mb = 0.001; });  // 1048 bytes
  EXPECT_EQ(proto_text(bench, proto_stream("{app=\"p\"}", {{kNow, std::string(1000, 'x')}})), "ok");
  const auto answer = bench.push(PushFormat::kLokiProtobuf, snappy(proto_stream("{app=\"p\"}", {{kNow, std::string(100, 'x'), {{"ab", "cd"}}}})));
  EXPECT_EQ(answer.error(), Error(ErrorCode::kResourceExhausted,
      "ingestion rate limit exceeded for user t (limit: 1048 bytes/sec) while attempting to ingest '1' lines totaling '104' bytes, "
      "reduce log volume or contact your Loki administrator to see if the limit can be increased"));
  EXPECT_EQ(bench.ingester.batches.size(), 1u);
  bench.clock.advance_ns(kSecond);
  EXPECT_EQ(proto_text(bench, proto_stream("{app=\"p\"}", {{kNow, std::string(100, 'x')}})), "ok");
}

TEST(Validation, TheIngestersRefusalIsTheAnswer) {
  Bench bench;
  bench.ingester.outcome.error = Error(ErrorCode::kResourceExhausted, "too fast");
  EXPECT_EQ(bench.push(PushFormat::kLokiProtobuf, snappy(proto_stream("{a=\"b\"}", {{kNow, "x"}}))).error(),
            Error(ErrorCode::kResourceExhausted, "too fast"));
  bench.ingester.failure = Error(ErrorCode::kUnavailable, "disk full");
  EXPECT_EQ(bench.push(PushFormat::kLokiProtobuf, snappy(proto_stream("{a=\"b\"}", {{kNow, "x"}}))).error().code(),
            ErrorCode::kUnavailable);
}

TEST(Validation, BlockedIngestion) {
  Bench bench;
  bench.limits.change([](config::Limits& limits) { limits.block_ingestion_until = kNow + 3600 * kSecond; });
  EXPECT_EQ(proto_text(bench, proto_stream("{a=\"b\"}", {{kNow, "x"}})),
            "ingestion blocked for user 't' until '2023-11-14T23:13:20Z' with status code '260'");
  EXPECT_EQ(bench.distributor.blocked_status("t"), 260);
  bench.limits.change([](config::Limits& limits) { limits.block_ingestion_status_code = 200; });
  EXPECT_EQ(proto_text(bench, proto_stream("{a=\"b\"}", {{kNow, "x"}})), "ok");
  EXPECT_TRUE(bench.ingester.batches.empty());
}

TEST(Validation, LongLinesAreCutWhenToldTo) {
  Bench bench;
  bench.limits.change([](config::Limits& limits) {
    limits.max_line_size = 10;
    limits.max_line_size_truncate = true;
    limits.max_line_size_truncate_identifier = "...";
  });
  EXPECT_EQ(proto_text(bench, proto_stream("{a=\"b\"}", {{kNow, "0123456789abc"}})), "ok");
  EXPECT_EQ(bench.last().entries[0].line, "0123456...");
}

TEST(Validation, DuplicateTimestampsAreCountedUpWhenToldTo) {
  Bench bench;
  bench.limits.change([](config::Limits& limits) { limits.increment_duplicate_timestamp = true; });
  EXPECT_EQ(proto_text(bench, proto_stream("{a=\"b\"}", {{kNow, "x"}, {kNow, "y"}, {kNow, "y"}, {kNow, "z"}, {kNow + 9, "w"}})), "ok");
  std::vector<std::int64_t> offsets;
  for (const auto& entry : bench.last().entries) offsets.push_back(entry.timestamp_ns - kNow);
  EXPECT_EQ(offsets, (std::vector<std::int64_t>{0, 1, 0, 1, 9}));
}

TEST(Validation, MetadataIsNormalisedSortedAndUnique) {
  Bench bench;
  EXPECT_EQ(proto_text(bench, proto_stream("{a=\"b\"}", {{kNow, "x", {{"z", "1"}, {"a-b", "2"}, {"e", ""}, {"z", "3"}, {"u", "\xFF!"}}}})), "ok");
  EXPECT_EQ(rows(bench.last())[0], R"({a="b", service_name="unknown_service"} 1700000000000000000 x [unknown] a_b=2 u= ! z=3)");
}

TEST(Validation, LevelsFromMetadataLabelsAndLines) {
  Bench bench;
  const auto one = [&](const std::string& labels, Row row) {
    EXPECT_EQ(proto_text(bench, proto_stream(labels, {std::move(row)})), "ok");
    const std::string text = rows(bench.last())[0];
    return text.substr(text.find('['));
  };
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "error x", {{"detected_level", "WRN"}}}), "[warn]");
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "error x", {{"detected_level", "odd"}}}), "[] detected_level=odd");
  EXPECT_EQ(one("{level=\"DBG\"}", {kNow, "error x", {{"level", "info"}}}), "[debug] level=info");
  EXPECT_EQ(one("{level=\"notice\"}", {kNow, "error x", {{"z", "1"}}}), "[] detected_level=notice z=1");
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "error x", {{"lvl", "info"}, {"severity", "ERR"}}}), "[error] lvl=info severity=ERR");
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "error x", {{"level", "custom-text"}}}), "[] detected_level=custom-text level=custom-text");
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "error x", {{"severity_number", "9"}}}), "[info] severity_number=9");
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "an error x"}), "[error]");
  bench.limits.change([](config::Limits& limits) { limits.discover_log_levels = false; });
  EXPECT_EQ(one("{a=\"b\"}", {kNow, "an error x"}), "[]");
}

TEST(Validation, BackfillMarksStreamsAndAcceptsOldRows) {
  Bench bench;
  const std::string body = snappy(proto_stream("{a=\"b\"}", {{kNow - 1000 * 3600 * kSecond, "x"}}));
  ASSERT_TRUE(bench.push(PushFormat::kLokiProtobuf, body, "", "s1").ok());
  EXPECT_EQ(bench.last().streams[0].labels->text,
            R"({__backfill__="true", __backfill_shard__="s1", a="b", service_name="unknown_service"})");
  EXPECT_FALSE(bench.push(PushFormat::kLokiProtobuf, body).ok());
  EXPECT_EQ(proto_text(bench, proto_stream("{__backfill__=\"x\"}", {{kNow, "x"}})).substr(0, 46), "streams must not contain the reserved labels _");
}

TEST(Validation, AChangeOfLimitsIsSeenDespiteTheCache) {
  Bench bench;
  const std::string body = proto_stream("{app=\"x\"}", {{kNow, "x"}});
  EXPECT_EQ(proto_text(bench, body), "ok");
  bench.limits.change([](config::Limits& limits) { limits.max_label_value_length = 0; });
  EXPECT_NE(proto_text(bench, body).find("label value too long"), std::string::npos);
}

TEST(ReceivedBody, IsKeptOnlyWhenTheWalkGivesTheBatch) {
  Bench bench;
  const auto kept = [&](const std::string& plain) {
    (void)bench.push(PushFormat::kLokiProtobuf, snappy(plain)).ok();
    return bench.last().received_body != nullptr;
  };
  EXPECT_TRUE(kept(proto_stream("{z=\"1\", a=\"b\"}", {{kNow, "x"}, {kNow, "info y", {{"a", "1"}, {"b", "2"}}}})));
  EXPECT_TRUE(kept(proto_stream("{empty=\"x\"}", {}) + proto_stream("{a=\"b\"}", {{kNow, "x"}})));
  EXPECT_FALSE(kept(proto_stream("{a=\"b\"}", {{kNow, "x", {{"b", "1"}, {"a", "2"}}}})));
  EXPECT_FALSE(kept(proto_stream("{a=\"b\"}", {{kNow, "x", {{"a", ""}}}})));
  EXPECT_FALSE(kept(proto_stream("{a=\"b\"}", {{kNow, "x", {{"detected_level", "info"}}}})));
  EXPECT_FALSE(kept(proto_stream("{a=\"b\"}", {{kNow, "x", {{"a.b", "1"}}}})));
  EXPECT_FALSE(kept(proto_stream("{a=\"b\"}", {{kNow + 3600 * kSecond, "x"}}) + proto_stream("{a=\"b\"}", {{kNow, "x"}})));
}

TEST(LabelCache, StaysWithinItsBytesAndKeepsWhatIsUsed) {
  const TenantSettings settings(std::make_shared<const config::Limits>(), 1);
  LabelCache cache(256 << 10);
  const std::uint64_t scope = label_cache_scope("t", 1, LabelSyntax::kText, "");
  const auto hot = label_cache_key(scope, "{hot=\"1\"}");
  cache.insert(hot, *make_stream_info("{hot=\"1\"}", LabelSyntax::kText, "", "t", settings));
  for (int i = 0; i < 5000; ++i) {
    const std::string text = "{n=\"" + std::to_string(i) + "\"}";
    cache.insert(label_cache_key(scope, text), *make_stream_info(text, LabelSyntax::kText, "", "t", settings));
    ASSERT_NE(cache.find(hot), nullptr) << i;
    ASSERT_LE(cache.size_bytes(), 256u << 10);
  }
  EXPECT_EQ(cache.find(label_cache_key(scope, "{n=\"0\"}")), nullptr);
  EXPECT_NE(label_cache_scope("t", 1, LabelSyntax::kText, ""), label_cache_scope("t", 1, LabelSyntax::kJsonObject, ""));
  EXPECT_NE(label_cache_scope("t", 1, LabelSyntax::kText, ""), label_cache_scope("t", 2, LabelSyntax::kText, ""));
  EXPECT_NE(label_cache_scope("t", 1, LabelSyntax::kText, ""), label_cache_scope("t", 1, LabelSyntax::kText, "s"));
}

}  // namespace
}  // namespace skald::distributor::testing
