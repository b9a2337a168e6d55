#include "skald/objstore/remote_stores.h"

#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

class PrefixStore final : public ObjectStore {
 public:
  PrefixStore(std::unique_ptr<ObjectStore> inner, std::string prefix) : inner_(std::move(inner)), prefix_(std::move(prefix)) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));   // "../x" must not leave the prefix
    return inner_->put(prefix_ + std::string(key), body, ctx);
  }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    return inner_->create(prefix_ + std::string(key), body, ctx);
  }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    return inner_->get(prefix_ + std::string(key), range, ctx);
  }
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    SKALD_TRY(ListPage page, inner_->list(prefix_ + std::string(prefix), next, depth, ctx));
    for (ObjectInfo& object : page.objects) object.key.erase(0, prefix_.size());
    for (std::string& folder : page.folders) folder.erase(0, prefix_.size());
    return page;
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    return inner_->remove(prefix_ + std::string(key), ctx);
  }
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override {
    std::vector<std::string> prefixed;
    prefixed.reserve(keys.size());
    for (const std::string& key : keys) {
      SKALD_TRY_VOID(check_key(key));
      prefixed.push_back(prefix_ + key);
    }
    return inner_->remove_all(prefixed, ctx);
  }

 private:
  const std::unique_ptr<ObjectStore> inner_;
  const std::string prefix_;
};

}  // namespace

std::unique_ptr<ObjectStore> with_prefix(std::unique_ptr<ObjectStore> inner, std::string prefix) {
  if (prefix.empty()) return inner;
  return std::make_unique<PrefixStore>(std::move(inner), std::move(prefix));
}

}  // namespace skald::objstore
