// A bucket as ingesters fill it, compactors to work on it, and a reader that says what is in it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunk/rows.h"
#include "skald/chunk/object_reader.h"
#include "skald/chunk/reader.h"
#include "skald/chunk/verify.h"
#include "skald/compactor/compactor.h"
#include "skald/index/day_index.h"
#include "skald/index/verify.h"
#include "skald/objstore/stores.h"
#include "skald/obs/log.h"

namespace skald::compactor::testing {

using chunk::testing_rows::Row;
using chunk::testing_rows::to_columns;
using chunk::testing_rows::to_rows;

inline constexpr std::int64_t kShard = chunk::testing_rows::kShardStart;   // 2026-11-20T06:00:00Z
inline const std::int64_t kDay = index::day_of(kShard);

inline model::LabelsPtr stream(const std::string& app, const std::string& env = "prod") {
  return model::intern(model::Labels::from_pairs({{"app", app}, {"env", env}}));
}

struct Limits final : config::LimitsProvider {
  config::LimitsPtr for_tenant(const std::string&) const override { return limits; }
  std::shared_ptr<config::Limits> limits = std::make_shared<config::Limits>();
};

struct StreamOf {
  model::LabelsPtr labels;
  std::vector<Row> rows;
};

// Stream text → rows, sorted.
using Contents = std::map<std::string, std::vector<Row>>;

inline std::vector<Row> rows_at(std::int64_t from_ns, int count, const std::string& text, std::int64_t step_ns = kNanosPerSecond) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) rows.push_back({.ts_ns = from_ns + i * step_ns, .line = text + " " + std::to_string(i), .level = 4, .metadata = {}});
  return rows;
}

// Writes an object the way an ingester does: a chunk per stream of `singles`, one group chunk for `group`.
inline std::vector<index::IndexEntry> write_object(objstore::ObjectStore& bucket, Random& random, const std::string& tenant, const std::vector<StreamOf>& singles,
                                                   const std::vector<StreamOf>& group = {}, std::int64_t created_ns = kShard + 2 * kNanosPerHour) {
  const std::int64_t shard_ns = chunk::time_shard_start((singles.empty() ? group : singles).front().rows.front().ts_ns);
  const Ulid id = Ulid::make(created_ns, random);
  chunk::ObjectBuilder builder(tenant, shard_ns, id);
  for (const StreamOf& one : singles) {
    const std::vector<std::shared_ptr<const chunk::Columns>> blocks = {to_columns(one.rows)};
    auto built = chunk::build_chunk(*one.labels, blocks, {});
    EXPECT_TRUE(built.ok()) << built.error().message();
    builder.add(std::move(*built), std::vector<model::LabelsPtr>{one.labels});
  }
  if (!group.empty()) {
    std::vector<chunk::StreamRows> streams;
    std::vector<model::LabelsPtr> labels;
    for (const StreamOf& one : group) {
      streams.push_back({one.labels, to_columns(one.rows)});
      labels.push_back(one.labels);
    }
    builder.add(chunk::build_group_chunk(streams, {}).value(), labels);
  }
  auto object = builder.finish();
  EXPECT_TRUE(object.ok()) << object.error().message();
  EXPECT_TRUE(bucket.put(object->key, object->bytes, CallContext()).ok());
  std::vector<index::IndexEntry> entries;
  for (std::size_t i = 0; i < object->chunks.size(); ++i) {
    const chunk::ChunkMeta& meta = object->chunks[i].meta;
    index::ChunkRef ref{.object = {.id = id, .shard_start_ns = shard_ns, .length = object->bytes.size(), .tail_offset = object->tail_offset},
                        .offset = object->chunks[i].offset, .length = meta.length, .hot_length = meta.hot_length, .min_ts_ns = meta.min_ts_ns,
                        .max_ts_ns = meta.max_ts_ns, .rows = meta.rows, .raw_bytes = meta.raw_bytes, .content_id = meta.content_id, .group = meta.group,
                        .first_row = 0, .sketch = meta.group ? chunk::Sketch() : meta.sketch};
    if (!meta.group) {
      entries.push_back({singles[i].labels, ref});
      continue;
    }
    for (const StreamOf& one : group) {
      const auto member = std::find_if(meta.members.begin(), meta.members.end(), [&](const auto& m) { return m.stream_hash == one.labels->hash; });
      ref.first_row = member->first_row;
      ref.rows = member->rows;
      ref.raw_bytes = member->raw_bytes;
      ref.min_ts_ns = member->min_ts_ns;
      ref.max_ts_ns = member->max_ts_ns;
      entries.push_back({one.labels, ref});
    }
  }
  return entries;
}

