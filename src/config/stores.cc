#include "stores.h"

#include <algorithm>
#include <set>

#include "store_blocks.h"

namespace skald::config {
namespace {

using Kind_ = BucketConfig::Kind;

Error bad(const std::string& what) { return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: invalid storage config: " + what); }

// One kind of store in both generations.
struct StoreKind {
  Kind_ kind;
  const char* name;       // in object_store, Config::stores and the new style
  const char* old_name;   // in storage_config
  const char* old_block;
  const char* new_block;
};
constexpr StoreKind kKinds[] = {
    {Kind_::kS3, "s3", "aws", "s3", "store_s3"},
    {Kind_::kAzure, "azure", "azure", "azure", "store_azure"},
    {Kind_::kGcs, "gcs", "gcs", "gcs", "store_gcs"},
    {Kind_::kFilesystem, "filesystem", "filesystem", "filesystem", "store_filesystem"},
};

// Keys that say the same in both styles: given with different values they contradict each other.
struct Twin {
  const char* old_key;
  const char* new_key;
};
constexpr Twin kS3Twins[] = {{"bucketnames", "bucket_name"}, {"endpoint", "endpoint"}, {"region", "region"}, {"access_key_id", "access_key_id"},
    {"secret_access_key", "secret_access_key"}, {"session_token", "session_token"}, {"storage_class", "storage_class"}, {"sse.type", "sse.type"},
    {"sse.kms_key_id", "sse.kms_key_id"}, {"sse.kms_encryption_context", "sse.kms_encryption_context"}, {"sse.customer_key", "sse.customer_key"}, {"checksum", "checksum"}};
constexpr Twin kAzureTwins[] = {{"account_name", "account_name"}, {"account_key", "account_key"}, {"connection_string", "connection_string"},
    {"container_name", "container_name"}, {"endpoint_suffix", "endpoint_suffix"}, {"user_assigned_id", "user_assigned_id"}, {"client_id", "client_id"},
    {"client_secret", "client_secret"}, {"tenant_id", "az_tenant_id"}};
constexpr Twin kGcsTwins[] = {{"bucket_name", "bucket_name"}, {"endpoint", "endpoint"}, {"service_account", "service_account"},
    {"hmac_access_key", "hmac_access_key"}, {"hmac_secret", "hmac_secret"}, {"chunk_buffer_size", "chunk_buffer_size"}};
constexpr Twin kFilesystemTwins[] = {{"directory", "dir"}};

std::span<const Twin> twins(Kind_ kind) {
  switch (kind) {
    case Kind_::kS3: return kS3Twins;
    case Kind_::kAzure: return kAzureTwins;
    case Kind_::kGcs: return kGcsTwins;
    case Kind_::kFilesystem: return kFilesystemTwins;
  }
  return {};
}

const Key& key_of(std::string_view block, std::string_view name) {
  const std::span<const Key> keys = block_keys(block);
  const auto at = std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.path == name; });
  SKALD_CHECK(at != keys.end());
  return *at;
}

// Where the blocks of one store stand.
struct Places {
  std::string old_path, new_path;
};

Result<void> check_twins(const Config& config, const StoreKind& kind, const Places& places) {
  const Block old_block(config, places.old_path, kind.old_block);
  const Block new_block(config, places.new_path, kind.new_block);
  for (const Twin& twin : twins(kind.kind)) {
    const std::string old_path = old_block.path_of(twin.old_key);
    const std::string new_path = new_block.path_of(twin.new_key);
    if (!config.is_given(old_path) || !config.is_given(new_path)) continue;
    const std::string old_text = old_block.text(twin.old_key);
    const std::string new_text = new_block.text(twin.new_key);
    if (old_text.empty() || new_text.empty() || old_text == new_text) continue;
    const bool secret = key_of(kind.old_block, twin.old_key).kind == Kind::kSecret;
    return bad(where(config, old_path) + (secret ? "" : " is " + old_text) + " but " + where(config, new_path) + (secret ? " differs" : " is " + new_text) +
               "; give one of them, or the same value");
  }
  return {};
}

Result<BucketConfig> read_store(const Config& config, const StoreKind& kind, const Places& places) {
  SKALD_TRY_VOID(check_twins(config, kind, places));
  const Block old_block(config, places.old_path, kind.old_block);
  const Block new_block(config, places.new_path, kind.new_block);
  BucketConfig out;
  out.kind = kind.kind;
  switch (kind.kind) {
    case Kind_::kS3:
      SKALD_TRY_VOID(read_s3(config, old_block, out.s3));
      SKALD_TRY_VOID(read_store_s3(config, new_block, out.s3));
      break;
    case Kind_::kAzure:
      SKALD_TRY_VOID(read_azure(config, old_block, out.azure));
      SKALD_TRY_VOID(read_store_azure(config, new_block, out.azure));
      break;
    case Kind_::kGcs:
      SKALD_TRY_VOID(read_gcs(config, old_block, out.gcs));
      SKALD_TRY_VOID(read_store_gcs(config, new_block, out.gcs));
      break;
    case Kind_::kFilesystem:
      old_block.set("directory", out.directory);
      new_block.set("dir", out.directory);
      break;
  }
  return out;
}

// Whether it says where objects go.
bool names_bucket(const BucketConfig& store) {
  switch (store.kind) {
    case Kind_::kS3: return !store.s3.buckets.empty();
    case Kind_::kAzure: return !store.azure.account_name.empty() || !store.azure.connection_string.empty();
    case Kind_::kGcs: return !store.gcs.bucket_name.empty();
    case Kind_::kFilesystem: return !store.directory.empty();
  }
  return false;
}

// common.storage.<block> fills the keys that storage_config and the ruler leave out. A key that is there in the other
// style counts as given: a component's word beats common's in whichever style.
void spread_block(Config& config, const StoreKind& kind, bool old_style, const std::string& from, const Places& to) {
  const std::string_view block = old_style ? kind.old_block : kind.new_block;
  const Block source(config, from, block);
  const auto is_set = [&](const std::string& path) {
    const auto text = config.other.find(path);
    return config.is_given(path) && text != config.other.end() && !text->second.empty();
  };
  for (const Key& key : block_keys(block)) {
    if (std::string_view(key.path).starts_with("dynamodb.")) continue;
    const std::string text = source.text(key.path);
    if (text.empty()) continue;
    const std::string target = (old_style ? to.old_path : to.new_path) + "." + key.path;
    bool taken = is_set(target);
    for (const Twin& twin : twins(kind.kind)) {
      if (std::string_view(old_style ? twin.old_key : twin.new_key) != key.path) continue;
      const std::string other = (old_style ? to.new_path : to.old_path) + "." + (old_style ? twin.new_key : twin.old_key);
      const Block other_block(config, old_style ? to.new_path : to.old_path, old_style ? kind.new_block : kind.old_block);
      taken = taken || (is_set(other) && !other_block.text(old_style ? twin.new_key : twin.old_key).empty());
    }
    if (!taken) config.other[target] = text;
  }
}

Result<void> spread_common(Config& config) {
  for (const StoreKind& kind : kKinds) {
    if (kind.kind == Kind_::kFilesystem) continue;   // directories are derived one by one
    const Places common{std::string("common.storage.") + kind.name, std::string("common.storage.object_store.") + kind.name};
    SKALD_TRY_VOID(check_twins(config, kind, common));
    for (const Places& to : {Places{std::string("storage_config.") + kind.old_name, std::string("storage_config.object_store.") + kind.name},
                             Places{std::string("ruler.storage.") + kind.name, std::string("ruler_storage.") + kind.name}}) {
      spread_block(config, kind, true, common.old_path, to);
      spread_block(config, kind, false, common.new_path, to);
    }
  }
  const auto prefix = config.other.find("common.storage.object_store.storage_prefix");
  if (prefix != config.other.end() && !prefix->second.empty())
    for (const char* to : {"storage_config.object_store.storage_prefix", "ruler_storage.storage_prefix"})
      if (!config.is_given(to) || config.other[to].empty()) config.other[to] = prefix->second;
  const HedgingConfig& common = config.common.hedging;
  HedgingConfig& own = config.storage.hedging;
  if (!config.is_given("storage_config.hedging.at")) own.at = common.at;
  if (!config.is_given("storage_config.hedging.up_to")) own.up_to = common.up_to;
  if (!config.is_given("storage_config.hedging.max_per_second")) own.max_per_second = common.max_per_second;
  return {};
}

std::string text_at(const Config& config, const std::string& path) {
  const auto at = config.other.find(path);
  return at == config.other.end() ? std::string() : at->second;
}

// Kinds that common.storage names, by the keys that name a bucket: a block that only repeats defaults chooses nothing.
std::set<std::string> common_kinds(const Config& config, bool old_style, bool new_style) {
  std::set<std::string> out;
  const auto name = [&](const char* kind, std::initializer_list<const char*> paths) {
    for (const char* path : paths)
      if (!text_at(config, path).empty()) out.insert(kind);
  };
  if (old_style) {
    if (!config.common.chunks_directory.empty() || !config.common.rules_directory.empty()) out.insert("filesystem");
    name("s3", {"common.storage.s3.s3", "common.storage.s3.bucketnames", "common.storage.s3.endpoint"});
    name("gcs", {"common.storage.gcs.bucket_name"});
    name("azure", {"common.storage.azure.account_name", "common.storage.azure.connection_string"});
  }
  if (new_style) {
    if (!config.common.object_store_dir.empty()) out.insert("filesystem");
    name("s3", {"common.storage.object_store.s3.bucket_name"});
    name("gcs", {"common.storage.object_store.gcs.bucket_name"});
    name("azure", {"common.storage.object_store.azure.account_name", "common.storage.object_store.azure.connection_string"});
  }
  return out;
}

Result<std::string> normal_prefix(const Config& config, const std::string& path) {
  std::string prefix = text_at(config, path);
  while (!prefix.empty() && prefix.front() == '/') prefix.erase(0, 1);
  while (!prefix.empty() && prefix.back() == '/') prefix.pop_back();
  if (prefix.empty()) return std::string();
  for (std::size_t from = 0; from <= prefix.size();) {
    const std::size_t end = std::min(prefix.find('/', from), prefix.size());
    const std::string part = prefix.substr(from, end - from);
    if (part.empty() || part == "." || part == "..") return bad(where(config, path) + " is \"" + prefix + "\"; its parts must be names");
    from = end + 1;
  }
  return prefix + "/";
}

Result<std::string> chunk_prefix(const Config& config) {
  static constexpr const char* kOld = "storage_config.object_prefix";
  static constexpr const char* kNew = "storage_config.object_store.storage_prefix";
  SKALD_TRY(const std::string old_prefix, normal_prefix(config, kOld));
  SKALD_TRY(const std::string new_prefix, normal_prefix(config, kNew));
  if (!old_prefix.empty() && !new_prefix.empty() && old_prefix != new_prefix)
    return bad(where(config, kOld) + " is " + old_prefix + " but " + where(config, kNew) + " is " + new_prefix + "; give one of them, or the same value");
  return new_prefix.empty() ? old_prefix : new_prefix;
}

constexpr std::string_view kCommonNamed = "common.storage.object_store.named_stores.";

// Blocks that config.named_stores remembers, by the name a period uses.
Result<void> read_named_stores(Config& config, const std::string& prefix) {
  static constexpr const char* kOld = "storage_config.named_stores.";
  static constexpr const char* kNew = "storage_config.object_store.named_stores.";
  for (const auto& [path, block] : config.named_stores) {
    const std::string name = path.substr(path.rfind('.') + 1);
    const auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const StoreKind& k) { return block == k.old_block || block == k.new_block; });
    SKALD_CHECK(kind != std::end(kKinds));
    for (const StoreKind& reserved : kKinds)
      if (name == reserved.name || name == reserved.old_name)
        return bad(path + ": a named store must not have the name of a kind of store");
    Places places{std::string(kOld) + kind->old_name + "." + name, std::string(kNew) + kind->name + "." + name};
    if (path.starts_with(kCommonNamed)) places = {"", path};
    SKALD_TRY(BucketConfig store, read_store(config, *kind, places));
    if (!names_bucket(store))
      return bad(path + " names no " + (kind->kind == Kind_::kAzure ? "account" : kind->kind == Kind_::kFilesystem ? "directory" : "bucket"));
    store.prefix = prefix;
    const auto [at, inserted] = config.stores.emplace(name, store);
    if (!inserted && at->second != store) return bad(path + ": the named store " + name + " is defined more than once");
  }
  return {};
}

