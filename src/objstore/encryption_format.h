// Bytes of an encrypted object: a header of 96 bytes, then segments of 64 KiB, each followed by its tag.
// docs/formats/encryption.md.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/objstore/encryption.h"

namespace skald::objstore::encryption {

inline constexpr std::size_t kHeaderBytes = 96;
inline constexpr std::uint64_t kSegmentBytes = 64 << 10;   // of plaintext
inline constexpr std::uint64_t kTagBytes = 16;
inline constexpr std::uint64_t kStoredSegmentBytes = kSegmentBytes + kTagBytes;
inline constexpr std::uint64_t kSegmentsMax = 1ULL << 32;
inline constexpr std::size_t kKeyIdBytesMax = 31;
inline constexpr std::size_t kSaltBytes = 32;

bool is_key_id(std::string_view id);

struct Header {
  std::string key_id;
  std::array<char, kSaltBytes> salt{};
  bool operator==(const Header&) const = default;
};

Bytes encode_header(const Header& header);   // key_id must be one
// nullopt: not an encrypted object. kCorruption: one, but damaged, cut or of a version that is not ours. `start` is the
// object's beginning, kHeaderBytes of it if it has so many.
Result<std::optional<Header>> decode_header(ByteView start);

// Where a segment begins in the stored object.
inline std::uint64_t segment_offset(std::uint64_t number) { return kHeaderBytes + number * kStoredSegmentBytes; }
std::uint64_t stored_size(std::uint64_t plain_size);
std::optional<std::uint64_t> plain_size(std::uint64_t stored_size);   // nullopt: no encrypted object has this size

// The key of one object: from the operator's key and the object's salt, so that segment numbers can serve as nonces.
std::shared_ptr<const SecretKey> derive_object_key(const SecretKey& key, const std::array<char, kSaltBytes>& salt);

// Encrypts or decrypts the segments of one object. Not thread-safe; use and drop.
class SegmentCipher {
 public:
  enum class Direction { kSeal, kOpen };
  SegmentCipher(Direction direction, const SecretKey& object_key, ByteView header, std::string_view object_name);
  ~SegmentCipher();
  SegmentCipher(const SegmentCipher&) = delete;
  SegmentCipher& operator=(const SegmentCipher&) = delete;

  // Writes plain.size() + kTagBytes bytes to `out`, which may not overlap `plain`.
  void seal(std::uint64_t number, bool last, ByteView plain, char* out);
  // Decrypts in place; the plaintext is the first size - kTagBytes bytes. False: it does not authenticate.
  bool open(std::uint64_t number, bool last, char* stored, std::size_t size);

 private:
  void begin(std::uint64_t number, bool last);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::objstore::encryption
