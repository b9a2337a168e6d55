// From what the configuration says to a set of servers, asked again now and then. As skald/io/names.h has it; here
//   host:port            is one server; the address behind the name may change
//   dnssrvnoa+name       is one server per target
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cache/socket.h"
#include "skald/io/names.h"

namespace skald::cache {

using io::NameService;
using ResolvedServer = io::ResolvedName;
using ServerSpec = io::NameSpec;

// Names that cannot be looked up are left out; `failed` is then set.
std::vector<ResolvedServer> resolve(const std::vector<ServerSpec>& specs, const NameService& names, bool& failed);

// Calls `changed` with the servers: before the constructor returns when no name has to be looked up, else from a thread
// soon and then every `interval_ns`. A round in which some lookup failed changes nothing unless no servers are known yet.
class ServerWatch {
 public:
  ServerWatch(std::vector<ServerSpec> specs, std::int64_t interval_ns, NameService names, std::function<void(std::vector<ResolvedServer>)> changed);
  ~ServerWatch();

 private:
  void run();
  const std::vector<ServerSpec> specs_;
  const std::int64_t interval_ns_;
  const NameService names_;
  const std::function<void(std::vector<ResolvedServer>)> changed_;
  std::mutex mutex_;   // guards stopping_
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skald::cache
