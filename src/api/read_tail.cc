#include "api/read_tail.h"

#include <algorithm>
#include <functional>

#include "api/query_json.h"
#include "api/query_limits.h"
#include "api/query_run.h"
#include "api/read_context.h"
#include "skald/api/json.h"
#include "skald/api/params.h"
#include "skald/logql/parser.h"

namespace skald::api {

namespace {

constexpr std::size_t kWaitingBytesMax = 4U << 20;
constexpr std::size_t kWaitingEntriesMax = 10'000;
constexpr std::size_t kDroppedMax = 1'000;
constexpr std::size_t kEntriesPerFrame = 500;
constexpr int kCloseInternalError = 1011;

// One stream's entries as a block. Views point into `entries`.
chunk::Columns to_columns(const std::vector<const rpc::TailEntry*>& entries) {
  chunk::Columns columns;
  columns.rows = static_cast<std::uint32_t>(entries.size());
  columns.line_offsets.push_back(0);
  for (std::uint32_t row = 0; row < entries.size(); ++row) {
    const rpc::TailEntry& entry = *entries[row];
    columns.timestamps_ns.push_back(entry.timestamp_ns);
    columns.text += entry.line;
    columns.text += '\n';
    columns.line_offsets.push_back(static_cast<std::uint32_t>(columns.text.size()));
    for (const model::Label& label : entry.metadata) {
      auto it = std::find_if(columns.metadata.begin(), columns.metadata.end(), [&](const auto& column) { return column.name == label.name; });
      if (it == columns.metadata.end()) {
        columns.metadata.push_back({label.name, std::vector<std::string_view>(entries.size())});
        it = columns.metadata.end() - 1;
      }
      it->values[row] = label.value;
    }
  }
  columns.text_bytes = columns.text.size();
  columns.text.append(kBufferSlack, '\0');
  return columns;
}

engine::ResultLabels stream_labels(const model::InternedLabels& labels, const std::vector<model::Label>& metadata) {
  engine::ResultLabels result;
  for (const model::Label& label : labels.labels.pairs()) result.labels.push_back({label.name, label.value, engine::LabelCategory::kStream});
  for (const model::Label& label : metadata) result.labels.push_back({label.name, label.value, engine::LabelCategory::kMetadata});
  std::sort(result.labels.begin(), result.labels.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

}  // namespace

Result<TailParams> parse_tail_params(const http::Params& form, std::int64_t now_ns) {
  TailParams params;
  params.query = std::string(param(form, "query"));
  SKALD_TRY(params.limit, parse_limit(form, "limit", 100));
  Result<std::int64_t> start = parse_timestamp(param(form, "start"), now_ns - kNanosPerHour);
  if (!start.ok()) return start.error().with_prefix("could not parse 'start' parameter");
  params.start_ns = *start;
  if (const std::string_view delay = param(form, "delay_for"); !delay.empty()) {
    SKALD_TRY(const std::int64_t seconds, parse_atoi(delay));
    if (seconds > 5) return Error(ErrorCode::kInvalidArgument, "delay_for can't be greater than 5");
    params.delay_ns = std::max<std::int64_t>(seconds, 0) * kNanosPerSecond;
  }
  return params;
}

std::shared_ptr<TailSocket> TailSocket::watch(const std::shared_ptr<http::WebSocket>& socket) {
  auto watched = std::make_shared<TailSocket>();
  watched->socket_ = socket;
  socket->on_close([watched] {
    const std::lock_guard lock(watched->mutex_);   // waits for a send in progress
    watched->gone_ = true;
    watched->socket_.reset();
  });
  return watched;
}

bool TailSocket::send(std::string frame) {
  const std::lock_guard lock(mutex_);
  if (gone_) return true;
  const auto socket = socket_.lock();
  return !socket || socket->send_text(std::move(frame)) || socket->closed();
}

bool TailSocket::closed() {
  const std::lock_guard lock(mutex_);
  if (gone_) return true;
  const auto socket = socket_.lock();
  return !socket || socket->closed();
}

void TailSocket::close(int code, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (gone_) return;
  if (const auto socket = socket_.lock()) socket->close(code, reason);
}

TailSession::TailSession(std::shared_ptr<http::WebSocket> socket, std::shared_ptr<TailInbox> inbox, const logql::LogSelector& selector,
                         std::shared_ptr<const engine::Pipeline> pipeline, std::int64_t delay_ns, bool categorize, std::int64_t duration_max_ns,
                         const Clock& clock)
    : socket_(TailSocket::watch(socket)), inbox_(std::move(inbox)), has_stages_(!selector.stages.empty()), pipeline_(std::move(pipeline)), runner_(pipeline_->make_runner()),
      delay_ns_(delay_ns), categorize_(categorize), duration_max_ns_(duration_max_ns), clock_(clock), started_ns_(clock.monotonic_ns()) {}

void TailSession::hold(std::shared_ptr<void> subscription, std::shared_ptr<void> slot) {
  subscription_ = std::move(subscription);
  slot_ = std::move(slot);
}

void TailInbox::push(const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>& entries, std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  for (const rpc::TailEntry& entry : entries) {
    if (waiting_.size() >= kWaitingEntriesMax || waiting_bytes_ + entry.line.size() > kWaitingBytesMax) {
      if (dropped_.size() < kDroppedMax) dropped_.push_back({entry.timestamp_ns, labels->text});
      continue;
    }
    waiting_bytes_ += entry.line.size();
    waiting_.push_back({labels, entry, now_ns});
  }
}

void TailInbox::take(std::int64_t until_ns, std::size_t most, std::vector<Waiting>& entries, std::vector<Dropped>& dropped) {
  const std::lock_guard lock(mutex_);
  while (!waiting_.empty() && entries.size() < most && waiting_.front().received_ns <= until_ns) {
    waiting_bytes_ -= waiting_.front().entry.line.size();
    entries.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  dropped = std::move(dropped_);
  dropped_.clear();
}

void TailInbox::lose(std::vector<Dropped> entries) {
  const std::lock_guard lock(mutex_);
  for (Dropped& entry : entries)
    if (dropped_.size() < kDroppedMax) dropped_.push_back(std::move(entry));
}

bool TailInbox::empty() const {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && dropped_.empty();
}

std::uint64_t TailSession::entry_key(const engine::ResultLabels& labels, std::int64_t timestamp_ns, std::string_view line) const {
  std::string key(reinterpret_cast<const char*>(&timestamp_ns), sizeof timestamp_ns);
  for (const engine::ResultLabel& label : labels.labels)
    if (label.category == engine::LabelCategory::kStream) (key += label.name + '\xff' + label.value) += '\xff';
  key += line;
  return std::hash<std::string>{}(key);
}

void TailSession::append_element(std::string& out, bool& first, const engine::ResultLabels& labels, std::int64_t timestamp_ns, std::string_view line) {
  if (!first) out += ',';
  first = false;
  std::vector<model::Label> pairs;
  for (const engine::ResultLabel& label : labels.labels)
    if (!categorize_ || label.category == engine::LabelCategory::kStream) pairs.push_back({label.name, label.value});
  out += "{\"stream\":";
  append_json_labels(out, pairs);
  out += ",\"values\":[[\"";
  append_json_integer(out, timestamp_ns);
  out += "\",";
  append_json_string(out, line);
  if (categorize_) {
    out += ',';
    append_categories_json(out, labels);
  }
  out += "]]}";
}

bool TailSession::send(std::string streams, const std::vector<Dropped>& dropped) {
  if (streams.empty() && dropped.empty()) return true;
  std::string frame = "{\"streams\":[" + streams + "]";
  if (!dropped.empty()) {
    frame += ",\"dropped_entries\":[";
    for (std::size_t i = 0; i < dropped.size(); ++i) {
      frame += i == 0 ? "{\"timestamp\":\"" : ",{\"timestamp\":\"";
      append_json_integer(frame, dropped[i].timestamp_ns);
      frame += "\",\"labels\":";
      append_json_string(frame, dropped[i].labels);
      frame += '}';
    }
    frame += ']';
  }
  if (categorize_) frame += ",\"encodingFlags\":[\"categorize-labels\"]";
  frame += '}';
  return socket_->send(std::move(frame));
}

void TailSession::send_history(const engine::LogResult& history) {
  struct Place { const engine::LogStream* stream; const engine::LogEntry* entry; };
  std::vector<Place> places;
  for (const engine::LogStream& stream : history.streams)
    for (const engine::LogEntry& entry : stream.entries) places.push_back({&stream, &entry});
  // The query ran backwards for the newest entries; people read forwards.
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.entry->order > b.entry->order; });
  std::string streams;
  bool first = true;
  std::unordered_set<std::uint64_t> keys;
  for (const Place& place : places) {
    append_element(streams, first, place.stream->labels, place.entry->timestamp_ns, place.entry->line);
    keys.insert(entry_key(place.stream->labels, place.entry->timestamp_ns, place.entry->line));
  }
  send(std::move(streams), {});
  history_until_ns_ = clock_.monotonic_ns();
  history_keys_ = std::move(keys);
}

void TailSession::append_live(std::string& out, std::vector<Waiting>& batch, bool& first) {
  // Runs of one stream go through the pipeline together.
  for (std::size_t begin = 0; begin < batch.size();) {
    std::size_t end = begin;
    while (end < batch.size() && batch[end].labels->text == batch[begin].labels->text) ++end;
    const auto emit = [&](const engine::ResultLabels& labels, std::int64_t timestamp_ns, std::string_view line, std::int64_t received_ns) {
      if (received_ns <= history_until_ns_ && history_keys_.count(entry_key(labels, timestamp_ns, line)) != 0) return;
      append_element(out, first, labels, timestamp_ns, line);
    };
    if (!has_stages_) {
      // Without stages Loki hands live entries on as they came: structured metadata is not among the stream's labels.
      for (std::size_t i = begin; i < end; ++i)
        emit(stream_labels(*batch[i].labels, categorize_ ? batch[i].entry.metadata : std::vector<model::Label>{}), batch[i].entry.timestamp_ns,
             batch[i].entry.line, batch[i].received_ns);
    } else if (runner_->begin_stream(*batch[begin].labels)) {
      std::vector<const rpc::TailEntry*> entries;
      for (std::size_t i = begin; i < end; ++i) entries.push_back(&batch[i].entry);
      std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) { return a->timestamp_ns < b->timestamp_ns; });
      const chunk::Columns columns = to_columns(entries);
      Result<engine::Frame*> frame = runner_->run(columns, 0, columns.rows, INT64_MIN, INT64_MAX, {});
      if (frame.ok()) {
        engine::LabelSetTable table;
        const auto sets = (*frame)->label_sets(table, nullptr);
        for (std::uint32_t i = 0; i < (*frame)->size(); ++i)
          emit(table.at(sets[i]), (*frame)->timestamp_ns(i), (*frame)->line(i), batch[begin].received_ns);
      }
    }
    begin = end;
  }
}

