#include "store_blocks.h"

#include <algorithm>
#include <optional>

namespace skald::config {
namespace {

Error bad(const std::string& what) { return Error(ErrorCode::kInvalidArgument, "CONFIG ERROR: invalid storage config: " + what); }

// scheme://user:password@host/path with %XX escapes undone.
struct Url {
  std::string scheme, user, password, host, path;
};

std::optional<std::string> unescape(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') { out += text[i]; continue; }
    if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
    out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
    i += 2;
  }
  return out;
}

// The text of the error never repeats the URL: it may hold a secret.
Result<Url> parse_url(const std::string& at, std::string_view text) {
  Url out;
  const std::size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return bad(at + " is not a URL; write scheme://key:secret@host/bucket");
  out.scheme = text.substr(0, scheme);
  text.remove_prefix(scheme + 3);
  const std::size_t slash = text.find('/');
  std::string_view authority = text.substr(0, slash);
  const std::string_view path = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  if (path.find('@') != std::string_view::npos && authority.find('@') == std::string_view::npos)
    return bad(at + ": the secret holds a '/', write it as %2F (and '+' as %2B)");
  if (const std::size_t user = authority.rfind('@'); user != std::string_view::npos) {
    const std::string_view info = authority.substr(0, user);
    authority.remove_prefix(user + 1);
    const std::size_t colon = info.find(':');
    const auto name = unescape(info.substr(0, colon));
    const auto password = unescape(colon == std::string_view::npos ? std::string_view() : info.substr(colon + 1));
    if (!name || !password) return bad(at + ": '%' in key or secret must be followed by two hex digits; write a percent sign as %25");
    out.user = *name;
    out.password = *password;
  }
  out.host = authority;
  const auto unescaped_path = unescape(path.substr(0, path.find('?')));
  if (!unescaped_path) return bad(at + ": '%' in the path must be followed by two hex digits");
  out.path = *unescaped_path;
  return out;
}

bool is_endpoint(const std::string& host) { return host.find_first_of(".:") != std::string::npos || host == "localhost"; }

// "https://host:443/" to "host:443"; an explicit scheme decides about TLS.
void take_endpoint(std::string text, std::string& endpoint, bool& insecure) {
  if (text.starts_with("http://")) {
    insecure = true;
    text.erase(0, 7);
  } else if (text.starts_with("https://")) {
    insecure = false;
    text.erase(0, 8);
  }
  while (!text.empty() && text.back() == '/') text.pop_back();
  endpoint = std::move(text);
}

Result<void> read_sse(const Config& config, const Block& block, S3Config& out) {
  if (const std::string type = block.text("sse.type"); !type.empty()) {
    if (type == "SSE-S3") out.sse = S3Config::Sse::kS3;
    else if (type == "SSE-KMS") out.sse = S3Config::Sse::kKms;
    else if (type == "SSE-C") out.sse = S3Config::Sse::kCustomer;
    else return bad(where(config, block.path_of("sse.type")) + " is \"" + type + "\"; use SSE-S3, SSE-KMS or SSE-C");
  }
  block.set("sse.kms_key_id", out.sse_kms_key_id);
  block.set("sse.kms_encryption_context", out.sse_kms_context);
  block.set("sse.customer_key", out.sse_customer_key);
  if (out.sse == S3Config::Sse::kCustomer && out.sse_customer_key.empty())
    return bad(where(config, block.path_of("sse.type")) + " is SSE-C without a key; set " + block.path_of("sse.customer_key") + " to 32 bytes in base64");
  return {};
}

Result<void> read_signature_and_checksum(const Config& config, const Block& block, S3Config& out) {
  if (const std::string version = block.text("signature_version"); !version.empty())
    return bad(where(config, block.path_of("signature_version")) + " is \"" + version + "\"; only v4 is supported");
  const std::string checksum = block.text("checksum");
  if (checksum.empty()) return {};
  if (checksum == "none") out.checksum = S3Config::Checksum::kNone;
  else if (checksum == "md5") out.checksum = S3Config::Checksum::kMd5;
  else if (checksum == "crc32c") out.checksum = S3Config::Checksum::kCrc32c;
  else if (checksum == "sha256") out.checksum = S3Config::Checksum::kSha256;
  else return bad(where(config, block.path_of("checksum")) + " is \"" + checksum + "\"; use auto, none, md5, crc32c or sha256");
  return {};
}

Result<void> read_s3_url(const std::string& at, const std::string& text, S3Config& out) {
  SKALD_TRY(const Url url, parse_url(at, text));
  if (url.scheme == "inmemory") return bad(at + ": a store in memory loses everything; use filesystem");
  if (url.host.empty()) return bad(at + " names no host or region");
  if (!url.user.empty()) {
    out.access_key_id = url.user;
    out.secret_access_key = url.password;
  }
  if (is_endpoint(url.host)) {
    take_endpoint(url.host, out.endpoint, out.insecure);
    // As Loki: plain HTTP, which is what such URLs are written for; Amazon itself never.
    out.insecure = url.scheme != "https" && out.endpoint.find("amazonaws.com") == std::string::npos && !out.endpoint.ends_with(":443");
  } else {
    out.region = url.host;
  }
  std::string bucket = url.path;
  while (!bucket.empty() && bucket.back() == '/') bucket.pop_back();
  if (!bucket.empty()) out.buckets = {bucket};
  return {};
}

void read_store_http(const Block& block, StoreHttpConfig& out) {
  block.set("http.timeout", out.timeout);
  block.set("http.idle_conn_timeout", out.idle_conn_timeout);
  block.set("http.response_header_timeout", out.response_header_timeout);
  block.set("http.insecure_skip_verify", out.insecure_skip_verify);
  block.set("http.tls_handshake_timeout", out.tls_handshake_timeout);
  block.set("http.max_connections_per_host", out.max_connections_per_host);
  block.set("http.tls_ca_path", out.ca_file);
  block.set("http.tls_cert_path", out.cert_file);
  block.set("http.tls_key_path", out.key_file);
  block.set("http.tls_server_name", out.server_name);
}

void read_endpoint(const Block& block, S3Config& out) {
  block.set("insecure", out.insecure);
  if (std::string endpoint; block.set("endpoint", endpoint)) {
    bool insecure = out.insecure;
    // An endpoint of its own takes the place of the URL's, and with it of how that is reached.
    if (!endpoint.starts_with("http") && block.text("insecure").empty() && !block.text("s3").empty()) insecure = false;
    take_endpoint(endpoint, out.endpoint, insecure);
    out.insecure = insecure;
  }
  block.set("region", out.region);
  block.set("access_key_id", out.access_key_id);
  block.set("secret_access_key", out.secret_access_key);
  block.set("session_token", out.session_token);
  block.set("storage_class", out.storage_class);
  block.set("sts_endpoint", out.sts_endpoint);
  block.set("part_size", out.part_size);
}

}  // namespace