Result<void> derive_ruler(Config& config) {
  const BucketConfig& newest = config.stores.at(config.schema.back().bucket);
  config.ruler_bucket = newest;
  std::string kind = text_at(config, "ruler_storage.backend");
  std::string key = "ruler_storage.backend";
  if (kind == "filesystem") kind = text_at(config, "ruler_storage.filesystem.dir").empty() ? "" : kind;
  if (kind.empty()) {
    key = "ruler.storage.type";
    kind = text_at(config, key);
  }
  const std::set<std::string> common = common_kinds(config, true, true);
  if (kind.empty() && common.size() == 1) {
    kind = *common.begin() == "filesystem" ? "local" : *common.begin();
    config.other[key] = kind;
  }
  if (kind == "local" || kind == "filesystem") {
    std::string directory = text_at(config, "ruler_storage.local.directory");
    if (directory.empty()) directory = text_at(config, "ruler.storage.local.directory");
    if (directory.empty() && !config.common.rules_directory.empty()) {
      directory = config.common.rules_directory;
      config.other["ruler.storage.local.directory"] = directory;
    }
    if (kind == "local") config.ruler.local_directory = directory;
    // Rule files an operator keeps are only read; what the API is given goes with the chunks.
    if (kind == "filesystem") {
      config.ruler_bucket = BucketConfig{};
      config.ruler_bucket.directory = text_at(config, "ruler_storage.filesystem.dir");
    }
    return {};
  }
  if (kind.empty()) return {};
  const std::string wanted = Config::store_name(kind);
  const auto known = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const StoreKind& k) { return wanted == k.name; });
  if (known == std::end(kKinds))
    return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: invalid ruler config: " + where(config, key) + " is \"" + kind + "\"; use local, s3, azure, gcs or filesystem");
  SKALD_TRY(config.ruler_bucket, read_store(config, *known, {std::string("ruler.storage.") + known->name, std::string("ruler_storage.") + known->name}));
  SKALD_TRY(config.ruler_bucket.prefix, normal_prefix(config, "ruler_storage.storage_prefix"));
  return {};
}

