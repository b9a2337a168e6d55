// The composite values of limits_config: lists and maps of small structs.
#pragma once

#include <string>

#include "skald/base/result.h"
#include "skald/config/limits.h"
#include "yaml_tree.h"

namespace skald::config {

Result<void> parse_generic_fields(const YamlNode& node, Limits& limits);
Result<void> parse_retention_stream(const YamlNode& node, Limits& limits);
Result<void> parse_blocked_queries(const YamlNode& node, Limits& limits);
Result<void> parse_otlp_config(const YamlNode& node, Limits& limits);
Result<void> parse_block_policy_until(const YamlNode& node, Limits& limits);
Result<void> parse_block_until(const YamlNode& node, Limits& limits);
Result<void> parse_policy_labels(const YamlNode& node, Limits& limits);
Result<void> parse_policy_streams(const YamlNode& node, Limits& limits);

std::string generic_fields_json(const Limits& limits);
std::string retention_stream_json(const Limits& limits);
std::string blocked_queries_json(const Limits& limits);
std::string otlp_config_json(const Limits& limits);
std::string block_policy_until_json(const Limits& limits);
std::string block_until_json(const Limits& limits);
std::string policy_labels_json(const Limits& limits);
std::string policy_streams_json(const Limits& limits);

}  // namespace skald::config
