// What a process knows of its gossip cluster: members, the values they share.
#pragma once

#include "skald/http/message.h"
#include "skald/ring/stores.h"

namespace skald::api {

http::Response memberlist_page(const ring::Memberlist* memberlist, const http::Request& request, std::int64_t now_ns);
// A ring's value with its tombstones, as the reference's JSON of the stored message (its zero fields are left out there;
// state is not left out here) and as lines for people.
std::string desc_json(const ring::Desc& desc, bool pretty);
std::string desc_text(const ring::Desc& desc, std::int64_t now_ns);

}  // namespace skald::api
