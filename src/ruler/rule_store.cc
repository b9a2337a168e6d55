#include "skald/ruler/rule_store.h"

#include <algorithm>

namespace skald::ruler {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string prefix_of(const CallContext& ctx) { return ctx.tenant + "/rules/"; }
std::string key_of(const CallContext& ctx, const std::string& name_space, const std::string& group) {
  return prefix_of(ctx) + encode_name(name_space) + "/" + encode_name(group);
}

Result<std::vector<std::string>> keys_below(objstore::ObjectStore& objects, const std::string& prefix, const CallContext& ctx) {
  SKALD_TRY(std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects, prefix, ctx));
  std::vector<std::string> keys;
  for (objstore::ObjectInfo& object : found) keys.push_back(std::move(object.key));
  return keys;
}

}  // namespace

std::string encode_name(std::string_view name) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : name) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    count += 8;
    while (count >= 6) out += kAlphabet[bits >> (count -= 6) & 63];
  }
  if (count > 0) out += kAlphabet[bits << (6 - count) & 63];
  return out;
}

Result<std::string> decode_name(std::string_view encoded) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : encoded) {
    const std::string_view alphabet(kAlphabet, 64);
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return Error(ErrorCode::kCorruption, "rule key '" + std::string(encoded) + "' is not base64url");
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

Result<std::vector<std::string>> RuleStore::tenants(const CallContext& ctx) const {
  SKALD_TRY(std::vector<std::string> folders, objstore::list_folders(objects_, "", ctx));
  for (std::string& folder : folders)
    if (folder.ends_with('/')) folder.pop_back();
  return folders;
}

Result<std::map<std::string, std::vector<RuleGroup>>> RuleStore::list(const CallContext& ctx, const std::string& only_namespace) const {
  const std::string prefix = prefix_of(ctx);
  SKALD_TRY(const auto keys, keys_below(objects_, only_namespace.empty() ? prefix : prefix + encode_name(only_namespace) + "/", ctx));
  std::map<std::string, std::vector<RuleGroup>> namespaces;
  for (const std::string& key : keys) {
    const std::size_t slash = key.find('/', prefix.size());
    if (slash == std::string::npos) continue;
    SKALD_TRY(const std::string name_space, decode_name(std::string_view(key).substr(prefix.size(), slash - prefix.size())));
    SKALD_TRY(const Bytes yaml, objects_.get(key, {}, ctx));
    auto group = parse_rule_group(yaml);
    if (!group.ok()) return group.error().with_prefix(key);
    namespaces[name_space].push_back(std::move(group).value());
  }
  for (auto& [name, groups] : namespaces) {
    std::sort(groups.begin(), groups.end(), [](const RuleGroup& a, const RuleGroup& b) { return a.name < b.name; });
  }
  return namespaces;
}

Result<RuleGroup> RuleStore::get(const CallContext& ctx, const std::string& name_space, const std::string& group) const {
  auto yaml = objects_.get(key_of(ctx, name_space, group), {}, ctx);
  if (!yaml.ok() && yaml.error().code() == ErrorCode::kNotFound) return Error(ErrorCode::kNotFound, "group does not exist");
  if (!yaml.ok()) return yaml.error();
  return parse_rule_group(*yaml);
}

Result<void> RuleStore::set(const CallContext& ctx, const std::string& name_space, const RuleGroup& group) {
  return objects_.put(key_of(ctx, name_space, group.name), format_rule_group(group), ctx);
}

Result<void> RuleStore::remove_group(const CallContext& ctx, const std::string& name_space, const std::string& group) {
  SKALD_TRY_VOID(get(ctx, name_space, group));
  return objects_.remove(key_of(ctx, name_space, group), ctx);
}

Result<void> RuleStore::remove_namespace(const CallContext& ctx, const std::string& name_space) {
  SKALD_TRY(const auto keys, keys_below(objects_, prefix_of(ctx) + encode_name(name_space) + "/", ctx));
  if (keys.empty()) return Error(ErrorCode::kNotFound, "group namespace does not exist");
  for (const std::string& key : keys) SKALD_TRY_VOID(objects_.remove(key, ctx));
  return {};
}

}  // namespace skald::ruler