bool TailSession::pump() {
  const std::int64_t now_ns = clock_.monotonic_ns();
  if (socket_->closed()) return false;
  if (duration_max_ns_ > 0 && now_ns - started_ns_ > duration_max_ns_) {
    socket_->close(kCloseInternalError, "reached tail max duration limit");
    return false;
  }
  std::vector<Waiting> batch;
  std::vector<Dropped> dropped;
  inbox_->take(now_ns - delay_ns_, kEntriesPerFrame, batch, dropped);
  std::string streams;
  bool first = true;
  append_live(streams, batch, first);
  if (send(std::move(streams), dropped)) return true;
  // The client does not keep up: what it missed is named in the next frame that gets through.
  for (const Waiting& missed : batch) dropped.push_back({missed.entry.timestamp_ns, missed.labels->text});
  inbox_->lose(std::move(dropped));
  return true;
}

TailPump::~TailPump() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void TailPump::add(std::shared_ptr<TailSession> session) {
  const std::lock_guard lock(mutex_);
  sessions_.push_back(std::move(session));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  woken_ = true;
  changed_.notify_all();
}

void TailPump::wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void TailPump::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<std::shared_ptr<TailSession>> sessions = sessions_;
    woken_ = false;
    lock.unlock();
    bool busy = false;
    std::vector<std::shared_ptr<TailSession>> over;
    for (auto& session : sessions) {
      if (!session->pump()) over.push_back(session);
      else busy = busy || !session->idle();
    }
    sessions.clear();
    lock.lock();
    for (const auto& session : over) std::erase(sessions_, session);
    lock.unlock();
    over.clear();   // ends subscriptions outside the lock
    lock.lock();
    if (stopping_ || woken_) continue;
    // Entries that wait for their delay are looked at again soon; closed clients are noticed within a second.
    changed_.wait_for(lock, std::chrono::milliseconds(busy ? 100 : 1000), [this] { return stopping_ || woken_; });
  }
}