inline Ulid ship(objstore::ObjectStore& bucket, Random& random, const std::string& tenant, const std::vector<index::IndexEntry>& entries,
                 std::int64_t created_ns = kShard + 2 * kNanosPerHour) {
  const std::int64_t day = index::day_of(entries.front().chunk.min_ts_ns);
  const Ulid id = Ulid::make(created_ns, random);
  index::DayIndexBuilder builder(tenant, day, id);
  for (const index::IndexEntry& entry : entries) EXPECT_TRUE(builder.add(entry.labels, entry.chunk).ok());
  auto built = builder.finish();
  EXPECT_TRUE(built.ok());
  EXPECT_TRUE(bucket.put(index::day_index_key(tenant, day, id), built->bytes, CallContext()).ok());
  return id;
}

struct Snapshot {
  Contents contents;                    // entries that different chunks hold twice come once
  std::uint64_t rows_stored = 0;        // with such copies
  std::size_t indexes = 0;              // that count
  std::size_t chunks = 0;
  std::size_t groups = 0;
  std::set<std::string> object_keys;    // listed
};

// Reads everything of a tenant as a query does: index objects that another names as input do not count, entries of several
// chunks are one. Checks each index and object on the way.
inline Snapshot read_all(objstore::ObjectStore& bucket, const std::string& tenant) {
  Snapshot snapshot;
  const CallContext ctx;
  std::map<std::int64_t, std::vector<std::shared_ptr<const index::DayIndexReader>>> days;
  const auto indexes = objstore::list_objects(bucket, tenant + "/index/", ctx);
  EXPECT_TRUE(indexes.ok());
  for (const auto& object : *indexes) {
    auto reader = index::DayIndexReader::open(std::make_shared<const Bytes>(bucket.get(object.key, {}, ctx).value()));
    EXPECT_TRUE(reader.ok()) << object.key;
    if (!reader.ok()) continue;
    EXPECT_TRUE(index::verify_day_index(**reader).empty()) << index::verify_day_index(**reader).front();
    days[(*reader)->header().day].push_back(*reader);
  }
  // Stream → (source, row)
  std::map<std::string, std::map<std::pair<Ulid, std::uint64_t>, std::vector<Row>>> found;
  for (const auto& [day, readers] : days) {
    std::set<Ulid> replaced;
    for (const auto& reader : readers) replaced.insert(reader->header().inputs.begin(), reader->header().inputs.end());
    for (const auto& reader : readers) {
      if (replaced.contains(reader->header().id)) continue;
      ++snapshot.indexes;
      std::vector<index::StreamChunkRefs> streams;
      EXPECT_TRUE(reader->append_chunk_refs(reader->match({}).value(), {INT64_MIN, INT64_MAX}, index::WithSketches::kYes, streams).ok());
      for (const auto& stream : streams) {
        for (const auto& ref : stream.chunks) {
          const std::string key = chunk::object_key(tenant, ref.object.shard_start_ns, ref.object.id);
          snapshot.object_keys.insert(key);
          ++snapshot.chunks;
          snapshot.groups += ref.group;
          const auto bytes = bucket.get(key, {.begin = ref.offset, .end = ref.offset + ref.length}, ctx);
          EXPECT_TRUE(bytes.ok()) << bytes.error().message();
          if (!bytes.ok()) continue;
          const auto chunk = chunk::ChunkReader::open(std::make_shared<const Bytes>(*bytes));
          EXPECT_TRUE(chunk.ok()) << chunk.error().message();
          std::vector<Row> rows;
          for (std::size_t b = 0; b < (*chunk)->blocks().size(); ++b) {
            const auto columns = (*chunk)->block(b)->load(chunk::kAllColumns, ctx).value();
            const std::uint32_t first = (*chunk)->blocks()[b].first_row;
            for (std::uint32_t r = 0; r < columns->rows; ++r) {
              if (ref.group && (first + r < ref.first_row || first + r >= ref.first_row + ref.rows)) continue;
              rows.push_back(to_rows(*columns, r, r + 1).front());
            }
          }
          EXPECT_EQ(rows.size(), ref.rows);
          if (!ref.group && ref.sketch.width_s != 0) {
            std::uint64_t counted = 0;
            for (const auto in_bucket : ref.sketch.rows) counted += in_bucket;
            EXPECT_EQ(counted, ref.rows);
          }
          snapshot.rows_stored += rows.size();
          found[stream.labels->text][{ref.object.id, ref.offset}] = std::move(rows);
        }
      }
    }
  }
  for (const auto& [text, sources] : found) {
    // As a query deduplicates: the most copies that one source has of it.
    std::map<Row, std::size_t> most;
    for (const auto& [place, rows] : sources) {
      std::map<Row, std::size_t> here;
      for (const Row& row : rows) ++here[row];
      for (const auto& [row, count] : here) most[row] = std::max(most[row], count);
    }
    for (const auto& [row, count] : most) snapshot.contents[text].insert(snapshot.contents[text].end(), count, row);
  }
  return snapshot;
}

