// Files written once by format version 1 and read by every release after it. Never regenerate one that exists, never
// change the rows below: a failure here means that stored data of users would be misread.
//
// A new file: add it to kFiles, then run once with SKALD_WRITE_GOLDEN=1 (writes only what is missing).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "chunk/rows.h"
#include "skald/chunk/builder.h"
#include "skald/chunk/object_reader.h"
#include "skald/chunk/reader.h"
#include "skald/chunk/verify.h"

namespace skald::chunk {
namespace {

using testing_rows::Row;
using testing_rows::labels_of;
using testing_rows::to_columns;
using testing_rows::to_rows;

const std::string kDirectory = std::string(SKALD_SOURCE_DIR) + "/tests/golden/chunk/";
constexpr std::int64_t kShard = 1'795'154'400'000'000'000;   // 2026-11-20T06:00:00Z

// Frozen. Small integer arithmetic only, so that no library can change it.
std::vector<Row> frozen_rows(std::uint64_t seed, std::size_t count) {
  std::uint64_t state = seed * 2'654'435'761 + 1;
  const auto next = [&state](std::uint64_t below) {
    state = state * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
    return (state >> 33) % below;
  };
  const auto hex = [&](std::size_t digits) {
    std::string text;
    while (text.size() < digits) text += "0123456789abcdef"[next(16)];
    return text;
  };
  const std::string kLines[] = {"GET /index.html 200", "", std::string("nul\0byte", 8), "two\nlines", "\xff\xfe not utf-8", "user 17 logged in"};
  std::vector<Row> rows;
  std::int64_t ts = kShard + static_cast<std::int64_t>(next(1'000'000));
  for (std::size_t i = 0; i < count; ++i) {
    Row row;
    ts += static_cast<std::int64_t>(next(3) * 1'234'567);
    row.ts_ns = ts;
    row.line = kLines[next(6)] + (next(2) == 0 ? " " + hex(12) : "");
    row.level = static_cast<std::uint8_t>(next(9));
    row.metadata["region"] = "eu";
    row.metadata["pod"] = "pod-" + std::to_string(next(5));
    row.metadata["trace_id"] = hex(32);
    row.metadata["short_id"] = hex(9);
    row.metadata["request"] = hex(8) + "-" + hex(4) + "-" + hex(4) + "-" + hex(4) + "-" + hex(12);
    row.metadata["free"] = "v" + hex(next(20));
    if (next(3) == 0) row.metadata["sometimes"] = std::to_string(next(1000));
    if (seed == 6) row.line += " trace=" + row.metadata["trace_id"];
    if (next(50) == 0) row.metadata["detected_level"] = "odd", row.level = 0;
    rows.push_back(std::move(row));
  }
  return rows;
}

struct File {
  const char* name;
  Codec codec;
  std::uint64_t seed;
};
constexpr File kFiles[] = {{"none", Codec::kNone, 1}, {"gzip", Codec::kGzip, 2}, {"snappy", Codec::kSnappy, 3}, {"lz4", Codec::kLz4, 4}, {"zstd", Codec::kZstd, 5},
                           {"spliced", Codec::kZstd, 6}};

bool writing() { return std::getenv("SKALD_WRITE_GOLDEN") != nullptr; }

void write_if_missing(const std::string& path, const Bytes& bytes) {
  if (!writing() || std::filesystem::exists(path)) return;
  std::ofstream(path, std::ios::binary) << bytes;
}

Bytes read_golden(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path << " is missing";
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<Row> read_rows(const ChunkReader& reader) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < reader.blocks().size(); ++i) {
    const auto columns = reader.block(i)->load(kAllColumns, {});
    EXPECT_TRUE(columns.ok()) << columns.error().message();
    if (!columns.ok()) break;
    for (Row& row : to_rows(**columns)) rows.push_back(std::move(row));
  }
  return rows;
}

TEST(Golden, ChunksOfVersion1AreReadForever) {
  for (const File& file : kFiles) {
    const std::string path = kDirectory + "v1_" + file.name + ".chunk";
    const std::vector<Row> rows = frozen_rows(file.seed, 230);
    if (writing()) {
      const std::vector<std::shared_ptr<const Columns>> blocks = {to_columns({rows.begin(), rows.begin() + 150}), to_columns({rows.begin() + 150, rows.end()})};
      write_if_missing(path, build_chunk(*labels_of("golden"), blocks, {.codec = file.codec, .writer = 7, .created_ns = kShard + 1}).value().bytes);
    }
    const auto reader = ChunkReader::open(std::make_shared<const Bytes>(read_golden(path)));
    ASSERT_TRUE(reader.ok()) << path << ": " << reader.error().message();
    EXPECT_EQ((*reader)->blocks().size(), 2U);
    EXPECT_EQ(read_rows(**reader), rows) << path;
    EXPECT_EQ((*reader)->meta().stream_hash, labels_of("golden")->hash);
  }
}

TEST(Golden, ObjectsOfVersion1AreReadForever) {
  const std::string path = kDirectory + "v1.object";
  const std::vector<Row> single = frozen_rows(10, 120);
  const auto single_labels = labels_of("single");
  const std::vector<model::LabelsPtr> member_labels = {labels_of("a"), labels_of("b"), labels_of("c")};
  if (writing()) {
    Ulid id;
    for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(i + 1);
    ObjectBuilder builder("fake", kShard, id);
    const std::vector<std::shared_ptr<const Columns>> blocks = {to_columns(single)};
    builder.add(build_chunk(*single_labels, blocks, {}).value(), std::vector<model::LabelsPtr>{single_labels});
    std::vector<StreamRows> streams;
    for (std::size_t i = 0; i < 3; ++i) streams.push_back({member_labels[i], to_columns(frozen_rows(20 + i, 30 + i))});
    builder.add(build_group_chunk(streams, {}).value(), member_labels);
    write_if_missing(path, builder.finish().value().bytes);
  }
  const Bytes object = read_golden(path);
  for (const Problem& problem : verify_object(object).problems) ADD_FAILURE() << problem.offset << ": " << problem.what;
  const auto tail = open_object_tail(object, object.size());
  ASSERT_TRUE(tail.ok()) << tail.error().message();
  ASSERT_EQ(tail->chunks.size(), 2U);
  EXPECT_EQ(tail->labels.at(single_labels->hash)->text, R"({app="single", env="prod"})");
  const auto open_chunk = [&](std::size_t i) {
    return ChunkReader::open(std::make_shared<const Bytes>(object.substr(tail->chunks[i].offset, tail->chunks[i].length))).value();
  };
  EXPECT_EQ(read_rows(*open_chunk(0)), single);
  const auto group = open_chunk(1);
  const std::vector<Row> all = read_rows(*group);
  ASSERT_EQ(group->meta().members.size(), 3U);
  for (const GroupMember& member : group->meta().members) {
    std::size_t which = 0;
    while (which < 3 && member_labels[which]->hash != member.stream_hash) ++which;
    ASSERT_LT(which, 3U);
    EXPECT_EQ(std::vector<Row>(all.begin() + member.first_row, all.begin() + member.first_row + member.rows), frozen_rows(20 + which, 30 + which));
  }
}

}  // namespace
}  // namespace skald::chunk
