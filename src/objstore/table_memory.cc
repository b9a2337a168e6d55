#include <algorithm>
#include <map>
#include <mutex>

#include "skald/objstore/table_store.h"

namespace skald::objstore {
namespace {

class MemoryTable final : public TableClient {
 public:
  MemoryTable(std::size_t value_bytes_max, std::size_t page_items) : value_bytes_max_(value_bytes_max), page_items_(page_items) {}

  Result<void> put(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) override {
    SKALD_TRY_VOID(check(hash, range, value, ctx));
    const std::lock_guard lock(mutex_);
    items_[std::string(hash)].insert_or_assign(std::string(range), Bytes(value));
    return {};
  }

  Result<void> put_if_absent(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) override {
    SKALD_TRY_VOID(check(hash, range, value, ctx));
    const std::lock_guard lock(mutex_);
    if (!items_[std::string(hash)].emplace(std::string(range), Bytes(value)).second)
      return Error(ErrorCode::kAlreadyExists, "item '" + std::string(range) + "' exists already");
    return {};
  }

  Result<Bytes> get(std::string_view hash, std::string_view range, const CallContext& ctx) override {
    SKALD_TRY_VOID(ctx.check());
    const std::lock_guard lock(mutex_);
    const auto partition = items_.find(hash);
    if (partition != items_.end()) {
      if (const auto found = partition->second.find(range); found != partition->second.end()) return found->second;
    }
    return Error(ErrorCode::kNotFound, "item '" + std::string(range) + "' does not exist");
  }

  Result<TablePage> query(std::string_view hash, std::string_view range_prefix, std::string_view next, std::size_t items_max, WithValues values,
                          const CallContext& ctx) override {
    SKALD_TRY_VOID(ctx.check());
    TablePage page;
    const std::lock_guard lock(mutex_);
    const auto partition = items_.find(hash);
    if (partition == items_.end()) return page;
    const std::size_t most = items_max == 0 ? page_items_ : std::min(page_items_, items_max);
    for (auto it = next.empty() ? partition->second.lower_bound(range_prefix) : partition->second.upper_bound(next); it != partition->second.end(); ++it) {
      if (!it->first.starts_with(range_prefix)) break;
      if (page.items.size() == most) {
        page.next = page.items.back().range;
        break;
      }
      page.items.push_back({it->first, values == WithValues::kYes ? it->second : Bytes()});
    }
    return page;
  }

  Result<void> remove(std::string_view hash, std::string_view range, const CallContext& ctx) override {
    SKALD_TRY_VOID(ctx.check());
    const std::lock_guard lock(mutex_);
    const auto partition = items_.find(hash);
    if (partition == items_.end()) return {};
    if (const auto found = partition->second.find(range); found != partition->second.end()) partition->second.erase(found);
    if (partition->second.empty()) items_.erase(partition);
    return {};
  }

  std::size_t value_bytes_max() const override { return value_bytes_max_; }

 private:
  Result<void> check(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) const {
    if (hash.empty() || range.empty() || value.size() > value_bytes_max_)
      return Error(ErrorCode::kInvalidArgument, "item '" + std::string(range) + "': empty key or a value of " + std::to_string(value.size()) + " bytes");
    return ctx.check();
  }

  const std::size_t value_bytes_max_, page_items_;
  std::mutex mutex_;   // guards items_
  std::map<std::string, std::map<std::string, Bytes, std::less<>>, std::less<>> items_;
};

}  // namespace

std::unique_ptr<TableClient> make_memory_table(std::size_t value_bytes_max, std::size_t page_items) {
  return std::make_unique<MemoryTable>(value_bytes_max, page_items);
}

}  // namespace skald::objstore
