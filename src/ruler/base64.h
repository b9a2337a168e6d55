#pragma once

#include <string>
#include <string_view>

namespace skald::ruler {

std::string base64(std::string_view bytes);   // the standard alphabet, padded

}  // namespace skald::ruler
