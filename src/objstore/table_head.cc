#include "objstore/table_head.h"

#include <cstdio>

#include "skald/base/check.h"
#include "skald/codec/crc32c.h"

namespace skald::objstore::table {
namespace {

constexpr std::string_view kMagic = "SKT1";
constexpr std::string_view kFolder = "/index/";

Error damaged(const char* what) { return Error(ErrorCode::kCorruption, std::string("object in the table: ") + what); }

}  // namespace

Bytes encode_head(const Head& head, ByteView inline_bytes) {
  Bytes out(kMagic);
  append_le(out, head.part_bytes);
  append_le(out, head.size);
  out.append(reinterpret_cast<const char*>(head.upload.bytes.data()), head.upload.bytes.size());
  append_le(out, head.crc);
  out.append(8, '\0');
  append_le(out, codec::crc32c(out));
  SKALD_CHECK(out.size() == kHeadBytes);
  out += inline_bytes;
  return out;
}

Result<Head> decode_head(ByteView value, ByteView& inline_bytes) {
  if (value.size() < kHeadBytes || !value.starts_with(kMagic)) return damaged("its head is cut off or none of ours");
  if (codec::crc32c(value.substr(0, kHeadBytes - 4)) != load_le<std::uint32_t>(value.data() + kHeadBytes - 4)) return damaged("checksum of its head differs");
  Head head;
  head.part_bytes = load_le<std::uint32_t>(value.data() + 4);
  head.size = load_le<std::uint64_t>(value.data() + 8);
  std::memcpy(head.upload.bytes.data(), value.data() + 16, head.upload.bytes.size());
  head.crc = load_le<std::uint32_t>(value.data() + 32);
  inline_bytes = value.substr(kHeadBytes);
  if (head.size > kObjectBytesMax || head.part_bytes > kPartBytesMax) return damaged("its head names a size beyond all limits");
  if (inline_bytes.size() != (head.part_bytes == 0 ? head.size : 0)) return damaged("its head has another length than it says");
  if (head.part_bytes == 0 && codec::crc32c(inline_bytes) != head.crc) return damaged("its checksum differs");
  return head;
}

Bytes encode_part(std::uint32_t number, ByteView data) {
  Bytes out;
  out.reserve(kPartHeaderBytes + data.size());
  append_le(out, codec::crc32c(data));
  append_le(out, number);
  out += data;
  return out;
}

Result<Bytes> decode_part(std::uint32_t number, Bytes value) {
  if (value.size() < kPartHeaderBytes || load_le<std::uint32_t>(value.data() + 4) != number) return damaged("one of its parts is cut off or another");
  if (codec::crc32c(ByteView(value).substr(kPartHeaderBytes)) != load_le<std::uint32_t>(value.data())) return damaged("checksum of one of its parts differs");
  value.erase(0, kPartHeaderBytes);
  return value;
}

std::string folder_hash(std::string_view tenant, std::string_view folder) {
  return std::string(tenant) + "/index" + (folder.empty() ? "" : "/") + std::string(folder);
}
std::string folders_hash(std::string_view tenant) { return std::string(tenant) + "/folders"; }

std::string Place::hash() const { return folder_hash(tenant, folder); }
std::string Place::parts_hash() const { return tenant + "/parts" + (folder.empty() ? "" : "/") + folder; }
std::string Place::part_range(const Ulid& upload, std::uint32_t number) const {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%08u", number);
  return name + "/" + upload.to_string() + "/" + digits;
}

bool in_table(std::string_view key) {
  const std::size_t slash = key.find('/');
  return slash != std::string_view::npos && slash > 0 && key.substr(slash).starts_with(kFolder);
}

Place place_of(std::string_view key) {
  SKALD_CHECK(in_table(key));
  const std::size_t slash = key.find('/');
  const std::string_view rest = key.substr(slash + kFolder.size());
  const std::size_t last = rest.rfind('/');
  return {.tenant = std::string(key.substr(0, slash)),
          .folder = std::string(last == std::string_view::npos ? std::string_view() : rest.substr(0, last)),
          .name = std::string(last == std::string_view::npos ? rest : rest.substr(last + 1))};
}

}  // namespace skald::objstore::table
