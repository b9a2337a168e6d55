#include "skald/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace skald {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "level=error msg=\"invariant broken\" check=\"%s\" at=%s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace skald
