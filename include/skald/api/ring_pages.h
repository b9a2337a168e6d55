// Pages of rings that several processes share: who is in them, and a way to remove who will not come back.
#pragma once

#include <string>
#include <vector>

#include "skald/http/server.h"
#include "skald/ring/ring.h"
#include "skald/ring/stores.h"

namespace skald::api {

// Loki's: /ring "Ingester Ring", /distributor/ring, /compactor/ring, /ruler/ring, /scheduler/ring, /indexgateway/ring, /pattern/ring.
struct RingPageSource {
  std::string path, title;
  ring::Ring* ring = nullptr;      // outlives the server
};

// GET: HTML, or JSON when the request accepts application/json; ?tokens=true. POST forget=<id>: the entry is removed from
// the store, 302 back to the page. Before server.start(). The routes are named after their paths: "compactor_ring".
void add_ring_routes(http::Server& server, std::vector<RingPageSource> sources);

// /memberlist: members and values, as HTML or JSON; ?viewKey=<key>[&format=json|json-pretty|struct], ?downloadKey=<key>.
// Null: this process does not gossip, and the page says so. `memberlist` outlives the server.
void add_memberlist_route(http::Server& server, const ring::Memberlist* memberlist, const Clock& clock = system_clock());

}  // namespace skald::api
