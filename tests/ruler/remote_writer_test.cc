#include "skald/ruler/remote_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <thread>

#include "ruler/sample_log.h"
#include "ruler/write_request.h"
#include "skald/codec/compress.h"
#include "skald/exec/pool.h"
#include "skald/http/server.h"
#include "skald/io/memory_file_system.h"

namespace skald::ruler {
namespace {

// Protobuf by hand, so that only the specification vouches for the encoder.
class Wire {
 public:
  explicit Wire(std::string_view bytes) : bytes_(bytes) {}
  bool more() const { return at_ < bytes_.size(); }
  std::uint64_t varint() {
    std::uint64_t out = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.at(at_++));
      out |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return out;
    }
  }
  std::string_view chunk() {
    const std::size_t size = varint();
    EXPECT_LE(at_ + size, bytes_.size());
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  double fixed() {
    at_ += 8;
    return load_le<double>(bytes_.data() + at_ - 8);
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

// name{label="value",…} value@ms
std::vector<std::string> series_of(std::string_view message) {
  std::vector<std::string> out;
  for (Wire wire(message); wire.more();) {
    EXPECT_EQ(wire.varint(), 1U << 3 | 2);
    std::string text, value;
    for (Wire series(wire.chunk()); series.more();) {
      const std::uint64_t field = series.varint();
      Wire inner(series.chunk());
      if (field == (1U << 3 | 2)) {
        inner.varint();
        text += std::string(inner.chunk()) + "=";
        inner.varint();
        text += std::string(inner.chunk()) + ",";
      } else {
        EXPECT_EQ(field, 2U << 3 | 2);
        EXPECT_EQ(inner.varint(), 1U << 3 | 1);
        const double number = inner.fixed();
        EXPECT_EQ(inner.varint(), 2U << 3);
        value = (std::isnan(number) ? "NaN" : std::to_string(static_cast<long>(number))) + "@" + std::to_string(inner.varint());
      }
    }
    out.push_back(text + value);
  }
  return out;
}

TimedSample sample(const std::string& name, std::int64_t ms, double value) { return {model::Labels::from_pairs({{"__name__", name}, {"app", "web"}}), ms, value}; }

TEST(WriteRequest, HoldsSeriesWithTheirSamples) {
  const std::vector<TimedSample> samples = {sample("a", 1'700'000'000'000, 3), sample("b", 5, std::bit_cast<double>(std::uint64_t{0x7ff0000000000002}))};
  const Bytes message = encode_write_request(samples);
  EXPECT_EQ(series_of(message), (std::vector<std::string>{"__name__=a,app=web,3@1700000000000", "__name__=b,app=web,NaN@5"}));
  EXPECT_NE(message.find(std::string("\x02\0\0\0\0\0\xf0\x7f", 8)), std::string::npos) << "the stale marker keeps its bits";
}

class SampleLogTest : public testing::Test {
 protected:
  std::unique_ptr<SampleLog> open(SampleLogLimits limits = {}) {
    auto log = SampleLog::open(files_, "/wal/t", {"a", "b"}, limits);
    EXPECT_TRUE(log.ok()) << log.error().message();
    return std::move(log).value();
  }
  std::string read(const SampleLog& log, const std::string& receiver, std::uint64_t samples_max = 1000) {
    const auto batch = log.next(receiver, samples_max, 0);
    EXPECT_TRUE(batch.ok()) << batch.error().message();
    last_ = batch->last;
    return batch->payload;
  }
  std::size_t files_there() {
    std::size_t count = 0;
    const auto entries = files_.list("/wal/t");
    for (const auto& entry : *entries) count += entry.name.ends_with(".samples");
    return count;
  }
  io::MemoryFileSystem files_;
  std::uint64_t last_ = 0;
};

TEST_F(SampleLogTest, EachReceiverGetsEverythingOnce) {
  auto log = open();
  for (const char* text : {"one.", "two.", "three."}) ASSERT_TRUE(log->append(text, 10, 100).ok());
  EXPECT_EQ(read(*log, "a", 20), "one.two.");
  ASSERT_TRUE(log->done("a", last_).ok());
  EXPECT_EQ(log->pending("a"), 10U);
  EXPECT_EQ(log->pending("b"), 30U);
  EXPECT_EQ(read(*log, "a", 1), "three.") << "a record is never cut";
  ASSERT_TRUE(log->done("a", last_).ok());
  EXPECT_EQ(read(*log, "a"), "");
  EXPECT_EQ(last_, 0U);
  EXPECT_EQ(read(*log, "b"), "one.two.three.");
}

TEST_F(SampleLogTest, WhatWasAppendedSurvivesACrash) {
  auto log = open();
  ASSERT_TRUE(log->append("one.", 1, 100).ok());
  ASSERT_TRUE(log->append("two.", 1, 100).ok());
  read(*log, "a", 1);
  ASSERT_TRUE(log->done("a", last_).ok());
  log.reset();
  files_.crash(0);
  log = open();
  EXPECT_EQ(read(*log, "a"), "two.");
  EXPECT_EQ(read(*log, "b"), "one.two.");
  ASSERT_TRUE(log->append("three.", 1, 100).ok());
  EXPECT_EQ(read(*log, "a"), "two.three.");
  EXPECT_EQ(log->damaged(), 0U);
}

TEST_F(SampleLogTest, NumbersGoOnWhenAllFilesAreGone) {
  auto log = open();
  ASSERT_TRUE(log->append("one.", 1, 100).ok());
  for (const char* receiver : {"a", "b"}) ASSERT_TRUE(log->done(receiver, 1).ok());
  log = open();
  EXPECT_EQ(files_there(), 0U);
  ASSERT_TRUE(log->append("two.", 1, 100).ok());
  EXPECT_EQ(read(*log, "a"), "two.");
}

TEST_F(SampleLogTest, EveryTruncationAndFlippedByteYieldsAPrefix) {
  const std::vector<std::string> texts = {"first-record.", "second-record.", "third-record."};
  {
    auto log = open();
    for (const std::string& text : texts) ASSERT_TRUE(log->append(text, 1, 100).ok());
  }
  const std::string path = "/wal/t/0000000000000001.samples";
  const Bytes whole = *files_.read_file(path, 1 << 20);
  const auto is_prefix = [&](const std::string& got) {
    std::string text;
    if (got == text) return true;
    for (const std::string& next : texts)
      if (got == (text += next)) return true;
    return false;
  };
  for (std::size_t keep = 0; keep < whole.size(); ++keep) {
    ASSERT_TRUE(io::replace_file(files_, path, ByteView(whole).substr(0, keep)).ok());
    ASSERT_TRUE(is_prefix(read(*open(), "a"))) << "cut at " << keep;
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0x10);
    ASSERT_TRUE(io::replace_file(files_, path, broken).ok());
    const auto log = open();
    ASSERT_TRUE(is_prefix(read(*log, "a"))) << "flipped at " << at;
    ASSERT_EQ(log->damaged(), 1U) << "flipped at " << at;
  }
}

TEST_F(SampleLogTest, OldSamplesAndFullDisksLoseTheOldestOnly) {
  SampleLogLimits limits;
  limits.file_bytes_max = 64;
  limits.bytes_max = 200;
  auto log = open(limits);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(log->append("record-" + std::to_string(i) + std::string(30, '.'), 1, 100 + i).ok());
  EXPECT_LE(log->disk_bytes(), 300U);
  EXPECT_GT(log->dropped(), 0U);
  const std::string left = read(*log, "a");
  EXPECT_NE(left.find("record-9"), std::string::npos);
  EXPECT_EQ(left.find("record-0"), std::string::npos);
  const auto recent = log->next("a", 1000, 109);
  EXPECT_EQ(recent->samples, 1U);
  EXPECT_GT(recent->skipped, 0U);
}

// A receiver of remote write that remembers what it is told and answers as it is told.
class FakeReceiver {
 public:
  FakeReceiver() : server_(options(), pool_, registry_) {
    http::Route route;
    route.methods = {"POST"};
    route.pattern = "/write";
    route.name = "write";
    route.handler = [this](std::shared_ptr<http::Request> request, http::Responder respond) {
      int answer;
      {
        const std::scoped_lock lock(mutex_);
        answer = answers_.empty() ? 204 : answers_.front();
        if (!answers_.empty()) answers_.erase(answers_.begin());
        requests_.push_back(*request);
        const auto body = codec::decompress_bounded(codec::Compression::kSnappy, *request->body, 1 << 20);
        EXPECT_TRUE(body.ok());
        if (answer / 100 == 2 && body.ok())
          for (std::string& series : series_of(*body)) taken_.push_back(std::move(series));
      }
      changed_.notify_all();
      respond(http::Response::text(answer, ""));
    };
    server_.add(std::move(route));
    EXPECT_TRUE(server_.start().ok());
  }
  ~FakeReceiver() { server_.stop(0); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()) + "/write"; }
  void answer(std::vector<int> with) {
    const std::scoped_lock lock(mutex_);
    answers_ = std::move(with);
  }
  std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return taken_.size() >= count; });
    return taken_;
  }
  std::vector<http::Request> requests() {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }

 private:
  static http::ServerOptions options() {
    http::ServerOptions out;
    out.listen_address = "127.0.0.1";
    out.port = 0;
    out.io_threads = 1;
    return out;
  }
  std::mutex mutex_;                       // guards the three below
  std::vector<int> answers_;
  std::vector<std::string> taken_;
  std::vector<http::Request> requests_;
  std::condition_variable changed_;
  obs::Registry registry_;
  exec::Pool pool_{"test", 2};             // ends before what its handlers use
  http::Server server_;
};

