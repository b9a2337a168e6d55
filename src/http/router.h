// Finds the route of a path. Exact paths by hash, patterns with {segments} in order of registration.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "skald/http/server.h"

namespace skald::http {

bool percent_decode(std::string_view text, bool plus_is_space, std::string& out);

class Router {
 public:
  void add(Route route);

  struct Match {
    const Route* route = nullptr;      // null: no route has this path (404)
    bool method_allowed = false;       // else 405
    std::vector<std::string> path_params;
  };
  // `raw_path` is still percent-encoded and has no query.
  Match find(std::string_view method, std::string_view raw_path) const;

 private:
  struct Pattern {
    std::vector<std::string> segments;   // "{name}" matches one, a last "{name...}" the rest
    const Route* route;
  };
  std::vector<std::unique_ptr<Route>> routes_;
  std::unordered_map<std::string, std::vector<const Route*>> exact_;
  std::vector<Pattern> patterns_;
};

}  // namespace skald::http
