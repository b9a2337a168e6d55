// Tells Alertmanagers about alerts, over their API (version 2, or 1 for old ones).
#pragma once

#include <condition_variable>
#include <deque>
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

// Thread-safe. Each Alertmanager gets every alert. A request that fails is not repeated: an alert that goes on is sent again
// after resend_delay anyway, a resolved one for 15 minutes. A full queue drops what waits longest.
class Notifier final : public AlertSink {
 public:
  static Result<std::unique_ptr<Notifier>> create(AlertmanagerOptions options, io::FileSystem& files, obs::Registry& registry, const Clock& clock = system_clock());
  ~Notifier() override;   // what is queued gets one notification_timeout to leave

  void send(const std::string& tenant, std::vector<Notification> alerts) override;
  // Gives up on what has not left within notification_timeout. Once.
  void stop();

 private:
  struct Target {
    std::string url;             // of the API, without user and password
    std::string name;            // the same for metrics and log
    std::string authorization;   // from the URL's user and password
  };
  using Queue = std::deque<Notification>;

  Notifier(AlertmanagerOptions options, std::vector<Target> targets, std::unique_ptr<http::Client> client, io::FileSystem& files, obs::Registry& registry, const Clock& clock);
  void run();
  void post(const std::string& tenant, const std::vector<Notification>& alerts);
  Result<std::string> authorization() const;   // as configured; empty: none

  const AlertmanagerOptions options_;
  const std::vector<Target> targets_;
  const std::unique_ptr<http::Client> client_;
  io::FileSystem& files_;
  const Clock& clock_;
  obs::CounterFamily &sent_, &errors_;   // user, alertmanager
  obs::CounterFamily& dropped_;          // user
  obs::GaugeFamily& queue_length_;       // user
  obs::GaugeFamily& queue_capacity_;     // user
  obs::GaugeFamily& discovered_;         // user
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  std::mutex mutex_;                     // guards all below
  std::condition_variable wake_;
  std::map<std::string, Queue> queues_;  // by tenant; empty ones are removed
  std::string last_served_;              // tenants take turns
  bool stopping_ = false;
  std::int64_t stop_at_monotonic_ns_ = 0;
  std::thread thread_;
};

// The body of a POST.
std::string alerts_json(const std::vector<Notification>& alerts);

}  // namespace skald::ruler
