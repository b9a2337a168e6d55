// The page of a ring: who is in it, as a table for people and as JSON for programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/http/message.h"
#include "skald/ring/ring.h"

namespace skald::api {

struct RingRow {
  std::string id, state, address, zone;
  std::int64_t heartbeat_ns = 0, registered_ns = 0, read_only_updated_ns = 0;   // 0: never
  bool read_only = false;
  std::vector<std::uint32_t> tokens;
  double ownership = 0;              // 0 to 1
};

struct RingView {
  std::string title;
  std::int64_t now_ns = 0;
  std::vector<RingRow> rows;         // by id
};

// The state of a member that is not heard of is UNHEALTHY here, whatever it said last.
// `judged_at_s`: Ring::now_s(), or the wall clock's.
RingView view_of(const std::string& title, const ring::Picture& picture, std::int64_t now_ns, std::int64_t judged_at_s);

// The same tokens for the same id, sorted and distinct.
std::vector<std::uint32_t> member_tokens(const std::string& id, std::size_t count);
std::string ring_json(const RingView& view);
http::Response ring_html(const RingView& view, bool with_tokens);
// JSON or HTML, as the request asks; ?tokens=true.
http::Response ring_page(const RingView& view, const http::Request& request);
// After a POST: the browser asks for the same page again, with its parameters.
http::Response back_to_page();

}  // namespace skald::api
