#include "router.h"

#include <algorithm>

namespace skald::http {
namespace {

// Segments are decoded one by one, so that an encoded slash stays inside its segment.
std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    if (path.front() == '/') path.remove_prefix(1);
    const std::size_t end = path.find('/');
    std::string decoded;
    if (!percent_decode(path.substr(0, end), false, decoded)) decoded = std::string(path.substr(0, end));
    segments.push_back(std::move(decoded));
    path = end == std::string_view::npos ? std::string_view() : path.substr(end);
  }
  return segments;
}

bool is_wildcard(const std::string& segment) { return segment.size() > 2 && segment.front() == '{' && segment.back() == '}'; }
bool is_rest(const std::string& segment) { return is_wildcard(segment) && segment.ends_with("...}"); }

bool match_segments(const std::vector<std::string>& pattern, const std::vector<std::string>& path, std::vector<std::string>& out) {
  out.clear();
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (is_rest(pattern[i])) {
      std::string rest;
      for (std::size_t k = i; k < path.size(); ++k) rest += (k == i ? "" : "/") + path[k];
      out.push_back(std::move(rest));
      return true;
    }
    if (i >= path.size()) return false;
    if (is_wildcard(pattern[i])) {
      if (path[i].empty()) return false;
      out.push_back(path[i]);
    } else if (pattern[i] != path[i]) {
      return false;
    }
  }
  return pattern.size() == path.size();
}

bool allows(const Route& route, std::string_view method) {
  return std::find(route.methods.begin(), route.methods.end(), method) != route.methods.end();
}

}  // namespace

void Router::add(Route route) {
  routes_.push_back(std::make_unique<Route>(std::move(route)));
  const Route* stored = routes_.back().get();
  if (stored->pattern.find('{') == std::string::npos) {
    exact_[stored->pattern].push_back(stored);
  } else {
    patterns_.push_back({split_path(stored->pattern), stored});
  }
}

Router::Match Router::find(std::string_view method, std::string_view raw_path) const {
  Match match;
  std::string path;
  if (!percent_decode(raw_path, false, path)) return match;
  if (const auto found = exact_.find(path); found != exact_.end()) {
    for (const Route* route : found->second) {
      match.route = route;
      match.method_allowed = allows(*route, method);
      if (match.method_allowed) return match;
    }
  }
  const std::vector<std::string> segments = split_path(raw_path);
  std::vector<std::string> params;
  for (const Pattern& pattern : patterns_) {
    if (!match_segments(pattern.segments, segments, params)) continue;
    const bool allowed = allows(*pattern.route, method);
    if (match.route == nullptr || allowed) {
      match.route = pattern.route;
      match.method_allowed = allowed;
      match.path_params = params;
    }
    if (allowed) return match;
  }
  return match;
}

}  // namespace skald::http
