// The one place that turns an ErrorCode into an HTTP status, for clients and between processes.
#pragma once

#include "skald/base/result.h"

namespace skald::http {

int status_of(ErrorCode code);

}  // namespace skald::http
