#include "ingester/head.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "skald/chunk/builder.h"
#include "skald/codec/hash.h"
#include "skald/codec/varint.h"

namespace skald::ingester {
namespace {

using chunk::Columns;

constexpr std::uint8_t kHasMetadata = 0x80;

char* put_varint(char* p, std::uint64_t value) {
  while (value >= 0x80) {
    *p++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *p++ = static_cast<char>(value);
  return p;
}

char* put_bytes(char* p, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(p, bytes.data(), bytes.size());
  return p + bytes.size();
}

// Our own bytes, written under the lock: no bounds to doubt.
std::uint64_t get_varint(const char*& p) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*p++);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

std::int64_t add_wrapping(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t subtract_wrapping(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

// Fills text and offsets row by row.
class TextBuilder {
 public:
  TextBuilder(Columns& out, std::size_t rows, std::size_t line_bytes) : out_(out) {
    out.line_offsets.reserve(rows + 1);
    out.line_offsets.push_back(0);
    out.text.reserve(line_bytes + rows + kBufferSlack);
  }
  void add(std::string_view line) {
    out_.text.append(line);
    out_.text.push_back('\n');
    out_.line_offsets.push_back(static_cast<std::uint32_t>(out_.text.size()));
  }
  void finish() {
    out_.text_bytes = out_.text.size();
    out_.text.append(kBufferSlack, '\0');
  }

 private:
  Columns& out_;
};

}  // namespace

std::uint32_t NameTable::number_of(std::string_view name) {
  const std::string key(name);
  {
    std::shared_lock lock(mutex_);
    if (const auto found = numbers_.find(key); found != numbers_.end()) return found->second;
  }
  std::unique_lock lock(mutex_);
  const auto [found, fresh] = numbers_.try_emplace(key, static_cast<std::uint32_t>(names_.size()));
  if (fresh) names_.push_back(&found->first);
  return found->second;
}

std::string NameTable::name_of(std::uint32_t number) const {
  std::shared_lock lock(mutex_);
  return *names_[number];
}

std::uint32_t NameCache::number_of(std::size_t position, std::string_view name) {
  if (position < seen_.size() && seen_[position].first == name) return seen_[position].second;
  const std::uint32_t number = table_.number_of(name);
  if (position >= seen_.size()) seen_.resize(position + 1);
  seen_[position] = {std::string(name), number};
  return number;
}

std::uint32_t append_record(SlabChain& chain, std::int64_t reference_ns, const model::PushEntry& entry, const model::LabelView* metadata,
                            NameCache& names) {
  const std::uint64_t delta = codec::zigzag(subtract_wrapping(entry.timestamp_ns, reference_ns));
  const std::uint32_t pairs = entry.metadata_end - entry.metadata_begin;
  std::size_t size = codec::varint_size(delta) + 1 + codec::varint_size(entry.line.size()) + entry.line.size();
  std::uint32_t inline_numbers[16];
  std::vector<std::uint32_t> many;
  std::uint32_t* numbers = inline_numbers;
  if (pairs > 0) {
    if (pairs > std::size(inline_numbers)) {
      many.resize(pairs);
      numbers = many.data();
    }
    size += codec::varint_size(pairs);
    for (std::uint32_t k = 0; k < pairs; ++k) {
      const auto& pair = metadata[entry.metadata_begin + k];
      numbers[k] = names.number_of(k, pair.name);
      size += codec::varint_size(numbers[k]) + codec::varint_size(pair.value.size()) + pair.value.size();
    }
  }
  char* p = chain.reserve(static_cast<std::uint32_t>(size));
  p = put_varint(p, delta);
  *p++ = static_cast<char>(static_cast<std::uint8_t>(entry.level) | (pairs > 0 ? kHasMetadata : 0));
  p = put_bytes(put_varint(p, entry.line.size()), entry.line);
  if (pairs > 0) {
    p = put_varint(p, pairs);
    for (std::uint32_t k = 0; k < pairs; ++k) {
      const auto& value = metadata[entry.metadata_begin + k].value;
      p = put_bytes(put_varint(put_varint(p, numbers[k]), value.size()), value);
    }
  }
  return static_cast<std::uint32_t>(size);
}

std::uint64_t entry_hash(const model::PushEntry& entry, const model::LabelView* metadata) {
  std::uint64_t hash = codec::xxh3_64_seeded(entry.line, static_cast<std::uint64_t>(entry.timestamp_ns));
  for (std::uint32_t k = entry.metadata_begin; k < entry.metadata_end; ++k)
    hash = codec::xxh3_64_seeded(metadata[k].value, codec::xxh3_64_seeded(metadata[k].name, hash));
  return hash;
}

std::shared_ptr<const Columns> decode_head(const HeadView& view) {
  struct Record {
    std::int64_t ts = 0;
    std::string_view line;
    const char* metadata = nullptr;  // behind the line, null when there is none
    std::uint8_t level = 0;
  };
  std::vector<Record> records;
  records.reserve(view.rows);
  std::int64_t reference = 0;
  std::size_t line_bytes = 0;
  bool any_level = false;
  view.chain->for_each_stretch(view.length, [&](const char* p, const char* end) {
    while (p < end) {
      Record record;
      record.ts = add_wrapping(reference, codec::unzigzag(get_varint(p)));
      reference = records.empty() ? record.ts : std::max(reference, record.ts);
      const auto tag = static_cast<std::uint8_t>(*p++);
      record.level = tag & ~kHasMetadata;
      any_level |= record.level != 0;
      const std::uint64_t size = get_varint(p);
      record.line = {p, size};
      line_bytes += size;
      p += size;
      if ((tag & kHasMetadata) != 0) {
        record.metadata = p;
        for (std::uint64_t pairs = get_varint(p); pairs > 0; --pairs) {
          (void)get_varint(p);
          const std::uint64_t value = get_varint(p);
          p += value;
        }
      }
      records.push_back(record);
    }
  });
  SKALD_CHECK(records.size() == view.rows);

  if (!view.ascending) {
    std::stable_sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.ts < b.ts; });
    // Metadata bytes are canonical (names sorted and numbered), so equal bytes are equal metadata.
    const auto metadata_bytes = [](const Record& r) -> std::string_view {
      if (r.metadata == nullptr) return {};
      const char* p = r.metadata;
      for (std::uint64_t pairs = get_varint(p); pairs > 0; --pairs) {
        (void)get_varint(p);
        const std::uint64_t value = get_varint(p);
        p += value;
      }
      return {r.metadata, static_cast<std::size_t>(p - r.metadata)};
    };
    const auto same = [&](const Record& a, const Record& b) { return a.line == b.line && metadata_bytes(a) == metadata_bytes(b); };
    std::size_t out = 0, run = 0;  // rows [run, out) kept with the current timestamp
    std::unordered_map<std::uint64_t, std::vector<std::size_t>> seen;  // only for long runs of one timestamp
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (out == 0 || records[i].ts != records[out - 1].ts) {
        run = out;
        seen.clear();
      }
      bool duplicate = false;
      if (out - run < 16) {
        for (std::size_t k = run; k < out && !duplicate; ++k) duplicate = same(records[k], records[i]);
      } else {
        if (seen.empty())
          for (std::size_t k = run; k < out; ++k) seen[codec::xxh3_64(records[k].line)].push_back(k);
        auto& candidates = seen[codec::xxh3_64(records[i].line)];
        for (const std::size_t k : candidates) duplicate = duplicate || same(records[k], records[i]);
        if (!duplicate) candidates.push_back(out);
      }
      if (!duplicate) records[out++] = records[i];
    }
    records.resize(out);
  }

