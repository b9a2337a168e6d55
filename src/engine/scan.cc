#include "engine/scan.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace skald::engine {
namespace {

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

ScanKernel best_kernel() {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2");
  return avx2 ? ScanKernel::kAvx2 : ScanKernel::kSse2;
#else
  return ScanKernel::kScalar;
#endif
}

}  // namespace

std::uint8_t byte_commonness(unsigned char byte) {
  // Counted classes of JSON, logfmt and access logs; within a class the order hardly matters.
  if (byte == ' ' || byte == '"' || byte == 'e' || byte == 't') return 250;
  if (byte >= '0' && byte <= '2') return 240;
  if (std::strchr("aionrs:,", byte) != nullptr && byte != 0) return 230;
  if (byte >= '3' && byte <= '9') return 200;
  if (std::strchr("=.-/_lcdmpu", byte) != nullptr && byte != 0) return 180;
  if (byte >= 'a' && byte <= 'z') return 120;
  if (byte >= 'A' && byte <= 'Z') return 60;
  if (byte >= 0x80) return 40;
  return 50;
}

Finder::Finder(std::string_view needle, bool fold_case, ScanKernel kernel) : needle_(needle), fold_(fold_case) {
  fold_mask_.assign(needle_.size(), '\0');
  constant_ = true;
  if (fold_) {
    for (std::size_t i = 0; i < needle_.size(); ++i) {
      if (!is_ascii_letter(needle_[i])) continue;
      needle_[i] = static_cast<char>(needle_[i] | 0x20);
      fold_mask_[i] = 0x20;
      constant_ = false;
    }
  }
  kernel_ = kernel == ScanKernel::kAuto ? best_kernel() : kernel;
  if (needle_.empty()) return;
  const auto cost = [this](std::size_t i) {
    const int both_cases = fold_mask_[i] != 0 ? 30 : 0;
    return byte_commonness(static_cast<unsigned char>(needle_[i])) + both_cases;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < needle_.size(); ++i) {
    if (cost(i) < cost(best)) best = i;
  }
  std::size_t other = best == 0 ? needle_.size() - 1 : 0;
  for (std::size_t i = 0; i < needle_.size(); ++i) {
    if (i == best) continue;
    if (needle_[i] != needle_[best] && (cost(i) < cost(other) || needle_[other] == needle_[best])) other = i;
  }
  first_anchor_ = static_cast<std::uint32_t>(std::min(best, other));
  second_anchor_ = static_cast<std::uint32_t>(std::max(best, other));
}

bool Finder::equal_at(const char* at) const {
  if (constant_) return std::memcmp(at, needle_.data(), needle_.size()) == 0;
  for (std::size_t i = 0; i < needle_.size(); ++i) {
    if (static_cast<char>(at[i] | fold_mask_[i]) != needle_[i]) return false;
  }
  return true;
}

const char* Finder::find(const char* begin, const char* end) const {
  const std::size_t size = needle_.size();
  if (size == 0) return begin;
  if (static_cast<std::size_t>(end - begin) < size) return nullptr;
  if (size == 1 && constant_) return static_cast<const char*>(std::memchr(begin, needle_[0], static_cast<std::size_t>(end - begin)));
  switch (kernel_) {
    case ScanKernel::kAvx2: return find_avx2(begin, end);
    case ScanKernel::kSse2: return find_sse2(begin, end);
    default: return find_scalar(begin, end);
  }
}

const char* Finder::find_scalar(const char* begin, const char* end) const {
  if (constant_) {
    return static_cast<const char*>(memmem(begin, static_cast<std::size_t>(end - begin), needle_.data(), needle_.size()));
  }
  const char* const last = end - needle_.size();
  for (const char* at = begin; at <= last; ++at) {
    if (equal_at(at)) return at;
  }
  return nullptr;
}

#if defined(__x86_64__)

// Both kernels: position `at` is a candidate when the anchor bytes fit; blocks are loaded at at + anchor, so the last
// block starts where its second anchor still lies inside.
const char* Finder::find_sse2(const char* begin, const char* end) const {
  const char* const last = end - needle_.size();                 // last possible match
  const __m128i one = _mm_set1_epi8(needle_[first_anchor_]), two = _mm_set1_epi8(needle_[second_anchor_]);
  const __m128i fold_one = _mm_set1_epi8(fold_mask_[first_anchor_]), fold_two = _mm_set1_epi8(fold_mask_[second_anchor_]);
  const char* at = begin;
  for (; at + 15 <= last; at += 16) {
    const __m128i a = _mm_or_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + first_anchor_)), fold_one);
    const __m128i b = _mm_or_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + second_anchor_)), fold_two);
    auto hits = static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(a, one), _mm_cmpeq_epi8(b, two))));
    while (hits != 0) {
      const char* const candidate = at + __builtin_ctz(hits);
      if (equal_at(candidate)) return candidate;
      hits &= hits - 1;
    }
  }
  return at <= last ? find_scalar(at, end) : nullptr;
}

__attribute__((target("avx2"))) const char* Finder::find_avx2(const char* begin, const char* end) const {
  const char* const last = end - needle_.size();
  const __m256i one = _mm256_set1_epi8(needle_[first_anchor_]), two = _mm256_set1_epi8(needle_[second_anchor_]);
  const __m256i fold_one = _mm256_set1_epi8(fold_mask_[first_anchor_]), fold_two = _mm256_set1_epi8(fold_mask_[second_anchor_]);
  const char* at = begin;
  const auto verify = [this](const char* base, unsigned hits) -> const char* {
    while (hits != 0) {
      const char* const candidate = base + __builtin_ctz(hits);
      if (equal_at(candidate)) return candidate;
      hits &= hits - 1;
    }
    return nullptr;
  };
  for (; at + 63 <= last; at += 64) {   // two blocks a turn: one branch for the common "nothing here"
    const __m256i a0 = _mm256_or_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + first_anchor_)), fold_one);
    const __m256i b0 = _mm256_or_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + second_anchor_)), fold_two);
    const __m256i a1 = _mm256_or_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32 + first_anchor_)), fold_one);
    const __m256i b1 = _mm256_or_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32 + second_anchor_)), fold_two);
    const __m256i m0 = _mm256_and_si256(_mm256_cmpeq_epi8(a0, one), _mm256_cmpeq_epi8(b0, two));
    const __m256i m1 = _mm256_and_si256(_mm256_cmpeq_epi8(a1, one), _mm256_cmpeq_epi8(b1, two));
    if (_mm256_testz_si256(_mm256_or_si256(m0, m1), _mm256_or_si256(m0, m1))) continue;
    if (const char* const hit = verify(at, static_cast<unsigned>(_mm256_movemask_epi8(m0)))) return hit;
    if (const char* const hit = verify(at + 32, static_cast<unsigned>(_mm256_movemask_epi8(m1)))) return hit;
  }
  return at <= last ? find_sse2(at, end) : nullptr;
}

#else
const char* Finder::find_sse2(const char* begin, const char* end) const { return find_scalar(begin, end); }
const char* Finder::find_avx2(const char* begin, const char* end) const { return find_scalar(begin, end); }
#endif

}  // namespace skald::engine
