// Sends samples of rules to Prometheus-compatible receivers (remote write, version 1), through a log on disk: what was
// appended is sent until the receiver took it, over failures and restarts.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "skald/base/clock.h"
#include "skald/http/client.h"
#include "skald/io/file_system.h"
#include "skald/obs/metrics.h"
#include "skald/ruler/evaluation.h"
#include "skald/ruler/options.h"

namespace skald::ruler {

class SampleLog;
struct RemoteWriteMetrics;

// Thread-safe. One thread per receiver; tenants take turns. An answer 5xx or 429, or none, is tried again with back-off for
// as long as wal_max_age allows; any other refusal drops the batch, for it would be refused again.
class RemoteWriter final : public SampleSink {
 public:
  // `disabled` (may be null): tenants whose samples are not kept.
  static Result<std::unique_ptr<RemoteWriter>> create(RemoteWriteOptions options, io::FileSystem& files, obs::Registry& registry, const Clock& clock = system_clock(),
                                                      std::function<bool(const std::string& tenant)> disabled = nullptr);
  ~RemoteWriter() override;

  // Opens the logs that an earlier process left, then sends.
  Result<void> start();
  // What was not sent stays on disk. Once.
  void stop();

  // kIo, kResourceExhausted: the log could not be written; nothing of it will be sent.
  Result<void> append(const std::string& tenant, std::span<const TimedSample> samples) override;

 private:
  struct Receiver {
    RemoteWriteClient options;
    std::unique_ptr<http::Client> client;
    std::thread thread;
  };
  struct Backoff {
    std::int64_t wait_ns = 0;
    std::int64_t until_monotonic_ns = 0;
  };

  RemoteWriter(RemoteWriteOptions options, io::FileSystem& files, obs::Registry& registry, const Clock& clock, std::function<bool(const std::string&)> disabled);
  Result<std::shared_ptr<SampleLog>> log_of(const std::string& tenant);
  std::map<std::string, std::shared_ptr<SampleLog>> logs() const;
  void count_series(const std::string& tenant, std::span<const TimedSample> samples, std::int64_t newest_ms);
  void run(Receiver& receiver);
  // False: to be tried again after a while.
  bool send_next(Receiver& receiver, const std::string& tenant, SampleLog& log, bool& more);
  Result<http::ClientResponse> post(Receiver& receiver, const std::string& tenant, ByteView payload, std::size_t& sent_bytes);
  Result<void> add_authorization(const RemoteWriteClient& options, std::vector<http::Header>& headers) const;

  const RemoteWriteOptions options_;
  io::FileSystem& files_;
  const Clock& clock_;
  const std::function<bool(const std::string&)> disabled_;
  const std::unique_ptr<RemoteWriteMetrics> metrics_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  mutable std::mutex mutex_;          // guards all below
  std::condition_variable wake_;
  std::map<std::string, std::shared_ptr<SampleLog>> logs_;   // by tenant
  struct Series {
    std::map<std::uint64_t, std::int64_t> last_ms;           // by hash of the labels: the last sample
    std::int64_t swept_ms = 0;
  };
  std::map<std::string, Series> series_;                     // by tenant; for metrics
  std::uint64_t appended_ = 0;        // grows with each append
  bool stopping_ = false;
};

}  // namespace skald::ruler
