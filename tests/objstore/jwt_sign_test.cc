#include "objstore/jwt.h"

#include <gtest/gtest.h>

#include "objstore/test_rsa.h"

namespace skald::objstore {
namespace {

TEST(Base64, FollowsTheVectorsOfRfc4648) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},        {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base64_encode(plain), text);
    EXPECT_EQ(base64_decode(text).value(), plain);
  }
  EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(base64url_encode("f"), "Zg");
  for (const char* bad : {"Zg", "Zg=", "Z===", "====", "Zm9v\n", " Zm9", "Zm-v", "Zm9vZ=m9", "Zm9v="}) EXPECT_FALSE(base64_decode(bad).ok()) << bad;
}

TEST(Base64, GivesBackEveryByte) {
  std::string bytes;
  for (int length = 0; length < 300; ++length) {
    ASSERT_EQ(base64_decode(base64_encode(bytes)).value(), bytes);
    bytes += static_cast<char>(length * 7);
  }
}

TEST(Jwt, IsSignedSoThatThePublicKeyAccepts) {
  const TestRsaKey& pair = test_rsa_key();
  const RsaKey key = RsaKey::from_pem(pair.private_pem).value();
  const std::string token = sign_jwt(key, "kid \"1\"", R"({"iss":"me"})").value();
  EXPECT_EQ(verified_claims(pair, token), R"({"iss":"me"})");
  EXPECT_EQ(jwt_part(token, 0), R"({"alg":"RS256","typ":"JWT","kid":"kid \"1\""})");
  EXPECT_EQ(jwt_part(sign_jwt(key, "", "{}").value(), 0), R"({"alg":"RS256","typ":"JWT"})");
  std::string forged = token;
  forged[forged.find('.') + 2] ^= 1;
  EXPECT_EQ(verified_claims(pair, forged), std::nullopt);
  EXPECT_EQ(verified_claims(other_test_rsa_key(), token), std::nullopt);
}

TEST(RsaKeys, ThatAreNoneAreRefusedWithoutShowingThem) {
  const std::string pem = test_rsa_key().private_pem;
  for (const std::string& bad : {std::string(), std::string("secret"), pem.substr(0, pem.size() / 2), std::string(1 << 20, 'x'),
                                 std::string("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")}) {
    const auto key = RsaKey::from_pem(bad);
    ASSERT_FALSE(key.ok());
    EXPECT_EQ(key.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(key.error().message().find("secret"), std::string::npos);
  }
  EXPECT_NE(RsaKey::from_pem(make_pem(EVP_RSA_gen(1024))).error().message().find("1024 bits"), std::string::npos);
  EXPECT_NE(RsaKey::from_pem(make_pem(EVP_EC_gen("P-256"))).error().message().find("not an RSA key"), std::string::npos);
}

}  // namespace
}  // namespace skald::objstore
