// Rule groups of all tenants in the object store: <tenant>/rules/<namespace>/<group>, names in base64url, content the
// group's YAML. Read through: a change by another process is seen at the next call.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "skald/objstore/object_store.h"
#include "skald/ruler/rule_group.h"

namespace skald::ruler {

// Thread-safe.
class RuleStore {
 public:
  explicit RuleStore(objstore::ObjectStore& objects) : objects_(objects) {}
  // Folders of the store that may be tenants with rules; what they hold is list()'s to say. Sorted.
  Result<std::vector<std::string>> tenants(const CallContext& ctx) const;
  // `only_namespace` empty: all. Groups sorted by name.
  Result<std::map<std::string, std::vector<RuleGroup>>> list(const CallContext& ctx, const std::string& only_namespace) const;
  Result<RuleGroup> get(const CallContext& ctx, const std::string& name_space, const std::string& group) const;  // kNotFound
  Result<void> set(const CallContext& ctx, const std::string& name_space, const RuleGroup& group);
  Result<void> remove_group(const CallContext& ctx, const std::string& name_space, const std::string& group);     // kNotFound
  Result<void> remove_namespace(const CallContext& ctx, const std::string& name_space);                           // kNotFound

 private:
  objstore::ObjectStore& objects_;
};

std::string encode_name(std::string_view name);                // base64url without padding
Result<std::string> decode_name(std::string_view encoded);

}  // namespace skald::ruler
