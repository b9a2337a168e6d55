#include "skald/ruler/remote_writer.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

#include "ruler/base64.h"
#include "ruler/sample_log.h"
#include "ruler/write_request.h"
#include "skald/codec/compress.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"

namespace skald::ruler {

struct RemoteWriteMetrics {
  explicit RemoteWriteMetrics(obs::Registry& registry);
  obs::GaugeFamily &appender_ready, &disk_size, &highest_timestamp;                  // tenant
  obs::CounterFamily &appended, &created, &removed, &corruptions;                    // tenant
  obs::GaugeFamily& active;                                                          // tenant
  obs::GaugeFamily &highest_sent, &pending;                                          // tenant, remote_name, url
  obs::CounterFamily &sent, &failed, &retried, &dropped, &bytes;                     // the same
  obs::HistogramFamily& batch_seconds;                                               // the same
};

namespace {

constexpr std::uint64_t kAnswerBytesMax = 1 << 20;
constexpr std::uint64_t kSecretBytesMax = 64 << 10;
constexpr std::uint64_t kStaleMarkerBits = 0x7ff0000000000002;
constexpr std::int64_t kSeriesKeptMs = kNanosPerHour / kNanosPerMilli;   // without a sample
const std::vector<std::string> kTenant = {"tenant"};
const std::vector<std::string> kQueue = {"tenant", "remote_name", "url"};

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

// What becomes a directory; the API and pushes allow no others.
bool is_folder_name(const std::string& tenant) { return !tenant.empty() && tenant != "." && tenant != ".." && tenant.find('/') == std::string::npos; }

}  // namespace

RemoteWriteMetrics::RemoteWriteMetrics(obs::Registry& registry)
    : appender_ready(registry.gauge_family("loki_ruler_wal_appender_ready", "Whether samples of rules can be kept.", kTenant)),
      disk_size(registry.gauge_family("loki_ruler_wal_disk_size", "Bytes of samples on disk.", kTenant)),
      highest_timestamp(registry.gauge_family("loki_ruler_wal_prometheus_remote_storage_highest_timestamp_in_seconds", "Newest sample that was kept.", kTenant)),
      appended(registry.counter_family("loki_ruler_wal_samples_appended_total", "Samples of rules kept.", kTenant)),
      created(registry.counter_family("loki_ruler_wal_storage_created_series_total", "Series that samples of rules were first kept of.", kTenant)),
      removed(registry.counter_family("loki_ruler_wal_storage_removed_series_total", "Series of rules that ended.", kTenant)),
      corruptions(registry.counter_family("loki_ruler_wal_corruptions_total", "Files of samples with a damaged rest.", kTenant)),
      active(registry.gauge_family("loki_ruler_wal_storage_active_series", "Series of rules that go on.", kTenant)),
      highest_sent(registry.gauge_family("loki_ruler_wal_prometheus_remote_storage_queue_highest_sent_timestamp_seconds", "Newest sample that the receiver took.", kQueue)),
      pending(registry.gauge_family("loki_ruler_wal_prometheus_remote_storage_samples_pending", "Samples that wait to be sent.", kQueue)),
      sent(registry.counter_family("loki_ruler_wal_prometheus_remote_storage_samples_total", "Samples that the receiver took.", kQueue)),
      failed(registry.counter_family("loki_ruler_wal_prometheus_remote_storage_samples_failed_total", "Samples that the receiver refused for good.", kQueue)),
      retried(registry.counter_family("loki_ruler_wal_prometheus_remote_storage_samples_retried_total", "Samples sent again after a failure.", kQueue)),
      dropped(registry.counter_family("loki_ruler_wal_prometheus_remote_storage_samples_dropped_total", "Samples that became too old or could not be read.", kQueue)),
      bytes(registry.counter_family("loki_ruler_wal_prometheus_remote_storage_bytes_total", "Bytes sent, compressed.", kQueue)),
      batch_seconds(registry.histogram_family("loki_ruler_wal_prometheus_remote_storage_sent_batch_duration_seconds", "Time of requests to the receiver.", kQueue,
                                              {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300})) {}

Result<std::unique_ptr<RemoteWriter>> RemoteWriter::create(RemoteWriteOptions options, io::FileSystem& files, obs::Registry& registry, const Clock& clock,
                                                           std::function<bool(const std::string&)> disabled) {
  std::unique_ptr<RemoteWriter> writer(new RemoteWriter(std::move(options), files, registry, clock, std::move(disabled)));
  for (const RemoteWriteClient& client : writer->options_.clients) {
    auto receiver = std::make_unique<Receiver>();
    receiver->options = client;
    http::ClientOptions http_options;
    http_options.request_timeout_ns = client.timeout_ns;
    http_options.connect_timeout_ns = client.timeout_ns;
    http_options.tls = client.tls;
    SKALD_TRY(receiver->client, http::Client::create(std::move(http_options)));
    writer->receivers_.push_back(std::move(receiver));
  }
  return writer;
}

RemoteWriter::RemoteWriter(RemoteWriteOptions options, io::FileSystem& files, obs::Registry& registry, const Clock& clock, std::function<bool(const std::string&)> disabled)
    : options_(std::move(options)), files_(files), clock_(clock), disabled_(std::move(disabled)), metrics_(std::make_unique<RemoteWriteMetrics>(registry)) {}

RemoteWriter::~RemoteWriter() { stop(); }

Result<void> RemoteWriter::start() {
  SKALD_TRY_VOID(files_.make_directories(options_.wal_dir));
  SKALD_TRY(const std::vector<io::DirEntry> entries, files_.list(options_.wal_dir));
  for (const io::DirEntry& entry : entries)
    if (entry.is_directory && !entry.name.starts_with(".")) SKALD_TRY_VOID(log_of(entry.name));
  for (auto& receiver : receivers_) receiver->thread = std::thread([this, &receiver = *receiver] { run(receiver); });
  return {};
}

void RemoteWriter::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    cancel_->cancel();
  }
  wake_.notify_all();
  for (auto& receiver : receivers_)
    if (receiver->thread.joinable()) receiver->thread.join();
}

