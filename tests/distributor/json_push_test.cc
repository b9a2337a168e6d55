#include <gtest/gtest.h>

#include "distributor/fakes.h"

namespace skald::distributor::testing {
namespace {

constexpr const char* kIn = "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: ";
constexpr const char* kValue = "unmarshalerDecoder: Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
constexpr const char* kString = "unmarshalerDecoder: Value is string, but can't find closing '\"' symbol";
constexpr const char* kObject = "unmarshalerDecoder: Value looks like object, but can't find closing '}' symbol";

TEST(JsonPush, ErrorTextsAreThoseOfLokisReaders) {
  struct Case {
    std::string body, error;
  };
  const std::string in = kIn;
  const Case cases[] = {
      {"{\"streams\":", in + "decode slice: expect [ or n, but found " + std::string(1, '\0') +
                            ", error found in #10 byte of ...|\"streams\":|..., bigger context ...|{\"streams\":|..."},
      {"not json", "skipThreeBytes: expect ull, error found in #2 byte of ...|not json|..., bigger context ...|not json|..."},
      {"", "EOF"},
      {"[]", "readObjectStart: expect { or n, but found [, error found in #1 byte of ...|[]|..., bigger context ...|[]|..."},
      {R"({"streams":[{"stream":{"app":"p"},"values":[[1768471200000000000,"x"]]}]})",
       in + kValue + R"(, error found in #10 byte of ...|000,"x"]]}]}|..., bigger context ...|:{"app":"p"},"values":[[1768471200000000000,"x"]]}]}|...)"},
      {R"({"streams": [{"stream": {"app": "p"}, "values": [["abc", "x"]]}]})",
       in + kValue + R"(, error found in #10 byte of ...|c", "x"]]}]}|..., bigger context ...|{"stream": {"app": "p"}, "values": [["abc", "x"]]}]}|...)"},
      {R"({"streams":[{"stream":{"app":"p"},"values":[["1768471200000000000",5]]}]})",
       in + kString + R"(, error found in #10 byte of ...|0000",5]]}]}|..., bigger context ...|:{"app":"p"},"values":[["1768471200000000000",5]]}]}|...)"},
      {R"({"streams":[{"stream":{"app":"p"},"values":["x"]}]})",
       in + R"(unmarshalerDecoder: Malformed JSON error, error found in #10 byte of ...|es":["x"]}]}|..., bigger context ...|{"streams":[{"stream":{"app":"p"},"values":["x"]}]}|...)"},
      {R"({"streams":[{"stream":"{app=\"p\"}","values":[["1768471200000000000","x"]]}]})",
       in + kObject + R"(, error found in #10 byte of ...|00","x"]]}]}|..., bigger context ...|pp=\"p\"}","values":[["1768471200000000000","x"]]}]}|...)"}};
  Bench bench;
  for (const Case& one : cases) EXPECT_EQ(bench.json_text(one.body), one.error) << one.body;
}

TEST(JsonPush, WrongElementsAreNamed) {
  Bench bench;
  const auto third = [&](const std::string& element) {
    return bench.json_text(R"({"streams":[{"stream":{"app":"p"},"values":[["1","x",)" + element + "]]}]}");
  };
  for (const char* element : {"\"y\"", "[\"a\"]", "null"}) EXPECT_NE(third(element).find(kObject), std::string::npos) << element;
  for (const char* element : {R"({"a":1})", R"({"a":true})", R"({"a":{}})"}) EXPECT_NE(third(element).find(kString), std::string::npos) << element;
  EXPECT_TRUE(bench.ingester.batches.empty());
}

TEST(JsonPush, LabelsOfTheObjectAreCheckedLikeLabelText) {
  Bench bench;
  const std::pair<const char*, const char*> cases[] = {
      {R"({"a-b":"c"})", "1:3: parse error: unexpected character inside braces: '-'"},
      {R"({"1a":"c"})", "1:2: parse error: unexpected character inside braces: '1'"},
      {R"({"a.b":"c"})", "1:3: parse error: unexpected character inside braces: '.'"},
      {R"({"":"c"})", R"(1:2: parse error: unexpected "=" in label set, expected identifier or "}")"},
      {"{\"cl\xC3\xA9\":\"c\"}", "1:4: parse error: unexpected character inside braces: '\xC3\xA9'"}};
  for (const auto& [labels, error] : cases)
    EXPECT_EQ(bench.json_text(std::string(R"({"streams":[{"stream":)") + labels + R"(,"values":[["1","x"]]}]})"),
              std::string("couldn't parse labels: ") + error);
}

