#include "cache/levels.h"

namespace skald::cache {
namespace {

std::vector<double> powers(double first, double factor, int count) {
  std::vector<double> edges;
  for (double edge = first; count > 0; --count, edge *= factor) edges.push_back(edge);
  return edges;
}

class MeteredCache final : public Cache {
 public:
  MeteredCache(std::shared_ptr<Cache> inner, const std::string& name, obs::Registry& registry)
      : inner_(std::move(inner)),
        fetch_s_(duration(registry).with({name + ".fetch", "200", name})),
        store_s_(duration(registry).with({name + ".store", "200", name})),
        requested_(registry.counter_family("loki_cache_fetched_keys", "Keys looked up in the cache.", {"name"}).with({name})),
        hits_(registry.counter_family("loki_cache_hits", "Keys found in the cache.", {"name"}).with({name})),
        fetched_bytes_(size(registry).with({"fetch", name})),
        stored_bytes_(size(registry).with({"store", name})) {}

  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override {
    const std::int64_t start_ns = system_clock().monotonic_ns();
    std::vector<SharedBytes> values = inner_->fetch(ctx, keys);
    fetch_s_.observe(static_cast<double>(system_clock().monotonic_ns() - start_ns) / 1e9);
    requested_.add(static_cast<double>(keys.size()));
    double found = 0;
    for (const SharedBytes& value : values) {
      if (value == nullptr) continue;
      ++found;
      fetched_bytes_.observe(static_cast<double>(value->size()));
    }
    hits_.add(found);
    return values;
  }
  void store(std::vector<Item> items) override {
    for (const Item& item : items) stored_bytes_.observe(static_cast<double>(item.value->size()));
    const std::int64_t start_ns = system_clock().monotonic_ns();
    inner_->store(std::move(items));
    store_s_.observe(static_cast<double>(system_clock().monotonic_ns() - start_ns) / 1e9);
  }
  void flush() override { inner_->flush(); }

 private:
  static obs::HistogramFamily& duration(obs::Registry& registry) {
    return registry.histogram_family("loki_cache_request_duration_seconds", "Time spent in the cache.", {"method", "status_code", "name"}, powers(16e-6, 4, 8));
  }
  static obs::HistogramFamily& size(obs::Registry& registry) {
    return registry.histogram_family("loki_cache_value_size_bytes", "Size of values in the cache.", {"method", "name"}, powers(1024, 4, 7));
  }

  const std::shared_ptr<Cache> inner_;
  obs::Histogram& fetch_s_;
  obs::Histogram& store_s_;
  obs::Counter& requested_;
  obs::Counter& hits_;
  obs::Histogram& fetched_bytes_;
  obs::Histogram& stored_bytes_;
};

class TieredCache final : public Cache {
 public:
  explicit TieredCache(std::vector<std::shared_ptr<Cache>> levels) : levels_(std::move(levels)) {}

  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override {
    std::vector<SharedBytes> values = levels_.front()->fetch(ctx, keys);
    std::vector<std::size_t> missing;
    for (std::size_t i = 0; i < values.size(); ++i)
      if (values[i] == nullptr) missing.push_back(i);
    for (std::size_t level = 1; level < levels_.size() && !missing.empty() && ctx.check().ok(); ++level) {
      std::vector<std::string> wanted;
      wanted.reserve(missing.size());
      for (const std::size_t i : missing) wanted.push_back(keys[i]);
      std::vector<SharedBytes> found = levels_[level]->fetch(ctx, wanted);
      std::vector<Item> promoted;
      std::vector<std::size_t> still_missing;
      for (std::size_t i = 0; i < missing.size(); ++i) {
        if (found[i] == nullptr) {
          still_missing.push_back(missing[i]);
        } else {
          promoted.push_back({.key = keys[missing[i]], .value = found[i]});
          values[missing[i]] = std::move(found[i]);
        }
      }
      missing = std::move(still_missing);
      if (promoted.empty()) continue;
      for (std::size_t upper = 0; upper < level; ++upper) levels_[upper]->store(promoted);
    }
    return values;
  }
  void store(std::vector<Item> items) override {
    for (std::size_t level = levels_.size(); level-- > 1;) levels_[level]->store(items);
    levels_.front()->store(std::move(items));
  }
  void flush() override {
    for (const auto& level : levels_) level->flush();
  }

 private:
  const std::vector<std::shared_ptr<Cache>> levels_;
};

class PrefixedCache final : public Cache {
 public:
  PrefixedCache(std::shared_ptr<Cache> inner, std::string prefix) : inner_(std::move(inner)), prefix_(std::move(prefix)) {}
  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override {
    std::vector<std::string> prefixed;
    prefixed.reserve(keys.size());
    for (const std::string& key : keys) prefixed.push_back(prefix_ + key);
    return inner_->fetch(ctx, prefixed);
  }
  void store(std::vector<Item> items) override {
    for (Item& item : items) item.key.insert(0, prefix_);
    inner_->store(std::move(items));
  }
  void flush() override { inner_->flush(); }

 private:
  const std::shared_ptr<Cache> inner_;
  const std::string prefix_;
};

}  // namespace

std::shared_ptr<Cache> with_metrics(std::shared_ptr<Cache> inner, const std::string& name, obs::Registry& registry) {
  return std::make_shared<MeteredCache>(std::move(inner), name, registry);
}

std::shared_ptr<Cache> tiered(std::vector<std::shared_ptr<Cache>> levels) {
  SKALD_CHECK(!levels.empty());
  return std::make_shared<TieredCache>(std::move(levels));
}

std::shared_ptr<Cache> with_prefix(std::shared_ptr<Cache> inner, std::string prefix) {
  return std::make_shared<PrefixedCache>(std::move(inner), std::move(prefix));
}

}  // namespace skald::cache
