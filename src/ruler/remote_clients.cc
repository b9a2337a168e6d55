// Blocks of ruler.remote_write.clients.
#include <yaml-cpp/yaml.h>

#include <set>

#include "skald/model/time.h"
#include "skald/ruler/options.h"

namespace skald::ruler {
namespace {

constexpr std::size_t kClientsMax = 64;

// Keys that change what is sent or how one is let in: without them it would go wrong silently.
const std::set<std::string> kRefused = {"write_relabel_configs", "sigv4", "oauth2", "azuread", "google_iam", "metadata_config", "proxy_url"};

class Block {
 public:
  Block(std::string path, YAML::Node node) : path_(std::move(path)), node_(std::move(node)) {}

  Error wrong(const std::string& key, const std::string& why) const { return Error(ErrorCode::kInvalidArgument, "invalid ruler config: " + path_ + "." + key + ": " + why); }
  Result<std::string> text(const char* key, const std::string& fallback = "") const {
    const YAML::Node value = node_[key];
    if (!value || value.IsNull()) return fallback;
    if (!value.IsScalar()) return wrong(key, "is not a text");
    return value.Scalar();
  }
  Result<std::int64_t> duration(const char* key, std::int64_t fallback_ns) const {
    SKALD_TRY(const std::string value, text(key));
    if (value.empty()) return fallback_ns;
    auto parsed = model::parse_prom_duration(value);
    if (!parsed) parsed = model::parse_go_duration(value);
    if (!parsed || *parsed <= 0) return wrong(key, "\"" + value + "\" is not a duration above 0");
    return *parsed;
  }
  Result<Block> block(const char* key) const {
    const YAML::Node value = node_[key];
    if (value && !value.IsNull() && !value.IsMap()) return wrong(key, "is not a block");
    return Block(path_ + "." + key, value && value.IsMap() ? YAML::Node(value) : YAML::Node(YAML::NodeType::Map));
  }
  const YAML::Node& node() const { return node_; }

 private:
  const std::string path_;
  const YAML::Node node_;
};

Result<void> read_tls(const Block& tls, http::ClientTls& out) {
  SKALD_TRY(out.ca_file, tls.text("ca_file"));
  SKALD_TRY(out.cert_file, tls.text("cert_file"));
  SKALD_TRY(out.key_file, tls.text("key_file"));
  SKALD_TRY(out.server_name, tls.text("server_name"));
  SKALD_TRY(const std::string skip, tls.text("insecure_skip_verify"));
  out.skip_verify = skip == "true";
  return {};
}

Result<void> read_queue(const Block& queue, RemoteWriteClient& out) {
  SKALD_TRY(out.backoff_min_ns, queue.duration("min_backoff", out.backoff_min_ns));
  SKALD_TRY(out.backoff_max_ns, queue.duration("max_backoff", out.backoff_max_ns));
  if (out.backoff_max_ns < out.backoff_min_ns) return queue.wrong("max_backoff", "is below min_backoff");
  SKALD_TRY(const std::string samples, queue.text("max_samples_per_send"));
  if (samples.empty()) return {};
  char* end = nullptr;
  const long long count = std::strtoll(samples.c_str(), &end, 10);
  if (*end != '\0' || count <= 0) return queue.wrong("max_samples_per_send", "\"" + samples + "\" is not a number above 0");
  out.samples_per_send = static_cast<std::uint64_t>(count);
  return {};
}

Result<RemoteWriteClient> read_client(const std::string& name, const YAML::Node& node) {
  if (!node.IsMap()) return Error(ErrorCode::kInvalidArgument, "invalid ruler config: ruler.remote_write.clients." + name + " is not a block");
  const Block block("ruler.remote_write.clients." + name, node);
  RemoteWriteClient out;
  out.name = name;
  for (const auto& pair : node) {
    const std::string key = pair.first.Scalar();
    if (kRefused.contains(key) && (pair.second.size() != 0 || (pair.second.IsScalar() && !pair.second.Scalar().empty()))) return block.wrong(key, "does not exist here; leave it out");
  }
  SKALD_TRY(out.url, block.text("url"));
  if (!out.url.starts_with("http://") && !out.url.starts_with("https://")) return block.wrong("url", "\"" + out.url + "\" does not begin with http:// or https://");
  SKALD_TRY(out.timeout_ns, block.duration("remote_timeout", out.timeout_ns));
  if (const YAML::Node headers = node["headers"]; headers && headers.IsMap())
    for (const auto& pair : headers) {
      if (!pair.first.IsScalar() || !pair.second.IsScalar()) return block.wrong("headers", "is not a block of texts");
      out.headers[pair.first.Scalar()] = pair.second.Scalar();
    }
  SKALD_TRY(const Block basic, block.block("basic_auth"));
  SKALD_TRY(out.username, basic.text("username"));
  SKALD_TRY(out.password, basic.text("password"));
  SKALD_TRY(out.password_file, basic.text("password_file"));
  SKALD_TRY(const Block authorization, block.block("authorization"));
  SKALD_TRY(out.auth_type, authorization.text("type", out.auth_type));
  SKALD_TRY(out.credentials, authorization.text("credentials"));
  SKALD_TRY(out.credentials_file, authorization.text("credentials_file"));
  if (out.credentials.empty() && out.credentials_file.empty()) {
    SKALD_TRY(out.credentials, block.text("bearer_token"));
    SKALD_TRY(out.credentials_file, block.text("bearer_token_file"));
  }
  SKALD_TRY(const Block tls, block.block("tls_config"));
  SKALD_TRY_VOID(read_tls(tls, out.tls));
  SKALD_TRY(const Block queue, block.block("queue_config"));
  SKALD_TRY_VOID(read_queue(queue, out));
  return out;
}

bool is_file_name(const std::string& name) {
  if (name.empty() || name.size() > 64 || name.front() == '.') return false;
  for (const char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') return false;
  return true;
}

}  // namespace

Result<std::vector<RemoteWriteClient>> parse_remote_clients(const std::string& yaml) {
  std::vector<RemoteWriteClient> out;
  try {
    const YAML::Node root = YAML::Load(yaml);
    if (!root || root.IsNull()) return out;
    if (!root.IsMap() || root.size() > kClientsMax) return Error(ErrorCode::kInvalidArgument, "invalid ruler config: ruler.remote_write.clients is not a mapping of at most 64 blocks");
    for (const auto& pair : root) {
      if (!pair.first.IsScalar() || !is_file_name(pair.first.Scalar()))
        return Error(ErrorCode::kInvalidArgument, "invalid ruler config: ruler.remote_write.clients: a name has up to 64 letters, digits, '-', '_' and '.'");
      SKALD_TRY(RemoteWriteClient client, read_client(pair.first.Scalar(), pair.second));
      out.push_back(std::move(client));
    }
  } catch (const YAML::Exception& thrown) {
    return Error(ErrorCode::kInvalidArgument, std::string("invalid ruler config: ruler.remote_write.clients: ") + thrown.what());
  }
  return out;
}

}  // namespace skald::ruler
