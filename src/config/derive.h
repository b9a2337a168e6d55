// What follows from what was given: `common` spread over the components, directories, and whether it all makes sense.
#pragma once

#include <string>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/config.h"

namespace skald::config {

// What configs/local.yaml says, for a start without a file: one node, data below ./data.
void apply_built_in(Config& config);
// Fills what was not given. Fails only where two given values contradict each other.
Result<void> derive(Config& config);
// The part of it that is about rings; common.kvstore says already which store they are in.
Result<void> derive_rings(Config& config);
// Every semantic error, each complete: "invalid compactor config: …".
std::vector<std::string> validate(const Config& config);

}  // namespace skald::config
