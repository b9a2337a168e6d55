#include "ring/msgpack.h"

#include "skald/base/check.h"

namespace skald::ring::gossip {
namespace {

constexpr int kDepthMax = 8;   // messages nest two deep

}  // namespace

void MsgpackWriter::big_endian(std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(value >> shift));
}

void MsgpackWriter::map(std::size_t pairs) {
  SKALD_CHECK(pairs < 16);
  out_.push_back(static_cast<char>(0x80 | pairs));
}

void MsgpackWriter::raw(std::string_view bytes) {
  if (bytes.size() < 32) {
    out_.push_back(static_cast<char>(0xA0 | bytes.size()));
  } else if (bytes.size() < 0x10000) {
    out_.push_back(static_cast<char>(0xDA));
    big_endian(bytes.size(), 2);
  } else {
    SKALD_CHECK(bytes.size() <= 0xFFFFFFFF);
    out_.push_back(static_cast<char>(0xDB));
    big_endian(bytes.size(), 4);
  }
  out_.append(bytes);
}

void MsgpackWriter::uint(std::uint64_t value) {
  if (value < 0x80) return out_.push_back(static_cast<char>(value));
  const int power = value < 0x100 ? 0 : value < 0x10000 ? 1 : value < 0x1'0000'0000 ? 2 : 3;
  out_.push_back(static_cast<char>(0xCC + power));
  big_endian(value, 1 << power);
}

void MsgpackWriter::sint(std::int64_t value) {
  if (value >= 0 && value < 0x80) return out_.push_back(static_cast<char>(value));
  const int power = value == static_cast<std::int8_t>(value) ? 0 : value == static_cast<std::int16_t>(value) ? 1 : value == static_cast<std::int32_t>(value) ? 2 : 3;
  out_.push_back(static_cast<char>(0xD0 + power));
  big_endian(static_cast<std::uint64_t>(value), 1 << power);
}

bool MsgpackReader::need(std::size_t count) {
  if (state_ != State::kOk) return false;
  if (in_.size() - at_ >= count) return true;
  state_ = State::kTruncated;
  needed_ = at_ + count;
  return false;
}

bool MsgpackReader::take(std::size_t count, ByteView& bytes) {
  if (!need(count)) return false;
  bytes = in_.substr(at_, count);
  at_ += count;
  return true;
}

bool MsgpackReader::big_endian(int bytes, std::uint64_t& value) {
  if (!need(static_cast<std::size_t>(bytes))) return false;
  value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | static_cast<unsigned char>(in_[at_++]);
  return true;
}

bool MsgpackReader::map(std::size_t& pairs) {
  std::uint64_t lead = 0;
  if (!big_endian(1, lead)) return false;
  if (lead == 0xC0) return pairs = 0, true;
  if (lead >= 0x80 && lead < 0x90) return pairs = lead & 0x0F, true;
  std::uint64_t count = 0;
  if (lead == 0xDE && big_endian(2, count)) return pairs = count, true;
  if (lead == 0xDF && big_endian(4, count)) return pairs = count, true;
  return ok() ? fail() : false;
}

bool MsgpackReader::raw(ByteView& bytes) {
  std::uint64_t lead = 0, size = 0;
  if (!big_endian(1, lead)) return false;
  bool known = true;
  if (lead == 0xC0) size = 0;
  else if (lead >= 0xA0 && lead < 0xC0) size = lead & 0x1F;
  else if (lead == 0xD9 || lead == 0xC4) known = big_endian(1, size);
  else if (lead == 0xDA || lead == 0xC5) known = big_endian(2, size);
  else if (lead == 0xDB || lead == 0xC6) known = big_endian(4, size);
  else return fail();
  return known && take(size, bytes);
}

bool MsgpackReader::uint(std::uint64_t& value) {
  std::uint64_t lead = 0;
  if (!big_endian(1, lead)) return false;
  if (lead < 0x80) return value = lead, true;
  if (lead >= 0xCC && lead <= 0xCF) return big_endian(1 << (lead - 0xCC), value);
  if (lead >= 0xD0 && lead <= 0xD3) {
    const int bytes = 1 << (lead - 0xD0);
    if (!big_endian(bytes, value)) return false;
    return (value >> (bytes * 8 - 1) & 1) == 0 ? true : fail();
  }
  return fail();
}

bool MsgpackReader::boolean(bool& value) {
  std::uint64_t lead = 0;
  if (!big_endian(1, lead)) return false;
  if (lead != 0xC2 && lead != 0xC3) return fail();
  value = lead == 0xC3;
  return true;
}

bool MsgpackReader::skip_nested(int depth) {
  if (depth > kDepthMax) return fail();
  if (!need(1)) return false;
  const auto lead = static_cast<unsigned char>(in_[at_]);
  ByteView ignored;
  std::uint64_t number = 0;
  if (lead < 0x80 || lead >= 0xE0 || lead == 0xC0 || lead == 0xC2 || lead == 0xC3) return take(1, ignored);
  if ((lead >= 0xA0 && lead < 0xC0) || (lead >= 0xD9 && lead <= 0xDB) || (lead >= 0xC4 && lead <= 0xC6)) return raw(ignored);
  if (lead >= 0xCC && lead <= 0xD3) return take(1, ignored) && big_endian(1 << ((lead - 0xCC) & 3), number);
  if (lead == 0xCA || lead == 0xCB) return take(lead == 0xCA ? 5 : 9, ignored);
  std::uint64_t items = 0;
  if ((lead >= 0x80 && lead < 0x90) || lead == 0xDE || lead == 0xDF) {
    std::size_t pairs = 0;
    if (!map(pairs)) return false;
    items = 2 * static_cast<std::uint64_t>(pairs);
  } else if (lead >= 0x90 && lead < 0xA0) {
    ++at_;
    items = lead & 0x0F;
  } else if (lead == 0xDC || lead == 0xDD) {
    ++at_;
    if (!big_endian(lead == 0xDC ? 2 : 4, items)) return false;
  } else {
    return fail();
  }
  for (std::uint64_t i = 0; i < items; ++i)   // each takes at least a byte, so this ends with the input
    if (!skip_nested(depth + 1)) return false;
  return true;
}

bool MsgpackReader::structure(const std::function<bool(std::string_view, MsgpackReader&)>& field) {
  std::size_t pairs = 0;
  if (!map(pairs)) return false;
  for (std::size_t i = 0; i < pairs; ++i) {
    ByteView name;
    if (!raw(name)) return false;
    const bool used = field(name, *this);
    if (!ok()) return false;
    if (!used && !skip()) return false;
  }
  return true;
}

}  // namespace skald::ring::gossip
