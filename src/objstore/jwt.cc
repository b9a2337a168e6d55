#include "objstore/jwt.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace skald::objstore {
namespace {

constexpr int kKeyBitsMin = 2048;
constexpr std::size_t kPemBytesMax = 64 << 10;

// An encrypted key must be refused, not asked for on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

std::string base64_encode(ByteView bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');   // + 1: EVP_EncodeBlock ends with a zero byte
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::string base64url_encode(ByteView bytes) {
  std::string text = base64_encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

Result<Bytes> base64_decode(std::string_view text) {
  const Error bad(ErrorCode::kInvalidArgument, "not base64");
  if (text.size() % 4 != 0 || text.size() > (1U << 30)) return bad;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  if (text.substr(0, text.size() - padding).find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") !=
      std::string_view::npos)
    return bad;   // EVP_DecodeBlock would skip blanks around the text
  Bytes bytes(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return bad;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

Result<RsaKey> RsaKey::from_pem(std::string_view pem) {
  if (pem.empty() || pem.size() > kPemBytesMax)
    return Error(ErrorCode::kInvalidArgument, "private key: empty or above 64 KiB");
  const std::unique_ptr<BIO, decltype(&BIO_free)> source(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  EVP_PKEY* key = source ? PEM_read_bio_PrivateKey(source.get(), nullptr, no_passphrase, nullptr) : nullptr;
  if (key == nullptr) return Error(ErrorCode::kInvalidArgument, "private key: not an unencrypted PEM private key");
  std::shared_ptr<void> owned(key, [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); });
  if (EVP_PKEY_base_id(key) != EVP_PKEY_RSA) return Error(ErrorCode::kInvalidArgument, "private key: not an RSA key");
  if (EVP_PKEY_bits(key) < kKeyBitsMin)
    return Error(ErrorCode::kInvalidArgument, "private key: " + std::to_string(EVP_PKEY_bits(key)) + " bits; at least 2048 are needed");
  return RsaKey(std::move(owned));
}

Result<Bytes> RsaKey::sign(ByteView message) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const auto* data = reinterpret_cast<const unsigned char*>(message.data());
  std::size_t length = 0;
  if (!context || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, static_cast<EVP_PKEY*>(key_.get())) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, data, message.size()) != 1)
    return Error(ErrorCode::kInternal, "RSA signature failed");
  Bytes signature(length, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, data, message.size()) != 1)
    return Error(ErrorCode::kInternal, "RSA signature failed");
  signature.resize(length);
  return signature;
}

Result<std::string> sign_jwt(const RsaKey& key, std::string_view key_id, std::string_view claims) {
  rapidjson::StringBuffer header;
  rapidjson::Writer<rapidjson::StringBuffer> writer(header);
  writer.StartObject();
  writer.Key("alg");
  writer.String("RS256");
  writer.Key("typ");
  writer.String("JWT");
  if (!key_id.empty()) {
    writer.Key("kid");
    writer.String(key_id.data(), static_cast<rapidjson::SizeType>(key_id.size()));
  }
  writer.EndObject();
  std::string text = base64url_encode({header.GetString(), header.GetSize()}) + "." + base64url_encode(claims);
  SKALD_TRY(const Bytes signature, key.sign(text));
  return text + "." + base64url_encode(signature);
}

}  // namespace skald::objstore
