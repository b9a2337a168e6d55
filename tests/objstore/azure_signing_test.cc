#include "objstore/azure_signing.h"

#include <gtest/gtest.h>

#include <map>

#include "objstore/azure_account.h"
#include "objstore/jwt.h"
#include "objstore/remote.h"

namespace skald::objstore {
namespace {

http::ClientRequest request_of(std::string method, std::string url, std::vector<http::Header> headers = {}, ByteView body = {}) {
  http::ClientRequest request;
  request.method = std::move(method);
  request.url = std::move(url);
  request.headers = std::move(headers);
  request.body = body;
  return request;
}

TEST(AzureSigning, SortsHeadersAndParameters) {
  const auto request = request_of("GET", "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20",
                                  {{"x-ms-version", "2015-02-21"}, {"X-Ms-Date", "Fri, 26 Jun 2015 23:39:12 GMT"}, {"User-Agent", "not signed"}});
  EXPECT_EQ(azure_string_to_sign(request, "myaccount"),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
            "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20");
}

TEST(AzureSigning, CoversBodyConditionsAndDecodedValues) {
  const auto request = request_of("PUT", "http://127.0.0.1:10000/acc/c/a%20b%2Bc?comp=block&blockid=AA%3D%3D&B=2&b=1",
                                  {{"Content-MD5", "md5=="}, {"Content-Type", "t"}, {"If-None-Match", "*"}, {"x-ms-blob-type", "BlockBlob"}}, "12345");
  EXPECT_EQ(azure_string_to_sign(request, "acc"),
            "PUT\n\n\n5\nmd5==\nt\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n/acc/acc/c/a%20b%2Bc\nb:1,2\nblockid:AA==\ncomp:block");
  EXPECT_EQ(azure_string_to_sign(request_of("GET", "https://h"), "a"), "GET\n\n\n\n\n\n\n\n\n\n\n\n/a/");
  EXPECT_EQ(azure_string_to_sign(request_of("GET", "https://h?x"), "a"), "GET\n\n\n\n\n\n\n\n\n\n\n\n/a/\nx:");
}

TEST(AzureSigning, IsAnHmacOfThatText) {
  auto request = request_of("GET", "https://h/c");
  ASSERT_TRUE(azure_sign(request, "acc", base64_decode("a2V5").value()).ok());
  ASSERT_EQ(request.headers.size(), 1U);
  EXPECT_EQ(request.headers[0].name, "Authorization");
  // printf 'GET\n\n\n\n\n\n\n\n\n\n\n\n/acc/c' | openssl dgst -sha256 -hmac key -binary | base64
  EXPECT_EQ(request.headers[0].value, "SharedKey acc:s2Q+0GLqHOb5WVZnz0w+XRDwPZ0cFxc16kgJ9UAX50U=");
}

TEST(HttpDates, GoBothWays) {
  const std::int64_t ns = 1'795'176'000LL * kNanosPerSecond;
  EXPECT_EQ(http_date(ns), "Fri, 20 Nov 2026 12:00:00 GMT");
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  for (std::int64_t s = 0; s < 3'000'000'000LL; s += 123'456'789) EXPECT_EQ(parse_http_date_ns(http_date(s * kNanosPerSecond)), s * kNanosPerSecond);
}

config::AzureConfig with_string(std::string text) {
  config::AzureConfig config;
  config.account_name = "ignored";
  config.connection_string = std::move(text);
  return config;
}

TEST(AzureAccounts, ComeFromNameKeyAndEnvironment) {
  config::AzureConfig config;
  config.account_name = "logs1";
  config.account_key = "a2V5";
  const auto url = [&] { return resolve_azure_account(config).value().base_url; };
  EXPECT_EQ(url(), "https://logs1.blob.core.windows.net");
  EXPECT_EQ(resolve_azure_account(config).value().key, "key");
  config.environment = "AzureUSGovernment";
  EXPECT_EQ(url(), "https://logs1.blob.core.usgovcloudapi.net");
  EXPECT_EQ(resolve_azure_account(config).value().authority_host, "https://login.microsoftonline.us");
  config.environment = "AzureChinaCloud";
  EXPECT_EQ(url(), "https://logs1.blob.core.chinacloudapi.cn");
  config.environment = "AzureGermanCloud";
  EXPECT_EQ(url(), "https://logs1.blob.core.cloudapi.de");
  config.environment.clear();
  config.use_managed_identity = true;
  EXPECT_EQ(resolve_azure_account(config).value().key, "");
  config.use_managed_identity = false;
  for (const auto& [suffix, expected] : std::map<std::string, std::string>{{"blob.core.windows.net", "https://logs1.blob.core.windows.net"},
                                                                           {".blob.private.example.com", "https://logs1.blob.private.example.com"},
                                                                           {"core.windows.net", "https://logs1.blob.core.windows.net"},
                                                                           {"z13.blob.storage.azure.net", "https://logs1.z13.blob.storage.azure.net"},
                                                                           {"http://127.0.0.1:10000/", "http://127.0.0.1:10000/logs1"}}) {
    config.endpoint_suffix = suffix;
    EXPECT_EQ(url(), expected);
  }
}

TEST(AzureAccounts, ComeFromConnectionStrings) {
  auto account = resolve_azure_account(
      with_string("DefaultEndpointsProtocol=https;AccountName=acc1;AccountKey=a2V5a2V5a2U=;EndpointSuffix=core.windows.net")).value();
  EXPECT_EQ(account.base_url, "https://acc1.blob.core.windows.net");
  EXPECT_EQ(account.name, "acc1");
  EXPECT_EQ(account.key, "keykeyke");   // the '=' of the key's base64 is not a separator

  account = resolve_azure_account(with_string("UseDevelopmentStorage=true")).value();
  EXPECT_EQ(account.base_url, "http://127.0.0.1:10000/devstoreaccount1");
  EXPECT_EQ(account.key.size(), 64U);
  EXPECT_EQ(resolve_azure_account(with_string("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite/")).value().base_url,
            "http://azurite:10000/devstoreaccount1");

  account = resolve_azure_account(with_string(" accountname = d ; AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:5/d/;QueueEndpoint=http://x;\n")).value();
  EXPECT_EQ(account.base_url, "http://127.0.0.1:5/d");

  account = resolve_azure_account(with_string("BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=?sv=2021&sig=a%2Bb%3D")).value();
  EXPECT_EQ(account.base_url, "https://acc.blob.core.windows.net");
  EXPECT_EQ(account.sas, "sv=2021&sig=a%2Bb%3D");
  EXPECT_TRUE(account.key.empty());
  EXPECT_EQ(resolve_azure_account(with_string("AccountName=acc;SharedAccessSignature=sv=1;DefaultEndpointsProtocol=http")).value().base_url,
            "http://acc.blob.core.windows.net");
}

TEST(AzureAccounts, ThatCannotBeAreExplainedWithoutSecrets) {
  for (const char* text : {"secret", "AccountName=acc", "AccountName=acc;AccountKey=sec ret!", "AccountKey=c2VjcmV0", "SharedAccessSignature=sv=secret",
                           "AccountName=Acc/x;AccountKey=c2VjcmV0", "AccountName=acc;AccountName=b;AccountKey=c2VjcmV0",
                           "AccountName=acc;AccountKey=c2VjcmV0;DefaultEndpointsProtocol=ftp", "AccountName=acc;AccountKey=c2VjcmV0;EndpointSuffix=a/b"}) {
    const auto account = resolve_azure_account(with_string(text));
    ASSERT_FALSE(account.ok()) << text;
    EXPECT_EQ(account.error().code(), ErrorCode::kInvalidArgument);
    for (const char* secret : {"secret", "c2VjcmV0", "sec ret"}) EXPECT_EQ(account.error().message().find(secret), std::string::npos) << account.error().message();
  }
  config::AzureConfig config;
  EXPECT_FALSE(resolve_azure_account(config).ok());
  config.account_name = "acc";
  config.environment = "AzureMars";
  EXPECT_NE(resolve_azure_account(config).error().message().find("AzureMars"), std::string::npos);
}

}  // namespace
}  // namespace skald::objstore
