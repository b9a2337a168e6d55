// Regular expressions as text: Go's spelling in, RE2's out, and the literals inside.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace re2 { class RE2; }

namespace skald::model {

// Go writes named groups (?<name>…) too; RE2 of this age knows only (?P<name>…).
std::string go_to_re2(std::string_view pattern);

// "error parsing regexp: missing closing ): `(`"
std::string regex_error_text(const re2::RE2& regex, std::string_view pattern);

// The finite set of strings a fully anchored `pattern` matches, when it is made of literals, alternatives and plain
// groups only (`a|b`, `web-(1|2)`, `a\.b`); empty when it is not, when "" is among them or when there would be too many.
std::vector<std::string> regex_literals(std::string_view pattern);

}  // namespace skald::model
