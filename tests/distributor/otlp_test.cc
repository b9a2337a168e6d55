#include <gtest/gtest.h>

#include "distributor/fakes.h"
#include "distributor/otlp_value.h"

namespace skald::distributor::testing {
namespace {

const char* const kSample = R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[
  {"timeUnixNano":"1700000000000000000","severityNumber":17,"severityText":"ERR","body":{"stringValue":"hi"},
   "attributes":[{"key":"1bad","value":{"stringValue":"x"}},{"key":"empty","value":{"stringValue":""}},{"key":"ok","value":{"boolValue":true}}],
   "traceId":"ABCDEF00000000000000000000000001","spanId":"0000000000000000","flags":1,"observedTimeUnixNano":"1700000000000000005"},
  {"observedTimeUnixNano":1700000000000000001,"body":{"kvlistValue":{"values":[{"key":"z","value":{"doubleValue":2.50}},
     {"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"q\"\n"},{}]}}}]}},"eventName":"e"}],
  "scope":{"name":"sc","version":"1.0","attributes":[{"key":"s.a","value":{"intValue":7}}],"droppedAttributesCount":2}}],
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}},{"key":"host.name","value":{"stringValue":"h"}},
   {"key":"m","value":{"kvlistValue":{"values":[{"key":"x.y","value":{"intValue":"1"}},{"key":"z","value":{"intValue":3}}]}}},
   {"key":"arr","value":{"arrayValue":{"values":[{"stringValue":"1"},{"intValue":"2"}]}}},{"key":"by","value":{"bytesValue":"AQID"}}]}}]})";

std::string attribute(int field, const std::string& key, const std::string& value) {
  std::string pair, out;
  append_field(pair, 1, key);
  append_field(pair, 2, value);
  append_field(out, field, pair);
  return out;
}
std::string string_value(const std::string& text) { std::string out; append_field(out, 1, text); return out; }
std::string int_value(std::uint64_t number) { std::string out; append_number(out, 3, number); return out; }
std::string number_field(int field, std::uint64_t number) { std::string out; append_number(out, field, number); return out; }
std::string fixed64_field(int field, std::uint64_t number) { std::string out; append_fixed64(out, field, number); return out; }
std::string wrapped(int field, const std::string& inner) { std::string out; append_field(out, field, inner); return out; }

// The same request as kSample.
std::string sample_proto() {
  double two_and_a_half = 2.5;
  std::uint64_t bits;
  std::memcpy(&bits, &two_and_a_half, 8);
  const std::string resource =
      attribute(1, "service.name", string_value("svc")) + attribute(1, "host.name", string_value("h")) +
      attribute(1, "m", wrapped(6, attribute(1, "x.y", int_value(1)) + attribute(1, "z", int_value(3)))) +
      attribute(1, "arr", wrapped(5, wrapped(1, string_value("1")) + wrapped(1, int_value(2)))) +
      attribute(1, "by", wrapped(7, "\x01\x02\x03"));
  const std::string scope = wrapped(1, "sc") + wrapped(2, "1.0") + attribute(3, "s.a", int_value(7)) + number_field(4, 2);
  std::string flags = "\x45";
  append_le<std::uint32_t>(flags, 1);
  const std::string first = fixed64_field(1, 1700000000000000000) + number_field(2, 17) + wrapped(3, "ERR") +
      wrapped(5, string_value("hi")) + attribute(6, "1bad", string_value("x")) + attribute(6, "empty", string_value("")) +
      attribute(6, "ok", number_field(2, 1)) + flags +
      wrapped(9, std::string("\xAB\xCD\xEF\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16)) + wrapped(10, std::string(8, '\0')) +
      fixed64_field(11, 1700000000000000005);
  const std::string second = fixed64_field(11, 1700000000000000001) +
      wrapped(5, wrapped(6, attribute(1, "z", fixed64_field(4, bits)) +
                                attribute(1, "a", wrapped(5, wrapped(1, int_value(1)) + wrapped(1, string_value("q\"\n")) + wrapped(1, ""))))) +
      wrapped(12, "e");
  // Records before their scope and resource.
  return wrapped(1, wrapped(2, wrapped(2, first) + wrapped(2, second) + wrapped(1, scope)) + wrapped(1, resource));
}

const std::string kCommon = R"(by=AQID )";
const std::vector<std::string> kRows = {
    R"({service_name="svc"} 1700000000000000000 hi [error] arr=["1",2] by=AQID flags=1 host_name=h key_1bad=x m_x_y=1 m_z=3 )"
    R"(observed_timestamp=1700000000000000005 ok=true s_a=7 scope_dropped_attributes_count=2 scope_name=sc scope_version=1.0 )"
    R"(severity_number=17 severity_text=ERR trace_id=abcdef00000000000000000000000001)",
    R"({service_name="svc"} 1700000000000000001 {"a":[1,"q\"\n",null],"z":2.5} [unknown] arr=["1",2] by=AQID event_name=e )"
    R"(host_name=h m_x_y=1 m_z=3 s_a=7 scope_dropped_attributes_count=2 scope_name=sc scope_version=1.0)"};

