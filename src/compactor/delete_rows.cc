#include "compactor/delete_rows.h"

#include <algorithm>
#include <set>

#include "skald/chunk/reader.h"

namespace skald::compactor {

Result<void> DeleteRows::add(std::shared_ptr<const DeleteRequest> request) {
  SKALD_CHECK(items_.size() < UINT16_MAX);
  Item item;
  // As queries hide them: from the first second's begin to the last second's begin.
  if (__builtin_mul_overflow(request->start_s, kNanosPerSecond, &item.start_ns)) item.start_ns = INT64_MIN;
  if (__builtin_mul_overflow(request->end_s, kNanosPerSecond, &item.end_ns)) item.end_ns = INT64_MAX;
  if (!request->selector.stages.empty()) {
    auto compiled = engine::Pipeline::compile(request->selector.stages, engine::PipelineOptions{});
    if (!compiled.ok()) return compiled.error().with_prefix("delete request " + request->id);
    item.pipeline = std::move(*compiled);
    item.runner = item.pipeline->make_runner();
  }
  item.request = std::move(request);
  items_.push_back(std::move(item));
  return {};
}

bool DeleteRows::touches(const Item& item, const model::InternedLabels& labels, const index::ChunkRef& chunk) const {
  return chunk.max_ts_ns >= item.start_ns && chunk.min_ts_ns <= item.end_ns &&
         model::matches_all(item.request->selector.matchers, labels.labels);
}

bool DeleteRows::touches(const model::InternedLabels& labels, const index::ChunkRef& chunk) const {
  return std::any_of(items_.begin(), items_.end(), [&](const Item& item) { return touches(item, labels, chunk); });
}

chunk::ColumnMask DeleteRows::columns() const {
  chunk::ColumnMask mask = chunk::kTimestamps;
  for (const Item& item : items_)
    if (item.pipeline != nullptr) mask = mask | item.pipeline->columns();
  return mask;
}

std::uint16_t DeleteRows::covers(const model::InternedLabels& labels, const index::ChunkRef& chunk) const {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (item.pipeline == nullptr && chunk.min_ts_ns >= item.start_ns && chunk.max_ts_ns <= item.end_ns && touches(item, labels, chunk)) return static_cast<std::uint16_t>(i + 1);
  }
  return 0;
}

Result<void> DeleteRows::mark(const model::InternedLabels& labels, const chunk::Columns& columns, std::uint32_t first, std::uint32_t last,
                              std::vector<std::uint16_t>& marks) {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    Item& item = items_[i];
    if (!model::matches_all(item.request->selector.matchers, labels.labels)) continue;
    const auto set = [&](std::uint32_t row) {
      if (const std::int64_t ts = columns.timestamps_ns[row]; ts < item.start_ns || ts > item.end_ns) return;
      if (std::uint16_t& mark = marks[row - first]; mark == 0) mark = static_cast<std::uint16_t>(i + 1);
    };
    if (item.runner == nullptr) {
      for (std::uint32_t row = first; row < last; ++row) set(row);
      continue;
    }
    if (!item.runner->begin_stream(labels)) continue;
    SKALD_TRY(engine::Frame* const frame, item.runner->run(columns, first, last, INT64_MIN, INT64_MAX, {}));
    for (std::uint32_t k = 0; k < frame->size(); ++k) set(frame->block_row(k));
  }
  return {};
}

void DeleteRows::count(std::uint16_t mark, std::uint64_t line_bytes) { count(mark, 1, line_bytes); }

void DeleteRows::count(std::uint16_t mark, std::uint64_t lines, std::uint64_t bytes) {
  items_[mark - 1].lines += lines;
  items_[mark - 1].bytes += bytes;
}

void DeleteRows::forget_counts() {
  for (Item& item : items_) item.lines = item.bytes = 0;
}

std::vector<DeleteRows::Count> DeleteRows::counts() const {
  std::vector<Count> counts;
  for (const Item& item : items_) counts.push_back({item.request, item.lines, item.bytes});
  return counts;
}

namespace {

Result<bool> chunk_has_deleted_row(const ObjectParts& parts, const model::InternedLabels& labels, const index::ChunkRef& ref, DeleteRows& deletions,
                                   const CallContext& ctx) {
  const auto fetch = [&](std::uint64_t begin, std::uint64_t end, const CallContext&) -> Result<Bytes> {
    SKALD_TRY(const ByteView bytes, parts.view(ref, begin, end));
    return Bytes(bytes);
  };
  auto reader = chunk::ChunkReader::open(fetch, ref.length, ref.hot_length, ctx);
  if (!reader.ok()) return reader.error().with_prefix("chunk at offset " + std::to_string(ref.offset) + " of object " + ref.object.id.to_string());
  const std::uint64_t first = ref.group ? ref.first_row : 0;
  const std::uint64_t last = ref.group ? first + ref.rows : (*reader)->meta().rows;
  const std::vector<chunk::BlockSummary>& blocks = (*reader)->blocks();
  std::vector<std::uint16_t> marks;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::uint64_t begin = std::max<std::uint64_t>(first, blocks[i].first_row);
    const std::uint64_t end = std::min(last, std::uint64_t{blocks[i].first_row} + blocks[i].rows);
    if (begin >= end) continue;
    SKALD_TRY(const auto columns, (*reader)->block(i)->load(deletions.columns(), ctx));
    const auto row = static_cast<std::uint32_t>(begin - blocks[i].first_row);
    const auto rows = static_cast<std::uint32_t>(end - begin);
    marks.assign(rows, 0);
    SKALD_TRY_VOID(deletions.mark(labels, *columns, row, row + rows, marks));
    if (std::any_of(marks.begin(), marks.end(), [](std::uint16_t mark) { return mark != 0; })) return true;
  }
  return false;
}

}  // namespace

Result<bool> has_deleted_row(objstore::ObjectStore& objects, exec::Pool& pool, const std::string& tenant,
                             const std::vector<std::pair<model::LabelsPtr, index::ChunkRef>>& chunks, DeleteRows& deletions, std::uint64_t memory_bytes,
                             const CallContext& ctx) {
  ObjectParts parts(objects, pool, tenant);
  for (std::size_t begin = 0; begin < chunks.size();) {
    std::size_t end = begin;
    std::set<std::uint64_t> wanted;
    while (end < chunks.size() && (end == begin || parts.wanted_bytes() + chunks[end].second.length <= memory_bytes)) {
      if (wanted.insert(chunks[end].second.offset).second) parts.want(chunks[end].second);
      ++end;
    }
    SKALD_TRY_VOID(parts.fetch(ctx));
    for (; begin < end; ++begin) {
      SKALD_TRY(const bool found, chunk_has_deleted_row(parts, *chunks[begin].first, chunks[begin].second, deletions, ctx));
      if (found) return true;
    }
  }
  return false;
}

}  // namespace skald::compactor
