// Worker pools for work over ~1 ms: queries, block encoding, flush. Never run such work on an I/O thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace skald::exec {

// FIFO. Threads start with the first submission, so that an idle process stays small.
class Pool {
 public:
  Pool(std::string name, std::size_t threads);
  ~Pool();  // runs what is queued, then joins
  void submit(std::function<void()> work);  // any thread
  std::size_t thread_count() const { return thread_count_; }
  std::size_t queued() const;

  // Runs body(0) … body(count-1) on the pool and the calling thread; returns when all have ended. Safe to call from a
  // pool thread: the caller works too, so nothing waits for a free thread.
  void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body);

 private:
  void run();
  const std::string name_;
  const std::size_t thread_count_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace skald::exec
