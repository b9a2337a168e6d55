// The page of a ring with one member.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/api/status_pages.h"

namespace skald::api {

struct RingView {
  std::string title;
  RingMember member;
  std::string state;
  std::int64_t now_ns = 0;
  std::vector<std::uint32_t> tokens;
};

// The same tokens for the same id, sorted and distinct.
std::vector<std::uint32_t> member_tokens(const std::string& id, std::size_t count);
std::string ring_json(const RingView& view);
std::string ring_html(const RingView& view, bool with_tokens);

}  // namespace skald::api