  auto columns = std::make_shared<Columns>();
  columns->rows = static_cast<std::uint32_t>(records.size());
  columns->timestamps_ns.reserve(records.size());
  if (any_level) columns->levels.reserve(records.size());
  TextBuilder text(*columns, records.size(), line_bytes);
  std::unordered_map<std::uint64_t, std::size_t> column_of;
  for (std::size_t row = 0; row < records.size(); ++row) {
    const Record& record = records[row];
    columns->timestamps_ns.push_back(record.ts);
    if (any_level) columns->levels.push_back(record.level);
    text.add(record.line);
    if (record.metadata == nullptr) continue;
    const char* p = record.metadata;
    for (std::uint64_t pairs = get_varint(p); pairs > 0; --pairs) {
      const std::uint64_t number = get_varint(p);
      const std::uint64_t size = get_varint(p);
      const auto [found, fresh] = column_of.try_emplace(number, columns->metadata.size());
      if (fresh) {
        auto& column = columns->metadata.emplace_back();
        column.name = view.names->name_of(static_cast<std::uint32_t>(number));
        column.values.resize(records.size());
      }
      columns->metadata[found->second].values[row] = {p, size};
      p += size;
    }
  }
  text.finish();
  if (!columns->metadata.empty()) {
    std::sort(columns->metadata.begin(), columns->metadata.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    columns->keep_alive.push_back(std::make_shared<const ChainRef>(view.chain));
  }
  return columns;
}

Result<std::shared_ptr<const Columns>> HeadBlock::load(chunk::ColumnMask, const CallContext& ctx) const {
  SKALD_TRY_VOID(ctx.check());
  return columns();
}

std::shared_ptr<const Columns> HeadBlock::columns() const {
  std::lock_guard lock(mutex_);
  if (!columns_) {
    columns_ = decode_head(view_);
    view_ = {};
  }
  return columns_;
}

std::vector<ShardRows> merge_rows(const std::vector<std::shared_ptr<const Columns>>& sources, std::uint32_t rows_max,
                                  std::uint64_t raw_bytes_target) {
  struct Ref {
    std::int64_t ts = 0;
    std::uint32_t source = 0, row = 0;
  };
  std::vector<Ref> order;
  bool sorted = true;
  std::vector<std::string> names;
  for (std::uint32_t s = 0; s < sources.size(); ++s) {
    for (const auto& column : sources[s]->metadata) names.push_back(column.name);
    for (std::uint32_t row = 0; row < sources[s]->rows; ++row) {
      const std::int64_t ts = sources[s]->timestamps_ns[row];
      sorted = sorted && (order.empty() || order.back().ts <= ts);
      order.push_back({ts, s, row});
    }
  }
  if (!sorted) std::stable_sort(order.begin(), order.end(), [](const Ref& a, const Ref& b) { return a.ts < b.ts; });
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  // columns_of[source][name] → the source's column, or null
  std::vector<std::vector<const chunk::MetadataColumn*>> columns_of(sources.size(), std::vector<const chunk::MetadataColumn*>(names.size(), nullptr));
  for (std::size_t s = 0; s < sources.size(); ++s)
    for (const auto& column : sources[s]->metadata)
      columns_of[s][static_cast<std::size_t>(std::lower_bound(names.begin(), names.end(), column.name) - names.begin())] = &column;
  const auto value = [&](const Ref& ref, std::size_t name) {
    const auto* column = columns_of[ref.source][name];
    return column == nullptr ? std::string_view() : column->values[ref.row];
  };
  const auto same = [&](const Ref& a, const Ref& b) {
    if (sources[a.source]->line(a.row) != sources[b.source]->line(b.row)) return false;
    for (std::size_t n = 0; n < names.size(); ++n) {
      const auto x = value(a, n), y = value(b, n);
      if ((x.data() == nullptr) != (y.data() == nullptr) || x != y) return false;
    }
    return true;
  };
  // Sources are free of duplicates within themselves, so only rows of different sources are compared.
  std::size_t out = 0, run = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (out == 0 || order[i].ts != order[out - 1].ts) run = out;
    bool duplicate = false;
    for (std::size_t k = run; k < out && !duplicate; ++k) duplicate = order[k].source != order[i].source && same(order[k], order[i]);
    if (!duplicate) order[out++] = order[i];
  }
  order.resize(out);

