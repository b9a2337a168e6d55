// Notices that members of a ring have gone. What an ingester shipped last it has shown until then; from now on it is found in
// the bucket only.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "skald/ring/ring.h"

namespace skald::app {

class MemberWatch {
 public:
  // `gone` is called on a thread of the watch after members went, once for all that did. `ring` outlives the watch.
  MemberWatch(const ring::Ring& ring, std::function<void()> gone);
  ~MemberWatch();

 private:
  void run();

  const ring::Ring& ring_;
  const std::function<void()> gone_;
  std::mutex mutex_;   // guards stops_
  std::condition_variable wake_;
  bool stops_ = false;
  std::thread thread_;
};

}  // namespace skald::app
