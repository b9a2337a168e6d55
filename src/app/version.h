#pragma once

#include "skald/api/status_pages.h"

namespace skald::app {

api::BuildInfo build_info();
std::string version_text();   // what -version prints

}  // namespace skald::app
