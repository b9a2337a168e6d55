// One pipeline that is fed lines cut from arbitrary bytes. Used by the fuzz targets and by a test with random bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/base/check.h"
#include "skald/engine/pipeline.h"

namespace skald::engine::test {

class Fuzzed {
 public:
  explicit Fuzzed(std::vector<logql::Stage> stages) {
    auto pipeline = Pipeline::compile(stages, {});
    SKALD_CHECK(pipeline.ok());
    runner_ = pipeline.value()->make_runner();
    stream_ = model::intern(model::Labels::from_pairs({{"app", "web"}}));
    runner_->begin_stream(*stream_);
  }

  // Lines end at 0xFE. Returns how many rows survived.
  std::uint32_t run(std::string_view bytes) {
    chunk::Columns columns;
    columns.line_offsets.push_back(0);
    while (true) {
      const std::size_t end = bytes.find('\xFE');
      columns.text.append(bytes.substr(0, end)).push_back('\n');
      columns.line_offsets.push_back(static_cast<std::uint32_t>(columns.text.size()));
      columns.timestamps_ns.push_back(static_cast<std::int64_t>(columns.timestamps_ns.size()));
      if (end == std::string_view::npos) break;
      bytes.remove_prefix(end + 1);
    }
    columns.rows = static_cast<std::uint32_t>(columns.timestamps_ns.size());
    columns.text_bytes = columns.text.size();
    columns.text.append(kBufferSlack, '"');   // what lies behind the text must not matter
    auto frame = runner_->run(columns, 0, columns.rows, INT64_MIN, INT64_MAX, {});
    SKALD_CHECK(frame.ok());
    LabelSetTable table;
    const auto ids = (*frame)->label_sets(table, nullptr);
    std::size_t bytes_out = 0;
    for (std::uint32_t i = 0; i < (*frame)->size(); ++i) {
      bytes_out += (*frame)->line(i).size() + (*frame)->error_details(i).size();
      for (const ResultLabel& label : table.at(ids[i]).labels) {
        SKALD_CHECK(!label.name.empty());
        bytes_out += label.value.size();
      }
    }
    last_bytes_out = bytes_out;
    return (*frame)->size();
  }

  std::size_t last_bytes_out = 0;

 private:
  std::unique_ptr<PipelineRunner> runner_;
  model::LabelsPtr stream_;
};

}  // namespace skald::engine::test
