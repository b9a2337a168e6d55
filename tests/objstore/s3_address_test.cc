#include "objstore/s3_address.h"

#include <gtest/gtest.h>

#include <map>

namespace skald::objstore {
namespace {

using config::S3Config;

Environment environment_of(std::map<std::string, std::string> variables) {
  return {.variable = [variables = std::move(variables)](const char* name) { return variables.contains(name) ? variables.at(name) : std::string(); },
          .read_file = [](const std::string& path) -> Result<Bytes> { return Error(ErrorCode::kNotFound, path); }};
}

S3Location locate(S3Config config, const std::string& bucket = "logs", std::string region = "") {
  const S3Address address = resolve_s3_address(config, environment_of({})).value();
  return locate_bucket(address, bucket, region.empty() ? address.region : region);
}

TEST(S3Address, AwsByRegion) {
  S3Config config;
  config.region = "eu-west-1";
  EXPECT_EQ(locate(config).origin, "https://logs.s3.dualstack.eu-west-1.amazonaws.com");
  EXPECT_EQ(locate(config).path, "");
  config.dualstack = false;
  EXPECT_EQ(locate(config).host, "logs.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(locate(config, "logs", "us-west-2").host, "logs.s3.us-west-2.amazonaws.com");
  EXPECT_EQ(locate(config, "my.logs").origin, "https://s3.eu-west-1.amazonaws.com");   // no certificate covers the dot
  EXPECT_EQ(locate(config, "my.logs").path, "/my.logs");
  config.region = "cn-north-1";
  EXPECT_EQ(locate(config).host, "logs.s3.cn-north-1.amazonaws.com.cn");
  config.lookup = S3Config::Lookup::kPath;
  EXPECT_EQ(locate(config).host, "s3.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(locate(config).path, "/logs");
}

TEST(S3Address, AwsByEndpoint) {
  for (const auto& [endpoint, region] : std::vector<std::pair<std::string, std::string>>{
           {"s3.eu-central-1.amazonaws.com", "eu-central-1"}, {"https://s3-us-west-2.amazonaws.com/", "us-west-2"},
           {"bucket.vpce-0a1b-2c3d.s3.us-east-1.vpce.amazonaws.com", "us-east-1"},
           {"s3.dualstack.us-east-2.amazonaws.com:443", "us-east-2"}, {"s3.cn-north-1.amazonaws.com.cn", "cn-north-1"}, {"s3.amazonaws.com", "us-east-1"}}) {
    S3Config config;
    config.endpoint = endpoint;
    EXPECT_EQ(resolve_s3_address(config, environment_of({})).value().region, region) << endpoint;
    EXPECT_TRUE(locate(config).virtual_hosted) << endpoint;
  }
  S3Config config;
  config.endpoint = "s3.eu-central-1.amazonaws.com";
  EXPECT_EQ(locate(config).host, "logs.s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(locate(config, "logs", "us-west-2").host, "logs.s3.us-west-2.amazonaws.com");
  config.endpoint = "s3-fips.dualstack.us-east-1.amazonaws.com";
  EXPECT_EQ(locate(config, "logs", "us-west-2").host, "logs.s3-fips.dualstack.us-west-2.amazonaws.com");
  config.endpoint = "s3.amazonaws.com";
  EXPECT_EQ(locate(config, "logs", "us-west-2").host, "logs.s3.us-west-2.amazonaws.com");
  config.endpoint = "bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com";
  EXPECT_EQ(locate(config, "logs", "us-west-2").host, "logs.bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com");
}

TEST(S3Address, StoresElsewhere) {
  S3Config config;
  config.endpoint = "minio:9000";
  config.insecure = true;
  EXPECT_EQ(locate(config).origin, "http://minio:9000");
  EXPECT_EQ(locate(config).path, "/logs");
  EXPECT_EQ(locate(config, "logs", "elsewhere").host, "minio:9000");
  EXPECT_EQ(resolve_s3_address(config, environment_of({})).value().region, "us-east-1");
  EXPECT_EQ(resolve_s3_address(config, environment_of({{"AWS_DEFAULT_REGION", "garage"}})).value().region, "garage");
  config.endpoint = "https://store.example:443/storage/v1/s3/";   // the scheme wins over `insecure`
  EXPECT_EQ(locate(config).origin, "https://store.example");
  EXPECT_EQ(locate(config).path, "/storage/v1/s3/logs");
  config.endpoint = "http://[::1]:80";
  EXPECT_EQ(locate(config).host, "[::1]");
  config.lookup = S3Config::Lookup::kVirtualHosted;
  config.endpoint = "oss-cn-hangzhou.example:9000";
  EXPECT_EQ(locate(config).host, "logs.oss-cn-hangzhou.example:9000");
  EXPECT_EQ(locate(config).path, "");
}

TEST(S3Address, RefusesWhatCannotBeReached) {
  EXPECT_EQ(resolve_s3_address({}, environment_of({})).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(resolve_s3_address({}, environment_of({{"AWS_REGION", "eu-west-1"}})).value().region, "eu-west-1");
  for (const char* endpoint : {"https://", "a b", "user@host", "http:///x", "host/pa th", "host?x"}) {
    S3Config config;
    config.endpoint = endpoint;
    EXPECT_FALSE(resolve_s3_address(config, environment_of({})).ok()) << endpoint;
  }
  S3Config config;
  config.region = "eu/west";
  EXPECT_FALSE(resolve_s3_address(config, environment_of({})).ok());
  EXPECT_TRUE(is_bucket_name("my.logs-1_X"));
  for (const char* name : {"", "ab", "a/b", "a b", "a?b", "a%b"}) EXPECT_FALSE(is_bucket_name(name)) << name;
}

}  // namespace
}  // namespace skald::objstore