const char* keys_that_name(Kind_ kind) {
  switch (kind) {
    case Kind_::kS3: return "set storage_config.aws.bucketnames, common.storage.s3.bucketnames or storage_config.object_store.s3.bucket_name";
    case Kind_::kAzure: return "set storage_config.azure.account_name, common.storage.azure.account_name or storage_config.object_store.azure.account_name";
    case Kind_::kGcs: return "set storage_config.gcs.bucket_name, common.storage.gcs.bucket_name or storage_config.object_store.gcs.bucket_name";
    case Kind_::kFilesystem: return "set common.storage.filesystem.chunks_directory or storage_config.object_store.filesystem.dir";
  }
  return "";
}

const char* what_it_names(Kind_ kind) {
  return kind == Kind_::kAzure ? "account" : kind == Kind_::kFilesystem ? "directory" : "bucket";
}

void validate_numbers(const BucketConfig& store, const std::string& name, std::vector<std::string>& out) {
  if (store.kind == Kind_::kFilesystem) return;
  const StoreHttpConfig& http = store.kind == Kind_::kS3 ? store.s3.http : store.kind == Kind_::kAzure ? store.azure.http : store.gcs.http;
  const StoreRetryConfig& retry = store.kind == Kind_::kS3 ? store.s3.retry : store.kind == Kind_::kAzure ? store.azure.retry : store.gcs.retry;
  if (http.timeout < 0 || http.response_header_timeout < 0 || http.idle_conn_timeout < 0 || http.tls_handshake_timeout < 0 || http.max_connections_per_host < 0)
    out.push_back("invalid storage config: " + name + ": timeouts and connections must not be negative");
  if (retry.min_period < 0 || retry.max_period < retry.min_period || retry.max_retries < 0)
    out.push_back("invalid storage config: " + name + ": the back-off must not be negative, and its max_period not below its min_period");
  if (store.kind == Kind_::kAzure && store.azure.use_service_principal &&
      (store.azure.client_id.empty() || store.azure.client_secret.empty() || store.azure.tenant_id.empty()))
    out.push_back("invalid storage config: " + name + ": a service principal needs client_id, client_secret and tenant_id");
  if (store.kind == Kind_::kS3 && store.s3.access_key_id.empty() != store.s3.secret_access_key.empty())
    out.push_back("invalid storage config: " + name + ": access_key_id and secret_access_key go together; with neither, credentials come from the environment");
}

}  // namespace

