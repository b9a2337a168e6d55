#include <algorithm>
#include <map>
#include <shared_mutex>

#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

class MemoryStore final : public ObjectStore {
 public:
  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    auto object = std::make_shared<const Bytes>(body);
    const std::unique_lock lock(mutex_);
    objects_.insert_or_assign(std::string(key), std::move(object));
    return {};
  }

  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    SharedBytes object;
    {
      const std::shared_lock lock(mutex_);
      const auto found = objects_.find(key);
      if (found == objects_.end()) return Error(ErrorCode::kNotFound, "object '" + std::string(key) + "' does not exist");
      object = found->second;
    }
    const std::uint64_t end = std::min<std::uint64_t>(range.end, object->size());
    if (range.begin > end) {
      return Error(ErrorCode::kInvalidArgument, "object '" + std::string(key) + "': range begins at " +
                                                    std::to_string(range.begin) + ", beyond its end");
    }
    return object->substr(range.begin, end - range.begin);
  }

  Result<ListPage> list(std::string_view prefix, std::string_view after, const CallContext& ctx) override {
    SKALD_TRY_VOID(ctx.check());
    ListPage page;
    const std::shared_lock lock(mutex_);
    auto it = after >= prefix ? objects_.upper_bound(after) : objects_.lower_bound(prefix);
    for (; it != objects_.end() && std::string_view(it->first).starts_with(prefix); ++it) {
      if (page.objects.size() == kListPageObjects) {
        page.more = true;
        break;
      }
      page.objects.push_back({it->first, it->second->size()});
    }
    return page;
  }

  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    const std::unique_lock lock(mutex_);
    if (const auto found = objects_.find(key); found != objects_.end()) objects_.erase(found);
    return {};
  }

 private:
  std::shared_mutex mutex_;   // guards objects_
  std::map<std::string, SharedBytes, std::less<>> objects_;
};

}  // namespace

std::unique_ptr<ObjectStore> make_memory_store() { return std::make_unique<MemoryStore>(); }

}  // namespace skald::objstore
