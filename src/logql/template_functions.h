// What the files of functions share.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "logql/template_program.h"

namespace skald::logql {

FunctionResult function_error(std::string message);
FunctionResult keep(Run& run, std::string text);  // a computed string as a value; fails beyond the output limit
std::string url_encode(std::string_view text);    // query escaping: space is +

// Any value as a whole number or a float, 0 where it is neither: labels are strings, so arithmetic casts.
std::int64_t cast_int(const Value& value);
double cast_float(const Value& value);

std::span<const Function> text_functions();
std::span<const Function> number_functions();
std::span<const Function> time_functions();

}  // namespace skald::logql