Result<std::shared_ptr<SampleLog>> RemoteWriter::log_of(const std::string& tenant) {
  const std::scoped_lock lock(mutex_);
  const auto known = logs_.find(tenant);
  if (known != logs_.end()) return known->second;
  if (!is_folder_name(tenant)) return Error(ErrorCode::kInvalidArgument, "tenant \"" + tenant + "\" cannot name a directory");
  std::vector<std::string> names;
  for (const auto& receiver : receivers_) names.push_back(receiver->options.name);
  Result<std::unique_ptr<SampleLog>> opened = SampleLog::open(files_, options_.wal_dir + "/" + tenant, names, {});
  metrics_->appender_ready.with({tenant}).set(opened.ok() ? 1 : 0);
  if (!opened.ok()) return opened.error().with_prefix("ruler.wal.dir, tenant " + tenant);
  std::shared_ptr<SampleLog> log = std::move(opened).value();
  metrics_->disk_size.with({tenant}).set(static_cast<double>(log->disk_bytes()));
  metrics_->corruptions.with({tenant}).add(static_cast<double>(log->damaged()));
  metrics_->created.with({tenant}), metrics_->removed.with({tenant});   // there from the start, so that rates see the first ones
  logs_.emplace(tenant, log);
  return log;
}

std::map<std::string, std::shared_ptr<SampleLog>> RemoteWriter::logs() const {
  const std::scoped_lock lock(mutex_);
  return logs_;
}

