#include "api/ring_page.h"

#include <cstdio>
#include <map>
#include <set>

#include "api/html.h"
#include "skald/api/json.h"

namespace skald::api {
namespace {

void append_member(std::string& out, const RingRow& row) {
  const auto text = [&out](const char* name, const std::string& value) {
    out += name;
    append_json_string(out, value);
  };
  text("{\"id\":", row.id);
  text(",\"state\":", row.state);
  text(",\"address\":", row.address);
  text(",\"timestamp\":", page_time(row.heartbeat_ns));
  text(",\"registered_timestamp\":", page_time(row.registered_ns));
  out += row.read_only ? ",\"read_only\":true" : ",\"read_only\":false";
  text(",\"read_only_updated_timestamp\":", page_time(row.read_only_updated_ns));
  text(",\"zone\":", row.zone);
  out += ",\"tokens\":[";
  for (std::size_t i = 0; i < row.tokens.size(); ++i) {
    if (i) out += ',';
    append_json_unsigned(out, row.tokens[i]);
  }
  out += "]}";
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", share * 100);
  return text;
}

}  // namespace

RingView view_of(const std::string& title, const ring::Picture& picture, std::int64_t now_ns, std::int64_t judged_at_s) {
  std::map<std::string, double> shares;
  for (auto& [id, share] : picture.ownership()) shares[id] = share;
  RingView view{title, now_ns, {}};
  for (const auto& [id, instance] : picture.desc().instances) {
    RingRow row;
    row.id = id;
    row.state = picture.heard_of(instance, judged_at_s) ? ring::state_name(instance.state) : "UNHEALTHY";
    row.address = instance.address;
    row.zone = instance.zone;
    row.heartbeat_ns = instance.heartbeat_s * kNanosPerSecond;
    row.registered_ns = instance.registered_s * kNanosPerSecond;
    row.read_only = instance.read_only;
    row.read_only_updated_ns = instance.read_only_updated_s * kNanosPerSecond;
    row.tokens = instance.tokens;
    row.ownership = shares[id];
    view.rows.push_back(std::move(row));
  }
  return view;
}

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
  std::string out = "{\"shards\":[";
  for (const RingRow& row : view.rows) {
    if (out.back() == '}') out += ',';
    append_member(out, row);
  }
  out += "],\"now\":";
  append_json_string(out, page_time(view.now_ns));
  return out + "}";
}

http::Response ring_html(const RingView& view, bool with_tokens) {
  std::string out = "<p>Current time: " + page_time(view.now_ns) + "</p>\n<form method=\"POST\">\n<table>\n<thead><tr>";
  for (const char* column : {"Instance ID", "Availability Zone", "State", "Address", "Registered At", "Read-Only", "Read-Only Updated", "Last Heartbeat",
                             "Tokens", "Ownership", "Actions"})
    out += std::string("<th>") + column + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const RingRow& row : view.rows) {
    const std::string id = escape_html(row.id);
    const char* look = row.state == "UNHEALTHY" ? " class=\"bad\"" : row.state == "ACTIVE" ? "" : " class=\"busy\"";
    out += "<tr" + std::string(look) + "><td>" + id + "</td><td>" + escape_html(row.zone) + "</td><td>" + escape_html(row.state) + "</td><td>" +
           escape_html(row.address) + "</td><td>" + page_time(row.registered_ns) + "</td><td>" + (row.read_only ? "true" : "false") + "</td><td>" +
           page_time(row.read_only_updated_ns) + "</td><td>" + page_time(row.heartbeat_ns) + " <span class=\"dim\">" + page_age(row.heartbeat_ns, view.now_ns) +
           "</span></td><td class=\"n\">" + std::to_string(row.tokens.size()) + "</td><td class=\"n\">" + percent(row.ownership) +
           "</td><td><button name=\"forget\" value=\"" + id + "\" type=\"submit\">Forget</button></td></tr>\n";
  }
  if (view.rows.empty()) out += "<tr><td colspan=\"11\">nobody is in this ring</td></tr>\n";
  out += "</tbody>\n</table>\n</form>\n<p class=\"dim\">Forget removes an instance that will not come back; one that is alive registers again with its next heartbeat.</p>\n";
  if (!with_tokens) {
    out += "<p><a href=\"?tokens=true\">Show Tokens</a></p>\n";
  } else {
    out += "<p><a href=\"?\">Hide Tokens</a></p>\n";
    for (const RingRow& row : view.rows) {
      out += "<h2>Instance: " + escape_html(row.id) + "</h2>\n<p class=\"tokens\">";
      for (const std::uint32_t token : row.tokens) out += std::to_string(token) + "\n";
      out += "</p>\n";
    }
  }
  return html_page(view.title, out);
}

http::Response ring_page(const RingView& view, const http::Request& request) {
  if (wants_json(request)) return http::Response::json(ring_json(view));
  const std::string* tokens = request.query.get("tokens");
  return ring_html(view, tokens != nullptr && *tokens == "true");
}

http::Response back_to_page() {
  http::Response out = http::Response::empty(302);
  out.headers.push_back({"Location", "#"});
  return out;
}

}  // namespace skald::api
