#include "api/memberlist_page.h"
#include "api/ring_page.h"
#include "skald/api/ring_pages.h"
#include "skald/obs/log.h"

namespace skald::api {
namespace {

constexpr std::int64_t kForgetTimeoutNs = 10 * kNanosPerSecond;

http::Response forget(const RingPageSource& source, const http::Request& request) {
  const std::string* id = request.form.get("forget");
  if (id == nullptr || id->empty()) return http::Response::text(400, "forget=<instance id> is missing\n");
  CallContext ctx;
  ctx.cancel = request.cancel;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + kForgetTimeoutNs;
  if (const auto done = source.ring->forget(*id, ctx); !done.ok())
    return http::Response::text(500, "error forgetting instance '" + *id + "': " + done.error().message() + "\n");
  log::info("ring member forgotten on request", {{"ring", source.ring->options().key}, {"instance", *id}, {"from", request.remote}});
  return back_to_page();
}

std::string route_name(const std::string& path) {
  std::string name = path.substr(path.starts_with('/') ? 1 : 0);
  for (char& c : name)
    if (c == '/' || c == '-') c = '_';
  return name;
}

}  // namespace

void add_ring_routes(http::Server& server, std::vector<RingPageSource> sources) {
  for (RingPageSource& source : sources) {
    http::Route route;
    route.methods = {"GET", "POST"};
    route.pattern = source.path;
    route.name = route_name(source.path);
    route.handler = [source = std::move(source)](std::shared_ptr<http::Request> request, http::Responder respond) {
      if (request->method == "POST") return respond(forget(source, *request));
      respond(ring_page(view_of(source.title, *source.ring->picture(), source.ring->wall_ns(), source.ring->now_s()), *request));
    };
    server.add(std::move(route));
  }
}

void add_memberlist_route(http::Server& server, const ring::Memberlist* memberlist, const Clock& clock) {
  http::Route route;
  route.methods = {"GET"};
  route.pattern = "/memberlist";
  route.name = "memberlist";
  route.handler = [memberlist, &clock](std::shared_ptr<http::Request> request, http::Responder respond) {
    respond(memberlist_page(memberlist, *request, clock.now_ns()));
  };
  server.add(std::move(route));
}

}  // namespace skald::api