const Key* Block::key(const char* name) const {
  const auto at = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return std::string_view(k.path) == name; });
  SKALD_CHECK(at != keys_.end());
  return &*at;
}

template <class T>
bool Block::set_value(const char* name, T& out) const {
  const auto text = config_.other.find(path_of(name));
  if (text == config_.other.end() || text->second.empty()) return false;
  const Key* known = key(name);
  T value{};
  T usual{};
  if (!set_from_text(known->kind, text->second, &value).ok()) return false;   // checked when it was read
  if (*known->fallback || known->kind == Kind::kList) {
    SKALD_CHECK(set_from_text(known->kind, known->fallback, &usual).ok());
    if (value == usual) return false;
  }
  out = std::move(value);
  return true;
}

std::string Block::text(const char* name) const {
  const auto text = config_.other.find(path_of(name));
  if (text == config_.other.end()) return {};
  const Key* known = key(name);
  return text->second == known->fallback ? std::string() : text->second;
}

std::string where(const Config& config, const std::string& path) {
  const auto at = config.given.find(path);
  if (at == config.given.end()) return path;
  return at->second == 0 ? "flag of " + path : "line " + std::to_string(at->second) + ": " + path;
}

Result<void> read_s3(const Config& config, const Block& block, S3Config& out) {
  if (const std::string url = block.text("s3"); !url.empty()) SKALD_TRY_VOID(read_s3_url(where(config, block.path_of("s3")), url, out));
  read_endpoint(block, out);
  block.set("bucketnames", out.buckets);
  if (bool path_style = false; block.set("s3forcepathstyle", path_style) && path_style) out.lookup = S3Config::Lookup::kPath;
  if (bool off = false; block.set("disable_dualstack", off)) out.dualstack = !off;
  if (bool on = false; block.set("sse_encryption", on) && on) out.sse = S3Config::Sse::kS3;
  SKALD_TRY_VOID(read_sse(config, block, out));
  SKALD_TRY_VOID(read_signature_and_checksum(config, block, out));
  block.set("http_config.timeout", out.http.timeout);
  block.set("http_config.idle_conn_timeout", out.http.idle_conn_timeout);
  block.set("http_config.response_header_timeout", out.http.response_header_timeout);
  block.set("http_config.insecure_skip_verify", out.http.insecure_skip_verify);
  block.set("http_config.ca_file", out.http.ca_file);
  block.set("backoff_config.min_period", out.retry.min_period);
  block.set("backoff_config.max_period", out.retry.max_period);
  block.set("backoff_config.max_retries", out.retry.max_retries);
  return {};
}

