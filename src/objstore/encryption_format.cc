#include "objstore/encryption_format.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "skald/base/check.h"
#include "skald/codec/crc32c.h"

namespace skald::objstore {

SecretKey::~SecretKey() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

namespace encryption {
namespace {

constexpr std::string_view kMagic = "SKX1";
constexpr unsigned char kMajor = 1, kCipherAes256Gcm = 1;
constexpr std::size_t kIdOffset = 16, kSaltOffset = 48, kZeroOffset = 80, kCrcOffset = 92;
constexpr std::string_view kDerivation = "skald object encryption 1";

Error damaged(const char* what) { return Error(ErrorCode::kCorruption, std::string("encryption header: ") + what); }

// Implicit look-ups by EVP_aes_256_gcm() take a lock and a hash each time.
const EVP_CIPHER* aes_256_gcm() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  SKALD_CHECK(cipher != nullptr);
  return cipher;
}

}  // namespace

bool is_key_id(std::string_view id) {
  return !id.empty() && id.size() <= kKeyIdBytesMax && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

Bytes encode_header(const Header& header) {
  SKALD_CHECK(is_key_id(header.key_id));
  Bytes out(kHeaderBytes, '\0');
  std::copy(kMagic.begin(), kMagic.end(), out.begin());
  out[4] = static_cast<char>(kMajor);
  out[6] = static_cast<char>(kCipherAes256Gcm);
  store_le(out.data() + 8, static_cast<std::uint32_t>(kSegmentBytes));
  store_le(out.data() + 12, static_cast<std::uint32_t>(header.key_id.size()));
  std::copy(header.key_id.begin(), header.key_id.end(), out.begin() + kIdOffset);
  std::copy(header.salt.begin(), header.salt.end(), out.begin() + kSaltOffset);
  store_le(out.data() + kCrcOffset, codec::crc32c(ByteView(out).substr(0, kCrcOffset)));
  return out;
}

Result<std::optional<Header>> decode_header(ByteView start) {
  const auto crc_fits = [](ByteView bytes) { return codec::crc32c(bytes.substr(0, kCrcOffset)) == load_le<std::uint32_t>(bytes.data() + kCrcOffset); };
  if (start.substr(0, kMagic.size()) != kMagic) {
    // Damage may have hit the magic itself; with it in its place the checksum would fit.
    if (start.size() >= kHeaderBytes) {
      Bytes mended(start.substr(0, kHeaderBytes));
      std::copy(kMagic.begin(), kMagic.end(), mended.begin());
      if (crc_fits(mended)) return damaged("magic damaged");
    }
    return std::optional<Header>();
  }
  if (start.size() < kHeaderBytes) return damaged("cut off");
  if (!crc_fits(start)) return damaged("checksum does not match");
  if (static_cast<unsigned char>(start[4]) != kMajor)
    return damaged(("version " + std::to_string(static_cast<unsigned char>(start[4])) + " is not known to this release").c_str());
  if (start[5] != 0 || static_cast<unsigned char>(start[6]) != kCipherAes256Gcm || start[7] != 0 ||
      load_le<std::uint32_t>(start.data() + 8) != kSegmentBytes) {
    return damaged("cipher or segment size is not known to this release");
  }
  const auto id_bytes = load_le<std::uint32_t>(start.data() + 12);
  if (id_bytes > kKeyIdBytesMax) return damaged("key id too long");
  Header header;
  header.key_id = start.substr(kIdOffset, id_bytes);
  const auto is_zero = [&](std::size_t from, std::size_t to) {
    return std::all_of(start.begin() + static_cast<std::ptrdiff_t>(from), start.begin() + static_cast<std::ptrdiff_t>(to), [](char c) { return c == 0; });
  };
  if (!is_key_id(header.key_id) || !is_zero(kIdOffset + id_bytes, kSaltOffset) || !is_zero(kZeroOffset, kCrcOffset))
    return damaged("key id or padding is not as written");
  std::copy_n(start.data() + kSaltOffset, kSaltBytes, header.salt.begin());
  return std::optional<Header>(std::move(header));
}

std::uint64_t stored_size(std::uint64_t plain_size) {
  const std::uint64_t segments = std::max<std::uint64_t>(1, (plain_size + kSegmentBytes - 1) / kSegmentBytes);
  return kHeaderBytes + plain_size + segments * kTagBytes;
}

std::optional<std::uint64_t> plain_size(std::uint64_t stored) {
  if (stored < kHeaderBytes + kTagBytes) return std::nullopt;
  const std::uint64_t body = stored - kHeaderBytes;
  const std::uint64_t segments = (body - 1) / kStoredSegmentBytes + 1;
  const std::uint64_t last = body - (segments - 1) * kStoredSegmentBytes;
  if (last < kTagBytes || (last == kTagBytes && segments > 1)) return std::nullopt;
  return body - segments * kTagBytes;
}

// HKDF-SHA256 (RFC 5869); 32 bytes are one block of its second step.
std::shared_ptr<const SecretKey> derive_object_key(const SecretKey& key, const std::array<char, kSaltBytes>& salt) {
  std::array<unsigned char, 32> extracted{}, derived{};
  unsigned int size = 0;
  const std::string info = std::string(kDerivation) + '\x01';
  SKALD_CHECK(HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()), key.data(), 32, extracted.data(), &size) != nullptr && size == 32);
  SKALD_CHECK(HMAC(EVP_sha256(), extracted.data(), 32, reinterpret_cast<const unsigned char*>(info.data()), info.size(), derived.data(), &size) !=
                  nullptr &&
              size == 32);
  auto out = std::make_shared<const SecretKey>(derived);
  OPENSSL_cleanse(extracted.data(), extracted.size());
  OPENSSL_cleanse(derived.data(), derived.size());
  return out;
}