namespace {

std::string too_many_tails(std::int64_t running, std::int64_t limit) {
  return "max concurrent tail requests limit exceeded, count > limit (" + std::to_string(running) + " > " + std::to_string(limit) + ")";
}

// Counts running tails per tenant.
class TailSlots {
 public:
  explicit TailSlots(obs::Gauge& active) : active_(active) {}
  // kInvalidArgument: one more would pass `limit` (0: there is none).
  Result<void> check(const std::string& tenant, std::int64_t limit) const {
    const std::lock_guard lock(mutex_);
    return check_locked(tenant, limit);
  }
  // Released when the result is destroyed. Errors of check().
  static Result<std::shared_ptr<void>> take(const std::shared_ptr<TailSlots>& slots, const std::string& tenant, std::int64_t limit) {
    {
      const std::lock_guard lock(slots->mutex_);
      SKALD_TRY_VOID(slots->check_locked(tenant, limit));
      ++slots->running_[tenant];
      slots->active_.add(1);
    }
    return std::shared_ptr<void>(nullptr, [slots, tenant](void*) {
      const std::lock_guard lock(slots->mutex_);
      slots->active_.add(-1);
      if (--slots->running_[tenant] == 0) slots->running_.erase(tenant);
    });
  }

 private:
  Result<void> check_locked(const std::string& tenant, std::int64_t limit) const {
    const auto it = running_.find(tenant);
    const std::int64_t running = (it == running_.end() ? 0 : it->second) + 1;
    if (limit <= 0 || running <= limit) return {};
    return Error(ErrorCode::kInvalidArgument, too_many_tails(running, limit));
  }

