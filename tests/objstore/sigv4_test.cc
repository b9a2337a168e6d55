#include "objstore/sigv4.h"

#include <gtest/gtest.h>

namespace skald::objstore {
namespace {

// Published examples: the signature test suite of AWS (2015-08-30T12:36:00Z, service "service") and those of the S3
// documentation (2013-05-24T00:00:00Z, bucket examplebucket).
const AwsCredentials kSuiteCredentials{.access_key_id = "AKIDEXAMPLE", .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", .session_token = ""};
constexpr std::int64_t kSuiteTime = 1'440'938'160 * kNanosPerSecond;
const AwsCredentials kS3Credentials{.access_key_id = "AKIAIOSFODNN7EXAMPLE", .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", .session_token = ""};
constexpr std::int64_t kS3Time = 1'369'353'600 * kNanosPerSecond;
const std::string kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string value_of(const std::vector<http::Header>& headers, std::string_view name) {
  for (const http::Header& header : headers) {
    if (header.name == name) return header.value;
  }
  return "";
}

std::string signature_of(const std::vector<http::Header>& headers) {
  const std::string authorization = value_of(headers, "Authorization");
  return authorization.substr(authorization.find("Signature=") + 10);
}

std::string suite_signature(SigV4Request request) {
  request.host = "example.amazonaws.com";
  const std::string hash = request.payload_sha256.empty() ? kEmptyHash : std::string(request.payload_sha256);
  request.payload_sha256 = hash;
  return signature_of(sigv4_headers(request, kSuiteCredentials, "us-east-1", "service", kSuiteTime));
}

TEST(SigV4, SignsTheTestSuite) {
  EXPECT_EQ(sha256_hex(""), kEmptyHash);
  EXPECT_EQ(suite_signature({.method = "GET", .headers = {}}), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");   // get-vanilla
  EXPECT_EQ(suite_signature({.method = "POST", .headers = {}}), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");  // post-vanilla
  const QueryPairs order{{"Param2", "value2"}, {"Param1", "value1"}};
  EXPECT_EQ(suite_signature({.method = "GET", .query = &order, .headers = {}}),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");   // get-vanilla-query-order-key-case
}

TEST(SigV4, SaysWhatItSigned) {
  SigV4Request request{.method = "GET", .host = "example.amazonaws.com", .headers = {}, .payload_sha256 = kEmptyHash};
  const auto headers = sigv4_headers(request, kSuiteCredentials, "us-east-1", "service", kSuiteTime);
  EXPECT_EQ(value_of(headers, "X-Amz-Date"), "20150830T123600Z");
  EXPECT_EQ(value_of(headers, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  AwsCredentials with_token = kSuiteCredentials;
  with_token.session_token = "TOKEN";
  const auto token_headers = sigv4_headers(request, with_token, "us-east-1", "service", kSuiteTime);
  EXPECT_EQ(value_of(token_headers, "X-Amz-Security-Token"), "TOKEN");
  EXPECT_NE(value_of(token_headers, "Authorization").find("SignedHeaders=host;x-amz-date;x-amz-security-token,"), std::string::npos);
}

TEST(SigV4, SignsTheExamplesOfS3) {
  const std::string_view host = "examplebucket.s3.amazonaws.com";
  const auto sign = [](const SigV4Request& request) { return signature_of(sigv4_headers(request, kS3Credentials, "us-east-1", "s3", kS3Time)); };
  EXPECT_EQ(sign({.method = "GET", .host = host, .encoded_path = "/test.txt", .headers = {{"Range", "bytes=0-9"}}, .payload_sha256 = kEmptyHash,
                  .content_sha256_header = true}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  const std::string hash = sha256_hex("Welcome to Amazon S3.");
  const std::string path = "/" + aws_uri_encode("test$file.text", true);
  EXPECT_EQ(path, "/test%24file.text");
  EXPECT_EQ(sign({.method = "PUT", .host = host, .encoded_path = path,
                  .headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                  .payload_sha256 = hash, .content_sha256_header = true}),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  const QueryPairs lifecycle{{"lifecycle", ""}};
  EXPECT_EQ(sign({.method = "GET", .host = host, .query = &lifecycle, .headers = {}, .payload_sha256 = kEmptyHash, .content_sha256_header = true}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  const QueryPairs list{{"max-keys", "2"}, {"prefix", "J"}};
  EXPECT_EQ(sign({.method = "GET", .host = host, .query = &list, .headers = {}, .payload_sha256 = kEmptyHash, .content_sha256_header = true}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, NormalisesHeadersAsTheSuiteDoes) {
  SigV4Request request{.method = "GET", .host = "example.amazonaws.com", .encoded_path = "/", .headers = {}, .payload_sha256 = kEmptyHash};
  EXPECT_EQ(sigv4_canonical_request(request, {{"My-Header2", " \"a   b   c\" "}, {"My-header1", "z"}, {"my-Header1", "  a  "}, {"Host", "h"}}),
            "GET\n/\n\nhost:h\nmy-header1:z,a\nmy-header2:\"a b c\"\n\nhost;my-header1;my-header2\n" + kEmptyHash);
}

TEST(SigV4, EncodesNamesAndSortsTheEncodedText) {
  EXPECT_EQ(aws_uri_encode("a b/c~d_e-f.g*%\xe1\x88\xb4", true), "a%20b/c~d_e-f.g%2A%25%E1%88%B4");
  EXPECT_EQ(aws_uri_encode("a/b+c=", false), "a%2Fb%2Bc%3D");
  EXPECT_EQ(aws_query({{"b", "2"}, {"a", "x y"}, {"a", "1"}, {"A", ""}, {"a-", "0"}}), "A=&a=1&a=x%20y&a-=0&b=2");
  EXPECT_EQ(aws_query({}), "");
}

}  // namespace
}  // namespace skald::objstore
