#include "objstore/s3_address.h"

#include <algorithm>

namespace skald::objstore {
namespace {

using config::S3Config;

bool is_aws_host(std::string_view host) { return host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"); }

std::string_view without_port(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  return colon == std::string_view::npos || authority.ends_with(']') ? authority : authority.substr(0, colon);
}

// s3.eu-west-1.amazonaws.com, s3-eu-west-1…, s3.dualstack.eu-west-1…, bucket.vpce-1.s3.eu-west-1.vpce…; "" for the global
// s3.amazonaws.com.
std::string region_of_aws_host(std::string_view host) {
  host = host.substr(0, host.rfind(".amazonaws.com"));
  if (host.ends_with(".vpce")) {
    host.remove_suffix(5);
    return std::string(host.substr(host.rfind('.') + 1));
  }
  for (const std::string_view start : {"s3.dualstack.", "s3-fips.dualstack.", "s3-fips.", "s3.", "s3-"}) {
    if (host.starts_with(start)) return std::string(host.substr(start.size()));
  }
  return "";
}

// The same kind of endpoint in another region. An endpoint inside a private network has no counterpart there.
std::string moved_aws_host(std::string host, std::string_view region) {
  if (host == "s3.amazonaws.com") return "s3." + std::string(region) + ".amazonaws.com";
  const std::string named = region_of_aws_host(without_port(host));
  const std::size_t at = host.starts_with("s3") && !named.empty() ? host.find(named) : std::string::npos;
  return at == std::string::npos ? host : host.replace(at, named.size(), region);
}

bool is_host(std::string_view authority) {
  return !authority.empty() && std::all_of(authority.begin(), authority.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view(".-_:[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

bool is_bucket_name(std::string_view name) {
  return name.size() >= 3 && name.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

std::string aws_domain(std::string_view region) { return region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com"; }

Result<S3Address> resolve_s3_address(const S3Config& config, const Environment& environment) {
  S3Address address;
  address.tls = !config.insecure;
  address.lookup = config.lookup;
  address.region = config.region;
  std::string_view endpoint = config.endpoint;
  if (endpoint.starts_with("https://") || endpoint.starts_with("http://")) {   // says more than `insecure`
    address.tls = endpoint.starts_with("https://");
    endpoint.remove_prefix(endpoint.find("//") + 2);
  }
  if (const std::size_t slash = endpoint.find('/'); slash != std::string_view::npos) {
    std::string_view path = endpoint.substr(slash);
    while (path.ends_with('/')) path.remove_suffix(1);
    address.base_path = std::string(path);
    endpoint = endpoint.substr(0, slash);
  }
  if (!config.endpoint.empty() && (!is_host(endpoint) || address.base_path.find_first_of("?#% ") != std::string::npos)) {
    return Error(ErrorCode::kInvalidArgument, "s3: endpoint '" + config.endpoint + "' is not host[:port], with or without http:// or https:// before it");
  }
  const std::string_view scheme_port = address.tls ? ":443" : ":80";
  if (endpoint.ends_with(scheme_port) && without_port(endpoint).size() + scheme_port.size() == endpoint.size()) endpoint.remove_suffix(scheme_port.size());
  address.host = std::string(endpoint);

  if (address.region.empty() && is_aws_host(without_port(address.host))) address.region = region_of_aws_host(without_port(address.host));
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (address.region.empty()) address.region = environment.variable(name);
  }
  if (address.region.empty()) {
    if (address.host.empty()) {
      return Error(ErrorCode::kInvalidArgument, "s3: neither endpoint nor region is configured (for AWS set region, or AWS_REGION in the environment)");
    }
    address.region = "us-east-1";   // what MinIO, Ceph and others take when nothing is said
  }
  if (address.region.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != std::string::npos) {
    return Error(ErrorCode::kInvalidArgument, "s3: region '" + address.region + "' holds characters that no region has");
  }
  address.dualstack = config.dualstack && address.host.empty();
  return address;
}

S3Location locate_bucket(const S3Address& address, std::string_view bucket, std::string_view region) {
  S3Location location;
  std::string host = address.host;
  // The endpoint of one of AWS's regions serves no bucket of another.
  const bool aws = host.empty() || is_aws_host(without_port(host));
  if (!host.empty()) {
    if (aws && region != address.region) host = moved_aws_host(std::move(host), region);
  } else {
    host = std::string(address.dualstack ? "s3.dualstack." : "s3.") + std::string(region) + "." + aws_domain(region);
  }
  switch (address.lookup) {
    case S3Config::Lookup::kPath: break;
    case S3Config::Lookup::kVirtualHosted: location.virtual_hosted = true; break;
    case S3Config::Lookup::kAuto:
      // A dot in the name is one level too many for the wildcard in AWS's certificate; '_' and capitals are no host names.
      location.virtual_hosted = (aws || without_port(host).ends_with(".aliyuncs.com")) && !(address.tls && bucket.find('.') != std::string_view::npos) &&
                                bucket.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string_view::npos;
      break;
  }
  location.host = location.virtual_hosted ? std::string(bucket) + "." + host : host;
  location.origin = (address.tls ? "https://" : "http://") + location.host;
  location.path = address.base_path;
  if (!location.virtual_hosted) location.path += "/" + std::string(bucket);
  return location;
}

}  // namespace skald::objstore
