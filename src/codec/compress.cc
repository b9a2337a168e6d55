#include "skald/codec/compress.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <lz4.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <new>

namespace skald::codec {
namespace {

constexpr std::size_t kInputBytesMax = std::size_t{1} << 30;
constexpr int kZstdWindowLogMax = 25;   // 32 MiB: what bodies from outside may make us reserve

struct ZstdFree {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  void operator()(ZSTD_DCtx* d) const { ZSTD_freeDCtx(d); }
};
struct DeflateFree {
  void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

ZSTD_CCtx* zstd_compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, ZstdFree> context(ZSTD_createCCtx());
  return context.get();
}
ZSTD_DCtx* zstd_decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, ZstdFree> context(ZSTD_createDCtx());
  return context.get();
}
libdeflate_decompressor* deflate_decompressor() {
  thread_local std::unique_ptr<libdeflate_decompressor, DeflateFree> context(libdeflate_alloc_decompressor());
  return context.get();
}
libdeflate_compressor* deflate_compressor(int level) {
  thread_local int held_level = -1;
  thread_local std::unique_ptr<libdeflate_compressor, DeflateFree> context;
  if (held_level != level) {
    context.reset(libdeflate_alloc_compressor(level));
    held_level = level;
  }
  return context.get();
}

// gzip of chunk pages is there for those who ask for it by configuration; what counts then is the CPU of the flush. One
// core, 1 MiB of log text: igzip 1.1 GB/s at 7.4x, libdeflate level 1 0.44 GB/s at 7.8x, level 6 0.19 GB/s at 9.1x (and
// zstd 1 0.96 GB/s at 9.3x, the default encoding).
constexpr std::uint32_t kIgzipLevel = 2;

std::size_t igzip_bound(std::size_t in_bytes) { return in_bytes + 5 * (in_bytes / 65'535 + 1) + 1024; }

// Bytes written, 0 on failure.
std::size_t igzip(ByteView in, char* out, std::size_t out_bytes) {
  thread_local std::unique_ptr<std::uint8_t[]> scratch(new (std::nothrow) std::uint8_t[ISAL_DEF_LVL2_DEFAULT]);
  if (scratch == nullptr) return 0;
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.level = kIgzipLevel;
  stream.level_buf = scratch.get();
  stream.level_buf_size = ISAL_DEF_LVL2_DEFAULT;
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.flush = NO_FLUSH;
  stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<std::uint32_t>(in.size());
  stream.next_out = reinterpret_cast<std::uint8_t*>(out);
  stream.avail_out = static_cast<std::uint32_t>(out_bytes);
  return isal_deflate_stateless(&stream) == COMP_OK ? stream.total_out : 0;
}

Error broken(Compression compression, const char* what) {
  return Error(ErrorCode::kCorruption, std::string(compression_name(compression)) + ": " + what);
}
Error malformed(Compression compression, const char* what) {
  return Error(ErrorCode::kInvalidArgument, std::string(compression_name(compression)) + ": " + what);
}
Error too_large(Compression compression, std::uint64_t limit_bytes) {
  return Error(ErrorCode::kTooLarge, std::string(compression_name(compression)) + ": decompressed size exceeds the limit of " +
                                         std::to_string(limit_bytes) + " bytes");
}

// Bytes the output may take; 0 for an unknown codec.
std::size_t compress_bound(Compression compression, std::size_t in_bytes, libdeflate_compressor* deflate) {
  switch (compression) {
    case Compression::kNone: return in_bytes;
    case Compression::kGzip: return libdeflate_gzip_compress_bound(deflate, in_bytes);
    case Compression::kZlib: return libdeflate_zlib_compress_bound(deflate, in_bytes);
    case Compression::kSnappy: return snappy::MaxCompressedLength(in_bytes);
    case Compression::kLz4: return static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(in_bytes)));
    case Compression::kZstd: return ZSTD_compressBound(in_bytes);
  }
  return 0;
}

Result<Bytes> inflate_bounded(Compression compression, ByteView in, std::uint64_t limit_bytes) {
  z_stream stream{};
  const int window_bits = compression == Compression::kGzip ? 15 + 16 : 15;
  if (inflateInit2(&stream, window_bits) != Z_OK) return Error(ErrorCode::kInternal, "zlib: cannot start");
  struct End {
    z_stream* s;
    ~End() { inflateEnd(s); }
  } end{&stream};
  Bytes out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  std::size_t size = 0;
  while (true) {
    if (size == out.size()) {
      // One byte above the limit tells "exactly at it" from "beyond it".
      const std::uint64_t grown = std::min<std::uint64_t>(limit_bytes + 1, std::max<std::uint64_t>(2 * size, 16 << 10));
      if (grown <= size) return too_large(compression, limit_bytes);
      out.resize(static_cast<std::size_t>(grown));
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + size);
    stream.avail_out = static_cast<uInt>(out.size() - size);
    const int rc = inflate(&stream, Z_NO_FLUSH);
    size = out.size() - stream.avail_out;
    if (rc == Z_STREAM_END) {
      if (size > limit_bytes) return too_large(compression, limit_bytes);
      if (stream.avail_in == 0) break;
      if (compression != Compression::kGzip) return malformed(compression, "bytes after the end");
      if (inflateReset(&stream) != Z_OK) return malformed(compression, "corrupt input");   // next gzip member
      continue;
    }
    if (rc == Z_OK && (stream.avail_out == 0 || stream.avail_in > 0)) continue;
    if (rc == Z_BUF_ERROR && stream.avail_out == 0) continue;
    return malformed(compression, stream.avail_in == 0 ? "truncated input" : "corrupt input");
  }
  out.reserve(size + kBufferSlack);
  out.resize(size);
  return out;
}

Result<Bytes> zstd_bounded(ByteView in, std::uint64_t limit_bytes) {
  ZSTD_DCtx* context = zstd_decompressor();
  if (context == nullptr) return Error(ErrorCode::kInternal, "zstd: out of memory");
  ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters);
  ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kZstdWindowLogMax);
  Bytes out;
  std::size_t size = 0;
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  std::size_t hint = 1;
  while (input.pos < input.size || hint != 0) {
    if (size == out.size()) {
      const std::uint64_t grown = std::min<std::uint64_t>(limit_bytes + 1, std::max<std::uint64_t>(2 * size, 64 << 10));
      if (grown <= size) return too_large(Compression::kZstd, limit_bytes);
      out.resize(static_cast<std::size_t>(grown));
    }
    ZSTD_outBuffer output{out.data(), out.size(), size};
    const std::size_t in_before = input.pos;
    hint = ZSTD_decompressStream(context, &output, &input);
    if (ZSTD_isError(hint) != 0) return malformed(Compression::kZstd, "corrupt input");
    const bool stuck = output.pos == size && input.pos == in_before;
    size = output.pos;
    if (size > limit_bytes) return too_large(Compression::kZstd, limit_bytes);
    if (stuck && size < out.size()) return malformed(Compression::kZstd, "truncated input");
  }
  out.reserve(size + kBufferSlack);
  out.resize(size);
  return out;
}

}  // namespace