class RemoteWriterTest : public testing::Test {
 protected:
  RemoteWriter& writer() {
    if (!writer_) {
      options_.wal_dir = "/wal";
      for (RemoteWriteClient& client : options_.clients) client.backoff_min_ns = client.backoff_max_ns = kNanosPerMilli;
      auto made = RemoteWriter::create(options_, files_, registry_, clock_, [](const std::string& tenant) { return tenant == "off"; });
      EXPECT_TRUE(made.ok());
      writer_ = std::move(made).value();
      EXPECT_TRUE(writer_->start().ok());
    }
    return *writer_;
  }
  void add(const std::string& name, const std::string& url) {
    RemoteWriteClient client;
    client.name = name;
    client.url = url;
    options_.clients.push_back(client);
  }
  void append(const std::string& tenant, const std::string& name, double value) {
    const TimedSample one = sample(name, system_clock().now_ns() / kNanosPerMilli, value);
    ASSERT_TRUE(writer().append(tenant, std::span(&one, 1)).ok());
  }
  RemoteWriteOptions options_;
  io::MemoryFileSystem files_;
  obs::Registry registry_;
  const Clock& clock_ = system_clock();
  std::unique_ptr<RemoteWriter> writer_;
};

TEST_F(RemoteWriterTest, SendsToEveryReceiverWithTheRightHeaders) {
  FakeReceiver a, b;
  add("a", a.url());
  add("b", b.url());
  options_.clients[1].headers = {{"X-Extra", "1"}};
  options_.clients[1].username = "u";
  options_.clients[1].password = "p";
  append("t1", "x", 7);
  EXPECT_TRUE(a.wait_for(1).at(0).starts_with("__name__=x,app=web,7@"));
  b.wait_for(1);
  const http::Request request = b.requests().at(0);
  EXPECT_EQ(*request.header("Content-Type"), "application/x-protobuf");
  EXPECT_EQ(*request.header("Content-Encoding"), "snappy");
  EXPECT_EQ(*request.header("X-Prometheus-Remote-Write-Version"), "0.1.0");
  EXPECT_EQ(*request.header("X-Scope-OrgID"), "t1");
  EXPECT_EQ(*request.header("X-Extra"), "1");
  EXPECT_EQ(*request.header("Authorization"), "Basic dTpw");
  EXPECT_EQ(a.requests().at(0).header("Authorization"), nullptr);
}

