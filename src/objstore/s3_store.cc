#include "objstore/s3_store.h"

#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <set>

#include "objstore/range_answer.h"
#include "skald/codec/hash.h"
#include "skald/objstore/remote_stores.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

using config::S3Config;

constexpr std::size_t kParallelParts = 4;
constexpr std::uint64_t kObjectBytesMax = 4ULL << 30;         // of one get()
constexpr std::uint64_t kListAnswerBytesMax = kListPageObjects * 16 << 10;
constexpr std::string_view kLastCharacter = "\xf4\x8f\xbf\xbf";   // U+10FFFF: sorts behind all names in a folder

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "'" : ", '") + name + "'";
  return out;
}

}  // namespace

S3Store::S3Store(S3Config config, S3Address address, S3Parts parts)
    : config_(std::move(config)),
      address_(std::move(address)),
      remote_(std::move(parts.remote)),
      credentials_({.fixed = {.access_key_id = config_.access_key_id, .secret_access_key = config_.secret_access_key, .session_token = config_.session_token},
                    .region = address_.region, .sts_endpoint = config_.sts_endpoint, .http = config_.http, .instance_endpoint = ""},
                   std::move(parts.environment), parts.clock),
      pool_("s3", kParallelParts - 1) {
  for (const std::string& name : config_.buckets) buckets_.push_back(std::make_unique<S3Bucket>(config_, address_, name, *remote_, credentials_, parts.clock));
}

S3Bucket& S3Store::bucket_of(std::string_view key) {
  return buckets_.size() == 1 ? *buckets_.front() : *buckets_[codec::xxh3_64(key) % buckets_.size()];
}

std::vector<http::Header> S3Store::upload_headers() const {
  std::vector<http::Header> headers{{"Content-Type", "application/octet-stream"}};
  if (!config_.storage_class.empty() && config_.storage_class != "STANDARD") headers.push_back({"X-Amz-Storage-Class", config_.storage_class});
  switch (config_.sse) {
    case S3Config::Sse::kNone: break;
    case S3Config::Sse::kS3: headers.push_back({"X-Amz-Server-Side-Encryption", "AES256"}); break;
    case S3Config::Sse::kKms:
      headers.push_back({"X-Amz-Server-Side-Encryption", "aws:kms"});
      if (!config_.sse_kms_key_id.empty()) headers.push_back({"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", config_.sse_kms_key_id});
      if (!config_.sse_kms_context.empty()) headers.push_back({"X-Amz-Server-Side-Encryption-Context", base64(config_.sse_kms_context)});
      break;
    case S3Config::Sse::kCustomer: {
      const std::vector<http::Header>& customer = buckets_.front()->customer_key_headers();
      headers.insert(headers.end(), customer.begin(), customer.end());
      break;
    }
  }
  return headers;
}

Result<void> S3Store::put(std::string_view key, ByteView body, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  S3Bucket& bucket = bucket_of(key);
  if (body.size() > part_bytes(body.size())) return put_in_parts(bucket, key, body, ctx);
  const S3Bucket::Call call{.operation = "S3.PutObject", .permission = "s3:PutObject", .method = "PUT", .key = key, .headers = upload_headers(), .body = body, .checksum = true};
  SKALD_TRY(const http::ClientResponse response, bucket.send(call, ctx));
  if (response.status / 100 == 2) return {};
  return bucket.failure(call, response);
}

Error S3Store::no_conditions(S3Bucket& bucket) const {
  return Error(ErrorCode::kUnimplemented, bucket.subject() + ": the store does not heed If-None-Match, so nothing can be created under the condition that it is not there");
}