  std::vector<ShardRows> shards;
  for (std::size_t begin = 0; begin < order.size();) {
    const std::int64_t shard = chunk::time_shard_start(order[begin].ts);
    std::size_t end = begin;
    std::uint64_t raw = 0;
    bool any_level = false;
    while (end < order.size() && end - begin < rows_max && order[end].ts < shard + chunk::kTimeShardNs) {
      const auto& source = *sources[order[end].source];
      const std::size_t size = source.line(order[end].row).size();
      if (end > begin && raw + size > raw_bytes_target) break;
      raw += size;
      any_level |= !source.levels.empty();
      ++end;
    }
    auto columns = std::make_shared<Columns>();
    columns->rows = static_cast<std::uint32_t>(end - begin);
    TextBuilder text(*columns, end - begin, raw);
    for (const auto& name : names) {
      columns->metadata.push_back({name, std::vector<std::string_view>(end - begin)});
    }
    for (std::size_t i = begin; i < end; ++i) {
      const Columns& source = *sources[order[i].source];
      columns->timestamps_ns.push_back(order[i].ts);
      if (any_level) columns->levels.push_back(source.levels.empty() ? 0 : source.levels[order[i].row]);
      text.add(source.line(order[i].row));
      for (std::size_t n = 0; n < names.size(); ++n) columns->metadata[n].values[i - begin] = value(order[i], n);
    }
    text.finish();
    std::erase_if(columns->metadata, [](const auto& column) {
      return std::all_of(column.values.begin(), column.values.end(), [](std::string_view v) { return v.data() == nullptr; });
    });
    if (!columns->metadata.empty())
      for (const auto& source : sources) columns->keep_alive.push_back(source);
    if (shards.empty() || shards.back().shard_start_ns != shard) shards.push_back({shard, {}, 0, 0});
    shards.back().blocks.push_back(std::move(columns));
    shards.back().raw_bytes += raw;
    shards.back().rows += end - begin;
    begin = end;
  }
  return shards;
}

}  // namespace skald::ingester