TEST_F(RemoteWriterTest, TriesAgainWhatMayPassAndDropsWhatWillNot) {
  FakeReceiver a;
  add("a", a.url());
  a.answer({503, 429, 204, 400});
  append("t1", "x", 1);
  EXPECT_EQ(a.wait_for(1).size(), 1U);
  EXPECT_EQ(a.requests().size(), 3U);
  append("t1", "x", 2);   // refused for good
  while (a.requests().size() < 4) std::this_thread::yield();
  append("t1", "x", 3);
  const auto taken = a.wait_for(2);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_TRUE(taken[1].starts_with("__name__=x,app=web,3@"));
  writer().stop();
  EXPECT_EQ(registry_.counter_family("loki_ruler_wal_prometheus_remote_storage_samples_failed_total", "", {"tenant", "remote_name", "url"}).with({"t1", "a", a.url()}).value(), 1);
}

TEST_F(RemoteWriterTest, WhatWasNotSentIsSentAfterARestart) {
  FakeReceiver a;
  add("a", a.url());
  a.answer(std::vector<int>(100'000, 503));
  append("t1", "x", 1);
  append("t2", "y", 2);
  writer().stop();
  writer_.reset();
  files_.crash(0);
  a.answer({});
  writer();
  EXPECT_EQ(a.wait_for(2).size(), 2U);
}

TEST_F(RemoteWriterTest, ATenantMayBeLeftOut) {
  FakeReceiver a;
  add("a", a.url());
  options_.add_org_id_header = false;
  append("off", "x", 1);
  append("t1", "y", 2);
  EXPECT_TRUE(a.wait_for(1).at(0).starts_with("__name__=y"));
  EXPECT_EQ(a.requests().at(0).header("X-Scope-OrgID"), nullptr);
  EXPECT_FALSE(*files_.exists("/wal/off"));
}

TEST(RemoteClients, AreReadInTheWordsOfPrometheus) {
  const auto clients = parse_remote_clients(
      "{mimir: {url: https://m/push, remote_timeout: 5s, headers: {X-A: '1'}, basic_auth: {username: u, password: p}, tls_config: {ca_file: /c, insecure_skip_verify: 'true'}, "
      "queue_config: {max_samples_per_send: '50', min_backoff: 10ms, max_backoff: 1s, capacity: 10}, write_relabel_configs: []}, prom: {url: http://p/w, authorization: {credentials: s}}}");
  ASSERT_TRUE(clients.ok()) << clients.error().message();
  ASSERT_EQ(clients->size(), 2U);
  const RemoteWriteClient& mimir = clients->at(0);
  EXPECT_EQ(mimir.name, "mimir");
  EXPECT_EQ(mimir.url, "https://m/push");
  EXPECT_EQ(mimir.timeout_ns, 5 * kNanosPerSecond);
  EXPECT_EQ(mimir.headers.at("X-A"), "1");
  EXPECT_EQ(mimir.username, "u");
  EXPECT_TRUE(mimir.tls.skip_verify);
  EXPECT_EQ(mimir.samples_per_send, 50U);
  EXPECT_EQ(mimir.backoff_max_ns, kNanosPerSecond);
  EXPECT_EQ(clients->at(1).credentials, "s");
}

TEST(RemoteClients, WhatCannotBeDoneIsRefusedByName) {
  const auto reason = [](const std::string& yaml) {
    const auto clients = parse_remote_clients(yaml);
    return clients.ok() ? std::string() : clients.error().message();
  };
  EXPECT_NE(reason("{m: {url: http://x, write_relabel_configs: [{action: drop}]}}").find("ruler.remote_write.clients.m.write_relabel_configs"), std::string::npos);
  EXPECT_NE(reason("{m: {url: http://x, proxy_url: http://p}}").find("proxy_url"), std::string::npos);
  EXPECT_NE(reason("{m: {url: x}}").find(".m.url"), std::string::npos);
  EXPECT_NE(reason("{../m: {url: http://x}}").find("a name has"), std::string::npos);
  EXPECT_NE(reason("[1]").find("not a mapping"), std::string::npos);
  EXPECT_NE(reason("{m: {url: http://x, queue_config: {max_backoff: 1ms}}}").find("max_backoff"), std::string::npos);
  EXPECT_EQ(reason(""), "");
}

}  // namespace
}  // namespace skald::ruler
