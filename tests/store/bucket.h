// A bucket with real chunks for store tests, and an object store that writes down what it is asked.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "chunk/rows.h"
#include "skald/objstore/stores.h"
#include "skald/store/store.h"

namespace skald::store::testing {

using chunk::testing_rows::Row;
using chunk::testing_rows::to_columns;

inline constexpr std::int64_t kStart = chunk::testing_rows::kShardStart;   // 2026-11-20T06:00:00Z

struct Got {
  std::string key;
  std::uint64_t bytes = 0;
};

class RecordingStore final : public objstore::ObjectStore {
 public:
  explicit RecordingStore(objstore::ObjectStore& inner) : inner_(inner) {}
  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner_.put(key, body, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return inner_.create(key, body, ctx); }
  Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override {
    auto bytes = key == missing_key ? Result<Bytes>(Error(ErrorCode::kNotFound, "not there")) : inner_.get(key, range, ctx);
    const std::lock_guard lock(mutex_);
    gets_.push_back({std::string(key), bytes.ok() ? bytes->size() : 0});
    return bytes;
  }
  Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override {
    {
      const std::lock_guard lock(mutex_);
      ++lists_;
    }
    auto page = inner_.list(prefix, next, depth, ctx);
    if (after_list) after_list(prefix);
    return page;
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner_.remove(key, ctx); }

  std::string missing_key;   // listed, but not to be had
  std::function<void(std::string_view prefix)> after_list;   // before the caller sees the page

  std::vector<Got> take_gets() {
    const std::lock_guard lock(mutex_);
    return std::move(gets_);
  }
  // Of chunk objects only; takes all.
  std::size_t take_chunk_gets() {
    std::size_t count = 0;
    for (const Got& got : take_gets()) count += got.key.find("/chunks/") != std::string::npos;
    return count;
  }
  int lists() const {
    const std::lock_guard lock(mutex_);
    return lists_;
  }

 private:
  objstore::ObjectStore& inner_;
  mutable std::mutex mutex_;   // guards all below
  std::vector<Got> gets_;
  int lists_ = 0;
};

inline model::LabelsPtr labels(std::vector<model::Label> pairs) { return model::intern(model::Labels::from_pairs(std::move(pairs))); }

// Rows one second apart from kStart + offset.
inline std::vector<Row> make_rows(const std::string& text, int count, std::int64_t offset_ns = 0, std::int64_t step_ns = kNanosPerSecond) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) rows.push_back({.ts_ns = kStart + offset_ns + i * step_ns, .line = text + " " + std::to_string(i), .level = 4, .metadata = {}});
  return rows;
}

struct StreamOf {
  model::LabelsPtr labels;
  std::vector<Row> rows;
};

inline index::ChunkRef ref_of(const chunk::ObjectBuilder::Object& object, const Ulid& id, std::int64_t shard_ns, const chunk::PlacedChunk& placed) {
  index::ChunkRef ref;
  ref.object = {.id = id, .shard_start_ns = shard_ns, .length = object.bytes.size(), .tail_offset = object.tail_offset};
  ref.offset = placed.offset;
  ref.length = placed.meta.length;
  ref.hot_length = placed.meta.hot_length;
  ref.min_ts_ns = placed.meta.min_ts_ns;
  ref.max_ts_ns = placed.meta.max_ts_ns;
  ref.rows = placed.meta.rows;
  ref.raw_bytes = placed.meta.raw_bytes;
  ref.content_id = placed.meta.content_id;
  ref.group = placed.meta.group;
  ref.sketch = placed.meta.sketch;
  return ref;
}

// Writes one object: a chunk for each of `singles`, and one group chunk for `group` (unless empty). Returns what an
// ingester would add as pending.
inline std::vector<index::IndexEntry> write_object(objstore::ObjectStore& bucket, const std::string& tenant, const std::vector<StreamOf>& singles,
                                                   const std::vector<StreamOf>& group = {}, std::int64_t shard_ns = kStart) {
  const Ulid id = Ulid::make(shard_ns, system_random());
  chunk::ObjectBuilder builder(tenant, shard_ns, id);
  for (const StreamOf& stream : singles) {
    const std::shared_ptr<const chunk::Columns> columns = to_columns(stream.rows);
    auto built = chunk::build_chunk(*stream.labels, std::vector{columns}, {});
    EXPECT_TRUE(built.ok()) << built.error().message();
    builder.add(std::move(*built), std::vector{stream.labels});
  }
  std::map<std::uint64_t, model::LabelsPtr> members;
  if (!group.empty()) {
    std::vector<chunk::StreamRows> streams;
    std::vector<model::LabelsPtr> all;
    for (const StreamOf& stream : group) {
      streams.push_back({stream.labels, to_columns(stream.rows)});
      all.push_back(stream.labels);
      members[stream.labels->hash] = stream.labels;
    }
    auto built = chunk::build_group_chunk(std::move(streams), {});
    EXPECT_TRUE(built.ok()) << built.error().message();
    builder.add(std::move(*built), all);
  }
  auto object = builder.finish();
  EXPECT_TRUE(object.ok()) << object.error().message();
  EXPECT_TRUE(bucket.put(object->key, object->bytes, CallContext()).ok());
  std::vector<index::IndexEntry> entries;
  for (std::size_t i = 0; i < object->chunks.size(); ++i) {
    const chunk::PlacedChunk& placed = object->chunks[i];
    index::ChunkRef ref = ref_of(*object, id, shard_ns, placed);
    if (!placed.meta.group) {
      entries.push_back({.labels = singles[i].labels, .chunk = ref});
      continue;
    }
    for (const chunk::GroupMember& member : placed.meta.members) {
      ref.first_row = member.first_row;
      ref.rows = member.rows;
      ref.min_ts_ns = member.min_ts_ns;
      ref.max_ts_ns = member.max_ts_ns;
      ref.raw_bytes = member.raw_bytes;
      ref.sketch = {};
      entries.push_back({.labels = members.at(member.stream_hash), .chunk = ref});
    }
  }
  return entries;
}