inline std::set<std::string> list_keys(objstore::ObjectStore& bucket, const std::string& prefix) {
  std::set<std::string> keys;
  const auto found = objstore::list_objects(bucket, prefix, CallContext());
  EXPECT_TRUE(found.ok());
  for (const auto& object : *found) keys.insert(object.key);
  return keys;
}

// Every chunk object checks out.
inline void verify_objects(objstore::ObjectStore& bucket, const std::string& tenant) {
  for (const std::string& key : list_keys(bucket, tenant + "/chunks/")) {
    const auto report = chunk::verify_object(bucket.get(key, {}, CallContext()).value());
    EXPECT_TRUE(report.problems.empty()) << key << ": " << report.problems.front().what;
  }
}

class World {
 public:
  explicit World(std::uint64_t seed = 1) : random(seed) {
    log::set_level(log::Level::kError);
    options.retention_delete_delay_ns = kNanosPerHour;
    options.lease_ns = 0;
    options.memory_bytes = 64 << 20;
    ctx.clock = &clock;
  }

  std::unique_ptr<Compactor> make(objstore::ObjectStore& store, std::uint64_t seed = 7) {
    randoms.push_back(std::make_unique<SeededRandom>(seed));
    return std::make_unique<Compactor>(store, deletes.get(), limits, pool, registry, clock, *randoms.back(), options);
  }
  RunReport run() { return run(*bucket); }
  RunReport run(objstore::ObjectStore& store) {
    const auto compactor = make(store, ++runs + 1000);
    auto report = compactor->run_once(ctx);
    EXPECT_TRUE(report.ok()) << report.error().message();
    return report.ok() ? *report : RunReport();
  }
  RunReport run_clean() {
    RunReport report = run();
    EXPECT_TRUE(report.errors.empty()) << report.errors.front();
    return report;
  }
  void put(const std::vector<StreamOf>& singles, const std::vector<StreamOf>& group = {}) {
    ship(*bucket, random, "t", write_object(*bucket, random, "t", singles, group));
  }

  SeededRandom random;
  std::unique_ptr<objstore::ObjectStore> bucket = objstore::make_memory_store();
  FakeClock clock{kShard + 12 * kNanosPerHour};   // the shard is settled, the day is not over
  Limits limits;
  exec::Pool pool{"test", 1};
  obs::Registry registry;
  CompactorOptions options;
  std::unique_ptr<DeleteStore> deletes;
  CallContext ctx;
  std::uint64_t runs = 0;
  std::vector<std::unique_ptr<SeededRandom>> randoms;
};

}  // namespace skald::compactor::testing
