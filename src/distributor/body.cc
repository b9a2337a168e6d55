#include <lz4frame.h>
#include <zlib.h>

#include <algorithm>

#include "distributor/decoded.h"
#include "skald/codec/compress.h"

namespace skald::distributor {
namespace {

constexpr std::size_t kChunkBytes = 64 * 1024;

Error too_large(std::uint64_t limit_bytes) {
  return Error(ErrorCode::kTooLarge,
               "request body too large: decompressed size exceeds limit " + std::to_string(limit_bytes));
}

// Grows with what arrives, so that a small bomb never costs more than the limit, and usually much less.
bool make_room(std::string& out, std::size_t used, std::uint64_t limit_bytes) {
  if (out.size() - used >= kChunkBytes / 2) return true;
  if (used >= limit_bytes) return false;
  out.resize(static_cast<std::size_t>(std::min<std::uint64_t>(limit_bytes, std::max(out.size() * 2, kChunkBytes))));
  return true;
}

Result<std::string> finish(std::string out, std::size_t used) {
  out.reserve(used + kBufferSlack);
  out.resize(used);
  return out;
}

Result<std::string> inflate_raw(std::string_view in, std::uint64_t limit_bytes) {
  // Loki's JSON reader sees a broken stream as an early end.
  const Error broken(ErrorCode::kInvalidArgument, "EOF");
  z_stream stream{};
  if (inflateInit2(&stream, -15) != Z_OK) return Error(ErrorCode::kInternal, "deflate: out of memory");
  struct Closer {
    z_stream* stream;
    ~Closer() { inflateEnd(stream); }
  } closer{&stream};
  std::string out;
  std::size_t used = 0, fed = 0;
  while (true) {
    if (stream.avail_in == 0 && fed < in.size()) {
      const std::size_t take = std::min<std::size_t>(in.size() - fed, 1U << 30);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data() + fed));
      stream.avail_in = static_cast<uInt>(take);
      fed += take;
    }
    // One byte past the limit tells "exactly at it" from "beyond it".
    if (!make_room(out, used, limit_bytes + 1)) return too_large(limit_bytes);
    const std::size_t room = std::min<std::size_t>(out.size() - used, 1U << 30);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    const std::size_t made = room - stream.avail_out;
    used += made;
    if (used > limit_bytes) return too_large(limit_bytes);
    if (status == Z_STREAM_END) return finish(std::move(out), used);
    if (status != Z_OK) return broken;
    if (made == 0 && stream.avail_in == 0 && fed == in.size()) return broken;
  }
}

Result<std::string> decode_lz4_frame(std::string_view in, std::uint64_t limit_bytes) {
  const Error broken(ErrorCode::kInvalidArgument, "lz4: bad frame");
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
    return Error(ErrorCode::kInternal, "lz4: out of memory");
  struct Closer {
    LZ4F_dctx* context;
    ~Closer() { LZ4F_freeDecompressionContext(context); }
  } closer{context};
  std::string out;
  std::size_t used = 0, at = 0;
  while (true) {
    if (!make_room(out, used, limit_bytes + 1)) return too_large(limit_bytes);
    std::size_t made = out.size() - used, taken = in.size() - at;
    const std::size_t status = LZ4F_decompress(context, out.data() + used, &made, in.data() + at, &taken, nullptr);
    if (LZ4F_isError(status)) return broken;
    used += made;
    at += taken;
    if (used > limit_bytes) return too_large(limit_bytes);
    if (status == 0) {
      if (at == in.size()) return finish(std::move(out), used);
      continue;  // another frame follows
    }
    if (made == 0 && taken == 0) return broken;
  }
}

Result<SharedBytes> share(Result<std::string> bytes) {
  if (!bytes.ok()) return std::move(bytes).error();
  return SharedBytes(std::make_shared<const std::string>(*std::move(bytes)));
}

Result<SharedBytes> bounded(codec::Compression compression, std::string_view in, std::uint64_t limit_bytes,
                            const char* broken) {
  auto out = codec::decompress_bounded(compression, in, limit_bytes);
  if (!out.ok() && out.error().code() == ErrorCode::kTooLarge) return too_large(limit_bytes);
  if (!out.ok() && out.error().code() == ErrorCode::kInvalidArgument)
    return Error(ErrorCode::kInvalidArgument, broken);
  return share(std::move(out));
}

}  // namespace

Result<SharedBytes> undo_content_encoding(const SharedBytes& body, std::string_view encoding, EncodingSet set,
                                          std::uint64_t limit_bytes) {
  const bool loki = set == EncodingSet::kLoki;
  if (encoding.empty() || (loki && encoding == "snappy")) return body;
  if (encoding == "gzip") {
    const bool magic = body->size() >= 10 && (*body)[0] == '\x1F' && (*body)[1] == '\x8B';
    return bounded(codec::Compression::kGzip, *body, limit_bytes, magic ? "unexpected EOF" : "gzip: invalid header");
  }
  if (loki && encoding == "deflate") return share(inflate_raw(*body, limit_bytes));
  if (!loki && encoding == "zstd") return bounded(codec::Compression::kZstd, *body, limit_bytes, "zstd: invalid input");
  if (!loki && encoding == "lz4") return share(decode_lz4_frame(*body, limit_bytes));
  if (loki) return Error(ErrorCode::kInvalidArgument, "Content-Encoding \"" + std::string(encoding) + "\" not supported");
  return Error(ErrorCode::kInvalidArgument, "unsupported content encoding " + std::string(encoding) +
                                                ": only gzip, lz4 and zstd are supported");
}

}  // namespace skald::distributor