const char* compression_name(Compression compression) {
  switch (compression) {
    case Compression::kNone: return "none";
    case Compression::kGzip: return "gzip";
    case Compression::kSnappy: return "snappy";
    case Compression::kLz4: return "lz4";
    case Compression::kZstd: return "zstd";
    case Compression::kZlib: return "zlib";
  }
  return "unknown codec";
}

bool compression_known(std::uint8_t number) { return number <= static_cast<std::uint8_t>(Compression::kZlib); }

Bytes make_buffer(std::size_t size) {
  Bytes buffer;
  // The terminating zero is one byte of the slack; the rest is capacity, written below so that reading it is defined.
  buffer.resize(size + kBufferSlack);
  buffer.resize(size);
  return buffer;
}

Result<void> compress_append(Compression compression, int level, ByteView in, Bytes& out) {
  if (in.size() > kInputBytesMax) return Error(ErrorCode::kTooLarge, "compress: input above 1 GiB");
  if (compression == Compression::kNone) {
    out.append(in);
    return {};
  }
  libdeflate_compressor* deflate = nullptr;
  const bool quick_gzip = compression == Compression::kGzip && level == kDefaultLevel;
  if ((compression == Compression::kGzip && !quick_gzip) || compression == Compression::kZlib) {
    deflate = deflate_compressor(level == kDefaultLevel ? 6 : std::clamp(level, 1, 12));
    if (deflate == nullptr) return Error(ErrorCode::kInternal, "deflate: out of memory");
  }
  const std::size_t bound = quick_gzip ? igzip_bound(in.size()) : compress_bound(compression, in.size(), deflate);
  if (bound == 0) return Error(ErrorCode::kInvalidArgument, "compress: unknown codec");
  const std::size_t before = out.size();
  out.resize(before + bound);
  char* to = out.data() + before;
  std::size_t written = 0;
  switch (compression) {
    case Compression::kNone: break;
    case Compression::kGzip:
      written = quick_gzip ? igzip(in, to, bound) : libdeflate_gzip_compress(deflate, in.data(), in.size(), to, bound);
      break;
    case Compression::kZlib: written = libdeflate_zlib_compress(deflate, in.data(), in.size(), to, bound); break;
    case Compression::kSnappy: snappy::RawCompress(in.data(), in.size(), to, &written); break;
    case Compression::kLz4:
      written = static_cast<std::size_t>(
          LZ4_compress_default(in.data(), to, static_cast<int>(in.size()), static_cast<int>(bound)));
      break;
    case Compression::kZstd: {
      ZSTD_CCtx* context = zstd_compressor();
      if (context == nullptr) return Error(ErrorCode::kInternal, "zstd: out of memory");
      written = ZSTD_compressCCtx(context, to, bound, in.data(), in.size(), level == kDefaultLevel ? 1 : level);
      if (ZSTD_isError(written) != 0) return Error(ErrorCode::kInternal, std::string("zstd: ") + ZSTD_getErrorName(written));
      break;
    }
  }
  if (written == 0) return Error(ErrorCode::kInternal, std::string(compression_name(compression)) + ": compression failed");
  out.resize(before + written);
  return {};
}