Result<void> RemoteWriter::append(const std::string& tenant, std::span<const TimedSample> samples) {
  if (samples.empty() || (disabled_ && disabled_(tenant))) return {};
  SKALD_TRY(const std::shared_ptr<SampleLog> log, log_of(tenant));
  std::int64_t newest_ms = 0;
  for (const TimedSample& sample : samples) newest_ms = std::max(newest_ms, sample.timestamp_ms);
  // One record is one request at least, so a large result becomes several.
  const std::size_t part = std::max<std::size_t>(1, options_.samples_per_record);
  for (std::size_t at = 0; at < samples.size(); at += part) {
    const auto some = samples.subspan(at, std::min(part, samples.size() - at));
    const Result<void> kept = log->append(encode_write_request(some), static_cast<std::uint32_t>(some.size()), newest_ms);
    metrics_->appender_ready.with({tenant}).set(kept.ok() ? 1 : 0);
    if (!kept.ok()) return kept.error().with_prefix("samples not kept");
    metrics_->appended.with({tenant}).add(static_cast<double>(some.size()));
  }
  metrics_->highest_timestamp.with({tenant}).set(static_cast<double>(newest_ms) / 1e3);
  count_series(tenant, samples, newest_ms);
  metrics_->disk_size.with({tenant}).set(static_cast<double>(log->disk_bytes()));
  {
    const std::scoped_lock lock(mutex_);
    ++appended_;
  }
  wake_.notify_all();
  return {};
}

// Series end with a stale marker, or without a word when their group goes.
void RemoteWriter::count_series(const std::string& tenant, std::span<const TimedSample> samples, std::int64_t newest_ms) {
  std::size_t created = 0, removed = 0, active = 0;
  {
    const std::scoped_lock lock(mutex_);
    Series& series = series_[tenant];
    for (const TimedSample& sample : samples) {
      const std::uint64_t hash = codec::xxh3_64(sample.labels.to_string());
      if (std::isnan(sample.value) && std::bit_cast<std::uint64_t>(sample.value) == kStaleMarkerBits) removed += series.last_ms.erase(hash);
      else if (!series.last_ms.insert_or_assign(hash, sample.timestamp_ms).second) continue;
      else ++created;
    }
    if (newest_ms - series.swept_ms >= kSeriesKeptMs) {
      removed += std::erase_if(series.last_ms, [&](const auto& item) { return newest_ms - item.second > kSeriesKeptMs; });
      series.swept_ms = newest_ms;
    }
    active = series.last_ms.size();
  }
  metrics_->created.with({tenant}).add(static_cast<double>(created));
  metrics_->removed.with({tenant}).add(static_cast<double>(removed));
  metrics_->active.with({tenant}).set(static_cast<double>(active));
}

void RemoteWriter::run(Receiver& receiver) {
  std::map<std::string, Backoff> backoffs;
  const RemoteWriteClient& options = receiver.options;
  for (;;) {
    std::uint64_t seen;
    {
      const std::scoped_lock lock(mutex_);
      if (stopping_) return;
      seen = appended_;
    }
    bool more = false;
    std::int64_t wake_ns = clock_.monotonic_ns() + kNanosPerMinute;
    for (const auto& [tenant, log] : logs()) {
      Backoff& backoff = backoffs[tenant];
      if (backoff.until_monotonic_ns > clock_.monotonic_ns()) {
        wake_ns = std::min(wake_ns, backoff.until_monotonic_ns);
        continue;
      }
      if (cancel_->cancelled()) return;
      if (send_next(receiver, tenant, *log, more)) {
        backoff = {};
      } else {
        backoff.wait_ns = std::clamp(2 * backoff.wait_ns, options.backoff_min_ns, options.backoff_max_ns);
        backoff.until_monotonic_ns = clock_.monotonic_ns() + backoff.wait_ns;
        wake_ns = std::min(wake_ns, backoff.until_monotonic_ns);
      }
      metrics_->pending.with({tenant, options.name, options.url}).set(static_cast<double>(log->pending(options.name)));
      metrics_->disk_size.with({tenant}).set(static_cast<double>(log->disk_bytes()));
    }
    if (more) continue;
    std::unique_lock lock(mutex_);
    // A tenant that waits for its receiver is not woken by what others append: its own time is looked at above.
    wake_.wait_for(lock, std::chrono::nanoseconds(std::max<std::int64_t>(0, wake_ns - clock_.monotonic_ns())), [&] { return stopping_ || appended_ != seen; });
  }
}

