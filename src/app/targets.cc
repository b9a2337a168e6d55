#include "targets.h"

#include <algorithm>
#include <set>

namespace skald::app {
namespace {

struct Target {
  const char* name;
  std::vector<const char*> modules;
};

const std::vector<Target>& targets_table() {
  static const std::vector<Target> table = {
      {"all", {"compactor", "distributor", "ingester", "pattern-ingester", "querier", "query-frontend", "query-scheduler", "ruler"}},
      {"backend", {"compactor", "index-gateway", "query-scheduler", "ruler"}},
      {"read", {"querier", "query-frontend"}},
      {"write", {"distributor", "ingester", "pattern-ingester"}},
      {"compactor", {}}, {"distributor", {}}, {"index-gateway", {}}, {"ingester", {}}, {"overrides-exporter", {}},
      {"pattern-ingester", {}}, {"querier", {}}, {"query-frontend", {}}, {"query-scheduler", {}}, {"ruler", {}}};
  return table;
}

// Loki knows them; nothing here corresponds to them.
bool is_experimental(const std::string& name) {
  return name.starts_with("bloom-") || name.starts_with("ingest-limits") || name.starts_with("dataobj") || name == "ui" ||
         name == "block-builder" || name == "block-scheduler" || name == "table-manager" || name == "query-engine-scheduler" || name == "query-engine-worker";
}

}  // namespace

Result<void> check_targets(const std::vector<std::string>& targets) {
  std::set<std::string> modules;
  std::string given;
  for (const std::string& name : targets) {
    given += (given.empty() ? "" : ",") + name;
    const auto& table = targets_table();
    const auto at = std::find_if(table.begin(), table.end(), [&](const Target& t) { return name == t.name; });
    if (at == table.end() && !is_experimental(name))
      return Error(ErrorCode::kInvalidArgument, "unrecognised module name: " + name + "; -list-targets shows all");
    modules.insert(name);
    if (at != table.end()) modules.insert(at->modules.begin(), at->modules.end());
  }
  for (const char* needed : {"distributor", "ingester", "querier", "query-frontend"})
    if (!modules.contains(needed))
      return Error(ErrorCode::kUnimplemented, "target " + given + " is not available in this release: every process runs all of distributor, ingester and querier; use -target=all");
  return {};
}

std::string list_targets() {
  std::string out;
  for (const Target& target : targets_table()) {
    out += std::string(target.name) + "\n";
    for (const char* module : target.modules) out += std::string("  ") + module + "\n";
  }
  return out;
}

const std::vector<std::string>& running_modules() {
  static const std::vector<std::string> modules = {"server", "runtime-config", "ring", "store", "ingester", "distributor", "querier",
                                                   "query-frontend", "compactor", "ruler"};
  return modules;
}

}  // namespace skald::app
