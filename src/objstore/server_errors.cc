#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

// What callers act upon stays; the rest is this server's own trouble with its bucket, whatever the service calls it.
ErrorCode code_for_users(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnauthenticated:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kTooLarge:
    case ErrorCode::kUnprocessable: return ErrorCode::kInternal;
    default: return code;
  }
}

template <class T>
Result<T> for_users(Result<T> result) {
  if (result.ok()) return result;
  const ErrorCode code = code_for_users(result.error().code());
  if (code == result.error().code()) return result;
  return Error(code, result.error().message());
}

class ServerErrorStore final : public ObjectStore {
 public:
  explicit ServerErrorStore(std::unique_ptr<ObjectStore> inner) : inner_(std::move(inner)) {}
  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return for_users(inner_->put(key, body, ctx)); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return for_users(inner_->create(key, body, ctx)); }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override { return for_users(inner_->get(key, range, ctx)); }
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    return for_users(inner_->list(prefix, next, depth, ctx));
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override { return for_users(inner_->remove(key, ctx)); }
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override { return for_users(inner_->remove_all(keys, ctx)); }

 private:
  const std::unique_ptr<ObjectStore> inner_;
};

}  // namespace

std::unique_ptr<ObjectStore> with_server_errors(std::unique_ptr<ObjectStore> inner) { return std::make_unique<ServerErrorStore>(std::move(inner)); }

}  // namespace skald::objstore
