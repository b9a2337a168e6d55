#pragma once

#include <string>

#include "skald/http/message.h"

namespace skald::http {
// Status line and headers up to and including the empty line.
std::string response_head(const Response& response, bool keep_alive, bool http_1_0);
}  // namespace skald::http
