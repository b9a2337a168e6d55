// The shared files of AWS's tools: ~/.aws/credentials with [profile] sections, ~/.aws/config with [profile name] ones.
#include "objstore/aws_credentials.h"

namespace skald::objstore {
namespace {

using Section = std::vector<std::pair<std::string, std::string>>;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::string value_of(const Section& section, std::string_view name) {
  for (const auto& [key, value] : section) {
    if (key == name) return value;
  }
  return "";
}

}  // namespace

std::optional<Section> aws_ini_section(std::string_view text, std::string_view section) {
  std::optional<Section> found;
  bool inside = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view raw = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const std::string_view line = trimmed(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      const std::size_t close = line.find(']');
      inside = close != std::string_view::npos && trimmed(line.substr(1, close - 1)) == section;
      if (inside && !found) found.emplace();
      continue;
    }
    // An indented line belongs to a nested block such as "s3 =", none of which matter here.
    if (!inside || raw.front() == ' ' || raw.front() == '\t') continue;
    const std::size_t equal = line.find('=');
    if (equal == std::string_view::npos) continue;
    std::string name(trimmed(line.substr(0, equal)));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    found->emplace_back(std::move(name), std::string(trimmed(line.substr(equal + 1))));
  }
  return found;
}

AwsCredentialsSource::Found AwsCredentialsSource::from_files(std::string& notes, std::string& role, std::string& token_file) const {
  const std::string home = environment_.variable("HOME");
  std::string profile = environment_.variable("AWS_PROFILE");
  const bool chosen = !profile.empty();
  if (!chosen) profile = "default";
  std::string credentials_path = environment_.variable("AWS_SHARED_CREDENTIALS_FILE");
  if (credentials_path.empty()) credentials_path = home + "/.aws/credentials";
  std::string config_path = environment_.variable("AWS_CONFIG_FILE");
  if (config_path.empty()) config_path = home + "/.aws/config";

  std::string refused;
  bool seen = false;
  for (const auto& [path, section_name] : {std::pair(credentials_path, profile), std::pair(config_path, profile == "default" ? profile : "profile " + profile)}) {
    const Result<Bytes> text = environment_.read_file(path);
    if (!text.ok()) {
      if (!refused.empty()) refused += ", ";
      refused += "no file " + path;
      continue;
    }
    const std::optional<Section> section = aws_ini_section(*text, section_name);
    if (!section) {
      if (!refused.empty()) refused += ", ";
      refused += "no profile '" + profile + "' in " + path;
      continue;
    }
    seen = true;
    AwsCredentials credentials{.access_key_id = value_of(*section, "aws_access_key_id"),
                               .secret_access_key = value_of(*section, "aws_secret_access_key"),
                               .session_token = value_of(*section, "aws_session_token")};
    if (!credentials.access_key_id.empty() && !credentials.secret_access_key.empty()) return std::optional(std::move(credentials));
    if (const std::string file = value_of(*section, "web_identity_token_file"); !file.empty() && token_file.empty()) {
      role = value_of(*section, "role_arn");
      token_file = file;
      continue;
    }
    for (const char* unknown : {"credential_process", "sso_session", "sso_start_url", "source_profile", "credential_source"}) {
      if (!value_of(*section, unknown).empty()) {
        return Error(ErrorCode::kPermissionDenied, "s3: profile '" + profile + "' of " + path + " uses " + unknown +
                                                       ", which is not supported; put keys there, or use a web identity, container or instance role");
      }
    }
    if (!refused.empty()) refused += ", ";
    refused += "profile '" + profile + "' of " + path + " has no keys";
  }
  if (chosen && !seen) return Error(ErrorCode::kPermissionDenied, "s3: AWS_PROFILE names '" + profile + "': " + refused);
  notes += "; shared files: " + refused;
  return std::optional<AwsCredentials>();
}

}  // namespace skald::objstore