// Stream → its lines in the range, as a query engine would read them; slices must be sorted and not lie about their times.
inline std::map<std::string, std::vector<std::string>> read_lines(const chunk::SelectResult& result, std::int64_t start_ns, std::int64_t end_ns) {
  std::map<std::string, std::vector<std::string>> lines;
  for (const chunk::StreamData& stream : result.streams) {
    EXPECT_FALSE(stream.blocks.empty());
    EXPECT_FALSE(lines.contains(stream.labels->text)) << "stream twice";
    std::vector<std::string>& of_stream = lines[stream.labels->text];
    std::int64_t previous_ns = INT64_MIN;
    for (const chunk::BlockSlice& slice : stream.blocks) {
      EXPECT_LE(previous_ns, slice.min_ts_ns);
      previous_ns = slice.min_ts_ns;
      EXPECT_FALSE(slice.from_ingester);
      EXPECT_NE(slice.source_id, 0U);
      const auto columns = slice.block->load(chunk::kAllColumns, CallContext());
      if (!columns.ok()) {
        ADD_FAILURE() << columns.error().message();
        continue;
      }
      EXPECT_LE(slice.first_row + slice.rows, (*columns)->rows);
      for (std::uint32_t i = slice.first_row; i < slice.first_row + slice.rows; ++i) {
        const std::int64_t ts_ns = (*columns)->timestamps_ns[i];
        EXPECT_LE(slice.min_ts_ns, ts_ns);
        EXPECT_GE(slice.max_ts_ns, ts_ns);
        if (ts_ns >= start_ns && ts_ns <= end_ns) of_stream.emplace_back((*columns)->line(i));
      }
    }
    if (of_stream.empty()) lines.erase(stream.labels->text);
  }
  return lines;
}

inline std::map<std::string, std::vector<std::string>> lines_of(const std::vector<StreamOf>& streams, std::int64_t start_ns = INT64_MIN,
                                                                std::int64_t end_ns = INT64_MAX) {
  std::map<std::string, std::vector<std::string>> lines;
  for (const StreamOf& stream : streams)
    for (const Row& row : stream.rows)
      if (row.ts_ns >= start_ns && row.ts_ns <= end_ns) lines[stream.labels->text].push_back(row.line);
  return lines;
}

inline CallContext context(const std::string& tenant = "t") {
  CallContext ctx;
  ctx.tenant = tenant;
  return ctx;
}

inline model::Matcher matcher(model::MatchType type, const std::string& name, const std::string& value) { return *model::Matcher::make(type, name, value); }

inline rpc::SelectRequest everything(std::vector<model::Matcher> matchers = {}) {
  return {.matchers = std::move(matchers), .start_ns = INT64_MIN, .end_ns = INT64_MAX};
}

class StoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<Store> make_store(StoreOptions options = {}) {
    registries_.push_back(std::make_unique<obs::Registry>());
    return std::make_unique<Store>(recording_, pool_, *registries_.back(), options);
  }
  static std::map<std::string, std::vector<std::string>> select(Store& store, const rpc::SelectRequest& request, const std::string& tenant = "t") {
    const auto result = store.select(context(tenant), request);
    EXPECT_TRUE(result.ok()) << result.error().message();
    if (!result.ok()) return {};
    return read_lines(*result, request.start_ns, request.end_ns);
  }
  std::vector<std::string> keys(const std::string& prefix) {
    std::vector<std::string> found;
    const auto listed = objstore::list_objects(*memory_, prefix, CallContext());
    for (const auto& object : *listed) found.push_back(object.key);
    return found;
  }

  std::unique_ptr<objstore::ObjectStore> memory_ = objstore::make_memory_store();
  std::shared_ptr<objstore::FaultPlan> faults_ = std::make_shared<objstore::FaultPlan>();
  struct Borrowed final : objstore::ObjectStore {
    explicit Borrowed(objstore::ObjectStore& inner_in) : inner(inner_in) {}
    Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return inner.put(key, body, ctx); }
    Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return inner.create(key, body, ctx); }
    Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override { return inner.get(key, range, ctx); }
    Result<objstore::ListPage> list(std::string_view prefix, std::string_view next, objstore::ListDepth depth, const CallContext& ctx) override { return inner.list(prefix, next, depth, ctx); }
    Result<void> remove(std::string_view key, const CallContext& ctx) override { return inner.remove(key, ctx); }
    objstore::ObjectStore& inner;
  };
  std::unique_ptr<objstore::ObjectStore> faulty_ = objstore::with_faults(std::make_unique<Borrowed>(*memory_), faults_);
  RecordingStore recording_{*faulty_};
  std::vector<std::unique_ptr<obs::Registry>> registries_;
  exec::Pool pool_{"test", 2};
};

}  // namespace skald::store::testing
