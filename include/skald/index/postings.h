// Sets of series ids. On disk: three container kinds keyed by the high 16 bits, byte-compatible with the portable
// roaring layout (https://github.com/RoaringBitmap/RoaringFormatSpec), read in place. In a query: a plain bitmap over one
// index's series, because a million series are 125 KB and every operation is then a pass over words.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::index {

// A set of ids below size(). A value type; no operation throws away bits outside the other operand silently: sizes of
// two operands must be equal (checked).
class SeriesBitmap {
 public:
  SeriesBitmap() = default;
  explicit SeriesBitmap(std::uint32_t size, bool filled = false);

  std::uint32_t size() const { return size_; }
  bool test(std::uint32_t id) const { return (words_[id >> 6] >> (id & 63)) & 1; }
  void set(std::uint32_t id) { words_[id >> 6] |= 1ULL << (id & 63); }
  void set_range(std::uint32_t begin, std::uint32_t end);        // [begin, end), end <= size()
  bool any_in_range(std::uint32_t begin, std::uint32_t end) const;
  void or_words(std::uint32_t first_id, std::span<const std::uint64_t> words);  // first_id a multiple of 64

  void operator&=(const SeriesBitmap& other);
  void and_not(const SeriesBitmap& other);
  void invert();
  bool any() const;
  bool all() const { return count() == size_; }
  std::uint32_t count() const;
  // First id >= from in the set, or size().
  std::uint32_t next(std::uint32_t from) const;
  template <class F>
  void for_each(F&& visit) const {
    for (std::size_t w = 0; w < words_.size(); ++w)
      for (std::uint64_t bits = words_[w]; bits != 0; bits &= bits - 1)
        visit(static_cast<std::uint32_t>(w * 64 + static_cast<std::size_t>(std::countr_zero(bits))));
  }

 private:
  std::uint32_t size_ = 0;
  std::vector<std::uint64_t> words_;
};

// Appends the serialised set. `ids` sorted, unique, not empty. The smallest container kind is chosen per 65 536 ids.
void append_postings(std::string& out, std::span<const std::uint32_t> ids);

// A serialised set, read in place. Parsing checks the whole structure against `size` ids; nothing is allocated.
class PostingsView {
 public:
  // kCorruption unless `bytes` is exactly one set of ids below `size`: sorted keys, sorted array values, disjoint
  // ascending runs, counts that match, no bytes left over.
  static Result<PostingsView> parse(ByteView bytes, std::uint32_t size);

  std::uint32_t count() const { return count_; }
  void or_into(SeriesBitmap& set) const;             // set.size() == size given to parse()
  bool intersects(const SeriesBitmap& set) const;
  std::vector<std::uint32_t> to_vector() const;

 private:
  template <class Visitor>
  void for_each_container(Visitor&& visit) const;
  ByteView bytes_;
  std::uint32_t size_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace skald::index