  obs::Gauge& active_;
  mutable std::mutex mutex_;   // guards running_
  std::map<std::string, std::int64_t> running_;
};

struct TailState {
  explicit TailState(ReadService& of)
      : service(of), bytes(of.registry.counter("loki_querier_tail_bytes_total", "Bytes of lines handed to live tails.")),
        slots(std::make_shared<TailSlots>(of.registry.gauge("loki_querier_tail_active", "Number of active tailers."))) {}
  ReadService& service;
  obs::Counter& bytes;
  const std::shared_ptr<TailSlots> slots;
  TailPump pump;
};

std::optional<http::Response> refuse_tail(const TailState& state, const http::Request& request) {
  const Result<ReadRequest> read = make_read_request(state.service, request);
  if (!read.ok()) return read_error_response(read.error());
  const Result<TailParams> params = parse_tail_params(read->form, read->now_ns);
  if (!params.ok()) return read_error_response(params.error());
  const Result<logql::Query> query = logql::parse(params->query);
  if (!query.ok()) return read_error_response(query.error());
  if (const Result<void> free = state.slots->check(read->ctx.tenant, read->limits->max_concurrent_tail_requests); !free.ok())
    return read_error_response(free.error());
  return std::nullopt;
}

Result<void> start_tail(TailState& state, const http::Request& http_request, const std::shared_ptr<http::WebSocket>& socket) {
  SKALD_TRY(const ReadRequest request, make_read_request(state.service, http_request));
  SKALD_TRY(const TailParams params, parse_tail_params(request.form, request.now_ns));
  SKALD_TRY(const logql::Query query, logql::parse(params.query));
  if (!query.is_log()) return Error(ErrorCode::kInvalidArgument, "only log selector is supported");
  SKALD_TRY(auto pipeline, engine::Pipeline::compile(query.log().stages, engine::PipelineOptions{}));
  const auto inbox = std::make_shared<TailInbox>();
  const auto session = std::make_shared<TailSession>(socket, inbox, query.log(), std::move(pipeline), params.delay_ns, wants_categories(http_request),
                                                     state.service.options.tail_duration_max_ns, state.service.clock);
  // Subscribed before the history is read, so that nothing falls between the two.
  CallContext live;
  live.tenant = request.ctx.tenant;
  live.clock = request.ctx.clock;
  const Clock& clock = state.service.clock;
  rpc::TailSink sink = [inbox, &clock, &bytes = state.bytes, pump = &state.pump](const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>& entries) {
    std::size_t line_bytes = 0;
    for (const rpc::TailEntry& entry : entries) line_bytes += entry.line.size();
    bytes.add(static_cast<double>(line_bytes));
    inbox->push(labels, entries, clock.monotonic_ns());
    pump->wake();
  };
  SKALD_TRY(auto subscription, state.service.querier.tail(live, query.log().matchers, std::move(sink)));
  SKALD_TRY(auto slot, TailSlots::take(state.slots, request.ctx.tenant, request.limits->max_concurrent_tail_requests));
  session->hold(std::move(subscription), std::move(slot));
  RangeParams history;
  history.query = params.query;
  history.start_ns = params.start_ns;
  history.end_ns = std::max(params.start_ns, state.service.clock.now_ns());
  history.limit = params.limit;
  SKALD_TRY(const engine::QueryResult result, run_range_query(state.service, request, query, history));
  session->send_history(std::get<engine::LogResult>(result.data));
  state.pump.add(session);
  return {};
}

}  // namespace

void add_tail_routes(http::Server& server, ReadService& service) {
  const auto owned = std::make_shared<TailState>(service);
  service.tails = owned;
  TailState& state = *owned;
  for (const char* const pattern : {"/loki/api/v1/tail", "/api/prom/tail"}) {
    http::Route route;
    route.methods = {"GET"};
    route.pattern = pattern;
    route.name = std::string(pattern) == "/api/prom/tail" ? "api_prom_tail" : "loki_api_v1_tail";
    route.websocket_guard = [&state](const http::Request& request) {
      const ReadService::Running running(state.service, request.cancel);
      return refuse_tail(state, request);
    };
    route.websocket_handler = [&state](const std::shared_ptr<http::Request>& request, const std::shared_ptr<http::WebSocket>& socket) {
      const ReadService::Running running(state.service, request->cancel);
      const Result<void> started = start_tail(state, *request, socket);
      if (!started.ok()) socket->close(kCloseInternalError, started.error().message());
    };
    server.add(std::move(route));
  }
}

}  // namespace skald::api
