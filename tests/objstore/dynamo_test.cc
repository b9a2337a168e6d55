#include <gtest/gtest.h>

#include "objstore/dynamo_table.h"
#include "objstore/fake_remote.h"

namespace skald::objstore {
namespace {

class Dynamo : public testing::Test {
 protected:
  Dynamo() {
    config_.table = "index";
    config_.access_key_id = "AKIDEXAMPLE";
    config_.secret_access_key = "secret";
    log_->answer = [](const SeenRequest&) { return answer(200, "{}"); };
  }
  std::unique_ptr<DynamoTable> open() {
    return std::make_unique<DynamoTable>(config_, "http://db.example:8000", "eu-west-1",
                                         DynamoParts{.remote = std::make_unique<FakeRemote>(log_), .environment = environment_of(std::make_shared<FakeEnvironment>()), .clock = clock_});
  }
  static http::ClientResponse fault(const std::string& code, int status = 400) {
    return answer(status, "{\"__type\":\"com.amazonaws.dynamodb.v20120810#" + code + "\",\"message\":\"because\"}");
  }
  config::DynamoConfig config_;
  std::shared_ptr<RemoteLog> log_ = std::make_shared<RemoteLog>();
  FakeClock clock_;
  CallContext ctx_;
};

TEST_F(Dynamo, AsksInItsLanguage) {
  const auto table = open();
  ASSERT_TRUE(table->put("t/index/index_1", "A", Bytes("\0\xff!", 3), ctx_).ok());
  ASSERT_TRUE(table->put_if_absent("h", "r\"x", "v", ctx_).ok());
  ASSERT_TRUE(table->remove("h", "r", ctx_).ok());
  EXPECT_EQ(table->get("h", "r", ctx_).error().code(), ErrorCode::kNotFound);
  const auto& seen = log_->seen;
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].method + " " + seen[0].url, "POST http://db.example:8000/");
  EXPECT_EQ(seen[0].header("X-Amz-Target"), "DynamoDB_20120810.PutItem");
  EXPECT_EQ(seen[0].header("Content-Type"), "application/x-amz-json-1.0");
  EXPECT_NE(seen[0].header("Authorization").find("/eu-west-1/dynamodb/aws4_request"), std::string::npos);
  EXPECT_EQ(seen[0].body, R"j({"TableName":"index","Item":{"h":{"S":"t/index/index_1"},"r":{"S":"A"},"v":{"B":"AP8h"}}})j");
  EXPECT_EQ(seen[1].body, R"j({"TableName":"index","Item":{"h":{"S":"h"},"r":{"S":"r\"x"},"v":{"B":"dg=="}},"ConditionExpression":"attribute_not_exists(h)"})j");
  EXPECT_EQ(seen[2].body, R"j({"TableName":"index","Key":{"h":{"S":"h"},"r":{"S":"r"}}})j");
  EXPECT_EQ(seen[3].body, R"j({"TableName":"index","Key":{"h":{"S":"h"},"r":{"S":"r"}},"ConsistentRead":true})j");
  EXPECT_EQ(table->put("h", "\xff", "v", ctx_).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(Dynamo, ReadsPages) {
  log_->answer = [](const SeenRequest& request) {
    if (request.body.find("ExclusiveStartKey") != std::string::npos) return answer(200, R"j({"Items":[{"r":{"S":"c"}}],"Count":1})j");
    return answer(200, R"j({"Items":[{"r":{"S":"a"},"v":{"B":"AP8h"}},{"r":{"S":"b"}}],"LastEvaluatedKey":{"h":{"S":"h"},"r":{"S":"b"}}})j");
  };
  const auto table = open();
  const TablePage first = table->query("h", "pre", "", 2, WithValues::kYes, ctx_).value();
  ASSERT_EQ(first.items.size(), 2U);
  EXPECT_EQ(first.items[0].value, Bytes("\0\xff!", 3));
  EXPECT_EQ(first.next, "b");
  EXPECT_EQ(log_->seen[0].body, R"j({"TableName":"index","ConsistentRead":true,"KeyConditionExpression":"h = :h AND begins_with(r, :p)",)j"
                                R"j("ExpressionAttributeValues":{":h":{"S":"h"},":p":{"S":"pre"}},"Limit":2})j");
  const TablePage second = table->query("h", "", first.next, 0, WithValues::kNo, ctx_).value();
  EXPECT_EQ(second.next, "");
  EXPECT_EQ(log_->seen[1].body, R"j({"TableName":"index","ConsistentRead":true,"KeyConditionExpression":"h = :h","ExpressionAttributeValues":{":h":{"S":"h"}},)j"
                                R"j("ProjectionExpression":"r","ExclusiveStartKey":{"h":{"S":"h"},"r":{"S":"b"}}})j");
  log_->answer = [](const SeenRequest&) { return answer(200, "<html>"); };
  EXPECT_EQ(table->query("h", "", "", 0, WithValues::kNo, ctx_).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(table->get("h", "r", ctx_).error().code(), ErrorCode::kUnavailable);
}

TEST_F(Dynamo, MakesTheTableWhenItIsMissing) {
  int described = 0;
  bool made = false;
  log_->answer = [&](const SeenRequest& request) {
    const std::string target = request.header("X-Amz-Target");
    if (target == "DynamoDB_20120810.CreateTable") {
      made = true;
      return answer(200, R"j({"TableDescription":{"TableStatus":"CREATING"}})j");
    }
    if (target == "DynamoDB_20120810.DescribeTable") return answer(200, ++described < 2 ? R"j({"Table":{"TableStatus":"CREATING"}})j" : R"j({"Table":{"TableStatus":"ACTIVE"}})j");
    return made ? answer(200, "{}") : fault("ResourceNotFoundException");
  };
  ASSERT_TRUE(open()->put("h", "r", "v", ctx_).ok());
  EXPECT_EQ(described, 2);
  ASSERT_EQ(log_->seen.size(), 5U);
  EXPECT_EQ(log_->seen[1].body, R"j({"TableName":"index","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"h","AttributeType":"S"},)j"
                                R"j({"AttributeName":"r","AttributeType":"S"}],"KeySchema":[{"AttributeName":"h","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}]})j");
  made = false;
  config_.create_table = false;
  const Result<void> refused = open()->put("h", "r", "v", ctx_);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("create the table"), std::string::npos);
}