std::string_view named_store_block(std::string_view path) {
  for (const StoreKind& kind : kKinds) {
    if (path == std::string("storage_config.named_stores.") + kind.old_name) return kind.old_block;
    if (path == std::string("storage_config.object_store.named_stores.") + kind.name || path == std::string(kCommonNamed) + kind.name) return kind.new_block;
  }
  return {};
}

std::string common_cloud_store(const Config& config) {
  const std::set<std::string> kinds = common_kinds(config, true, true);
  return kinds.size() == 1 && *kinds.begin() != "filesystem" ? *kinds.begin() : std::string();
}

Result<void> derive_stores(Config& config) {
  if (common_kinds(config, true, false).size() > 1)
    return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: too many storage configs provided in the common config, please only define one storage backend");
  SKALD_TRY_VOID(spread_common(config));
  SKALD_TRY(const std::string prefix, chunk_prefix(config));

  std::set<std::string> used;
  for (SchemaPeriod& period : config.schema) {
    period.bucket = Config::store_name(period.object_store);
    used.insert(period.bucket);
  }
  const std::string delete_store = Config::store_name(config.compactor.delete_request_store);
  used.insert(delete_store);

  config.stores.clear();
  SKALD_TRY_VOID(read_named_stores(config, prefix));
  for (const StoreKind& kind : kKinds) {
    BucketConfig store;
    if (kind.kind == Kind_::kFilesystem) {
      store.directory = config.bucket_directory();
      const bool named = !config.storage.filesystem_directory.empty() || !config.storage.object_store_dir.empty() || !config.common.object_store_dir.empty() || !config.common.chunks_directory.empty();
      if (!named && !used.contains(kind.name)) continue;
    } else {
      SKALD_TRY(store, read_store(config, kind, {std::string("storage_config.") + kind.old_name, std::string("storage_config.object_store.") + kind.name}));
      if (!names_bucket(store) && !used.contains(kind.name)) continue;
    }
    store.prefix = prefix;
    config.stores[kind.name] = store;
  }
  SKALD_TRY_VOID(read_dynamodb(config, Block(config, "storage_config.aws", "s3"), config.dynamodb));
  if (config.schema.empty() || !config.stores.contains(config.schema.back().bucket)) return {};   // validation says so
  config.compactor.delete_request_bucket = config.stores.contains(delete_store) ? delete_store : config.schema.back().bucket;
  return derive_ruler(config);
}

