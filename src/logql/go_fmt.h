// Go's fmt verbs over template values: printf, print, println.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "logql/template_value.h"

namespace skald::logql {

// Appends; stops adding once `out` passes `size_max` (the caller then fails the run).
void go_sprintf(std::string& out, std::string_view format, std::span<const Value> args, std::size_t size_max);
// A space between operands when neither is a string.
void go_sprint(std::string& out, std::span<const Value> args);
// A space between all operands, and a line end.
void go_sprintln(std::string& out, std::span<const Value> args);

}  // namespace skald::logql
