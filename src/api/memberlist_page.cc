#include "api/memberlist_page.h"

#include <algorithm>
#include <cctype>

#include "api/html.h"
#include "api/ring_page.h"
#include "skald/api/json.h"

namespace skald::api {
namespace {

using ring::Memberlist;

http::Response plain(int status, std::string body) { return http::Response::text(status, std::move(body)); }

// "10.0.0.1:7946", "[::1]:7946"
std::pair<std::string, std::string> split_address(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {address, "0"};
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return {host, address.substr(colon + 1)};
}

int state_number(const std::string& state) { return state == "alive" ? 0 : state == "suspect" ? 1 : state == "dead" ? 2 : 3; }

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') out += c;
    else out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

// Go shows bytes in JSON as base64, and none as null.
void append_bytes(std::string& out, const std::string& bytes) {
  if (bytes.empty()) out += "null";
  else append_json_string(out, base64(bytes));
}

std::vector<Memberlist::Member> sorted_members(const Memberlist& memberlist) {
  auto members = memberlist.members();
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return members;
}

std::string overview_json(const Memberlist& memberlist, std::int64_t now_ns) {
  std::string out = "{\"Now\":";
  append_json_string(out, page_time(now_ns));
  out += ",\"Memberlist\":{},\"SortedMembers\":[";
  for (const auto& member : sorted_members(memberlist)) {
    if (out.back() == '}') out += ',';
    const auto [host, port] = split_address(member.address);
    out += "{\"Name\":";
    append_json_string(out, member.name);
    out += ",\"Addr\":";
    append_json_string(out, host);
    out += ",\"Port\":" + port + ",\"Meta\":";
    append_bytes(out, member.meta);
    out += ",\"State\":" + std::to_string(state_number(member.state));
    const std::pair<const char*, int> versions[] = {{"PMin", member.protocol_min}, {"PMax", member.protocol_max}, {"PCur", member.protocol_current},
                                                    {"DMin", member.delegate_min}, {"DMax", member.delegate_max}, {"DCur", member.delegate_current}};
    for (const auto& [name, version] : versions) out += ",\"" + std::string(name) + "\":" + std::to_string(version);
    out += '}';
  }
  out += "],\"Store\":{";
  std::string sizes;
  std::size_t total = 0;
  for (const auto& value : memberlist.values()) {
    if (!sizes.empty()) out += ',', sizes += ',';
    append_json_string(out, value.key);
    out += ":{\"Version\":" + std::to_string(value.version) + ",\"CodecID\":";
    append_json_string(out, value.codec);
    out += ",\"Deleted\":false,\"UpdateTime\":";
    append_json_string(out, value.updated_ms == 0 ? "0001-01-01T00:00:00Z" : page_time(value.updated_ms * kNanosPerMilli));
    out += '}';
    append_json_string(sizes, value.key);
    sizes += ':' + std::to_string(value.bytes);
    total += value.bytes;
  }
  // No history of messages is kept: it shows tokens to whoever looks, and nobody has asked for it.
  return out + "},\"StoreSizes\":{" + sizes + "},\"TotalStoreSize\":" + std::to_string(total) +
         ",\"MessageHistoryBufferBytes\":0,\"SentMessages\":null,\"ReceivedMessages\":null,\"ZoneAwareRouting\":false}";
}

http::Response overview_html(const Memberlist& memberlist, std::int64_t now_ns) {
  std::string out = "<p>Current time: " + page_time(now_ns) + "</p>\n";
  const auto members = sorted_members(memberlist);
  out += "<p>" + std::to_string(members.size()) + " members known; " + (memberlist.joined() ? "joined" : "waiting for a peer to answer") + "</p>\n";
  out += "<h2>KV Store</h2>\n<table>\n<thead><tr><th>Key</th><th>Codec</th><th>Version</th><th>Instances</th><th>Size in bytes</th><th>Updated</th><th>Actions</th></tr></thead>\n<tbody>\n";
  const auto values = memberlist.values();
  for (const auto& value : values) {
    const std::string key = escape_html(percent_encode(value.key));
    const auto living = ring::visible(value.desc).instances.size();
    out += "<tr><td>" + escape_html(value.key) + "</td><td>" + escape_html(value.codec) + "</td><td class=\"n\">" + std::to_string(value.version) +
           "</td><td class=\"n\">" + std::to_string(living) + "</td><td class=\"n\">" + std::to_string(value.bytes) + "</td><td>" +
           page_time(value.updated_ms * kNanosPerMilli) + "</td><td>";
    for (const char* format : {"json", "json-pretty", "struct"}) out += "<a href=\"?viewKey=" + key + "&amp;format=" + format + "\">" + format + "</a> | ";
    out += "<a href=\"?downloadKey=" + key + "\">download</a></td></tr>\n";
  }
  if (values.empty()) out += "<tr><td colspan=\"7\">no values yet</td></tr>\n";
  out += "</tbody>\n</table>\n<p class=\"dim\">Versions are counters of this process; other members show others.</p>\n";
  out += "<h2>Members</h2>\n<table>\n<thead><tr><th>Name</th><th>Address</th><th>State</th><th>Incarnation</th><th>Protocol min / max / current</th>"
         "<th>Delegate min / max / current</th></tr></thead>\n<tbody>\n";
  const auto triple = [](int a, int b, int c) { return std::to_string(a) + " / " + std::to_string(b) + " / " + std::to_string(c); };
  const std::string self = memberlist.members().empty() ? std::string() : memberlist.members().front().name;
  for (const auto& member : members) {
    const char* look = member.state == "alive" ? "" : member.state == "dead" ? " class=\"bad\"" : " class=\"busy\"";
    out += "<tr" + std::string(look) + "><td>" + escape_html(member.name) + (member.name == self ? " <span class=\"dim\">(this process)</span>" : "") + "</td><td>" +
           escape_html(member.address) + "</td><td>" + escape_html(member.state) + "</td><td class=\"n\">" + std::to_string(member.incarnation) + "</td><td>" +
           triple(member.protocol_min, member.protocol_max, member.protocol_current) + "</td><td>" +
           triple(member.delegate_min, member.delegate_max, member.delegate_current) + "</td></tr>\n";
  }
  out += "</tbody>\n</table>\n";
  return html_page("Memberlist Status", out);
}

}  // namespace

std::string desc_json(const ring::Desc& desc, bool pretty) {
  const std::string line = pretty ? "\n" : "";
  const auto indent = [&](int depth) { return pretty ? "\n" + std::string(static_cast<std::size_t>(depth) * 4, ' ') : std::string(); };
  const std::string colon = pretty ? ": " : ":";
  std::string out = "{" + indent(1) + "\"ingesters\"" + colon + "{";
  bool first = true;
  for (const auto& [id, instance] : desc.instances) {
    if (!first) out += ',';
    first = false;
    out += indent(2);
    append_json_string(out, id);
    out += colon + "{";
    const auto name = [&](const char* field) {
      if (out.back() != '{') out += ',';
      out += indent(3) + '"' + field + '"' + colon;
    };
    const auto number = [&](const char* field, std::int64_t value) {
      if (value == 0) return;
      name(field);
      append_json_integer(out, value);
    };
    const auto text = [&](const char* field, const std::string& value) {
      if (value.empty()) return;
      name(field);
      append_json_string(out, value);
    };
    text("addr", instance.address);
    number("timestamp", instance.heartbeat_s);
    name("state");
    append_json_integer(out, static_cast<int>(instance.state));
    if (!instance.tokens.empty()) {
      name("tokens");
      out += '[';
      for (const std::uint32_t token : instance.tokens) {
        if (out.back() != '[') out += ',';
        out += indent(4);
        append_json_unsigned(out, token);
      }
      out += indent(3) + ']';
    }
    text("zone", instance.zone);
    number("registered_timestamp", instance.registered_s);
    text("id", instance.id);
    number("read_only_updated_timestamp", instance.read_only_updated_s);
    if (instance.read_only) {
      name("read_only");
      out += "true";
    }
    if (!instance.versions.empty()) {
      name("versions");
      out += '{';
      for (const auto& [component, version] : instance.versions) {
        if (out.back() != '{') out += ',';
        out += indent(4) + '"' + std::to_string(component) + '"' + colon + std::to_string(version);
      }
      out += indent(3) + '}';
    }
    out += indent(2) + '}';
  }
  return out + indent(1) + "}" + indent(0) + "}" + line;
}

std::string desc_text(const ring::Desc& desc, std::int64_t now_ns) {
  std::string out;
  for (const auto& [id, instance] : desc.instances) {
    const std::int64_t heartbeat_ns = instance.heartbeat_s * kNanosPerSecond;
    out += id + ": " + ring::state_name(instance.state) + ", address " + instance.address + ", zone \"" + instance.zone + "\", heartbeat " + page_time(heartbeat_ns) +
           " (" + page_age(heartbeat_ns, now_ns) + "), registered " + page_time(instance.registered_s * kNanosPerSecond) + ", " +
           std::to_string(instance.tokens.size()) + " tokens" + (instance.read_only ? ", read-only" : "") + "\n";
  }
  return out.empty() ? "nobody\n" : out;
}

http::Response memberlist_page(const ring::Memberlist* memberlist, const http::Request& request, std::int64_t now_ns) {
  if (memberlist == nullptr) return plain(200, "This instance doesn't use memberlist.\n");
  const auto parameter = [&](const char* name) {
    const std::string* value = request.query.get(name);
    return value == nullptr ? std::string() : *value;
  };
  const std::string view = parameter("viewKey"), download = parameter("downloadKey");
  if (!view.empty() || !download.empty()) {
    const std::string& key = view.empty() ? download : view;
    for (const auto& value : memberlist->values()) {
      if (value.key != key) continue;
      http::Response out;
      if (view.empty()) {
        out.content_type = "application/octet-stream";
        // Keys have slashes, file names have none.
        std::string file = key;
        for (char& c : file)
          if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.')) c = '-';
        out.headers.push_back({"Content-Disposition", "attachment; filename=" + std::to_string(value.version) + "-" + file});
        out.body = ring::encode(value.desc);
        return out;
      }
      const std::string format = parameter("format");
      if (format == "struct") return plain(200, desc_text(value.desc, now_ns));
      if (!format.empty() && format != "json" && format != "json-pretty") return plain(400, "unknown format; one of json, json-pretty, struct\n");
      return http::Response::json(desc_json(value.desc, format == "json-pretty"));
    }
    return plain(404, "value not found\n");
  }
  if (!parameter("viewMsg").empty()) return plain(404, "message not found\n");
  if (parameter("deleteMessages") == "true") return back_to_page();
  return wants_json(request) ? http::Response::json(overview_json(*memberlist, now_ns)) : overview_html(*memberlist, now_ns);
}

}  // namespace skald::api
