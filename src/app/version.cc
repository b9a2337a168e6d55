#include "version.h"

// The build may define these (-DSKALD_REVISION=…); a plain build does not know them.
#ifndef SKALD_VERSION
#define SKALD_VERSION "0.1.0"
#endif
#ifndef SKALD_REVISION
#define SKALD_REVISION "unknown"
#endif
#ifndef SKALD_BRANCH
#define SKALD_BRANCH "unknown"
#endif
#ifndef SKALD_BUILD_DATE
#define SKALD_BUILD_DATE ""
#endif

namespace skald::app {

api::BuildInfo build_info() {
  api::BuildInfo out;
  out.version = SKALD_VERSION;
  out.loki_version = "3.7.0";   // the API that is served; clients switch features by it
  out.revision = SKALD_REVISION;
  out.branch = SKALD_BRANCH;
  out.build_date = SKALD_BUILD_DATE;
  out.compiler = "gcc" __VERSION__;
  if (const std::size_t space = out.compiler.find(' '); space != std::string::npos) out.compiler.resize(space);
  return out;
}

std::string version_text() {
  const api::BuildInfo build = build_info();
  return "skald, version " + build.version + " (branch: " + build.branch + ", revision: " + build.revision + ")\n  build user:       " + build.build_user +
         "\n  build date:       " + build.build_date + "\n  compiler:         " + build.compiler + "\n  platform:         linux/amd64\n  tags:             \n  Loki API:         " + build.loki_version + "\n";
}

}  // namespace skald::app
