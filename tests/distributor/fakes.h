// An ingester that keeps what it is given, limits one can set, and encoders for bodies.
#pragma once

#include <snappy.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "skald/base/clock.h"
#include "skald/distributor/distributor.h"
#include "skald/obs/metrics.h"

namespace skald::distributor::testing {

inline constexpr std::int64_t kNow = 1'700'000'000'000'000'000;
inline constexpr std::int64_t kSecond = 1'000'000'000;

class FakeIngester final : public rpc::IngesterClient {
 public:
  void push(const CallContext&, std::shared_ptr<const model::PushBatch> batch,
            std::function<void(Result<model::PushOutcome>)> done) override {
    batches.push_back(std::move(batch));
    if (failure.has_value()) return done(*failure);
    done(outcome);
  }
  Result<chunk::SelectResult> select(const CallContext&, const rpc::SelectRequest&) override { return unused(); }
  Result<std::vector<model::LabelsPtr>> series(const CallContext&, const rpc::SelectRequest&) override { return unused(); }
  Result<std::vector<rpc::SeriesVolume>> volumes(const CallContext&, const rpc::SelectRequest&) override { return unused(); }
  Result<std::shared_ptr<void>> tail(const CallContext&, std::vector<model::Matcher>, rpc::TailSink) override { return unused(); }

  std::vector<std::shared_ptr<const model::PushBatch>> batches;
  model::PushOutcome outcome;
  std::optional<Error> failure;

 private:
  static Error unused() { return Error(ErrorCode::kUnimplemented, "not part of this test"); }
};

class FakeLimits final : public config::LimitsProvider {
 public:
  config::LimitsPtr for_tenant(const std::string&) const override { return current; }
  void change(const std::function<void(config::Limits&)>& f) {
    auto copy = std::make_shared<config::Limits>(*current);
    f(*copy);
    current = std::move(copy);
  }
  config::LimitsPtr current = std::make_shared<const config::Limits>();
};

struct Bench {
  FakeIngester ingester;
  FakeLimits limits;
  obs::Registry registry;
  FakeClock clock{kNow};
  Distributor distributor{ingester, limits, registry, clock};

  Result<void> push(PushFormat format, std::string body, std::string encoding = "", std::string backfill = "") {
    CallContext ctx;
    ctx.tenant = "t";
    std::optional<Result<void>> answer;
    distributor.push(ctx, {format, std::make_shared<const std::string>(std::move(body)), std::move(encoding), std::move(backfill)},
                     [&](Result<void> result) { answer = std::move(result); });
    SKALD_CHECK(answer.has_value());
    return *answer;
  }
  Result<void> json(std::string body) { return push(PushFormat::kLokiJson, std::move(body)); }
  // "ok", or the error's text.
  std::string json_text(std::string body) {
    auto result = json(std::move(body));
    return result.ok() ? "ok" : result.error().message();
  }
  const model::PushBatch& last() const { return *ingester.batches.back(); }
};

// One row as text: {labels} ts line [level] name=value …
inline std::vector<std::string> rows(const model::PushBatch& batch) {
  std::vector<std::string> out;
  for (const auto& stream : batch.streams) {
    for (std::uint32_t i = stream.entries_begin; i < stream.entries_end; ++i) {
      const auto& entry = batch.entries[i];
      std::string row = stream.labels->text + " " + std::to_string(entry.timestamp_ns) + " " + std::string(entry.line) + " [" +
                        std::string(model::level_text(entry.level)) + "]";
      for (std::uint32_t m = entry.metadata_begin; m < entry.metadata_end; ++m)
        row += " " + std::string(batch.metadata[m].name) + "=" + std::string(batch.metadata[m].value);
      out.push_back(std::move(row));
    }
  }
  return out;
}

struct Row {
  std::int64_t timestamp_ns;
  std::string line;
  std::vector<std::pair<std::string, std::string>> metadata = {};
};

inline void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
inline void append_field(std::string& out, int field, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}
inline void append_number(std::string& out, int field, std::uint64_t value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3);
  append_varint(out, value);
}
inline void append_fixed64(std::string& out, int field, std::uint64_t value) {
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | 1);
  append_le(out, value);
}

inline std::string proto_stream(const std::string& labels, const std::vector<Row>& entries) {
  std::string stream;
  append_field(stream, 1, labels);
  for (const Row& row : entries) {
    std::string time, entry;
    append_number(time, 1, static_cast<std::uint64_t>(row.timestamp_ns / kSecond));
    append_number(time, 2, static_cast<std::uint64_t>(row.timestamp_ns % kSecond));
    append_field(entry, 1, time);
    append_field(entry, 2, row.line);
    for (const auto& [name, value] : row.metadata) {
      std::string pair;
      append_field(pair, 1, name);
      append_field(pair, 2, value);
      append_field(entry, 3, pair);
    }
    append_field(stream, 2, entry);
  }
  std::string body;
  append_field(body, 1, stream);
  return body;
}

inline std::string snappy(const std::string& plain) {
  std::string out;
  ::snappy::Compress(plain.data(), plain.size(), &out);
  return out;
}

inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
      out += buffer;
    } else {
      out += c;
    }
  }
  return out += '"';
}

}  // namespace skald::distributor::testing