Result<void> read_store_s3(const Config& config, const Block& block, S3Config& out) {
  if (!block.text("bucket_name").empty()) out.retry.max_retries = 10;
  read_endpoint(block, out);
  if (std::string bucket; block.set("bucket_name", bucket)) out.buckets = split_list(bucket);
  if (const std::string lookup = block.text("bucket_lookup_type"); !lookup.empty()) {
    if (lookup == "path") out.lookup = S3Config::Lookup::kPath;
    else if (lookup == "virtual-hosted") out.lookup = S3Config::Lookup::kVirtualHosted;
    else return bad(where(config, block.path_of("bucket_lookup_type")) + " is \"" + lookup + "\"; use auto, path or virtual-hosted");
  }
  block.set("dualstack_enabled", out.dualstack);
  if (bool md5 = false; block.set("send_content_md5", md5) && md5) out.checksum = S3Config::Checksum::kMd5;
  SKALD_TRY_VOID(read_sse(config, block, out));
  SKALD_TRY_VOID(read_signature_and_checksum(config, block, out));
  block.set("max_retries", out.retry.max_retries);
  read_store_http(block, out.http);
  return {};
}

Result<void> read_azure(const Config& config, const Block& block, AzureConfig& out) {
  block.set("environment", out.environment);
  block.set("account_name", out.account_name);
  block.set("account_key", out.account_key);
  block.set("connection_string", out.connection_string);
  block.set("container_name", out.container_name);
  block.set("endpoint_suffix", out.endpoint_suffix);
  block.set("use_managed_identity", out.use_managed_identity);
  block.set("use_federated_token", out.use_federated_token);
  block.set("user_assigned_id", out.user_assigned_id);
  block.set("use_service_principal", out.use_service_principal);
  block.set("client_id", out.client_id);
  block.set("client_secret", out.client_secret);
  block.set("tenant_id", out.tenant_id);
  block.set("request_timeout", out.http.timeout);
  block.set("max_retries", out.retry.max_retries);
  block.set("min_retry_delay", out.retry.min_period);
  block.set("max_retry_delay", out.retry.max_period);
  for (const char* known : {"AzureGlobal", "AzureChinaCloud", "AzureGermanCloud", "AzureUSGovernment"})
    if (out.environment == known) return {};
  return bad(where(config, block.path_of("environment")) + " is \"" + out.environment + "\"; use AzureGlobal, AzureChinaCloud, AzureGermanCloud or AzureUSGovernment");
}

