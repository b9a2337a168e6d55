#include "response_text.h"

#include <ctime>

namespace skald::http {
namespace {

const char* reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Request Entity Too Large";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
  }
}

// The date changes once a second; formatting it for every response would show in the profile of small pushes.
const std::string& http_date() {
  thread_local std::time_t formatted_for = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != formatted_for) {
    tm utc{};
    gmtime_r(&now, &utc);
    char buffer[40];
    const std::size_t length = std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    text.assign(buffer, length);
    formatted_for = now;
  }
  return text;
}

// A header value must not end its line.
void append_header(std::string& out, const std::string& name, const std::string& value) {
  out += name;
  out += ": ";
  for (const char c : value) out += c == '\r' || c == '\n' ? ' ' : c;
  out += "\r\n";
}

}  // namespace

std::string response_head(const Response& response, bool keep_alive, bool http_1_0) {
  std::string out;
  out.reserve(256);
  out += http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += reason(response.status);
  out += "\r\n";
  if (!response.content_type.empty()) append_header(out, "Content-Type", response.content_type);
  for (const Header& header : response.headers) append_header(out, header.name, header.value);
  append_header(out, "Date", http_date());
  const bool bodyless = response.status == 204 || response.status == 304 || response.status / 100 == 1;
  if (!bodyless) append_header(out, "Content-Length", std::to_string(response.body.size()));
  if (!keep_alive) append_header(out, "Connection", "close");
  else if (http_1_0) append_header(out, "Connection", "keep-alive");
  out += "\r\n";
  return out;
}

}  // namespace skald::http
