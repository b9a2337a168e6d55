#include "skald/objstore/table_store.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>

#include "objstore/parallel.h"
#include "objstore/table_head.h"
#include "skald/codec/crc32c.h"
#include "skald/exec/pool.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

using table::Head;
using table::Place;

constexpr std::size_t kParallelParts = 8;
constexpr std::string_view kIndexFolder = "index/";

Error named(const Error& error, std::string_view key) { return error.with_prefix("object '" + std::string(key) + "'"); }

class TableIndexStore final : public ObjectStore {
 public:
  TableIndexStore(std::shared_ptr<ObjectStore> inner, std::unique_ptr<TableClient> client, const Clock& clock, Random& random)
      : inner_(std::move(inner)), table_(std::move(client)), clock_(clock), random_(random), pool_("table", kParallelParts - 1) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    return table::in_table(key) ? write(key, body, false, ctx) : inner_->put(key, body, ctx);
  }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
    return table::in_table(key) ? write(key, body, true, ctx) : inner_->create(key, body, ctx);
  }

  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    if (!table::in_table(key)) return inner_->get(key, range, ctx);
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    const Place place = table::place_of(key);
    Bytes seen;
    while (true) {
      auto value = table_->get(place.hash(), place.name, ctx);
      if (!value.ok()) {
        if (value.error().code() == ErrorCode::kNotFound) return Error(ErrorCode::kNotFound, "object '" + std::string(key) + "' does not exist");
        return named(value.error(), key);
      }
      Result<Bytes> body = read(place, *value, range, ctx);
      if (body.ok()) return body;
      // The object may have been replaced and its old parts removed since its head was read.
      if (body.error().code() != ErrorCode::kCorruption || seen == *value) return named(body.error(), key);
      seen = *std::move(value);
    }
  }

  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    if (!table::in_table(key)) return inner_->remove(key, ctx);
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    const Place place = table::place_of(key);
    SKALD_TRY(const std::optional<Head> head, read_head(place, ctx));
    if (!head.has_value()) return {};
    // The head first: nobody finds an object without its parts. What a crash leaves of these is found by nobody either.
    SKALD_TRY_VOID(table_->remove(place.hash(), place.name, ctx));
    SKALD_TRY_VOID(remove_parts(place, *head, ctx));
    return unregister_if_empty(place, ctx);
  }

  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override {
    std::vector<std::string> others;
    for (const std::string& key : keys)
      if (!table::in_table(key)) others.push_back(key);
    Result<void> done = others.empty() ? Result<void>() : inner_->remove_all(others, ctx);
    for (const std::string& key : keys) {
      if (!done.ok()) break;
      if (table::in_table(key)) done = remove(key, ctx);
    }
    return done;
  }

  // Tokens: "b" and the inner store's, "t" and the last key of the table.
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    SKALD_TRY_VOID(ctx.check());
    if (table::in_table(prefix)) return list_table(prefix, next.empty() ? next : next.substr(1), depth, ctx);
    ListPage page;
    if (next.empty() || next[0] == 'b') {
      SKALD_TRY(page, inner_->list(prefix, next.empty() ? next : next.substr(1), depth, ctx));
      std::erase_if(page.objects, [](const ObjectInfo& object) { return table::in_table(object.key); });
      std::erase_if(page.folders, [](const std::string& folder) { return table::in_table(folder); });
      if (!page.next.empty()) {
        page.next.insert(0, "b");
        return page;
      }
      if (!may_reach_table(prefix)) return page;
      if (depth == ListDepth::kAll) {
        page.next = "t";
        return page;
      }
      SKALD_TRY_VOID(add_table_folders(prefix, page, ctx));
      return page;
    }
    return list_tenants(prefix, next.substr(1), ctx);
  }

 private:
  // ---- objects

  Result<void> write(std::string_view key, ByteView body, bool only_new, const CallContext& ctx) {
    SKALD_TRY_VOID(check_key(key));
    SKALD_TRY_VOID(ctx.check());
    if (body.size() > table::kObjectBytesMax)
      return Error(ErrorCode::kTooLarge, "object '" + std::string(key) + "' of " + std::to_string(body.size()) + " bytes is too large for the table");
    const Place place = table::place_of(key);
    Result<void> done = write(place, body, only_new, ctx);
    if (!done.ok() && done.error().code() != ErrorCode::kAlreadyExists) return named(done.error(), key);
    // Also of an object that was there: whoever made it may have died before this.
    SKALD_TRY_VOID(register_folder(place, ctx));
    if (!done.ok()) return Error(ErrorCode::kAlreadyExists, "object '" + std::string(key) + "' exists already");
    return done;
  }

  Result<void> write(const Place& place, ByteView body, bool only_new, const CallContext& ctx) {
    std::optional<Head> old;
    if (!only_new) {
      SKALD_TRY(old, read_head(place, ctx));
    }
    const std::uint32_t part_bytes = static_cast<std::uint32_t>(std::min<std::size_t>(table_->value_bytes_max() - table::kPartHeaderBytes, table::kPartBytesMax));
    Head head{.upload = Ulid::make(clock_.now_ns(), random_), .size = body.size(), .part_bytes = 0, .crc = codec::crc32c(body)};
    const bool fits = body.size() <= std::min<std::uint64_t>(table::kInlineBytesMax, table_->value_bytes_max() - table::kHeadBytes);
    if (!fits) {
      head.part_bytes = part_bytes;
      const Result<void> written = for_all(pool_, head.parts(), [&](std::size_t i) -> Result<void> {
        const auto number = static_cast<std::uint32_t>(i);
        return table_->put(place.parts_hash(), place.part_range(head.upload, number), table::encode_part(number, body.substr(i * part_bytes, part_bytes)), ctx);
      });
      if (!written.ok()) {
        (void)remove_parts(place, head, CallContext{});   // the first error is what counts
        return written;
      }
    }
    // A folder is listed before anything is in it, and again afterwards (see unregister_if_empty).
    if (!is_registered(place)) SKALD_TRY_VOID(register_folder(place, ctx));
    const Bytes value = table::encode_head(head, fits ? body : ByteView());
    const Result<void> committed =
        only_new ? table_->put_if_absent(place.hash(), place.name, value, ctx) : table_->put(place.hash(), place.name, value, ctx);
    if (!committed.ok()) {
      // After any other error the head may be there all the same.
      if (committed.error().code() == ErrorCode::kAlreadyExists) (void)remove_parts(place, head, ctx);
      return committed;
    }
    if (old.has_value()) (void)remove_parts(place, *old, ctx);
    return {};
  }

  Result<Bytes> read(const Place& place, ByteView value, const ByteRange& range, const CallContext& ctx) {
    ByteView inline_bytes;
    SKALD_TRY(const Head head, table::decode_head(value, inline_bytes));
    const std::uint64_t end = std::min(range.end, head.size);
    if (range.begin > range.end || range.begin > head.size)
      return Error(ErrorCode::kInvalidArgument, "range begins at " + std::to_string(range.begin) + ", beyond its end");
    if (head.part_bytes == 0) return Bytes(inline_bytes.substr(range.begin, end - range.begin));
    if (range.begin >= end) return Bytes();
    const std::uint64_t first = range.begin / head.part_bytes, last = (end - 1) / head.part_bytes;
    std::vector<Bytes> parts(last - first + 1);
    SKALD_TRY_VOID(for_all(pool_, parts.size(), [&](std::size_t i) -> Result<void> {
      const auto number = static_cast<std::uint32_t>(first + i);
      Result<Bytes> part = table_->get(place.parts_hash(), place.part_range(head.upload, number), ctx);
      if (!part.ok() && part.error().code() == ErrorCode::kNotFound) return Error(ErrorCode::kCorruption, "part " + std::to_string(number) + " is not in the table");
      if (!part.ok()) return part.error();
      SKALD_TRY(parts[i], table::decode_part(number, *std::move(part)));
      const std::uint64_t expected = std::min<std::uint64_t>(head.part_bytes, head.size - number * std::uint64_t{head.part_bytes});
      if (parts[i].size() != expected) return Error(ErrorCode::kCorruption, "part " + std::to_string(number) + " has another length than its head says");
      return {};
    }));
    Bytes out;
    out.reserve(parts.size() * head.part_bytes);
    for (const Bytes& part : parts) out += part;
    if (first == 0 && out.size() == head.size && codec::crc32c(out) != head.crc) return Error(ErrorCode::kCorruption, "its parts do not belong together");
    out.resize(end - first * head.part_bytes);
    out.erase(0, range.begin - first * head.part_bytes);
    return out;
  }

  // nullopt: no such object. A head that is damaged counts as one without parts, so that it can be replaced and removed.
  Result<std::optional<Head>> read_head(const Place& place, const CallContext& ctx) {
    const Result<Bytes> value = table_->get(place.hash(), place.name, ctx);
    if (!value.ok()) {
      if (value.error().code() == ErrorCode::kNotFound) return std::optional<Head>();
      return value.error();
    }
    ByteView inline_bytes;
    const Result<Head> head = table::decode_head(*value, inline_bytes);
    return std::optional<Head>(head.ok() ? *head : Head{});
  }

  Result<void> remove_parts(const Place& place, const Head& head, const CallContext& ctx) {
    return for_all(pool_, head.parts(), [&](std::size_t i) { return table_->remove(place.parts_hash(), place.part_range(head.upload, static_cast<std::uint32_t>(i)), ctx); });
  }

  // ---- the lists of tenants and of a tenant's folders

  bool is_registered(const Place& place) {
    const std::lock_guard lock(mutex_);
    return registered_.contains(place.hash());
  }

  Result<void> register_folder(const Place& place, const CallContext& ctx) {
    SKALD_TRY_VOID(table_->put(table::kTenantsHash, place.tenant, "1", ctx));
    SKALD_TRY_VOID(table_->put(table::folders_hash(place.tenant), "/" + place.folder, "1", ctx));
    const std::lock_guard lock(mutex_);
    if (registered_.size() >= kRegisteredMax) registered_.clear();
    registered_.insert(place.hash());
    return {};
  }

  // Somebody may be adding an object right now. It is written before its folder is registered once more: either the look
  // below sees the object, or that registration comes after the removal.
  Result<void> unregister_if_empty(const Place& place, const CallContext& ctx) {
    SKALD_TRY(const bool used, has_objects(place.hash(), ctx));
    if (used) return {};
    SKALD_TRY_VOID(table_->remove(table::folders_hash(place.tenant), "/" + place.folder, ctx));
    {
      const std::lock_guard lock(mutex_);
      registered_.erase(place.hash());
    }
    SKALD_TRY(const bool used_again, has_objects(place.hash(), ctx));
    return used_again ? register_folder(place, ctx) : Result<void>();
  }

  template <class Visit>
  Result<void> for_each_item(const std::string& hash, std::string_view prefix, WithValues values, const CallContext& ctx, Visit&& visit) {
    std::string next;
    do {
      SKALD_TRY_VOID(ctx.check());
      SKALD_TRY(TablePage page, table_->query(hash, prefix, next, 0, values, ctx));
      for (TableItem& item : page.items) SKALD_TRY_VOID(visit(item));
      next = std::move(page.next);
    } while (!next.empty());
    return {};
  }

  Result<bool> has_objects(const std::string& hash, const CallContext& ctx) {
    std::string next;
    do {
      SKALD_TRY(TablePage page, table_->query(hash, "", next, 1, WithValues::kNo, ctx));
      if (!page.items.empty()) return true;
      next = std::move(page.next);
    } while (!next.empty());
    return false;
  }

  Result<std::vector<std::string>> range_keys(const std::string& hash, std::string_view prefix, const CallContext& ctx) {
    std::vector<std::string> keys;
    SKALD_TRY_VOID(for_each_item(hash, prefix, WithValues::kNo, ctx, [&](TableItem& item) -> Result<void> {
      keys.push_back(std::move(item.range));
      return {};
    }));
    return keys;
  }

  // ---- listings

  // Whether a key in the table can begin with `prefix` (which itself is none).
  static bool may_reach_table(std::string_view prefix) {
    const std::size_t slash = prefix.find('/');
    return slash == std::string_view::npos || (slash > 0 && kIndexFolder.starts_with(prefix.substr(slash + 1)));
  }

  Result<bool> has_index(const std::string& tenant, const CallContext& ctx) {
    SKALD_TRY(const std::vector<std::string> folders, range_keys(table::folders_hash(tenant), "/", ctx));
    for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {   // the newest day first
      SKALD_TRY(const bool used, has_objects(table::folder_hash(tenant, std::string_view(*folder).substr(1)), ctx));
      if (used) return true;
    }
    return false;
  }

  // The one that `prefix` names, or those whose names begin with it; in the order of their keys.
  Result<std::vector<std::string>> tenants_of(std::string_view prefix, const CallContext& ctx) {
    if (const std::size_t slash = prefix.find('/'); slash != std::string_view::npos) return std::vector<std::string>{std::string(prefix.substr(0, slash))};
    SKALD_TRY(std::vector<std::string> tenants, range_keys(std::string(table::kTenantsHash), prefix, ctx));
    std::sort(tenants.begin(), tenants.end(), [](const std::string& a, const std::string& b) { return a + "/" < b + "/"; });
    return tenants;
  }

  // The tenants themselves, or a tenant's folder "index".
  Result<void> add_table_folders(std::string_view prefix, ListPage& page, const CallContext& ctx) {
    SKALD_TRY(const std::vector<std::string> tenants, tenants_of(prefix, ctx));
    for (const std::string& tenant : tenants) {
      std::string folder = tenant + (prefix.find('/') == std::string_view::npos ? "/" : "/index/");
      if (std::binary_search(page.folders.begin(), page.folders.end(), folder)) continue;
      SKALD_TRY(const bool used, has_index(tenant, ctx));
      if (used) page.folders.insert(std::upper_bound(page.folders.begin(), page.folders.end(), folder), folder);
    }
    return {};
  }

  // Every object in the table of the tenants that `prefix` covers, after the key `after`.
  Result<ListPage> list_tenants(std::string_view prefix, std::string_view after, const CallContext& ctx) {
    SKALD_TRY(const std::vector<std::string> tenants, tenants_of(prefix, ctx));
    ListPage page;
    for (const std::string& tenant : tenants) {
      const std::string below = tenant + "/" + std::string(kIndexFolder);
      if (after > below && !after.starts_with(below)) continue;
      SKALD_TRY(ListPage more, list_table(below, after, ListDepth::kAll, ctx));
      std::move(more.objects.begin(), more.objects.end(), std::back_inserter(page.objects));
      page.next = std::move(more.next);
      if (page.next.empty() && page.objects.size() >= kListPageObjects) page.next = "t" + page.objects.back().key;
      if (!page.next.empty()) return page;
    }
    return page;
  }

  // `prefix` is <tenant>/index/… A page of all objects is cut at the usual length; folders come all at once.
  Result<ListPage> list_table(std::string_view prefix, std::string_view after, ListDepth depth, const CallContext& ctx) {
    const std::string tenant(prefix.substr(0, prefix.find('/')));
    const std::string root = tenant + "/" + std::string(kIndexFolder);
    const std::string_view rest = prefix.substr(root.size());
    const std::size_t slash = rest.rfind('/');
    const std::string folder(slash == std::string_view::npos ? std::string_view() : rest.substr(0, slash));
    ListPage page;
    SKALD_TRY_VOID(add_objects(tenant, folder, slash == std::string_view::npos ? rest : rest.substr(slash + 1), after, page, ctx));
    // Folders whose path, ended by '/', begins with the rest of the prefix.
    SKALD_TRY(const std::vector<std::string> folders, range_keys(table::folders_hash(tenant), "/" + std::string(rest), ctx));
    for (const std::string& registered : folders) {
      const std::string path = registered.substr(1);
      if (path == folder) continue;   // above
      if (depth == ListDepth::kAll) {
        SKALD_TRY_VOID(add_objects(tenant, path, "", after, page, ctx));
        continue;
      }
      std::string key = root + path + "/";
      key.resize(key.find('/', prefix.size()) + 1);
      if (!page.folders.empty() && page.folders.back() == key) continue;
      SKALD_TRY(const bool used, has_objects(table::folder_hash(tenant, path), ctx));
      if (used) page.folders.push_back(std::move(key));
    }
    std::sort(page.folders.begin(), page.folders.end());
    page.folders.erase(std::unique(page.folders.begin(), page.folders.end()), page.folders.end());
    std::sort(page.objects.begin(), page.objects.end(), [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
    if (depth == ListDepth::kAll && page.objects.size() > kListPageObjects) {
      page.objects.resize(kListPageObjects);
      page.next = "t" + page.objects.back().key;
    }
    return page;
  }

  Result<void> add_objects(const std::string& tenant, const std::string& folder, std::string_view name_prefix, std::string_view after, ListPage& page,
                           const CallContext& ctx) {
    const std::string hash = table::folder_hash(tenant, folder);
    const std::string below = hash + "/";
    if (after > below && !after.starts_with(below) && after.substr(0, below.size()) > below) return {};   // all of them come before
    return for_each_item(hash, name_prefix, WithValues::kYes, ctx, [&](TableItem& item) -> Result<void> {
      std::string key = below + item.range;
      if (key <= after) return {};
      ByteView inline_bytes;
      const Result<Head> head = table::decode_head(item.value, inline_bytes);
      page.objects.push_back({std::move(key), head.ok() ? head->size : 0});   // a damaged one is listed, so that reading it says so
      return {};
    });
  }

  static constexpr std::size_t kRegisteredMax = 100'000;

  const std::shared_ptr<ObjectStore> inner_;
  const std::unique_ptr<TableClient> table_;
  const Clock& clock_;
  Random& random_;
  exec::Pool pool_;
  std::mutex mutex_;                     // guards registered_
  std::set<std::string> registered_;     // folders this process has registered, by hash key
};

}  // namespace

std::unique_ptr<ObjectStore> with_table_index(std::shared_ptr<ObjectStore> inner, std::unique_ptr<TableClient> table, const Clock& clock, Random& random) {
  return std::make_unique<TableIndexStore>(std::move(inner), std::move(table), clock, random);
}

}  // namespace skald::objstore