Result<void> S3Store::create(std::string_view key, ByteView body, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  S3Bucket& bucket = bucket_of(key);
  if (conditions_ == Conditions::kIgnored) return no_conditions(bucket);
  if (body.size() > kS3PutBytesMax) return Error(ErrorCode::kTooLarge, bucket.object(key) + ": larger than 5 GiB, too much for one request");
  S3Bucket::Call call{.operation = "S3.PutObject", .permission = "s3:PutObject", .method = "PUT", .key = key, .headers = upload_headers(), .body = body, .checksum = true};
  call.headers.push_back({"If-None-Match", "*"});
  // AWS answers 404 to a conditional write that meets a deletion.
  int tries = 0;
  SKALD_TRY(const http::ClientResponse response, bucket.send(call, ctx, &tries));
  const S3Fault fault = response.status / 100 == 2 ? S3Fault() : read_s3_fault(response);
  if (response.status / 100 == 2) {
    if (conditions_ == Conditions::kHeeded) return {};
    // A store that ignores the condition answers the same. Ask again, once in the life of this store: it must refuse now.
    // Twice, for somebody may have deleted the object meanwhile.
    for (int i = 0; i < 2; ++i) {
      const Result<http::ClientResponse> again = bucket.send(call, ctx);
      if (again.ok() && again->status == 412) conditions_ = Conditions::kHeeded;
      if (!again.ok() || again->status / 100 != 2) return {};   // ours it is, whatever is known of the next
    }
    conditions_ = Conditions::kIgnored;
    return no_conditions(bucket);
  }
  if (response.status == 501 || fault.code == "NotImplemented") {
    conditions_ = Conditions::kIgnored;
    return no_conditions(bucket);
  }
  if (response.status == 404 && fault.code != "NoSuchBucket") return Error(ErrorCode::kUnavailable, bucket.object(key) + ": deleted while it was being created");
  if (response.status != 412) return bucket.failure(call, response, fault);
  conditions_ = Conditions::kHeeded;
  if (tries > 1) {   // it may be ours: a try whose answer was lost
    const Result<Bytes> stored = get(key, {}, ctx);
    if (stored.ok() && *stored == body) return {};
  }
  return Error(ErrorCode::kAlreadyExists, bucket.object(key) + " exists already");
}

Result<Bytes> S3Store::get(std::string_view key, ByteRange range, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  S3Bucket& bucket = bucket_of(key);
  S3Bucket::Call call{.operation = "S3.GetObject", .permission = "s3:GetObject", .method = "GET", .key = key, .response_bytes_max = kObjectBytesMax, .hedge = true};
  const auto send = [&](ByteRange asked) -> Result<http::ClientResponse> {
    call.headers = bucket.customer_key_headers();
    if (!is_whole(asked)) call.headers.push_back({"Range", range_header(asked)});
    return bucket.send(call, ctx);
  };
  return read_range(range, bucket.object(key), send, [&](const http::ClientResponse& response) { return bucket.failure(call, response); });
}

Result<ListPage> S3Store::list_bucket(S3Bucket& bucket, const Listing& listing, const CallContext& ctx) {
  S3Bucket::Call call{.operation = "S3.List", .permission = "s3:ListBucket", .method = "GET", .response_bytes_max = kListAnswerBytesMax};
  call.query = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", std::to_string(kListPageObjects)}, {"prefix", std::string(listing.prefix)}};
  if (listing.depth == ListDepth::kOneLevel) call.query.emplace_back("delimiter", "/");
  if (!listing.token.empty()) call.query.emplace_back("continuation-token", listing.token);
  if (!listing.start_after.empty()) call.query.emplace_back("start-after", listing.start_after);
  SKALD_TRY(const http::ClientResponse response, bucket.send(call, ctx));
  if (response.status != 200) {
    const S3Fault fault = read_s3_fault(response);
    if (fault.code != "NoSuchKey") return bucket.failure(call, response, fault);
    S3Fault no_bucket = fault;   // a 404 of a listing without a document can only mean the bucket
    no_bucket.code = "NoSuchBucket";
    return bucket.failure(call, response, no_bucket);
  }
  Result<ListPage> page = parse_s3_list(response.body);
  if (!page.ok()) return std::move(page).error().with_prefix(bucket.subject());
  return page;
}