std::vector<std::string> validate_stores(const Config& config) {
  std::vector<std::string> out;
  std::set<std::string> used;
  for (const SchemaPeriod& period : config.schema) used.insert(period.bucket);
  const CompactorConfig& compactor = config.compactor;
  if (compactor.retention_enabled && !compactor.delete_request_store.empty()) {
    const std::string name = Config::store_name(compactor.delete_request_store);
    if (!config.stores.contains(name))
      out.push_back("invalid compactor config: unrecognized delete_request_store \"" + compactor.delete_request_store + "\"; use s3, azure, gcs, filesystem or a named store");
    used.insert(name);
  }
  for (const std::string& name : used) {
    const auto store = config.stores.find(name);
    if (store == config.stores.end()) continue;   // the schema's validation names the period
    if (!names_bucket(store->second))
      out.push_back("invalid storage config: object_store " + name + " names no " + what_it_names(store->second.kind) + "; " + keys_that_name(store->second.kind));
  }
  for (const auto& [name, store] : config.stores) validate_numbers(store, name, out);
  if (config.ruler_bucket.kind != Kind_::kFilesystem && !names_bucket(config.ruler_bucket))
    out.push_back(std::string("invalid ruler config: the rule store names no ") + what_it_names(config.ruler_bucket.kind) +
                  "; set it below ruler.storage, ruler_storage or common.storage");
  const HedgingConfig& hedging = config.storage.hedging;
  if (hedging.at < 0 || hedging.up_to < 1 || hedging.max_per_second < 0)
    out.push_back("invalid storage config: hedging.at and max_per_second must not be negative, and up_to at least 1");
  const EncryptionConfig& encryption = config.storage.encryption;
  if (encryption.enabled && encryption.key_file.empty() == encryption.key_env.empty())
    out.push_back("invalid storage config: encryption needs its keys from one place; set storage_config.encryption.key_file or storage_config.encryption.key_env");
  if (config.storage.max_parallel_get_chunk < 1) out.push_back("invalid storage config: max_parallel_get_chunk must be at least 1");
  for (const SchemaPeriod& period : config.schema)
    if (period.store == "dynamodb" && config.dynamodb.url.empty())
      out.push_back("invalid storage config: store dynamodb in the period from " + period.from + " names no table service; set storage_config.aws.dynamodb.dynamodb_url");
  return out;
}

}  // namespace skald::config