struct SegmentCipher::State {
  Direction direction = Direction::kSeal;
  EVP_CIPHER_CTX* context = nullptr;
  std::string associated;   // header, then the object's name: neither can be exchanged
};

SegmentCipher::SegmentCipher(Direction direction, const SecretKey& object_key, ByteView header, std::string_view object_name)
    : state_(std::make_unique<State>()) {
  state_->direction = direction;
  state_->associated = std::string(header) + std::string(object_name);
  state_->context = EVP_CIPHER_CTX_new();
  SKALD_CHECK(state_->context != nullptr);
  SKALD_CHECK(EVP_CipherInit_ex(state_->context, aes_256_gcm(), nullptr, object_key.data(), nullptr, direction == Direction::kSeal ? 1 : 0) == 1);
}

SegmentCipher::~SegmentCipher() { EVP_CIPHER_CTX_free(state_->context); }   // wipes the key schedule

void SegmentCipher::begin(std::uint64_t number, bool last) {
  std::array<unsigned char, 12> nonce{};
  store_le(nonce.data(), number);
  nonce[8] = last ? 1 : 0;
  int size = 0;
  SKALD_CHECK(EVP_CipherInit_ex(state_->context, nullptr, nullptr, nullptr, nonce.data(), -1) == 1);
  SKALD_CHECK(EVP_CipherUpdate(state_->context, nullptr, &size, reinterpret_cast<const unsigned char*>(state_->associated.data()),
                               static_cast<int>(state_->associated.size())) == 1);
}

void SegmentCipher::seal(std::uint64_t number, bool last, ByteView plain, char* out) {
  SKALD_CHECK(state_->direction == Direction::kSeal && plain.size() <= kSegmentBytes);
  begin(number, last);
  auto* const to = reinterpret_cast<unsigned char*>(out);
  int size = 0, rest = 0;
  if (!plain.empty())
    SKALD_CHECK(EVP_EncryptUpdate(state_->context, to, &size, reinterpret_cast<const unsigned char*>(plain.data()), static_cast<int>(plain.size())) == 1);
  SKALD_CHECK(EVP_EncryptFinal_ex(state_->context, to + size, &rest) == 1 && rest == 0);
  SKALD_CHECK(EVP_CIPHER_CTX_ctrl(state_->context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, to + plain.size()) == 1);
}

bool SegmentCipher::open(std::uint64_t number, bool last, char* stored, std::size_t stored_bytes) {
  SKALD_CHECK(state_->direction == Direction::kOpen && stored_bytes >= kTagBytes && stored_bytes <= kStoredSegmentBytes);
  begin(number, last);
  auto* const bytes = reinterpret_cast<unsigned char*>(stored);
  const std::size_t plain_bytes = stored_bytes - kTagBytes;
  int size = 0, rest = 0;
  if (plain_bytes > 0) SKALD_CHECK(EVP_DecryptUpdate(state_->context, bytes, &size, bytes, static_cast<int>(plain_bytes)) == 1);
  SKALD_CHECK(EVP_CIPHER_CTX_ctrl(state_->context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, bytes + plain_bytes) == 1);
  return EVP_DecryptFinal_ex(state_->context, bytes + size, &rest) == 1;
}

}  // namespace encryption
}  // namespace skald::objstore
