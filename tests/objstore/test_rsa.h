// Key pairs made for one test run, and the other side of RS256: what a token service does with a signed claim.
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <optional>
#include <string>

#include "objstore/jwt.h"

namespace skald::objstore {

struct TestRsaKey {
  std::string private_pem;
  std::shared_ptr<EVP_PKEY> key;
};

inline std::string make_pem(EVP_PKEY* key) {   // takes the key
  const std::shared_ptr<EVP_PKEY> owned(key, EVP_PKEY_free);
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long length = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<std::size_t>(length));
  BIO_free(out);
  return pem;
}

inline TestRsaKey make_test_rsa_key() {
  EVP_PKEY* key = EVP_RSA_gen(2048);
  EVP_PKEY_up_ref(key);
  std::string pem = make_pem(key);
  return {std::move(pem), std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free)};
}
inline const TestRsaKey& test_rsa_key() {
  static const TestRsaKey key = make_test_rsa_key();
  return key;
}
inline const TestRsaKey& other_test_rsa_key() {
  static const TestRsaKey key = make_test_rsa_key();
  return key;
}

// Part 0 (header), 1 (claims) or 2 (signature) of a token, decoded; "" when there is none.
inline std::string jwt_part(const std::string& token, int part) {
  std::size_t begin = 0;
  for (; part > 0; --part) {
    begin = token.find('.', begin);
    if (begin == std::string::npos) return "";
    ++begin;
  }
  std::string text = token.substr(begin, token.find('.', begin) - begin);
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  auto bytes = base64_decode(text);
  return bytes.ok() ? *bytes : "";
}

// The claims, if the signature is the key's.
inline std::optional<std::string> verified_claims(const TestRsaKey& pair, const std::string& token) {
  const std::string signed_text = token.substr(0, token.rfind('.'));
  const std::string signature = jwt_part(token, 2);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, pair.key.get()) != 1) return std::nullopt;
  if (EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                       reinterpret_cast<const unsigned char*>(signed_text.data()), signed_text.size()) != 1)
    return std::nullopt;
  return jwt_part(token, 1);
}

}  // namespace skald::objstore
