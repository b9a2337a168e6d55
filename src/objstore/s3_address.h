// Where requests for a bucket go and what they are signed for: endpoint, region, path style or virtual-hosted.
#pragma once

#include <string>
#include <string_view>

#include "objstore/token.h"
#include "skald/base/result.h"
#include "skald/config/storage.h"

namespace skald::objstore {

struct S3Address {
  bool tls = true;
  std::string host;            // of the configured endpoint, with its port unless that is the scheme's own; "": AWS by region
  std::string base_path;       // "" or "/storage/v1/s3": a gateway's
  std::string region;          // never empty
  bool dualstack = false;      // AWS by region only
  config::S3Config::Lookup lookup = config::S3Config::Lookup::kAuto;
};

// Region: configured, else named by an AWS endpoint, else AWS_REGION or AWS_DEFAULT_REGION, else us-east-1 for stores
// elsewhere. kInvalidArgument: neither endpoint nor region, or the endpoint is no host[:port].
Result<S3Address> resolve_s3_address(const config::S3Config& config, const Environment& environment);

struct S3Location {
  std::string origin;          // "https://logs.s3.eu-west-1.amazonaws.com"
  std::string host;            // as in the Host header
  std::string path;            // "" or "/bucket": before the key's '/'
  bool virtual_hosted = false;
};
// `region` may differ from the address's once the store has said where the bucket is.
S3Location locate_bucket(const S3Address& address, std::string_view bucket, std::string_view region);

// 3 to 63 (old ones: 255) letters, digits, '.', '-', '_': what can stand in a URL as it is.
bool is_bucket_name(std::string_view name);

// "amazonaws.com", "amazonaws.com.cn" for China.
std::string aws_domain(std::string_view region);

}  // namespace skald::objstore
