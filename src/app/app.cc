#include "skald/app/app.h"

namespace skald::app {
int run(int, char**) { return 0; }
}  // namespace skald::app
