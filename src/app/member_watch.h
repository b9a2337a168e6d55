// Notices that members of a ring have gone: what an ingester shipped last it has shown until then, from now on it is found in
// the bucket only; and what one held that crashed has a copy less.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "skald/ring/ring.h"

namespace skald::app {

class MemberWatch {
 public:
  // `gone` is called on a thread of the watch after members went, once for all that did; `crashed`: one of them did not say
  // goodbye. `ring` outlives the watch.
  using Gone = std::function<void(bool crashed)>;
  MemberWatch(const ring::Ring& ring, Gone gone);
  ~MemberWatch();

 private:
  void run();

  const ring::Ring& ring_;
  const Gone gone_;
  std::mutex mutex_;   // guards stops_
  std::condition_variable wake_;
  bool stops_ = false;
  std::thread thread_;
};

}  // namespace skald::app