bool RemoteWriter::send_next(Receiver& receiver, const std::string& tenant, SampleLog& log, bool& more) {
  const RemoteWriteClient& options = receiver.options;
  const std::vector<std::string> labels = {tenant, options.name, options.url};
  const std::int64_t oldest_ms = (clock_.now_ns() - options_.wal_max_age_ns) / kNanosPerMilli;
  const Result<SampleLog::Batch> batch = log.next(options.name, options.samples_per_send, oldest_ms);
  if (!batch.ok()) {
    log::warn("samples of rules not read", {{"tenant", tenant}, {"err", batch.error().message()}});
    return false;
  }
  if (batch->last == 0) return true;
  metrics_->dropped.with(labels).add(static_cast<double>(batch->skipped));
  if (batch->samples != 0) {
    std::size_t sent_bytes = 0;
    const std::int64_t begin_ns = system_clock().monotonic_ns();
    const Result<http::ClientResponse> answer = post(receiver, tenant, batch->payload, sent_bytes);
    metrics_->batch_seconds.with(labels).observe(static_cast<double>(system_clock().monotonic_ns() - begin_ns) / 1e9);
    metrics_->bytes.with(labels).add(static_cast<double>(sent_bytes));
    const auto count = static_cast<double>(batch->samples);
    const bool taken = answer.ok() && answer->status / 100 == 2;
    if (!taken) {
      if (cancel_->cancelled()) return false;
      const std::string why = answer.ok() ? "status " + std::to_string(answer->status) + ": " + answer->body.substr(0, 256) : answer.error().message();
      const bool again = !answer.ok() || answer->status / 100 == 5 || answer->status == 429;
      log::warn(again ? "samples of rules not taken, tried again" : "samples of rules refused", {{"tenant", tenant}, {"remote", options.name}, {"samples", batch->samples}, {"err", why}});
      (again ? metrics_->retried : metrics_->failed).with(labels).add(count);
      if (again) return false;
    } else {
      metrics_->sent.with(labels).add(count);
      metrics_->highest_sent.with(labels).set(static_cast<double>(batch->newest_ms) / 1e3);
    }
  }
  // Not marked as sent: it is sent once more after a restart, which receivers bear (same time, same value).
  if (const Result<void> marked = log.done(options.name, batch->last); !marked.ok())
    log::warn("not noted what was sent", {{"tenant", tenant}, {"err", marked.error().message()}});
  more = more || log.pending(options.name) != 0;
  return true;
}

Result<void> RemoteWriter::add_authorization(const RemoteWriteClient& options, std::vector<http::Header>& headers) const {
  if (!options.username.empty()) {
    std::string password = options.password;
    if (!options.password_file.empty()) {
      SKALD_TRY(const Bytes content, files_.read_file(options.password_file, kSecretBytesMax));
      password = trimmed(content);
    }
    headers.push_back({"Authorization", "Basic " + base64(options.username + ":" + password)});
  } else if (!options.credentials.empty()) {
    headers.push_back({"Authorization", options.auth_type + " " + options.credentials});
  } else if (!options.credentials_file.empty()) {
    SKALD_TRY(const Bytes content, files_.read_file(options.credentials_file, kSecretBytesMax));
    headers.push_back({"Authorization", options.auth_type + " " + trimmed(content)});
  }
  return {};
}

Result<http::ClientResponse> RemoteWriter::post(Receiver& receiver, const std::string& tenant, ByteView payload, std::size_t& sent_bytes) {
  SKALD_TRY(const Bytes body, codec::compress(codec::Compression::kSnappy, payload));
  http::ClientRequest request;
  request.method = "POST";
  request.url = receiver.options.url;
  request.body = body;
  request.response_bytes_max = kAnswerBytesMax;
  request.headers = {{"Content-Type", "application/x-protobuf"}, {"Content-Encoding", "snappy"}, {"X-Prometheus-Remote-Write-Version", "0.1.0"}};
  if (options_.add_org_id_header) request.headers.push_back({"X-Scope-OrgID", tenant});
  for (const auto& [name, value] : receiver.options.headers) request.headers.push_back({name, value});
  SKALD_TRY_VOID(add_authorization(receiver.options, request.headers));
  CallContext ctx;
  ctx.tenant = tenant;
  ctx.cancel = cancel_;
  ctx.deadline_monotonic_ns = system_clock().monotonic_ns() + receiver.options.timeout_ns;
  sent_bytes = body.size();
  return receiver.client->call(request, ctx);
}

}  // namespace skald::ruler
