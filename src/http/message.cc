#include "skald/http/message.h"

#include <strings.h>

namespace skald::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

bool percent_decode(std::string_view text, bool plus_is_space, std::string& out) {
  out.clear();
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else {
      out += text[i];
    }
  }
  return true;
}

Params Params::parse(std::string_view query) {
  Params params;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    // Go refuses a pair with a semicolon and goes on with the rest.
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    const std::size_t equal = pair.find('=');
    std::string name;
    std::string value;
    if (!percent_decode(pair.substr(0, equal), true, name)) continue;
    if (equal != std::string_view::npos && !percent_decode(pair.substr(equal + 1), true, value)) continue;
    params.pairs_.emplace_back(std::move(name), std::move(value));
  }
  return params;
}

void Params::append(const Params& other) { pairs_.insert(pairs_.end(), other.pairs_.begin(), other.pairs_.end()); }

const std::string* Params::get(std::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::vector<std::string> Params::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : pairs_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

const std::string* Request::header(std::string_view name) const {
  for (const Header& h : headers) {
    if (equals_ignoring_case(h.name, name)) return &h.value;
  }
  return nullptr;
}

Response Response::text(int status, std::string body) {
  Response response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  response.body = std::move(body);
  return response;
}

Response Response::json(std::string body) {
  Response response;
  response.content_type = "application/json; charset=UTF-8";
  response.headers.push_back({"Vary", "Accept-Encoding"});
  response.body = std::move(body);
  return response;
}

Response Response::empty(int status) {
  Response response;
  response.status = status;
  return response;
}

}  // namespace skald::http
