// What follows for cache blocks from what was given.
#pragma once

#include <string>
#include <vector>

#include "skald/config/config.h"

namespace skald::config {

void derive_caches(Config& config);
std::vector<std::string> validate_caches(const Config& config);

}  // namespace skald::config
