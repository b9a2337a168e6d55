#include "skald/api/push.h"

#include "skald/api/status.h"
#include "skald/api/tenant.h"
#include "skald/http/status.h"

namespace skald::api {
namespace {

using distributor::PushFormat;
using distributor::PushJob;

constexpr std::size_t kBackfillShardBytesMax = 256;
constexpr const char* kRetryAfterSeconds = "5";   // of a full disk, a start, a lost store: none of them passes in one second

bool is_token_char(char c) {
  return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7F &&
         std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::size_t token_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && is_token_char(text[length])) ++length;
  return length;
}

Error mime_error(const char* what) { return Error(ErrorCode::kInvalidArgument, std::string("mime: ") + what); }

// "; name=value" parts. Only their form matters.
bool parameters_are_well_formed(std::string_view rest) {
  rest = trimmed(rest);
  while (!rest.empty()) {
    if (rest.front() != ';') return false;
    rest = trimmed(rest.substr(1));
    if (rest.empty()) return true;  // a trailing semicolon is fine
    const std::size_t name = token_length(rest);
    if (name == 0) return false;
    rest = trimmed(rest.substr(name));
    if (rest.empty() || rest.front() != '=') return false;
    rest = trimmed(rest.substr(1));
    if (!rest.empty() && rest.front() == '"') {
      std::size_t at = 1;
      while (at < rest.size() && rest[at] != '"') at += rest[at] == '\\' ? 2 : 1;
      if (at >= rest.size()) return false;
      rest = trimmed(rest.substr(at + 1));
    } else {
      const std::size_t value = token_length(rest);
      if (value == 0) return false;
      rest = trimmed(rest.substr(value));
    }
  }
  return true;
}

// The media type in lower case, with the complaints of Go's mime package.
Result<std::string> media_type(std::string_view content_type) {
  const std::size_t semicolon = std::min(content_type.find(';'), content_type.size());
  std::string type(trimmed(content_type.substr(0, semicolon)));
  for (char& c : type)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  if (type.empty()) return mime_error("no media type");
  const std::size_t first = token_length(type);
  if (first == 0) return mime_error("no media type");
  if (first < type.size()) {
    if (type[first] != '/') return mime_error("expected slash after first token");
    const std::string_view sub = std::string_view(type).substr(first + 1);
    const std::size_t second = token_length(sub);
    if (second == 0) return mime_error("expected token after slash");
    if (second < sub.size()) return mime_error("unexpected content after media subtype");
  }
  if (!parameters_are_well_formed(content_type.substr(semicolon))) return mime_error("invalid media parameter");
  return type;
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    if (length == 0 || text.size() - i < length) return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    i += length;
  }
  return true;
}

std::string header_or_empty(const http::Request& request, std::string_view name) {
  const std::string* const value = request.header(name);
  return value == nullptr ? std::string() : *value;
}

// google.rpc.Status with nothing but its message (field 2).
std::string rpc_status(std::string_view message) {
  std::string out = "\x12";
  std::size_t size = message.size();
  for (; size >= 0x80; size >>= 7) out += static_cast<char>(size | 0x80);
  out += static_cast<char>(size);
  out += message;
  return out;
}

}  // namespace

Result<PushJob> make_push_job(const http::Request& request, PushPath path) {
  PushJob job;
  job.body = request.body;
  job.content_encoding = header_or_empty(request, "Content-Encoding");
  job.backfill_shard = header_or_empty(request, "X-Loki-Backfill-Shard");
  if (job.backfill_shard.size() > kBackfillShardBytesMax || !is_valid_utf8(job.backfill_shard))
    return Error(ErrorCode::kInvalidArgument,
                 "invalid X-Loki-Backfill-Shard header: must be valid UTF-8 of at most 256 bytes");
  const std::string content_type = header_or_empty(request, "Content-Type");
  if (path == PushPath::kOtlp) {
    if (content_type == "application/x-protobuf") job.format = PushFormat::kOtlpProtobuf;
    else if (content_type == "application/json") job.format = PushFormat::kOtlpJson;
    else return Error(ErrorCode::kInvalidArgument, "content type: " + content_type + " is not supported");
    return job;
  }
  const std::string& encoding = job.content_encoding;
  if (!encoding.empty() && encoding != "gzip" && encoding != "deflate" && encoding != "snappy")
    return Error(ErrorCode::kInvalidArgument, "Content-Encoding \"" + encoding + "\" not supported");
  SKALD_TRY(const std::string type, media_type(content_type));
  if (type == "application/json") job.format = path == PushPath::kLegacy ? PushFormat::kLegacyJson : PushFormat::kLokiJson;
  else job.format = PushFormat::kLokiProtobuf;
  return job;
}

http::Response push_response(const Result<void>& outcome, PushPath path, int blocked_status) {
  if (outcome.ok()) return http::Response::empty(204);
  const Error& error = outcome.error();
  int status = http::status_of(error.code());
  if (error.code() == ErrorCode::kPermissionDenied && blocked_status != 0) status = blocked_status;
  if (path != PushPath::kOtlp) {
    http::Response response = http::Response::text(status, error.message() + "\n");
    if (status == 503) response.headers.push_back({"Retry-After", kRetryAfterSeconds});
    return response;
  }
  http::Response response;
  response.status = status == 500 ? 503 : status;  // exporters retry 503 only
  response.content_type = "application/octet-stream";
  response.body = rpc_status(error.message());
  response.compressible = false;
  if (response.status == 503) response.headers.push_back({"Retry-After", kRetryAfterSeconds});
  return response;
}

void add_push_routes(http::Server& server, distributor::Distributor& distributor, PushRouteOptions options,
                     exec::Pool* pool) {
  struct Path {
    const char* pattern;
    const char* name;
    PushPath path;
  };
  for (const Path& one : {Path{"/loki/api/v1/push", "loki_api_v1_push", PushPath::kLoki},
                          Path{"/api/prom/push", "api_prom_push", PushPath::kLegacy},
                          Path{"/otlp/v1/logs", "otlp_v1_logs", PushPath::kOtlp}}) {
    http::Route route;
    route.methods = {"POST"};
    route.pattern = one.pattern;
    route.name = one.name;
    route.run_on = http::RunOn::kIo;
    route.body_bytes_max = options.body_bytes_max;
    route.handler = [&distributor, options, pool, path = one.path](std::shared_ptr<http::Request> request,
                                                                   http::Responder respond) {
      auto tenant = resolve_tenant(*request, options.tenants);
      // Refused before any route looks at it, so this one is plain text on every path.
      if (!tenant.ok()) return respond(error_response_with_newline(tenant.error()));
      if (options.admit) {
        if (Result<void> admitted = options.admit(); !admitted.ok()) return respond(push_response(admitted, path, 0));
      }
      auto job = make_push_job(*request, path);
      if (!job.ok()) return respond(push_response(std::move(job).error(), path, 0));
      CallContext ctx;
      ctx.tenant = *std::move(tenant);
      ctx.cancel = request->cancel;
      auto run = [&distributor, path, ctx = std::move(ctx), job = *std::move(job), respond = std::move(respond)] {
        distributor.push(ctx, job, [&distributor, path, tenant = ctx.tenant, respond](Result<void> outcome) {
          const bool blocked = !outcome.ok() && outcome.error().code() == ErrorCode::kPermissionDenied;
          respond(push_response(outcome, path, blocked ? distributor.blocked_status(tenant) : 0));
        });
      };
      if (pool != nullptr && request->body->size() > options.inline_bytes_max) pool->submit(std::move(run));
      else run();
    };
    server.add(std::move(route));
  }
}

}  // namespace skald::api
