#include "gzip.h"

#include <strings.h>
#include <zlib.h>

#include <cstdlib>

#include "skald/base/check.h"

namespace skald::http {

std::string gzip(std::string_view body) {
  z_stream stream{};
  SKALD_CHECK(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out;
  out.resize(deflateBound(&stream, body.size()));
  // zlib counts in 32 bits; feed it in pieces.
  std::size_t in_at = 0;
  std::size_t out_at = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    constexpr std::size_t kPiece = 1U << 30;
    const std::size_t in_piece = std::min(kPiece, body.size() - in_at);
    const std::size_t out_piece = std::min(kPiece, out.size() - out_at);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data() + in_at));
    stream.avail_in = static_cast<uInt>(in_piece);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + out_at);
    stream.avail_out = static_cast<uInt>(out_piece);
    status = deflate(&stream, in_at + in_piece == body.size() ? Z_FINISH : Z_NO_FLUSH);
    SKALD_CHECK(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR);
    in_at += in_piece - stream.avail_in;
    out_at += out_piece - stream.avail_out;
    if (out_at == out.size() && status != Z_STREAM_END) out.resize(out.size() + out.size() / 2 + 1024);
  }
  deflateEnd(&stream);
  out.resize(out_at);
  return out;
}

bool accepts_gzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    const std::size_t comma = accept_encoding.find(',');
    std::string_view item = accept_encoding.substr(0, comma);
    accept_encoding = comma == std::string_view::npos ? std::string_view() : accept_encoding.substr(comma + 1);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    const std::size_t semicolon = item.find(';');
    std::string_view name = item.substr(0, semicolon);
    while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
    if (name.size() != 4 || ::strncasecmp(name.data(), "gzip", 4) != 0) continue;
    if (semicolon == std::string_view::npos) return true;
    const std::size_t q = item.find("q=", semicolon);
    return q == std::string_view::npos || std::atof(std::string(item.substr(q + 2)).c_str()) > 0;
  }
  return false;
}

}  // namespace skald::http