Result<void> read_store_azure(const Config&, const Block& block, AzureConfig& out) {
  if (!block.text("account_name").empty() || !block.text("connection_string").empty()) out.retry.max_retries = 20;
  block.set("account_name", out.account_name);
  block.set("account_key", out.account_key);
  block.set("connection_string", out.connection_string);
  block.set("container_name", out.container_name);
  block.set("endpoint_suffix", out.endpoint_suffix);
  block.set("user_assigned_id", out.user_assigned_id);
  block.set("az_tenant_id", out.tenant_id);
  block.set("client_id", out.client_id);
  if (block.set("client_secret", out.client_secret)) out.use_service_principal = true;
  block.set("max_retries", out.retry.max_retries);
  read_store_http(block, out.http);
  return {};
}

Result<void> read_gcs(const Config&, const Block& block, GcsConfig& out) {
  block.set("bucket_name", out.bucket_name);
  block.set("endpoint", out.endpoint);
  block.set("service_account", out.service_account);
  block.set("hmac_access_key", out.hmac_access_key);
  block.set("hmac_secret", out.hmac_secret);
  block.set("chunk_buffer_size", out.chunk_buffer_size);
  block.set("request_timeout", out.http.timeout);
  block.set("enable_retries", out.enable_retries);
  return {};
}

Result<void> read_store_gcs(const Config&, const Block& block, GcsConfig& out) {
  block.set("bucket_name", out.bucket_name);
  block.set("endpoint", out.endpoint);
  block.set("service_account", out.service_account);
  block.set("hmac_access_key", out.hmac_access_key);
  block.set("hmac_secret", out.hmac_secret);
  block.set("chunk_buffer_size", out.chunk_buffer_size);
  block.set("max_retries", out.retry.max_retries);
  read_store_http(block, out.http);
  return {};
}

Result<void> read_dynamodb(const Config& config, const Block& block, DynamoConfig& out) {
  block.set("dynamodb.table", out.table);
  block.set("dynamodb.create_table", out.create_table);
  const std::string url_text = block.text("dynamodb.dynamodb_url");
  if (url_text.empty()) return {};
  const std::string at = where(config, block.path_of("dynamodb.dynamodb_url"));
  out.url = url_text;
  // What the block says about S3's account holds for the table unless the URL says otherwise.
  block.set("region", out.region);
  block.set("access_key_id", out.access_key_id);
  block.set("secret_access_key", out.secret_access_key);
  block.set("session_token", out.session_token);
  block.set("http_config.insecure_skip_verify", out.http.insecure_skip_verify);
  block.set("http_config.ca_file", out.http.ca_file);
  SKALD_TRY(const Url url, parse_url(at, url_text));
  if (url.scheme != "dynamodb" && url.scheme != "http" && url.scheme != "https")
    return bad(at + ": the scheme is \"" + url.scheme + "\"; write dynamodb://region or dynamodb://key:secret@host:port");
  if (url.host.empty()) return bad(at + " names no host or region");
  if (!url.user.empty()) {
    out.access_key_id = url.user;
    out.secret_access_key = url.password;
    out.session_token.clear();
  }
  if (is_endpoint(url.host)) {
    const bool tls = url.scheme == "https" || (url.scheme == "dynamodb" && url.host.find("amazonaws.com") != std::string::npos);
    out.endpoint = (tls ? "https://" : "http://") + url.host;
    const std::string_view host = url.host;   // dynamodb.eu-central-1.amazonaws.com says its region
    if (host.starts_with("dynamodb.") && host.find(".amazonaws.com") != std::string_view::npos)
      out.region = host.substr(9, host.find(".amazonaws.com") - 9);
  } else {
    out.region = url.host;
  }
  return {};
}

}  // namespace skald::config
