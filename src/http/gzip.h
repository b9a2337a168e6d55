#pragma once

#include <string>
#include <string_view>

namespace skald::http {
// Whole body, fastest level: responses are read once, CPU matters more than the last percents.
std::string gzip(std::string_view body);
bool accepts_gzip(std::string_view accept_encoding);   // honours q=0
}  // namespace skald::http
