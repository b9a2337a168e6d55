#include "skald/objstore/period_store.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>

#include "skald/base/check.h"

namespace skald::objstore {
namespace {

constexpr std::string_view kIndexFolder = "index/index_";
constexpr std::string_view kChunkFolder = "chunks/";

std::optional<std::int64_t> number(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

// "20261120T06" → days since 1970.
std::optional<std::int64_t> day_of_shard(std::string_view shard) {
  if (shard.size() != 11 || shard[8] != 'T') return std::nullopt;
  const auto year = number(shard.substr(0, 4)), month = number(shard.substr(4, 2)), day = number(shard.substr(6, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

// The day a key (or a prefix that names a whole folder) belongs to; nullopt: it carries none.
std::optional<std::int64_t> day_of_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string_view rest = key.substr(slash + 1);
  const bool index = rest.starts_with(kIndexFolder);
  if (!index && !rest.starts_with(kChunkFolder)) return std::nullopt;
  rest.remove_prefix(index ? kIndexFolder.size() : kChunkFolder.size());
  const std::size_t end = rest.find('/');
  if (end == std::string_view::npos) return std::nullopt;   // a prefix that ends inside the date
  return index ? number(rest.substr(0, end)) : day_of_shard(rest.substr(0, end));
}

// Prefixes under which no key carries a date.
bool holds_no_dates(std::string_view prefix) {
  const std::size_t slash = prefix.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view rest = prefix.substr(slash + 1);
  const auto may_be_below = [&](std::string_view folder) { return rest.starts_with(folder) || folder.starts_with(rest); };
  return !may_be_below(kIndexFolder) && !may_be_below(kChunkFolder);
}

class PeriodStore final : public ObjectStore {
 public:
  explicit PeriodStore(std::vector<Period> periods) : periods_(std::move(periods)) {
    SKALD_CHECK(!periods_.empty());
    for (const Period& period : periods_)
      if (std::find(stores_.begin(), stores_.end(), period.store) == stores_.end()) stores_.push_back(period.store);
  }

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return of(key).put(key, body, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return of(key).create(key, body, ctx); }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override { return of(key).get(key, range, ctx); }
  Result<void> remove(std::string_view key, const CallContext& ctx) override { return of(key).remove(key, ctx); }

  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override {
    for (const auto& store : stores_) {
      std::vector<std::string> own;
      for (const std::string& key : keys)
        if (&of(key) == store.get()) own.push_back(key);
      if (!own.empty()) SKALD_TRY_VOID(store->remove_all(own, ctx));
    }
    return {};
  }

  // The token is "<number of the store>:<its own token>".
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    if (const auto day = day_of_key(prefix)) return of_day(*day).list(prefix, next, depth, ctx);
    if (holds_no_dates(prefix)) return periods_.back().store->list(prefix, next, depth, ctx);
    std::size_t at = 0;
    if (!next.empty()) {
      const std::size_t colon = next.find(':');
      const auto store = colon == std::string_view::npos ? std::nullopt : number(next.substr(0, colon));
      if (!store || *store < 0 || static_cast<std::size_t>(*store) >= stores_.size())
        return Error(ErrorCode::kInvalidArgument, "listing of '" + std::string(prefix) + "': not a token of this store");
      at = static_cast<std::size_t>(*store);
      next.remove_prefix(colon + 1);
    }
    SKALD_TRY(ListPage page, stores_[at]->list(prefix, next, depth, ctx));
    // What a store holds of other periods (it was another period's before somebody edited the schema) is not ours to see.
    std::erase_if(page.objects, [&](const ObjectInfo& object) { return &of(object.key) != stores_[at].get(); });
    if (!page.next.empty()) page.next = std::to_string(at) + ":" + page.next;
    else if (at + 1 < stores_.size()) page.next = std::to_string(at + 1) + ":";
    return page;
  }

 private:
  ObjectStore& of_day(std::int64_t day) const {
    const auto after = std::upper_bound(periods_.begin(), periods_.end(), day, [](std::int64_t d, const Period& period) { return d < period.first_day; });
    return after == periods_.begin() ? *after->store : *std::prev(after)->store;
  }
  ObjectStore& of(std::string_view key) const {
    const auto day = day_of_key(key);
    return day ? of_day(*day) : *periods_.back().store;
  }

  const std::vector<Period> periods_;
  std::vector<std::shared_ptr<ObjectStore>> stores_;   // each once
};

}  // namespace

std::unique_ptr<ObjectStore> with_periods(std::vector<Period> periods) { return std::make_unique<PeriodStore>(std::move(periods)); }

}  // namespace skald::objstore
