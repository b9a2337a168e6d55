#include "skald/exec/pool.h"

#include <pthread.h>

#include <atomic>
#include <memory>

namespace skald::exec {

Pool::Pool(std::string name, std::size_t threads) : name_(std::move(name)), thread_count_(threads == 0 ? 1 : threads) {}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  // Work submitted while no thread had been started yet.
  while (!queue_.empty()) {
    auto work = std::move(queue_.front());
    queue_.pop_front();
    work();
  }
}

void Pool::submit(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (idle_ < queue_.size() && threads_.size() < thread_count_ && !stopping_) {
      threads_.emplace_back([this] { run(); });
    }
  }
  wake_.notify_one();
}

std::size_t Pool::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void Pool::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;  // stopping
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it owned is destroyed outside the lock
    lock.lock();
  }
}

void Pool::parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) {
  if (count == 0) return;
  if (count == 1) {
    body(0);
    return;
  }
  // Helpers may start after the caller has finished everything, so the shared state outlives this call; `body` is only
  // touched by those that got an index, and the caller waits for all of these.
  struct Shared {
    std::atomic<std::size_t> next{0};
    std::size_t count = 0;
    const std::function<void(std::size_t)>* body = nullptr;
    std::mutex mutex;
    std::condition_variable done;
    std::size_t finished = 0;  // guarded by mutex
    void work() {
      std::size_t mine = 0;
      for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
        (*body)(i);
        ++mine;
      }
      if (mine == 0) return;
      const std::lock_guard lock(mutex);
      finished += mine;
      if (finished == count) done.notify_all();
    }
  };
  auto shared = std::make_shared<Shared>();
  shared->count = count;
  shared->body = &body;
  const std::size_t helpers = std::min(thread_count_, count - 1);
  for (std::size_t i = 0; i < helpers; ++i) submit([shared] { shared->work(); });
  shared->work();
  std::unique_lock lock(shared->mutex);
  shared->done.wait(lock, [&] { return shared->finished == shared->count; });
}

}  // namespace skald::exec
