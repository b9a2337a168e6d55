// The frame of the pages for people, and text made safe for HTML.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/http/message.h"

namespace skald::api {

std::string escape_html(std::string_view text);
// A whole page: `title` as text, `body` as HTML. Works without scripts and without anything loaded from elsewhere.
http::Response html_page(const std::string& title, const std::string& body);
// RFC 3339; empty for 0, which stands for "never".
std::string page_time(std::int64_t ns);
// "12s ago", "in 3m0s"; empty for 0.
std::string page_age(std::int64_t ns, std::int64_t now_ns);
bool wants_json(const http::Request& request);

}  // namespace skald::api
