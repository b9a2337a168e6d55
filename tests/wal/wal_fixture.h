// Pushes for WAL and ingester tests, built as the distributor builds them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "skald/codec/compress.h"
#include "skald/codec/varint.h"
#include "skald/model/push.h"

namespace skald::test {

struct Row {
  std::int64_t ts = 0;
  std::string line;
  model::Level level = model::Level::kNone;
  std::vector<model::Label> metadata{};
};
struct StreamOfRows {
  std::vector<model::Label> labels;
  std::vector<Row> rows;
};

inline std::shared_ptr<model::PushBatch> make_batch(std::string tenant, const std::vector<StreamOfRows>& streams) {
  auto batch = std::make_shared<model::PushBatch>();
  batch->tenant = std::move(tenant);
  const auto own = [&](const std::string& text) { return std::string_view(batch->owned.emplace_back(text)); };
  for (const auto& stream : streams) {
    model::PushStream out;
    out.labels = model::intern(model::Labels::from_pairs(stream.labels));
    out.entries_begin = static_cast<std::uint32_t>(batch->entries.size());
    for (const auto& row : stream.rows) {
      model::PushEntry entry;
      entry.timestamp_ns = row.ts;
      entry.line = own(row.line);
      entry.level = row.level;
      entry.metadata_begin = static_cast<std::uint32_t>(batch->metadata.size());
      for (const auto& pair : row.metadata) batch->metadata.push_back({own(pair.name), own(pair.value)});
      entry.metadata_end = static_cast<std::uint32_t>(batch->metadata.size());
      batch->entries.push_back(entry);
      batch->line_bytes += row.line.size();
    }
    out.entries_end = static_cast<std::uint32_t>(batch->entries.size());
    batch->streams.push_back(std::move(out));
  }
  return batch;
}

// The protobuf form of the batch, snappy compressed, set as received_body.
inline void set_received_body(model::PushBatch& batch) {
  const auto field = [](std::string& out, int number, const std::string& bytes) {
    codec::append_varint(out, static_cast<std::uint64_t>(number) << 3 | 2);
    codec::append_varint(out, bytes.size());
    out += bytes;
  };
  std::string request;
  for (const auto& stream : batch.streams) {
    std::string text;
    field(text, 1, stream.labels->text);
    for (auto i = stream.entries_begin; i < stream.entries_end; ++i) {
      const auto& entry = batch.entries[i];
      std::string time, body;
      codec::append_varint(time, 1 << 3);
      codec::append_varint(time, static_cast<std::uint64_t>(entry.timestamp_ns / 1'000'000'000));
      codec::append_varint(time, 2 << 3);
      codec::append_varint(time, static_cast<std::uint64_t>(entry.timestamp_ns % 1'000'000'000));
      field(body, 1, time);
      field(body, 2, std::string(entry.line));
      for (auto k = entry.metadata_begin; k < entry.metadata_end; ++k) {
        std::string pair;
        field(pair, 1, std::string(batch.metadata[k].name));
        field(pair, 2, std::string(batch.metadata[k].value));
        field(body, 3, pair);
      }
      field(text, 2, body);
    }
    field(request, 1, text);
  }
  batch.received_body = std::make_shared<const std::string>(codec::compress(codec::Compression::kSnappy, request).value());
}

}  // namespace skald::test
