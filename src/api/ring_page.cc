#include "ring_page.h"

#include <set>

#include "skald/api/json.h"
#include "skald/model/time.h"

namespace skald::api {
namespace {

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

std::vector<std::uint32_t> member_tokens(const std::string& id, std::size_t count) {
  std::uint64_t state = 1469598103934665603ULL;  // FNV-1a of the id, then splitmix64
  for (const char c : id) state = (state ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  std::set<std::uint32_t> tokens;
  while (tokens.size() < count) {
    std::uint64_t z = state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    tokens.insert(static_cast<std::uint32_t>((z ^ (z >> 31)) >> 32));
  }
  return {tokens.begin(), tokens.end()};
}

std::string ring_json(const RingView& view) {
  std::string out = "{\"shards\":[{\"id\":";
  append_json_string(out, view.member.id);
  out += ",\"state\":";
  append_json_string(out, view.state);
  out += ",\"address\":";
  append_json_string(out, view.member.address);
  out += ",\"timestamp\":";
  append_json_string(out, model::format_rfc3339_nano(view.now_ns));
  out += ",\"registered_timestamp\":";
  append_json_string(out, model::format_rfc3339_nano(view.member.registered_ns));
  out += ",\"read_only\":false,\"read_only_updated_timestamp\":\"\",\"zone\":";
  append_json_string(out, view.member.zone);
  out += ",\"tokens\":[";
  for (std::size_t i = 0; i < view.tokens.size(); ++i) {
    if (i) out += ',';
    append_json_unsigned(out, view.tokens[i]);
  }
  out += "]}],\"now\":";
  append_json_string(out, model::format_rfc3339_nano(view.now_ns));
  return out + "}";
}

std::string ring_html(const RingView& view, bool with_tokens) {
  const std::string now = model::format_rfc3339_nano(view.now_ns);
  const std::string id = escape_html(view.member.id);
  std::string out = "<!DOCTYPE html>\n<html>\n<head><meta charset=\"UTF-8\"><title>" + escape_html(view.title) + "</title></head>\n<body>\n<h1>" +
                    escape_html(view.title) + "</h1>\n<p>Current time: " + now + "</p>\n<table border=\"1\">\n<thead><tr>";
  for (const char* column : {"Instance ID", "Availability Zone", "State", "Address", "Registered At", "Read-Only", "Read-Only Updated", "Last Heartbeat",
                             "Tokens", "Ownership", "Actions"})
    out += std::string("<th>") + column + "</th>";
  out += "</tr></thead>\n<tbody>\n<tr><td>" + id + "</td><td>" + escape_html(view.member.zone) + "</td><td>" + escape_html(view.state) + "</td><td>" +
         escape_html(view.member.address) + "</td><td>" + model::format_rfc3339_nano(view.member.registered_ns) + "</td><td>false</td><td></td><td>" + now +
         "</td><td>" + std::to_string(view.tokens.size()) + "</td><td>100%</td><td><form method=\"POST\"><button name=\"forget\" value=\"" + id +
         "\" type=\"submit\">Forget</button></form></td></tr>\n</tbody>\n</table>\n";
  if (with_tokens) {
    out += "<h2>Instance: " + id + "</h2>\n<p>Tokens:<br>\n";
    for (const std::uint32_t token : view.tokens) out += std::to_string(token) + "\n";
    out += "</p>\n<p><a href=\"?\">Hide Tokens</a></p>\n";
  } else {
    out += "<p><a href=\"?tokens=true\">Show Tokens</a></p>\n";
  }
  return out + "</body>\n</html>\n";
}

}  // namespace skald::api
