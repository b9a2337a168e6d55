// -target: which modules a process runs.
#pragma once

#include <string>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/config.h"

namespace skald::app {

struct Modules {
  bool distributor = false, ingester = false;                 // write
  bool querier = false, frontend = false;                     // read
  bool scheduler = false, index_gateway = false, compactor = false, ruler = false;   // backend
  bool queries() const { return querier || frontend; }
  // Found by others in the ring of backends.
  bool backend() const { return scheduler || index_gateway || compactor || ruler; }
  bool shared = false;                                        // with other processes, over a shared ring
  std::vector<std::string> names() const;                     // in start order, as /services shows them
};

// kInvalidArgument, one clear line: an unknown name; one that has no counterpart here; a part of the whole without a ring
// that processes share.
Result<Modules> modules_of(const config::Config& config);

// What -list-targets prints.
std::string list_targets();

}  // namespace skald::app
