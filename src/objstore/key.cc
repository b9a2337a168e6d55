#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr std::size_t kKeyBytesMax = 900;
constexpr std::size_t kSegmentBytesMax = 255;

Error bad(std::string_view key, const char* why) {
  return Error(ErrorCode::kInvalidArgument, "object key '" + std::string(key.substr(0, 100)) + "': " + why);
}

}  // namespace

Result<void> check_key(std::string_view key) {
  if (key.empty()) return bad(key, "is empty");
  if (key.size() > kKeyBytesMax) return bad(key, "is longer than 900 bytes");
  if (key.find('\0') != std::string_view::npos) return bad(key, "holds a zero byte");
  while (true) {
    const std::size_t slash = key.find('/');
    const std::string_view segment = key.substr(0, slash);
    if (segment.empty()) return bad(key, "has an empty segment");
    if (segment == "." || segment == "..") return bad(key, "has a segment '.' or '..'");
    if (segment.size() > kSegmentBytesMax) return bad(key, "has a segment above 255 bytes");
    if (slash == std::string_view::npos) return {};
    key.remove_prefix(slash + 1);
  }
}

}  // namespace skald::objstore
