#include "objstore/range_answer.h"

#include <algorithm>
#include <charconv>

namespace skald::objstore {
namespace {

// Content-Range: bytes 2-4/10, bytes 2-4/*, bytes */10
struct ContentRange {
  std::optional<std::uint64_t> first, last, total;
};

bool number(std::string_view& text, std::optional<std::uint64_t>& out) {
  if (text.starts_with('*')) {
    text.remove_prefix(1);
    return true;
  }
  std::uint64_t value = 0;
  const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  out = value;
  return true;
}

bool symbol(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  ContentRange range;
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  if (text.starts_with("*/")) {
    text.remove_prefix(2);
  } else if (!number(text, range.first) || !symbol(text, '-') || !number(text, range.last) || !symbol(text, '/')) {
    return std::nullopt;
  }
  if (!number(text, range.total) || !text.empty()) return std::nullopt;
  return range;
}

}  // namespace

bool is_whole(ByteRange range) { return range.begin == 0 && range.end == ByteRange{}.end; }

std::string range_header(ByteRange range) {
  if (is_whole(range)) return "";
  std::string header = "bytes=" + std::to_string(range.begin) + "-";
  if (range.end != ByteRange{}.end) header += std::to_string(range.end - 1);
  return header;
}

std::optional<std::uint64_t> total_size(const http::ClientResponse& response) {
  if (response.status == 200) return response.body.size();
  const std::string* header = response.header("Content-Range");
  if (header == nullptr || !header->starts_with("bytes ")) return std::nullopt;
  // Only what follows '/': Azurite answers "bytes 0--1/0" for an empty blob.
  std::string_view text = std::string_view(*header).substr(header->rfind('/') + 1);
  std::optional<std::uint64_t> total;
  return number(text, total) && text.empty() ? total : std::nullopt;
}

Result<Bytes> take_range(http::ClientResponse&& response, ByteRange range, std::string_view what) {
  const std::string where(what);
  if (response.status == 200) {   // a service may ignore Range
    if (is_whole(range)) return std::move(response.body);
    if (range.begin > response.body.size())
      return Error(ErrorCode::kInvalidArgument, where + ": range begins at " + std::to_string(range.begin) + ", beyond its end");
    return response.body.substr(range.begin, range.end - range.begin);
  }
  const std::string* header = response.header("Content-Range");
  const auto got = header == nullptr ? std::nullopt : parse_content_range(*header);
  const auto wrong = [&](const std::string& why) {
    return Error(ErrorCode::kUnavailable, where + ": asked for " + range_header(range) + ", " + why);
  };
  if (response.body.empty() && total_size(response) == range.begin) return Bytes();   // Azurite, instead of 416: "bytes 10-9/10"
  if (!got.has_value() || !got->first.has_value() || !got->last.has_value() || *got->last < *got->first ||
      (got->total.has_value() && *got->total <= *got->last))
    return wrong("the answer does not say which bytes it holds");
  if (*got->first != range.begin || *got->last >= range.end) return wrong("the answer holds " + *header);
  const bool clipped = *got->last + 1 < range.end;
  if (clipped && got->total.has_value() && *got->last + 1 != *got->total) return wrong("the answer holds only " + *header);
  if (response.body.size() != *got->last - *got->first + 1)
    return wrong("the answer says " + *header + " but has " + std::to_string(response.body.size()) + " bytes");
  return std::move(response.body);
}

Result<Bytes> read_range(ByteRange range, std::string_view what, const std::function<Result<http::ClientResponse>(ByteRange)>& send,
                         const std::function<Error(const http::ClientResponse&)>& failure) {
  const std::string where(what);
  if (range.begin > range.end) return Error(ErrorCode::kInvalidArgument, where + ": range ends before it begins");
  std::optional<std::uint64_t> size;
  if (range.begin < range.end) {
    SKALD_TRY(http::ClientResponse response, send(range));
    if (response.status == 200 || response.status == 206) return take_range(std::move(response), range, what);
    if (response.status != 416) return failure(response);
    if (range.begin == 0) return Bytes();   // only of an empty object
    size = total_size(response);
  }
  if (!size.has_value()) {
    SKALD_TRY(const http::ClientResponse first, send({0, 1}));
    if (first.status != 200 && first.status != 206 && first.status != 416) return failure(first);
    size = first.status == 416 ? 0 : total_size(first);
    if (!size.has_value()) return Error(ErrorCode::kUnavailable, where + ": the answer does not say its size");
  }
  if (range.begin <= *size) return Bytes();
  return Error(ErrorCode::kInvalidArgument, where + ": range begins at " + std::to_string(range.begin) + ", beyond its end");
}

}  // namespace skald::objstore
