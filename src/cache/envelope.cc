#include "cache/envelope.h"

#include "skald/codec/crc32c.h"

namespace skald::cache {
namespace {

constexpr std::string_view kMagic = "SKc1";

std::uint32_t checksum(std::string_view key, ByteView value) {
  return codec::crc32c(value, codec::crc32c(std::string_view("\0", 1), codec::crc32c(key)));
}

}  // namespace

Bytes seal(std::string_view key, ByteView value) {
  Bytes out;
  out.reserve(kEnvelopeBytes + value.size());
  out.append(kMagic);
  append_le(out, checksum(key, value));
  out.append(value);
  return out;
}

SharedBytes unseal(std::string_view key, ByteView sealed) {
  if (sealed.size() < kEnvelopeBytes || !sealed.starts_with(kMagic)) return nullptr;
  const ByteView value = sealed.substr(kEnvelopeBytes);
  if (load_le<std::uint32_t>(sealed.data() + kMagic.size()) != checksum(key, value)) return nullptr;
  return std::make_shared<const Bytes>(value);
}

}  // namespace skald::cache
