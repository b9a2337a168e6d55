#include "skald/objstore/object_store.h"

#include <algorithm>

namespace skald::objstore {
namespace {

template <class Visit>
Result<void> for_each_page(ObjectStore& store, std::string_view prefix, ListDepth depth, const CallContext& ctx, Visit&& visit) {
  std::string next;
  do {
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(ListPage page, store.list(prefix, next, depth, ctx));
    if (!page.next.empty() && page.next == next) {
      return Error(ErrorCode::kInternal, "listing of '" + std::string(prefix) + "' does not advance: the store answers the same page token again");
    }
    next = std::move(page.next);
    visit(page);
  } while (!next.empty());
  return {};
}

}  // namespace

Result<void> ObjectStore::remove_all(std::span<const std::string> keys, const CallContext& ctx) {
  for (const std::string& key : keys) SKALD_TRY_VOID(remove(key, ctx));
  return {};
}

Result<std::vector<ObjectInfo>> list_objects(ObjectStore& store, std::string_view prefix, const CallContext& ctx) {
  std::vector<ObjectInfo> objects;
  SKALD_TRY_VOID(for_each_page(store, prefix, ListDepth::kAll, ctx, [&](ListPage& page) {
    for (ObjectInfo& object : page.objects) objects.push_back(std::move(object));
  }));
  return objects;
}

Result<std::vector<std::string>> list_folders(ObjectStore& store, std::string_view prefix, const CallContext& ctx) {
  std::vector<std::string> folders;
  SKALD_TRY_VOID(for_each_page(store, prefix, ListDepth::kOneLevel, ctx, [&](ListPage& page) {
    for (std::string& folder : page.folders) folders.push_back(std::move(folder));
  }));
  // A folder may be on two pages, or in two of several stores.
  std::sort(folders.begin(), folders.end());
  folders.erase(std::unique(folders.begin(), folders.end()), folders.end());
  return folders;
}

}  // namespace skald::objstore
