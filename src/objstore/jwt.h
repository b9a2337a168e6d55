// JSON Web Tokens signed with RS256 (RFC 7515, RFC 7519), as Google's token service takes them, and base64 (RFC 4648).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::objstore {

std::string base64_encode(ByteView bytes);                 // with padding
std::string base64url_encode(ByteView bytes);              // '-' and '_', without padding
Result<Bytes> base64_decode(std::string_view text);        // standard alphabet, padding required; kInvalidArgument

// An RSA private key. Thread-safe.
class RsaKey {
 public:
  // PEM, PKCS#8 or PKCS#1, not encrypted. kInvalidArgument: not such a key, or under 2048 bits. Never names the text.
  static Result<RsaKey> from_pem(std::string_view pem);
  // RSASSA-PKCS1-v1_5 with SHA-256.
  Result<Bytes> sign(ByteView message) const;

 private:
  explicit RsaKey(std::shared_ptr<void> key) : key_(std::move(key)) {}
  std::shared_ptr<void> key_;   // EVP_PKEY
};

// header.claims.signature; `claims` is a JSON object as text. `key_id` may be empty.
Result<std::string> sign_jwt(const RsaKey& key, std::string_view key_id, std::string_view claims);

}  // namespace skald::objstore
