#pragma once

#include <string>

#include "skald/base/result.h"

namespace skald::app {

// GET http://host:port/path with a time limit of five seconds; success when the answer is 200.
Result<void> check_health(const std::string& url);

}  // namespace skald::app