TEST(JsonPush, EveryAcceptedShape) {
  Bench bench;
  bench.limits.change([](config::Limits& limits) { limits.reject_old_samples = false; });
  const auto one = [&](const std::string& body) {
    const std::size_t before = bench.ingester.batches.size();
    const std::string answer = bench.json_text(body);
    if (answer != "ok") return answer;
    return bench.ingester.batches.size() == before ? std::string("nothing") : rows(bench.last())[0];
  };
  EXPECT_EQ(one(R"({"streams":[{"stream":{"app":5},"values":[["7","x"]]}]})"), R"({app="5", service_name="5"} 7 x [unknown])");
  EXPECT_EQ(one(R"({"streams":[{"values":[["7","x"]]}]})"), R"({service_name="unknown_service"} 7 x [unknown])");
  EXPECT_EQ(one(R"({"streams":[{"stream":{},"values":[["7"]]}]})"), R"({service_name="unknown_service"} 7  [unknown])");
  EXPECT_EQ(one(R"({"x":[{}],"streams":[{"values":[["7","x",{}]],"stream":{"a":"1","a":"2"},"y":null}]})"),
            R"({a="2", service_name="unknown_service"} 7 x [unknown])");
  EXPECT_EQ(one(R"({"streams":[{"stream":{"app":"é","gone":""},"values":[["-7","t\tn\nq\"b\\u\u0000\ud83d\ude00\ud800!",{"k":"\u0041"}]]}]})"),
            "{app=\"\xC3\xA9\", service_name=\"\xC3\xA9\"} -7 t\tn\nq\"b\\u" + std::string(1, '\0') +
                "\xF0\x9F\x98\x80\xEF\xBF\xBD! [unknown] k=A");
  EXPECT_EQ(one(R"({"streams":[{"stream":{"a":"b"},"values":null}]})"), "nothing");
  EXPECT_EQ(one(R"({"streams":[{"labels":"{app=\"p\"}","entries":[{"ts":"2026-01-15T10:00:00Z","line":"x"}]}]})"), "nothing");
  for (const char* empty : {"{}", R"({"streams":[]})", R"({"streams":null})", "null"}) {
    const auto answer = bench.json(empty);
    ASSERT_FALSE(answer.ok()) << empty;
    EXPECT_EQ(answer.error(), Error(ErrorCode::kUnprocessable, "error at least one valid stream is required for ingestion"));
  }
}

TEST(JsonPush, LegacyShape) {
  Bench bench;
  ASSERT_TRUE(bench.push(PushFormat::kLegacyJson,
                         R"({"streams":[{"labels":"{app=\"web\"}","entries":[{"ts":"2023-11-14T22:13:20.000000001Z","line":"x"}]}]})").ok());
  EXPECT_EQ(rows(bench.last())[0], R"({app="web", service_name="web"} 1700000000000000001 x [unknown])");
  EXPECT_FALSE(bench.push(PushFormat::kLegacyJson, R"({"streams":[{"labels":"{app=\"web\"}","entries":[{"ts":"noon","line":"x"}]}]})").ok());
}

TEST(JsonPush, EveryTruncationIsRefusedAndStoresNothing) {
  const std::string body =
      R"({"streams":[{"stream":{"app":"p"},"values":[["1700000000000000000","a\u00e9\n",{"k":"v"}],["1700000000000000001","b"]]}]})";
  Bench bench;
  for (std::size_t keep = 0; keep < body.size(); ++keep) EXPECT_FALSE(bench.json(body.substr(0, keep)).ok()) << keep;
  EXPECT_TRUE(bench.ingester.batches.empty());
  EXPECT_TRUE(bench.json(body).ok());
  for (std::size_t i = 0; i < body.size(); ++i) {
    std::string damaged = body;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x13);
    (void)bench.json(damaged).ok();
  }
}

}  // namespace
}  // namespace skald::distributor::testing
