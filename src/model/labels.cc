#include "skald/model/labels.h"

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "model/utf8.h"

namespace skald::model {

Labels Labels::from_pairs_with_empty(std::vector<Label> pairs) {
  // Stable, so that the last of equal names is the one that was given last.
  std::stable_sort(pairs.begin(), pairs.end(), [](const Label& a, const Label& b) { return a.name < b.name; });
  Labels labels;
  labels.pairs_.reserve(pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (i + 1 < pairs.size() && pairs[i + 1].name == pairs[i].name) continue;
    labels.pairs_.push_back(std::move(pairs[i]));
  }
  return labels;
}

Labels Labels::from_pairs(std::vector<Label> pairs) {
  Labels labels = from_pairs_with_empty(std::move(pairs));
  std::erase_if(labels.pairs_, [](const Label& label) { return label.value.empty(); });
  return labels;
}

std::string_view Labels::get(std::string_view name) const {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), name,
                                   [](const Label& label, std::string_view wanted) { return label.name < wanted; });
  return it != pairs_.end() && it->name == name ? std::string_view(it->value) : std::string_view();
}

bool Labels::has(std::string_view name) const { return !get(name).empty(); }

std::uint64_t Labels::compute_hash() const {
  std::size_t total = 0;
  for (const Label& label : pairs_) total += label.name.size() + label.value.size() + 2;
  // One contiguous buffer: the one-shot hash is several times quicker than the streaming one at these sizes.
  std::array<char, 1024> small;
  std::string large;
  char* out = small.data();
  if (total > small.size()) {
    large.resize(total);
    out = large.data();
  }
  char* const begin = out;
  for (const Label& label : pairs_) {
    out = std::copy(label.name.begin(), label.name.end(), out);
    *out++ = '\xFF';
    out = std::copy(label.value.begin(), label.value.end(), out);
    *out++ = '\xFF';
  }
  return XXH3_64bits(begin, total);
}

std::string Labels::to_string() const {
  std::string out;
  std::size_t total = 2;
  for (const Label& label : pairs_) total += label.name.size() + label.value.size() + 5;
  out.reserve(total);
  out += '{';
  for (const Label& label : pairs_) {
    if (out.size() > 1) out += ", ";
    out += label.name;
    out += '=';
    append_go_quoted(out, label.value);
  }
  out += '}';
  return out;
}

bool is_printable(std::uint32_t rune) {
  struct Range {
    std::uint32_t first, last;
  };
  // Controls, formats, separators other than ' ', surrogates, private use, non-characters.
  static constexpr Range kHidden[] = {
      {0x00, 0x1F},       {0x7F, 0xA0},       {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},
      {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},     {0x1680, 0x1680},
      {0x180E, 0x180E},   {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F},   {0x3000, 0x3000},
      {0xD800, 0xF8FF},   {0xFEFF, 0xFEFF},   {0xFFF0, 0xFFFB},   {0xFFFE, 0xFFFF},   {0x110BD, 0x110BD},
      {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE00FF},
      {0xE01F0, 0x10FFFF}};
  for (const Range& range : kHidden) {
    if (rune <= range.last) return rune < range.first;
  }
  return false;
}

void append_go_quoted(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    // Runs of plain ASCII are by far the most common.
    std::size_t plain = 0;
    while (plain < text.size()) {
      const auto c = static_cast<std::uint8_t>(text[plain]);
      if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') break;
      ++plain;
    }
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const Rune rune = decode_rune(text);
    char buffer[16];
    if (rune.length == 0) {
      std::snprintf(buffer, sizeof buffer, "\\x%02x", static_cast<unsigned>(static_cast<std::uint8_t>(text[0])));
      out += buffer;
      text.remove_prefix(1);
      continue;
    }
    switch (rune.value) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\a': out += "\\a"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\v': out += "\\v"; break;
      default:
        if (is_printable(rune.value)) {
          out.append(text.data(), rune.length);
        } else {
          const char* const form = rune.value < 0x80 ? "\\x%02x" : rune.value < 0x10000 ? "\\u%04x" : "\\U%08x";
          std::snprintf(buffer, sizeof buffer, form, rune.value);
          out += buffer;
        }
    }
    text.remove_prefix(rune.length);
  }
  out += '"';
}

LabelsPtr intern(Labels labels) {
  auto interned = std::make_shared<InternedLabels>();
  interned->text = labels.to_string();
  interned->hash = labels.compute_hash();
  interned->labels = std::move(labels);
  return interned;
}

}  // namespace skald::model
