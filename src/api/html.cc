#include "api/html.h"

#include "skald/model/time.h"

namespace skald::api {
namespace {

constexpr const char* kStyle =
    ":root{color-scheme:light dark}"
    "body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem}"
    "h1{font-size:1.4rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:1.5rem 0 .3rem}"
    "table{border-collapse:collapse;margin:.8rem 0}"
    "th,td{border:1px solid #8886;padding:.25rem .6rem;text-align:left;vertical-align:top;white-space:nowrap}"
    "th{background:#8882}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "tr.bad td{background:#e5484d22}tr.busy td{background:#f5a62322}"
    ".dim{opacity:.7}.tokens{overflow-wrap:anywhere;font-family:monospace}";

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
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

http::Response html_page(const std::string& title, const std::string& body) {
  http::Response out;
  out.content_type = "text/html; charset=utf-8";
  out.body = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"UTF-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>" +
             escape_html(title) + "</title><style>" + kStyle + "</style></head>\n<body>\n<h1>" + escape_html(title) + "</h1>\n" + body + "</body>\n</html>\n";
  return out;
}

std::string page_time(std::int64_t ns) { return ns == 0 ? std::string() : model::format_rfc3339_nano(ns); }

std::string page_age(std::int64_t ns, std::int64_t now_ns) {
  if (ns == 0) return {};
  const std::int64_t seconds = (now_ns - ns) / kNanosPerSecond;
  const std::string length = model::format_go_duration((seconds < 0 ? -seconds : seconds) * kNanosPerSecond);
  return seconds < 0 ? "in " + length : length + " ago";
}

bool wants_json(const http::Request& request) {
  const std::string* accept = request.header("Accept");
  return accept != nullptr && accept->find("application/json") != std::string::npos;
}

}  // namespace skald::api
