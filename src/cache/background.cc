#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "cache/levels.h"

namespace skald::cache {
namespace {

class BackgroundCache final : public Cache {
 public:
  BackgroundCache(std::shared_ptr<Cache> inner, const BackgroundOptions& options, obs::Registry& registry)
      : inner_(std::move(inner)), threads_max_(std::max<std::size_t>(1, options.threads)), batches_max_(options.batches_max), bytes_max_(options.bytes_max),
        dropped_(registry.counter_family("loki_cache_dropped_background_writes_total", "Items not written because too many waited.", {"name"}).with({options.name})),
        dropped_bytes_(registry.counter_family("loki_cache_dropped_background_writes_bytes_total", "Bytes not written because too many waited.", {"name"})
                           .with({options.name})),
        queue_length_(registry.gauge_family("loki_cache_background_queue_length", "Calls that wait to be written.", {"name"}).with({options.name})),
        queue_bytes_(registry.gauge_family("loki_cache_background_queue_bytes", "Bytes that wait to be written.", {"name"}).with({options.name})) {}

  // What still waits is lost: a cache owes nobody anything.
  ~BackgroundCache() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    queue_length_.add(-static_cast<double>(queue_.size()));
    queue_bytes_.add(-static_cast<double>(bytes_));
  }

  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override { return inner_->fetch(ctx, keys); }

  void store(std::vector<Item> items) override {
    if (items.empty()) return;
    Batch batch{.items = std::move(items), .bytes = 0};
    for (const Item& item : batch.items) batch.bytes += item.key.size() + item.value->size();
    {
      const std::lock_guard lock(mutex_);
      if (queue_.size() >= batches_max_ || bytes_ + batch.bytes > bytes_max_) {
        dropped_.add(static_cast<double>(batch.items.size()));
        dropped_bytes_.add(static_cast<double>(batch.bytes));
        return;
      }
      bytes_ += batch.bytes;
      queue_length_.add(1);
      queue_bytes_.add(static_cast<double>(batch.bytes));
      queue_.push_back(std::move(batch));
      if (idle_ < queue_.size() && threads_.size() < threads_max_) threads_.emplace_back([this] { run(); });
    }
    wake_.notify_one();
  }

  void flush() override {
    std::unique_lock lock(mutex_);
    drained_.wait(lock, [&] { return stopping_ || (queue_.empty() && writing_ == 0); });
    lock.unlock();
    inner_->flush();
  }

 private:
  struct Batch {
    std::vector<Item> items;
    std::uint64_t bytes = 0;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      ++idle_;
      wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      --idle_;
      if (stopping_) return;
      Batch batch = std::move(queue_.front());
      queue_.pop_front();
      ++writing_;
      lock.unlock();
      inner_->store(std::move(batch.items));
      lock.lock();
      --writing_;
      bytes_ -= batch.bytes;   // only now: what is being written is memory too
      queue_length_.add(-1);
      queue_bytes_.add(-static_cast<double>(batch.bytes));
      if (queue_.empty() && writing_ == 0) drained_.notify_all();
    }
  }

  const std::shared_ptr<Cache> inner_;
  const std::size_t threads_max_, batches_max_;
  const std::uint64_t bytes_max_;
  obs::Counter& dropped_;
  obs::Counter& dropped_bytes_;
  obs::Gauge& queue_length_;
  obs::Gauge& queue_bytes_;

  std::mutex mutex_;   // guards all below
  std::condition_variable wake_, drained_;
  std::deque<Batch> queue_;
  std::uint64_t bytes_ = 0;
  std::size_t idle_ = 0, writing_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::shared_ptr<Cache> in_background(std::shared_ptr<Cache> inner, const BackgroundOptions& options, obs::Registry& registry) {
  return std::make_shared<BackgroundCache>(std::move(inner), options, registry);
}

}  // namespace skald::cache
