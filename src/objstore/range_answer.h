// Ranged GETs: the header that asks, and what came back checked against it (RFC 9110 section 14).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "skald/http/client.h"
#include "skald/objstore/object_store.h"

namespace skald::objstore {

// "bytes=2-4"; "" for the whole object. The range is not empty.
std::string range_header(ByteRange range);
bool is_whole(ByteRange range);

// The bytes `range` means, out of an answer of 200 or 206; the end is clipped to the object.
// kInvalidArgument: the range begins beyond the end; kUnavailable: the answer is not what was asked for (cut, another part).
// `what` opens messages.
Result<Bytes> take_range(http::ClientResponse&& response, ByteRange range, std::string_view what);

// ObjectStore::get() with `send`, which asks for one non-empty range and gives back the service's answer. A range that
// holds nothing of the object, by its own bounds or the object's, may cost a request for one byte to learn the size.
// `failure` says what an answer other than 200, 206 and 416 means.
Result<Bytes> read_range(ByteRange range, std::string_view what, const std::function<Result<http::ClientResponse>(ByteRange)>& send,
                         const std::function<Error(const http::ClientResponse&)>& failure);

// The size of the object as a 206 or 416 says it in Content-Range; a 200's size is its body.
std::optional<std::uint64_t> total_size(const http::ClientResponse& response);

}  // namespace skald::objstore
