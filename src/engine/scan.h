// Substring search over whole blocks. Two anchor bytes of the needle, chosen rare, are compared 32 (AVX2) or 16 (SSE2)
// positions at a time; only where both fit is the needle compared. Never reads outside [begin, end).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace skald::engine {

enum class ScanKernel { kAuto, kScalar, kSse2, kAvx2 };   // others than kAuto: tests

// Immutable and thread-safe.
class Finder {
 public:
  // `fold_case`: ASCII letters of the needle match both cases.
  explicit Finder(std::string_view needle, bool fold_case = false, ScanKernel kernel = ScanKernel::kAuto);
  const std::string& needle() const { return needle_; }   // lower case when folding
  bool folds() const { return fold_; }

  // First match that lies inside [begin, end); nullptr when there is none.
  const char* find(const char* begin, const char* end) const;
  bool contained_in(std::string_view text) const { return find(text.data(), text.data() + text.size()) != nullptr; }

 private:
  const char* find_scalar(const char* begin, const char* end) const;
  const char* find_sse2(const char* begin, const char* end) const;
  const char* find_avx2(const char* begin, const char* end) const;
  bool equal_at(const char* at) const;

  std::string needle_;
  std::string fold_mask_;            // 0x20 per letter when folding, else 0
  bool fold_ = false;
  bool constant_ = false;            // no byte folds: memcmp decides
  ScanKernel kernel_ = ScanKernel::kScalar;
  std::uint32_t first_anchor_ = 0, second_anchor_ = 0;   // offsets into the needle, first <= second
};

// How rare a byte is in logs, roughly: 0 rarest. Chooses anchors and the order of filters.
std::uint8_t byte_commonness(unsigned char byte);

}  // namespace skald::engine
