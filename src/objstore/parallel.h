// Several requests of one operation at a time.
#pragma once

#include <cstddef>
#include <functional>

#include "skald/base/result.h"
#include "skald/exec/pool.h"

namespace skald::objstore {

// body(0) … body(count-1) on the pool and this thread. The first error is returned; after it nothing new begins.
Result<void> for_all(exec::Pool& pool, std::size_t count, const std::function<Result<void>(std::size_t)>& body);

}  // namespace skald::objstore
