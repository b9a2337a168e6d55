#include "targets.h"

#include <algorithm>

namespace skald::app {
namespace {

struct Target {
  const char* name;
  std::vector<const char*> modules;   // empty: a module by itself
};

const std::vector<Target>& targets_table() {
  static const std::vector<Target> table = {
      {"all", {"compactor", "distributor", "ingester", "pattern-ingester", "querier", "query-frontend", "query-scheduler", "ruler"}},
      {"backend", {"compactor", "index-gateway", "query-scheduler", "ruler"}},
      {"read", {"querier", "query-frontend"}},
      {"write", {"distributor", "ingester", "pattern-ingester"}},
      {"compactor", {}}, {"distributor", {}}, {"index-gateway", {}}, {"ingester", {}}, {"querier", {}}, {"query-frontend", {}},
      {"query-scheduler", {}}, {"ruler", {}}};
  return table;
}

// Loki knows them; nothing here corresponds to them.
bool has_no_counterpart(const std::string& name) {
  return name.starts_with("bloom-") || name.starts_with("ingest-limits") || name.starts_with("dataobj") || name == "ui" || name == "overrides-exporter" ||
         name == "pattern-ingester" || name == "block-builder" || name == "block-scheduler" || name == "table-manager" ||
         name == "query-engine-scheduler" || name == "query-engine-worker";
}

void add(Modules& modules, const std::string& name) {
  if (name == "distributor") modules.distributor = true;
  else if (name == "ingester") modules.ingester = true;
  else if (name == "querier") modules.querier = true;
  else if (name == "query-frontend") modules.frontend = true;
  else if (name == "query-scheduler") modules.scheduler = true;
  else if (name == "index-gateway") modules.index_gateway = true;
  else if (name == "compactor") modules.compactor = true;
  else if (name == "ruler") modules.ruler = true;
}

}  // namespace

std::vector<std::string> Modules::names() const {
  std::vector<std::string> out = {"server", "runtime-config"};
  if (shared) out.push_back("memberlist-kv");
  out.insert(out.end(), {"ring", "store"});
  const std::pair<bool, const char*> all[] = {{ingester, "ingester"}, {distributor, "distributor"}, {index_gateway, "index-gateway"}, {scheduler, "query-scheduler"},
                                              {querier, "querier"}, {frontend, "query-frontend"}, {compactor, "compactor"}, {ruler, "ruler"}};
  for (const auto& [runs, name] : all)
    if (runs) out.emplace_back(name);
  return out;
}

Result<Modules> modules_of(const config::Config& config) {
  Modules out;
  std::string given;
  for (const std::string& name : config.target) {
    given += (given.empty() ? "" : ",") + name;
    if (has_no_counterpart(name)) return Error(ErrorCode::kInvalidArgument, "target " + name + " does not exist here: what it does, other targets do or nothing needs; -list-targets shows all");
    const auto& table = targets_table();
    const auto at = std::find_if(table.begin(), table.end(), [&](const Target& t) { return name == t.name; });
    if (at == table.end()) return Error(ErrorCode::kInvalidArgument, "unrecognised module name: " + name + "; -list-targets shows all");
    if (at->modules.empty()) add(out, name);
    for (const char* module : at->modules) add(out, module);
  }
  out.shared = config.ring_is_shared();
  const bool whole = out.distributor && out.ingester && out.querier && out.frontend;
  if (!whole && !out.shared)
    return Error(ErrorCode::kInvalidArgument, "target " + given + " is part of an installation, and nothing says how its processes find each other: give memberlist.join_members, or a store for common.ring.kvstore (memberlist, etcd, consul)");
  // Alone, a process schedules its queries and looks into its index itself.
  if (!out.shared) out.scheduler = out.index_gateway = false;
  return out;
}

std::string list_targets() {
  std::string out;
  for (const Target& target : targets_table()) {
    out += std::string(target.name) + "\n";
    for (const char* module : target.modules) out += std::string("  ") + module + "\n";
  }
  return out;
}

}  // namespace skald::app
