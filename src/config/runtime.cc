#include "skald/config/runtime.h"

#include <algorithm>
#include <chrono>

#include "limits_keys.h"
#include "skald/obs/log.h"
#include "values.h"

namespace skald::config {
namespace {

Error fail(const std::string& file, const Error& error) {
  return Error(ErrorCode::kInvalidArgument, "failed to load runtime config " + file + ": " + error.message());
}

// Maps are merged, everything else is replaced.
void merge(YamlNode& into, YamlNode&& from) {
  if (into.kind != YamlNode::Kind::kMap || from.kind != YamlNode::Kind::kMap) {
    if (!from.is_null()) into = std::move(from);
    return;
  }
  for (auto& [name, value] : from.entries) {
    YamlNode* present = nullptr;
    for (auto& [known, old] : into.entries)
      if (known.scalar == name.scalar) present = &old;
    if (present) merge(*present, std::move(value));
    else into.entries.push_back({std::move(name), std::move(value)});
  }
}

}  // namespace

RuntimeLimits::RuntimeLimits(Limits global, const std::string& files, std::int64_t period_ns, ReadFile read_file, obs::Registry& registry)
    : global_(std::make_shared<const Limits>(std::move(global))), files_(split_list(files)), period_ns_(period_ns), read_file_(std::move(read_file)),
      successful_(registry.gauge_family("loki_runtime_config_last_reload_successful", "Whether the last read of the runtime configuration succeeded.", {"config"}).with({"loki"})),
      tenants_(std::make_shared<const Tenants>()) {
  successful_.set(1);
}

RuntimeLimits::~RuntimeLimits() { stop(); }

Result<std::shared_ptr<const RuntimeLimits::Tenants>> RuntimeLimits::parse(const std::vector<std::string>& texts) const {
  YamlNode root;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Result<YamlNode> parsed = parse_yaml(texts[i]);
    if (!parsed.ok()) return fail(files_[i], parsed.error());
    if (!parsed->is_null() && parsed->kind != YamlNode::Kind::kMap)
      return fail(files_[i], Error(ErrorCode::kInvalidArgument, "the file must be a map of keys"));
    for (const auto& [name, value] : parsed->entries)
      if (name.scalar != "overrides" && name.scalar != "configs" && name.scalar != "multi_kv_config")
        return fail(files_[i], Error(ErrorCode::kInvalidArgument, "yaml: line " + std::to_string(name.line) + ": field " + name.scalar +
                                                                      " not found; known keys: overrides, configs, multi_kv_config"));
    merge(root, std::move(*parsed));
  }
  auto tenants = std::make_shared<Tenants>();
  const YamlNode* overrides = root.find("overrides");
  if (!overrides || overrides->is_null()) return std::shared_ptr<const Tenants>(std::move(tenants));
  const std::string shown = to_text(Kind::kList, &files_);
  if (overrides->kind != YamlNode::Kind::kMap)
    return fail(shown, Error(ErrorCode::kInvalidArgument, "yaml: line " + std::to_string(overrides->line) + ": overrides must be a map of tenants"));
  for (const auto& [tenant, node] : overrides->entries) {
    if (node.is_null()) {
      log::warn("runtime config: tenant without limits skipped", {{"tenant", tenant.scalar}});
      continue;
    }
    auto limits = std::make_shared<Limits>(*global_);
    LimitNotes notes;
    Result<void> applied = apply_limits(node, true, *limits, notes);
    if (applied.ok()) applied = validate_limits(*limits);
    if (!applied.ok()) return fail(shown, applied.error().with_prefix("tenant " + tenant.scalar));
    limits->ingestion_rate_strategy = global_->ingestion_rate_strategy;
    tenants->emplace(tenant.scalar, std::move(limits));
  }
  return std::shared_ptr<const Tenants>(std::move(tenants));
}

Result<void> RuntimeLimits::reload() {
  if (files_.empty()) return {};
  const std::lock_guard<std::mutex> one(reload_mutex_);
  const auto attempt = [&]() -> Result<void> {
    std::vector<std::string> texts;
    for (const std::string& file : files_) {
      Result<std::string> text = read_file_(file);
      if (!text.ok()) return fail(file, text.error());
      texts.push_back(std::move(*text));
    }
    if (texts == content_) return {};
    SKALD_TRY(std::shared_ptr<const Tenants> tenants, parse(texts));
    const std::lock_guard<std::mutex> lock(mutex_);
    tenants_ = std::move(tenants);
    content_ = std::move(texts);
    return {};
  };
  Result<void> done = attempt();
  successful_.set(done.ok() ? 1 : 0);
  return done;
}

void RuntimeLimits::start() {
  if (files_.empty() || thread_.joinable()) return;
  thread_ = std::thread([this] {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::nanoseconds(period_ns_), [this] { return stopping_; })) {
      lock.unlock();
      if (Result<void> done = reload(); !done.ok()) log::error("runtime config not reloaded, the last good one stays", {{"err", done.error().message()}});
      lock.lock();
    }
  });
}

void RuntimeLimits::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

LimitsPtr RuntimeLimits::for_tenant(const std::string& tenant) const {
  std::shared_ptr<const Tenants> tenants;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tenants = tenants_;
  }
  const auto at = tenants->find(tenant);
  return at == tenants->end() ? global_ : at->second;
}

std::vector<std::string> RuntimeLimits::tenants() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> out;
  for (const auto& entry : *tenants_) out.push_back(entry.first);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace skald::config