TEST(Otlp, JsonAndProtobufGiveTheSameRows) {
  Bench bench;
  ASSERT_TRUE(bench.push(PushFormat::kOtlpJson, kSample).ok());
  EXPECT_EQ(rows(bench.last()), kRows);
  ASSERT_TRUE(bench.push(PushFormat::kOtlpProtobuf, sample_proto()).ok());
  EXPECT_EQ(rows(bench.last()), kRows);
  EXPECT_EQ(bench.last().received_body, nullptr);
}

TEST(Otlp, Refusals) {
  Bench bench;
  const auto json = [&](const char* body) { return bench.push(PushFormat::kOtlpJson, body).error(); };
  EXPECT_EQ(json("{bad").message(), "ReadObject: expect \" after {, but found b, error found in #2 byte of ...|{bad|..., bigger context ...|{bad|...");
  EXPECT_EQ(json(R"({"resourceLogs":[]})").code(), ErrorCode::kUnprocessable);
  EXPECT_EQ(json(R"({"resourceLogs":[{"resource":{}}]})").code(), ErrorCode::kUnprocessable);
  EXPECT_EQ(json("").message(), "EOF");
  EXPECT_EQ(bench.push(PushFormat::kOtlpProtobuf, "zzz").error().message(), "unexpected EOF");
  EXPECT_EQ(bench.push(PushFormat::kOtlpJson, "{}", "snappy").error().message(),
            "unsupported content encoding snappy: only gzip, lz4 and zstd are supported");
  bench.limits.change([](config::Limits& limits) { limits.allow_structured_metadata = false; });
  EXPECT_NE(json(kSample).message().find("disallowed"), std::string::npos);
}

TEST(Otlp, TruncationsAndDamageAreAnswers) {
  Bench bench;
  const std::string json = kSample, proto = sample_proto();
  for (std::size_t keep = 0; keep < json.size(); ++keep) EXPECT_FALSE(bench.push(PushFormat::kOtlpJson, json.substr(0, keep)).ok()) << keep;
  for (std::size_t keep = 1; keep < proto.size(); ++keep) EXPECT_FALSE(bench.push(PushFormat::kOtlpProtobuf, proto.substr(0, keep)).ok()) << keep;
  EXPECT_TRUE(bench.ingester.batches.empty());
  for (std::size_t bit = 0; bit < proto.size() * 8; ++bit) {
    std::string damaged = proto;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    (void)bench.push(PushFormat::kOtlpProtobuf, damaged).ok();
  }
}

TEST(Otlp, RulesOfTheTenant) {
  Bench bench;
  bench.limits.change([](config::Limits& limits) {
    limits.otlp_config.ignore_resource_defaults = true;
    limits.otlp_config.resource_attributes = {{"index_label", {"host.name"}, ""}, {"drop", {}, "a.*|by"}};
    limits.otlp_config.log_attributes = {{"drop", {"ok"}, ""}};
  });
  ASSERT_TRUE(bench.push(PushFormat::kOtlpJson, kSample).ok());
  const std::string row = rows(bench.last())[0];
  EXPECT_EQ(row.substr(0, row.find('}') + 1), R"({host_name="h", service_name="unknown_service"})");
  for (const char* gone : {" arr=", " by=", " ok="}) EXPECT_EQ(row.find(gone), std::string::npos) << gone;
  EXPECT_NE(row.find("service_name=svc"), std::string::npos);
}

TEST(Otlp, AttributesThatMultiplyAreRefused) {
  Bench bench;
  std::string resource, records;
  for (int i = 0; i < 4000; ++i) resource += attribute(1, "k" + std::to_string(i), string_value("v"));
  for (int i = 0; i < 200000; ++i) records += wrapped(2, "");
  const auto answer = bench.push(PushFormat::kOtlpProtobuf, wrapped(1, wrapped(1, resource) + wrapped(2, records)));
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), ErrorCode::kTooLarge);
  std::string deep = string_value("x");
  for (int i = 0; i < 200; ++i) deep = wrapped(6, attribute(1, "k", deep));
  EXPECT_FALSE(bench.push(PushFormat::kOtlpProtobuf, wrapped(1, wrapped(1, attribute(1, "a", deep)))).ok());
}

TEST(Otlp, FloatsPrintAsGoPrintsThem) {
  const std::pair<double, const char*> cases[] = {{2.5, "2.5"}, {10, "10"}, {1e20, "100000000000000000000"}, {1e21, "1e+21"},
                                                  {1e-6, "0.000001"}, {1.5e-7, "1.5e-7"}, {-0.1, "-0.1"}, {1e-10, "1e-10"}};
  for (const auto& [value, text] : cases) {
    std::string out;
    append_go_float(out, value);
    EXPECT_EQ(out, text);
  }
}

TEST(Otlp, Base64RoundTrips) {
  for (const std::string bytes : {"", "a", "ab", "abc", "\xFF\xFE\x00x"}) {
    std::string encoded, decoded;
    append_base64(encoded, bytes);
    ASSERT_TRUE(decode_base64(encoded, decoded));
    EXPECT_EQ(decoded, bytes);
  }
  std::string ignored;
  EXPECT_FALSE(decode_base64("a", ignored));
  EXPECT_FALSE(decode_base64("a!bc", ignored));
}

}  // namespace
}  // namespace skald::distributor::testing
