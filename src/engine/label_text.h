// Text rules the parsers share: label names made of keys, values made of raw bytes (reference logql.md §4).
#pragma once

#include <string>
#include <string_view>

#include "engine/arena.h"

namespace skald::engine {

// Length of the UTF-8 sequence at `text[at]`; 1 and `valid` false for a byte that starts none.
std::size_t rune_length(std::string_view text, std::size_t at, bool& valid);

// Appends `key` as (part of) a label name: white space trimmed, every rune outside [A-Za-z0-9_] one '_', and '_' before a
// leading digit when `out` is empty. Appends nothing for a blank key.
void append_label_name(std::string& out, std::string_view key);
bool is_label_name(std::string_view key);   // append_label_name would not change it

// Value with every invalid byte and every U+FFFD turned into a space; `value` itself when there is none.
std::string_view clean_value(std::string_view value, Arena& arena);
bool has_replacement_rune(std::string_view value);   // invalid UTF-8 or U+FFFD

void append_utf8(char*& out, std::uint32_t rune);

}  // namespace skald::engine
