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

  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    auto object = std::make_shared<const Bytes>(body);
    const std::unique_lock lock(mutex_);
    if (!objects_.emplace(std::string(key), std::move(object)).second)
      return Error(ErrorCode::kAlreadyExists, "object '" + std::string(key) + "' exists already");
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

  // The token is the last key of the page, or its last folder with the character after '/'.
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    SKALD_TRY_VOID(ctx.check());
    ListPage page;
    const std::shared_lock lock(mutex_);
    auto it = next >= prefix ? objects_.upper_bound(next) : objects_.lower_bound(prefix);
    std::string last;
    while (it != objects_.end() && std::string_view(it->first).starts_with(prefix)) {
      if (page.objects.size() + page.folders.size() == kListPageObjects) {
        page.next = last;
        break;
      }
      const std::size_t slash = depth == ListDepth::kOneLevel ? it->first.find('/', prefix.size()) : std::string::npos;
      if (slash == std::string::npos) {
        page.objects.push_back({it->first, it->second->size()});
        last = it->first;
        ++it;
      } else {
        page.folders.push_back(it->first.substr(0, slash + 1));
        last = it->first.substr(0, slash) + static_cast<char>('/' + 1);
        it = objects_.lower_bound(last);
      }
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
