// schema_config: periods of storage layout.
#pragma once

#include <string>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/config.h"
#include "yaml_tree.h"

namespace skald::config {

Result<void> read_schema(const YamlNode& node, std::vector<SchemaPeriod>& periods);
// Texts of what is wrong, each complete; empty when nothing is.
std::vector<std::string> validate_schema(const Config& config);

}  // namespace skald::config
