#include "skald/index/postings.h"

#include <algorithm>

#include "skald/base/check.h"

namespace skald::index {
namespace {

// Cookies of the portable roaring layout: with and without run containers.
constexpr std::uint32_t kCookieNoRuns = 12346;
constexpr std::uint32_t kCookieRuns = 12347;
constexpr std::uint32_t kOffsetsFrom = 4;        // a set with runs has container offsets only from this many containers
constexpr std::uint32_t kArrayIdsMax = 4096;     // above: a bitmap container
constexpr std::size_t kBitmapBytes = 8192;
constexpr std::uint32_t kContainerIds = 65536;

Error corrupt(const char* what) { return Error(ErrorCode::kCorruption, std::string("postings: ") + what); }

struct ContainerPlan {
  std::uint16_t key = 0;
  std::uint32_t begin = 0, end = 0;   // ids of the container
  std::uint32_t runs = 0;
  bool as_runs = false;
};

// Positions of the parts of a serialised set.
struct Frame {
  std::uint32_t containers = 0;
  std::size_t run_flags = 0;      // 0: no container is runs
  std::size_t descriptors = 0;    // (u16 key, u16 count - 1) each
  std::size_t data = 0;
  bool is_runs(ByteView bytes, std::uint32_t i) const {
    return run_flags != 0 && ((static_cast<std::uint8_t>(bytes[run_flags + i / 8]) >> (i % 8)) & 1);
  }
};

// The caller has checked the bytes, or checks `data <= bytes.size()` afterwards.
bool read_frame(ByteView bytes, Frame& frame, bool& has_offsets) {
  if (bytes.size() < 8) return false;
  const std::uint32_t cookie = load_le<std::uint32_t>(bytes.data());
  if ((cookie & 0xFFFF) == kCookieRuns) {
    frame.containers = (cookie >> 16) + 1;
    frame.run_flags = 4;
    frame.descriptors = 4 + (frame.containers + 7) / 8;
    has_offsets = frame.containers >= kOffsetsFrom;
  } else if (cookie == kCookieNoRuns) {
    frame.containers = load_le<std::uint32_t>(bytes.data() + 4);
    if (frame.containers == 0 || frame.containers > kContainerIds) return false;
    frame.descriptors = 8;
    has_offsets = true;
  } else {
    return false;
  }
  frame.data = frame.descriptors + 4ULL * frame.containers + (has_offsets ? 4ULL * frame.containers : 0);
  return frame.data <= bytes.size();
}

}  // namespace

SeriesBitmap::SeriesBitmap(std::uint32_t size, bool filled) : size_(size), words_((size + 63ULL) / 64, 0) {
  if (filled) set_range(0, size);
}

void SeriesBitmap::set_range(std::uint32_t begin, std::uint32_t end) {
  if (begin >= end) return;
  const std::uint32_t first = begin >> 6, last = (end - 1) >> 6;
  const std::uint64_t low = ~0ULL << (begin & 63), high = ~0ULL >> (63 - ((end - 1) & 63));
  if (first == last) {
    words_[first] |= low & high;
    return;
  }
  words_[first] |= low;
  std::fill(words_.begin() + first + 1, words_.begin() + last, ~0ULL);
  words_[last] |= high;
}

bool SeriesBitmap::any_in_range(std::uint32_t begin, std::uint32_t end) const {
  return begin < end && next(begin) < end;
}

void SeriesBitmap::or_words(std::uint32_t first_id, std::span<const std::uint64_t> words) {
  const std::size_t first = first_id / 64;
  for (std::size_t i = 0; i < words.size() && first + i < words_.size(); ++i) words_[first + i] |= words[i];
}

void SeriesBitmap::operator&=(const SeriesBitmap& other) {
  SKALD_CHECK(size_ == other.size_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
}

void SeriesBitmap::and_not(const SeriesBitmap& other) {
  SKALD_CHECK(size_ == other.size_);
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
}

void SeriesBitmap::invert() {
  for (std::uint64_t& word : words_) word = ~word;
  if (size_ % 64 != 0) words_.back() &= ~0ULL >> (64 - size_ % 64);
}

bool SeriesBitmap::any() const {
  return std::any_of(words_.begin(), words_.end(), [](std::uint64_t word) { return word != 0; });
}

std::uint32_t SeriesBitmap::count() const {
  std::uint32_t total = 0;
  for (const std::uint64_t word : words_) total += static_cast<std::uint32_t>(std::popcount(word));
  return total;
}

std::uint32_t SeriesBitmap::next(std::uint32_t from) const {
  if (from >= size_) return size_;
  std::size_t w = from >> 6;
  std::uint64_t bits = words_[w] & (~0ULL << (from & 63));
  while (bits == 0) {
    if (++w == words_.size()) return size_;
    bits = words_[w];
  }
  return static_cast<std::uint32_t>(w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
}

void append_postings(std::string& out, std::span<const std::uint32_t> ids) {
  SKALD_CHECK(!ids.empty());
  std::vector<ContainerPlan> plans;
  bool any_runs = false;
  for (std::uint32_t i = 0; i < ids.size();) {
    ContainerPlan plan{.key = static_cast<std::uint16_t>(ids[i] >> 16), .begin = i};
    std::uint32_t j = i;
    for (; j < ids.size() && ids[j] >> 16 == plan.key; ++j) plan.runs += j == i || ids[j] != ids[j - 1] + 1;
    plan.end = j;
    const std::size_t count = j - i;
    const std::size_t plain_bytes = count <= kArrayIdsMax ? 2 * count : kBitmapBytes;
    plan.as_runs = 2 + 4ULL * plan.runs < plain_bytes;
    any_runs |= plan.as_runs;
    plans.push_back(plan);
    i = j;
  }
  const std::size_t start = out.size();
  const auto containers = static_cast<std::uint32_t>(plans.size());
  if (any_runs) {
    append_le<std::uint32_t>(out, kCookieRuns | (containers - 1) << 16);
    std::string flags((containers + 7) / 8, '\0');
    for (std::uint32_t i = 0; i < containers; ++i)
      if (plans[i].as_runs) flags[i / 8] = static_cast<char>(flags[i / 8] | 1 << (i % 8));
    out += flags;
  } else {
    append_le<std::uint32_t>(out, kCookieNoRuns);
    append_le<std::uint32_t>(out, containers);
  }
  for (const ContainerPlan& plan : plans) {
    append_le<std::uint16_t>(out, plan.key);
    append_le<std::uint16_t>(out, static_cast<std::uint16_t>(plan.end - plan.begin - 1));
  }
  const std::size_t offsets_at = out.size();
  const bool has_offsets = !any_runs || containers >= kOffsetsFrom;
  if (has_offsets) out.resize(out.size() + 4ULL * containers);
  for (std::uint32_t i = 0; i < containers; ++i) {
    const ContainerPlan& plan = plans[i];
    if (has_offsets) store_le<std::uint32_t>(out.data() + offsets_at + 4ULL * i, static_cast<std::uint32_t>(out.size() - start));
    const auto part = ids.subspan(plan.begin, plan.end - plan.begin);
    if (plan.as_runs) {
      append_le<std::uint16_t>(out, static_cast<std::uint16_t>(plan.runs));
      for (std::size_t k = 0; k < part.size();) {
        std::size_t end = k + 1;
        while (end < part.size() && part[end] == part[end - 1] + 1) ++end;
        append_le<std::uint16_t>(out, static_cast<std::uint16_t>(part[k]));
        append_le<std::uint16_t>(out, static_cast<std::uint16_t>(end - k - 1));
        k = end;
      }
    } else if (part.size() <= kArrayIdsMax) {
      for (const std::uint32_t id : part) append_le<std::uint16_t>(out, static_cast<std::uint16_t>(id));
    } else {
      const std::size_t at = out.size();
      out.resize(at + kBitmapBytes);
      for (const std::uint32_t id : part) {
        char& byte = out[at + (id & 0xFFFF) / 8];
        byte = static_cast<char>(byte | 1 << (id % 8));
      }
    }
  }
}

Result<PostingsView> PostingsView::parse(ByteView bytes, std::uint32_t size) {
  Frame frame;
  bool has_offsets = false;
  if (!read_frame(bytes, frame, has_offsets)) return corrupt("bad cookie or truncated header");
  std::size_t at = frame.data;
  std::uint64_t total = 0;
  std::int32_t previous_key = -1;
  for (std::uint32_t i = 0; i < frame.containers; ++i) {
    const char* descriptor = bytes.data() + frame.descriptors + 4ULL * i;
    const std::uint32_t key = load_le<std::uint16_t>(descriptor);
    const std::uint32_t count = load_le<std::uint16_t>(descriptor + 2) + 1U;
    if (static_cast<std::int32_t>(key) <= previous_key) return corrupt("container keys not ascending");
    previous_key = static_cast<std::int32_t>(key);
    if (has_offsets && load_le<std::uint32_t>(bytes.data() + frame.descriptors + 4ULL * frame.containers + 4ULL * i) != at)
      return corrupt("container offset");
    const std::uint64_t base = static_cast<std::uint64_t>(key) << 16;
    std::uint64_t last = 0;   // highest id of the container
    if (frame.is_runs(bytes, i)) {
      if (bytes.size() - at < 2) return corrupt("truncated");
      const std::uint32_t runs = load_le<std::uint16_t>(bytes.data() + at);
      at += 2;
      if (runs == 0 || bytes.size() - at < 4ULL * runs) return corrupt("truncated runs");
      std::uint32_t seen = 0;
      std::int64_t previous_end = -1;
      for (std::uint32_t r = 0; r < runs; ++r, at += 4) {
        const std::uint32_t first = load_le<std::uint16_t>(bytes.data() + at);
        const std::uint32_t end = first + load_le<std::uint16_t>(bytes.data() + at + 2);
        if (first <= previous_end || end >= kContainerIds) return corrupt("runs overlap");
        previous_end = end;
        seen += end - first + 1;
      }
      if (seen != count) return corrupt("run count");
      last = base + static_cast<std::uint64_t>(previous_end);
    } else if (count <= kArrayIdsMax) {
      if (bytes.size() - at < 2ULL * count) return corrupt("truncated array");
      std::int32_t previous = -1;
      for (std::uint32_t k = 0; k < count; ++k, at += 2) {
        const std::int32_t id = load_le<std::uint16_t>(bytes.data() + at);
        if (id <= previous) return corrupt("array not ascending");
        previous = id;
      }
      last = base + static_cast<std::uint64_t>(previous);
    } else {
      if (bytes.size() - at < kBitmapBytes) return corrupt("truncated bitmap");
      std::uint32_t seen = 0;
      for (std::uint32_t w = 0; w < kBitmapBytes / 8; ++w, at += 8) {
        const auto word = load_le<std::uint64_t>(bytes.data() + at);
        seen += static_cast<std::uint32_t>(std::popcount(word));
        if (word != 0) last = base + w * 64 + 63 - static_cast<std::uint64_t>(std::countl_zero(word));
      }
      if (seen != count) return corrupt("bitmap count");
    }
    if (last >= size) return corrupt("series id beyond the index");
    total += count;
  }
  if (at != bytes.size()) return corrupt("bytes left over");
  PostingsView view;
  view.bytes_ = bytes;
  view.size_ = size;
  view.count_ = static_cast<std::uint32_t>(total);
  return view;
}

// Visits (first id, kind, count, data) of each container until the visitor returns false. Structure checked by parse().
template <class Visitor>
void PostingsView::for_each_container(Visitor&& visit) const {
  Frame frame;
  bool has_offsets = false;
  if (!read_frame(bytes_, frame, has_offsets)) return;
  std::size_t at = frame.data;
  for (std::uint32_t i = 0; i < frame.containers; ++i) {
    const char* descriptor = bytes_.data() + frame.descriptors + 4ULL * i;
    const std::uint32_t base = static_cast<std::uint32_t>(load_le<std::uint16_t>(descriptor)) << 16;
    std::uint32_t count = load_le<std::uint16_t>(descriptor + 2) + 1U;
    char kind = 'a';
    std::size_t data_bytes = 2ULL * count;
    if (frame.is_runs(bytes_, i)) {
      kind = 'r';
      count = load_le<std::uint16_t>(bytes_.data() + at);
      at += 2;
      data_bytes = 4ULL * count;
    } else if (count > kArrayIdsMax) {
      kind = 'b';
      data_bytes = kBitmapBytes;
    }
    if (!visit(base, kind, count, bytes_.data() + at)) return;
    at += data_bytes;
  }
}

void PostingsView::or_into(SeriesBitmap& set) const {
  SKALD_CHECK(set.size() == size_);
  for_each_container([&](std::uint32_t base, char kind, std::uint32_t count, const char* data) {
    if (kind == 'r') {
      for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t first = base + load_le<std::uint16_t>(data + 4ULL * i);
        set.set_range(first, first + load_le<std::uint16_t>(data + 4ULL * i + 2) + 1U);
      }
    } else if (kind == 'a') {
      for (std::uint32_t i = 0; i < count; ++i) set.set(base + load_le<std::uint16_t>(data + 2ULL * i));
    } else {
      std::uint64_t words[kBitmapBytes / 8];
      std::memcpy(words, data, sizeof words);
      set.or_words(base, words);
    }
    return true;
  });
}

bool PostingsView::intersects(const SeriesBitmap& set) const {
  SKALD_CHECK(set.size() == size_);
  bool found = false;
  for_each_container([&](std::uint32_t base, char kind, std::uint32_t count, const char* data) {
    if (kind == 'r') {
      for (std::uint32_t i = 0; i < count && !found; ++i) {
        const std::uint32_t first = base + load_le<std::uint16_t>(data + 4ULL * i);
        found = set.any_in_range(first, first + load_le<std::uint16_t>(data + 4ULL * i + 2) + 1U);
      }
    } else if (kind == 'a') {
      for (std::uint32_t i = 0; i < count && !found; ++i) found = set.test(base + load_le<std::uint16_t>(data + 2ULL * i));
    } else {
      for (std::uint32_t w = 0; w < kBitmapBytes / 8 && !found; ++w) {
        for (auto word = load_le<std::uint64_t>(data + 8ULL * w); word != 0 && !found; word &= word - 1)
          found = set.test(base + w * 64 + static_cast<std::uint32_t>(std::countr_zero(word)));
      }
    }
    return !found;
  });
  return found;
}

std::vector<std::uint32_t> PostingsView::to_vector() const {
  std::vector<std::uint32_t> ids;
  ids.reserve(count_);
  for_each_container([&](std::uint32_t base, char kind, std::uint32_t count, const char* data) {
    if (kind == 'r') {
      for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t first = base + load_le<std::uint16_t>(data + 4ULL * i), last = first + load_le<std::uint16_t>(data + 4ULL * i + 2);
        for (std::uint64_t id = first; id <= last; ++id) ids.push_back(static_cast<std::uint32_t>(id));
      }
    } else if (kind == 'a') {
      for (std::uint32_t i = 0; i < count; ++i) ids.push_back(base + load_le<std::uint16_t>(data + 2ULL * i));
    } else {
      for (std::uint32_t w = 0; w < kBitmapBytes / 8; ++w) {
        for (auto word = load_le<std::uint64_t>(data + 8ULL * w); word != 0; word &= word - 1)
          ids.push_back(base + w * 64 + static_cast<std::uint32_t>(std::countr_zero(word)));
      }
    }
    return true;
  });
  return ids;
}

}  // namespace skald::index
