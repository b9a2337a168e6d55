// Encryption of objects by this server: AES-256-GCM under a key of the operator, whatever the bucket does itself. Names,
// sizes and times of objects stay visible to who can list the bucket. Format: docs/formats/encryption.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/storage.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

// 32 bytes that are wiped when they go.
class SecretKey {
 public:
  explicit SecretKey(const std::array<unsigned char, 32>& bytes) : bytes_(bytes) {}
  ~SecretKey();
  SecretKey(const SecretKey&) = delete;
  SecretKey& operator=(const SecretKey&) = delete;
  const unsigned char* data() const { return bytes_.data(); }

 private:
  std::array<unsigned char, 32> bytes_;
};

// The operator's keys by id. The last one encrypts, all decrypt: rotation is appending a line and reload(). Thread-safe.
class KeyRing {
 public:
  struct Named {
    std::string id;
    std::shared_ptr<const SecretKey> key;
  };

  // Reads the key file or the environment variable. kInvalidArgument names file and line, never a part of a key; also
  // without any key, when an id comes twice, or when both or none of the sources are given.
  static Result<std::shared_ptr<KeyRing>> open(const config::EncryptionConfig& config);
  // The text of a key file: lines "id:64 hex digits", '#' begins a comment line. An id has 1 to 31 letters, digits,
  // '.', '_' or '-'. `source` is named in errors.
  static Result<std::shared_ptr<KeyRing>> parse(std::string_view text, const std::string& source);

  // Reads the source again (SIGHUP). On failure the keys stay as they are. Ids that are gone are logged: what they
  // encrypted cannot be read any more.
  Result<void> reload();

  Named writing_key() const;
  std::shared_ptr<const SecretKey> find(std::string_view id) const;   // nullptr: unknown
  std::vector<std::string> ids() const;                               // in order; the last one encrypts

 private:
  KeyRing(config::EncryptionConfig config, std::vector<Named> keys) : config_(std::move(config)), keys_(std::move(keys)) {}
  const config::EncryptionConfig config_;
  mutable std::mutex mutex_;   // guards keys_
  std::vector<Named> keys_;    // never empty
};

struct EncryptionOptions {
  // Objects that were written without encryption are handed out as they are, so that it can be switched on for a bucket
  // in use. Who can write to the bucket can then also plant such objects; refuse them once none are left.
  bool allow_plaintext = true;
  // Ranged reads deep inside an object need its header; those of this many objects are remembered (about 250 bytes each).
  std::size_t headers_max = 32'768;
};

// Encrypts what is written, decrypts what is read. A ranged read is one request, or two when it lies deep inside an object
// not met before. Sizes in listings are those of the plaintext; an object that was never encrypted is listed with up to
// 0.03 % + 112 bytes less than it has. kCorruption: the object was changed, cut, put together from others, or stored
// under another name than it was written for. kInternal: encrypted under a key that is not in the ring, or not
// encrypted and that is not allowed.
std::unique_ptr<ObjectStore> with_encryption(std::shared_ptr<ObjectStore> inner, std::shared_ptr<const KeyRing> keys,
                                             EncryptionOptions options = {});

}  // namespace skald::objstore