TEST_F(Dynamo, SaysWhatWentWrong) {
  const auto code_of = [&](const std::string& name, int status = 400) {
    log_->answer = [&, name, status](const SeenRequest&) { return fault(name, status); };
    return open()->put("h", "r", "v", ctx_).error().code();
  };
  EXPECT_EQ(code_of("ProvisionedThroughputExceededException"), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of("ThrottlingException"), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of("AccessDeniedException"), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code_of("InvalidSignatureException"), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code_of("UnrecognizedClientException"), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code_of("ValidationException"), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of("Anything", 403), ErrorCode::kPermissionDenied);
}

TEST_F(Dynamo, AnOwnEarlierTryIsASuccess) {
  log_->tries = 2;
  std::string stored = "dg==";
  log_->answer = [&](const SeenRequest& request) {
    if (request.header("X-Amz-Target") == "DynamoDB_20120810.GetItem") return answer(200, "{\"Item\":{\"v\":{\"B\":\"" + stored + "\"}}}");
    return fault("ConditionalCheckFailedException");
  };
  EXPECT_TRUE(open()->put_if_absent("h", "r", "v", ctx_).ok());
  stored = "AAAA";
  EXPECT_EQ(open()->put_if_absent("h", "r", "v", ctx_).error().code(), ErrorCode::kAlreadyExists);
  stored = "dg==";
  log_->tries = 1;
  EXPECT_EQ(open()->put_if_absent("h", "r", "v", ctx_).error().code(), ErrorCode::kAlreadyExists);
}

// Throttling comes as 400 and is tried again; the real Remote over a client that answers from a list.
TEST_F(Dynamo, ThrottledRequestsAreTriedAgain) {
  struct ListClient final : http::Client {
    std::vector<http::ClientResponse> answers;
    std::size_t asked = 0;
    Result<http::ClientResponse> call(const http::ClientRequest&, const CallContext&) override { return answers[std::min(asked++, answers.size() - 1)]; }
    std::unique_ptr<Running> start(const http::ClientRequest&, const CallContext&) override { return nullptr; }
    void call_then(http::ClientRequest, SharedBytes, const CallContext&, std::function<void(Result<http::ClientResponse>)>) override {}
    void wait_any(std::span<Running* const>, std::int64_t) override {}
  };
  auto client = std::make_unique<ListClient>();
  ListClient* const asked = client.get();
  client->answers = {fault("ProvisionedThroughputExceededException"), fault("ThrottlingException"), answer(200, "{}")};
  obs::Registry registry;
  RemoteSeams seams{.client = std::move(client), .sleep = [](std::int64_t, const CallContext&) { return Result<void>(); }};
  auto remote = Remote::create({.metric = "m", .http = {}, .retry = {}, .hedging = {}, .subject = "table"}, registry, system_clock(), system_random(), std::move(seams)).value();
  DynamoTable table(config_, "http://db", "r", {.remote = std::move(remote), .environment = environment_of(std::make_shared<FakeEnvironment>()), .clock = clock_});
  EXPECT_TRUE(table.put("h", "r", "v", ctx_).ok());
  EXPECT_EQ(asked->asked, 3U);
}

TEST(OpenDynamo, WantsANameAndAPlace) {
  obs::Registry registry;
  config::DynamoConfig config;
  config.region = "eu-west-1";
  EXPECT_TRUE(open_dynamo_table(config, {.registry = registry, .hedging = {}}).ok());
  config.table = "no/name";
  EXPECT_EQ(open_dynamo_table(config, {.registry = registry, .hedging = {}}).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace skald::objstore
