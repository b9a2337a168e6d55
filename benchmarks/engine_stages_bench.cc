// Throughput of the pipeline stages over decoded text, one core. Bytes are those of the lines.
#include <benchmark/benchmark.h>

#include <random>

#include "skald/engine/pipeline.h"
#include "skald/logql/parser.h"

namespace skald::engine {
namespace {

enum class Form { kJson, kLogfmt };

chunk::Columns make_block(Form form, std::uint32_t rows) {
  std::mt19937 random(1);
  chunk::Columns columns;
  columns.rows = rows;
  columns.line_offsets.push_back(0);
  const char* const levels[] = {"info", "info", "info", "warn", "error"};
  for (std::uint32_t i = 0; i < rows; ++i) {
    columns.timestamps_ns.push_back(i);
    const std::string id = std::to_string(random()), level = levels[random() % 5], status = std::to_string(200 + 100 * (random() % 4));
    const std::string took = std::to_string(random() % 3000);
    if (form == Form::kJson) {
      columns.text += "{\"ts\":\"2026-01-15T10:00:00." + took + "Z\",\"level\":\"" + level + "\",\"msg\":\"request handled\",\"method\":\"GET\",\"path\":\"/api/v1/items/" +
                      id + "\",\"status\":" + status + ",\"latency_ms\":" + took + ".5,\"bytes\":" + id + ",\"user\":{\"id\":" + took +
                      ",\"name\":\"carol\",\"address\":{\"city\":\"Paris\",\"geo\":{\"lat\":48.85,\"lon\":2.35}}},\"trace_id\":\"" + id + id + "\"}";
    } else {
      columns.text += "ts=2026-01-15T10:00:00." + took + "Z level=" + level + " caller=worker.go:211 msg=\"job failed: timeout\" queue=billing job_id=" + id +
                      " duration=" + took + "ms bytes=" + id + "B attempt=2 status=" + status + " err=\"dial tcp 10.0.0.7:443: i/o timeout\" trace_id=" + id + id;
    }
    columns.text += "\n";
    columns.line_offsets.push_back(static_cast<std::uint32_t>(columns.text.size()));
  }
  columns.text_bytes = columns.text.size();
  columns.text.append(kBufferSlack, '\0');
  return columns;
}

void run_query(benchmark::State& state, Form form, const char* stages, std::optional<std::vector<std::string>> by) {
  const chunk::Columns columns = make_block(form, 8192);
  auto query = logql::parse(std::string("{app=\"web\"} ") + stages);
  PipelineOptions options;
  options.needed_labels = by;
  options.needs_line = !by;
  const logql::Grouping grouping{false, by.value_or(std::vector<std::string>())};
  auto runner = Pipeline::compile(query.value().log().stages, options).value()->make_runner();
  const auto stream = model::intern(model::Labels::from_pairs({{"app", "web"}}));
  runner->begin_stream(*stream);
  for (auto _ : state) {
    LabelSetTable table;
    Frame* const frame = runner->run(columns, 0, columns.rows, INT64_MIN, INT64_MAX, {}).value();
    benchmark::DoNotOptimize(frame->label_sets(table, by ? &grouping : nullptr).data());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(columns.text_bytes) * state.iterations());
}

void filter_absent(benchmark::State& state) { run_query(state, Form::kJson, "|= \"deadbeefcafe\"", std::vector<std::string>{}); }
void filter_error(benchmark::State& state) { run_query(state, Form::kJson, "|= \"error\"", std::vector<std::string>{}); }
void filter_caseless(benchmark::State& state) { run_query(state, Form::kJson, "|~ \"(?i)deadbeef|failure\"", std::vector<std::string>{}); }
void filter_regex(benchmark::State& state) { run_query(state, Form::kJson, "|~ \"\\\"status\\\":5\\\\d\\\\d\"", std::vector<std::string>{}); }
void json_two(benchmark::State& state) { run_query(state, Form::kJson, "| json | status >= 400", std::vector<std::string>{"level"}); }
void json_error_free(benchmark::State& state) { run_query(state, Form::kJson, "| json | __error__=\"\"", std::vector<std::string>{"level", "status"}); }
void json_all(benchmark::State& state) { run_query(state, Form::kJson, "| json", std::nullopt); }
void json_paths(benchmark::State& state) { run_query(state, Form::kJson, "| json city=\"user.address.city\"", std::vector<std::string>{"city"}); }
void logfmt_two(benchmark::State& state) { run_query(state, Form::kLogfmt, "| logfmt | status >= 400", std::vector<std::string>{"level"}); }
void logfmt_error_free(benchmark::State& state) { run_query(state, Form::kLogfmt, "| logfmt | __error__=\"\"", std::vector<std::string>{"level", "status"}); }
void logfmt_all(benchmark::State& state) { run_query(state, Form::kLogfmt, "| logfmt", std::nullopt); }
void pattern_two(benchmark::State& state) { run_query(state, Form::kLogfmt, "| pattern \"<_> level=<level> <_> status=<status> <_>\"", std::vector<std::string>{"level", "status"}); }

BENCHMARK(filter_absent);
BENCHMARK(filter_error);
BENCHMARK(filter_caseless);
BENCHMARK(filter_regex);
BENCHMARK(json_two);
BENCHMARK(json_error_free);
BENCHMARK(json_all);
BENCHMARK(json_paths);
BENCHMARK(logfmt_two);
BENCHMARK(logfmt_error_free);
BENCHMARK(logfmt_all);
BENCHMARK(pattern_two);

}  // namespace
}  // namespace skald::engine