Result<Bytes> compress(Compression compression, ByteView in, int level) {
  Bytes out;
  SKALD_TRY_VOID(compress_append(compression, level, in, out));
  return out;
}

Result<void> decompress_exact(Compression compression, ByteView in, char* out, std::size_t out_bytes) {
  if (in.size() > kInputBytesMax || out_bytes > kInputBytesMax) return broken(compression, "size above 1 GiB");
  switch (compression) {
    case Compression::kNone:
      if (in.size() != out_bytes) return broken(compression, "stored size differs");
      std::copy_n(in.data(), in.size(), out);
      return {};
    case Compression::kGzip:
    case Compression::kZlib: {
      libdeflate_decompressor* d = deflate_decompressor();
      if (d == nullptr) return Error(ErrorCode::kInternal, "deflate: out of memory");
      std::size_t used = 0;
      std::size_t made = 0;
      const auto rc = compression == Compression::kGzip
                          ? libdeflate_gzip_decompress_ex(d, in.data(), in.size(), out, out_bytes, &used, &made)
                          : libdeflate_zlib_decompress_ex(d, in.data(), in.size(), out, out_bytes, &used, &made);
      if (rc != LIBDEFLATE_SUCCESS || made != out_bytes || used != in.size()) return broken(compression, "corrupt input");
      return {};
    }
    case Compression::kSnappy: {
      std::size_t declared = 0;
      if (!snappy::GetUncompressedLength(in.data(), in.size(), &declared) || declared != out_bytes ||
          !snappy::RawUncompress(in.data(), in.size(), out)) {
        return broken(compression, "corrupt input");
      }
      return {};
    }
    case Compression::kLz4: {
      const int made = LZ4_decompress_safe(in.data(), out, static_cast<int>(in.size()), static_cast<int>(out_bytes));
      if (made < 0 || static_cast<std::size_t>(made) != out_bytes) return broken(compression, "corrupt input");
      return {};
    }
    case Compression::kZstd: {
      ZSTD_DCtx* context = zstd_decompressor();
      if (context == nullptr) return Error(ErrorCode::kInternal, "zstd: out of memory");
      const std::size_t made = ZSTD_decompressDCtx(context, out, out_bytes, in.data(), in.size());
      if (ZSTD_isError(made) != 0 || made != out_bytes) return broken(compression, "corrupt input");
      return {};
    }
  }
  return Error(ErrorCode::kCorruption, "unknown codec");
}

Result<Bytes> decompress_exact(Compression compression, ByteView in, std::size_t out_bytes) {
  if (out_bytes > kInputBytesMax) return broken(compression, "size above 1 GiB");
  Bytes out = make_buffer(out_bytes);
  SKALD_TRY_VOID(decompress_exact(compression, in, out.data(), out_bytes));
  return out;
}

Result<Bytes> decompress_bounded(Compression compression, ByteView in, std::uint64_t limit_bytes) {
  if (in.size() > kInputBytesMax) return too_large(compression, kInputBytesMax);
  limit_bytes = std::min<std::uint64_t>(limit_bytes, kInputBytesMax);
  switch (compression) {
    case Compression::kNone: {
      if (in.size() > limit_bytes) return too_large(compression, limit_bytes);
      Bytes out = make_buffer(in.size());
      std::copy_n(in.data(), in.size(), out.data());
      return out;
    }
    case Compression::kGzip:
    case Compression::kZlib: return inflate_bounded(compression, in, limit_bytes);
    case Compression::kZstd: return zstd_bounded(in, limit_bytes);
    case Compression::kSnappy: {
      std::size_t declared = 0;
      if (!snappy::GetUncompressedLength(in.data(), in.size(), &declared)) return malformed(compression, "corrupt input");
      if (declared > limit_bytes) return too_large(compression, limit_bytes);
      Bytes out = make_buffer(declared);
      if (!snappy::RawUncompress(in.data(), in.size(), out.data())) return malformed(compression, "corrupt input");
      return out;
    }
    case Compression::kLz4: break;
  }
  return Error(ErrorCode::kUnimplemented, "lz4 blocks do not carry their size");
}

}  // namespace skald::codec