Result<ListPage> S3Store::list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) {
  SKALD_TRY_VOID(ctx.check());
  if (buckets_.size() > 1) return list_merged(prefix, next, depth, ctx);
  return list_bucket(*buckets_.front(), {.prefix = prefix, .token = next, .start_after = {}, .depth = depth}, ctx);
}

// Every bucket is listed from the same name on, and of all pages only what lies before the end of the shortest is given out:
// sorted, each folder once. The token is the name to go on behind.
Result<ListPage> S3Store::list_merged(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) {
  ListPage merged;
  std::set<std::string> folders;
  std::string horizon;   // last name that all buckets have reached; "": none was cut off
  for (const std::unique_ptr<S3Bucket>& bucket : buckets_) {
    SKALD_TRY(ListPage page, list_bucket(*bucket, {.prefix = prefix, .token = {}, .start_after = next, .depth = depth}, ctx));
    if (!page.next.empty()) {
      std::string last = page.objects.empty() ? std::string() : page.objects.back().key;
      if (!page.folders.empty()) last = std::max(last, page.folders.back());
      if (last.empty()) return Error(ErrorCode::kCorruption, bucket->subject() + ": a page of the listing is empty, but not the last");
      horizon = horizon.empty() ? last : std::min(horizon, last);
    }
    std::move(page.objects.begin(), page.objects.end(), std::back_inserter(merged.objects));
    folders.insert(page.folders.begin(), page.folders.end());
  }
  std::sort(merged.objects.begin(), merged.objects.end(), [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  merged.folders.assign(folders.begin(), folders.end());
  if (horizon.empty()) return merged;
  std::erase_if(merged.objects, [&](const ObjectInfo& object) { return object.key > horizon; });
  std::erase_if(merged.folders, [&](const std::string& folder) { return folder > horizon; });
  merged.next = horizon.ends_with('/') ? horizon + std::string(kLastCharacter) : horizon;
  return merged;
}

Result<void> S3Store::remove(std::string_view key, const CallContext& ctx) {
  SKALD_TRY_VOID(check_key(key));
  SKALD_TRY_VOID(ctx.check());
  S3Bucket& bucket = bucket_of(key);
  const S3Bucket::Call call{.operation = "S3.DeleteObject", .permission = "s3:DeleteObject", .method = "DELETE", .key = key};
  SKALD_TRY(const http::ClientResponse response, bucket.send(call, ctx));
  if (response.status / 100 == 2) return {};
  Error error = bucket.failure(call, response);
  if (error.code() == ErrorCode::kNotFound) return {};
  return error;
}

Result<void> S3Store::remove_batch(S3Bucket& bucket, const std::vector<std::string_view>& keys, const CallContext& ctx) {
  const std::string body = s3_delete_request(keys);
  const S3Bucket::Call call{.operation = "S3.DeleteObjects", .permission = "s3:DeleteObject", .method = "POST", .query = {{"delete", ""}},
                            .headers = {{"Content-Type", "application/xml"}}, .body = body, .must_md5 = true, .response_bytes_max = kListAnswerBytesMax};
  SKALD_TRY(const http::ClientResponse response, bucket.send(call, ctx));
  if (response.status != 200) return bucket.failure(call, response);
  Result<std::vector<S3DeleteFault>> faults = parse_s3_delete(response.body);
  if (!faults.ok()) return std::move(faults).error().with_prefix(bucket.subject());
  if (faults->empty()) return {};
  const S3DeleteFault& first = faults->front();
  const bool denied = first.code == "AccessDenied";
  const bool passing = first.code == "InternalError" || first.code == "SlowDown" || first.code == "ServiceUnavailable";
  return Error(denied ? ErrorCode::kPermissionDenied : passing ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
               bucket.object(first.key) + ": S3.DeleteObjects: " + first.code + ": " + first.message.substr(0, 300) + " (" + std::to_string(faults->size()) + " of " +
                   std::to_string(keys.size()) + " objects remain)");
}

Result<void> S3Store::remove_all(std::span<const std::string> keys, const CallContext& ctx) {
  std::map<S3Bucket*, std::vector<std::string_view>> waiting;
  std::vector<std::string_view> singly;
  const auto flush = [&](S3Bucket& bucket, std::vector<std::string_view>& batch) -> Result<void> {
    SKALD_TRY_VOID(ctx.check());
    Result<void> done = batch.size() == 1 ? remove(batch.front(), ctx) : remove_batch(bucket, batch, ctx);
    if (!done.ok() && done.error().code() == ErrorCode::kUnimplemented) {   // GCS and others have no batches
      no_batch_delete_ = true;
      for (const std::string_view key : batch) SKALD_TRY_VOID(remove(key, ctx));
      done = {};
    }
    batch.clear();
    return done;
  };
  for (const std::string& key : keys) {
    SKALD_TRY_VOID(check_key(key));
    if (no_batch_delete_ || !can_be_in_xml(key)) {
      SKALD_TRY_VOID(remove(key, ctx));
      continue;
    }
    S3Bucket& bucket = bucket_of(key);
    std::vector<std::string_view>& batch = waiting[&bucket];
    batch.push_back(key);
    if (batch.size() == kS3KeysPerDelete) SKALD_TRY_VOID(flush(bucket, batch));
  }
  for (auto& [bucket, batch] : waiting) {
    if (!batch.empty()) SKALD_TRY_VOID(flush(*bucket, batch));
  }
  return {};
}

Result<std::unique_ptr<ObjectStore>> make_s3_store(const S3Config& config, S3Parts parts) {
  const auto bad = [](const std::string& what) { return Error(ErrorCode::kInvalidArgument, "s3: " + what); };
  if (config.buckets.empty()) return bad("no bucket is configured (bucketnames or bucket_name)");
  for (const std::string& name : config.buckets) {
    if (!is_bucket_name(name)) return bad("'" + name + "' is not the name of a bucket");
  }
  if (config.access_key_id.empty() != config.secret_access_key.empty()) return bad("access_key_id and secret_access_key need each other");
  SKALD_TRY(S3Address address, resolve_s3_address(config, parts.environment));
  if (config.sse == S3Config::Sse::kCustomer) {
    if (!address.tls) return bad("SSE-C sends its key with each request, so it needs https");
    std::string key(config.sse_customer_key.size() + 3, '\0');
    const int length = config.sse_customer_key.size() == 44
                           ? ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(key.data()), reinterpret_cast<const unsigned char*>(config.sse_customer_key.data()), 44)
                           : -1;
    if (length != 33 || !config.sse_customer_key.ends_with('=') || config.sse_customer_key.ends_with("==")) return bad("the customer key of SSE-C is not 32 bytes in base64");
  }
  return std::unique_ptr<ObjectStore>(std::make_unique<S3Store>(config, std::move(address), std::move(parts)));
}

Result<std::unique_ptr<ObjectStore>> open_s3_store(const S3Config& config, const RemoteContext& context) {
  Environment environment = process_environment();
  SKALD_TRY(const S3Address address, resolve_s3_address(config, environment));
  RemoteOptions options{.metric = "loki_s3_request_duration_seconds",
                        .http = config.http,
                        .retry = config.retry,
                        .hedging = context.hedging,
                        .subject = (config.buckets.size() == 1 ? "s3 bucket " : "s3 buckets ") + joined(config.buckets) + " at " +
                                   (address.host.empty() ? "AWS in " + address.region : address.host)};
  SKALD_TRY(auto remote, Remote::create(std::move(options), context.registry, context.clock, context.random));
  return make_s3_store(config, {.remote = std::move(remote), .environment = std::move(environment), .clock = context.clock});
}

}  // namespace skald::objstore
