// Amazon S3 and what speaks its REST API as an ObjectStore.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "objstore/s3_bucket.h"
#include "skald/exec/pool.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

inline constexpr std::int64_t kS3PartBytesMin = 5 << 20;        // the service refuses smaller ones, but for the last
inline constexpr std::int64_t kS3PartBytesDefault = 64 << 20;
inline constexpr std::size_t kS3PartsMax = 10'000;
inline constexpr std::uint64_t kS3PutBytesMax = 5ULL << 30;     // of one request
inline constexpr std::size_t kS3KeysPerDelete = 1'000;

// What the store stands on; tests bring their own.
struct S3Parts {
  std::unique_ptr<Remote> remote;
  Environment environment;
  const Clock& clock;
};
Result<std::unique_ptr<ObjectStore>> make_s3_store(const config::S3Config& config, S3Parts parts);

class S3Store final : public ObjectStore {
 public:
  S3Store(config::S3Config config, S3Address address, S3Parts parts);

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override;
  // One request whatever the size (at most 5 GiB): not every store takes a condition on a multipart upload.
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override;
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override;
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override;
  Result<void> remove(std::string_view key, const CallContext& ctx) override;
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override;

 private:
  // Does the store heed If-None-Match? Learned from its first answers.
  enum class Conditions { kUnknown, kHeeded, kIgnored };

  S3Bucket& bucket_of(std::string_view key);
  std::vector<http::Header> upload_headers() const;
  Error no_conditions(S3Bucket& bucket) const;
  // list
  struct Listing {
    std::string_view prefix, token, start_after;
    ListDepth depth;
  };
  Result<ListPage> list_bucket(S3Bucket& bucket, const Listing& listing, const CallContext& ctx);
  Result<ListPage> list_merged(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx);
  // remove_all
  Result<void> remove_batch(S3Bucket& bucket, const std::vector<std::string_view>& keys, const CallContext& ctx);
  // multipart (s3_multipart.cc)
  std::uint64_t part_bytes(std::uint64_t body_bytes) const;
  Result<void> put_in_parts(S3Bucket& bucket, std::string_view key, ByteView body, const CallContext& ctx);
  Result<void> send_parts(S3Bucket& bucket, std::string_view key, ByteView body, const std::string& upload_id, std::vector<S3Part>& parts, const CallContext& ctx);
  Result<void> complete(S3Bucket& bucket, std::string_view key, ByteView body, const std::string& upload_id, const std::vector<S3Part>& parts, const CallContext& ctx);
  void abort_upload(S3Bucket& bucket, std::string_view key, const std::string& upload_id);

  const config::S3Config config_;
  const S3Address address_;
  const std::unique_ptr<Remote> remote_;
  AwsCredentialsSource credentials_;
  std::vector<std::unique_ptr<S3Bucket>> buckets_;
  exec::Pool pool_;
  std::atomic<Conditions> conditions_{Conditions::kUnknown};
  std::atomic<bool> no_batch_delete_{false};
};

}  // namespace skald::objstore
