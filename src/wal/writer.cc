#include "skald/wal/writer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "skald/obs/log.h"
#include "wal/payload.h"

namespace skald::wal {
namespace {

// One write at a time stays below this, so that a burst does not need its own size in memory twice.
constexpr std::size_t kGroupBytesMax = 8 << 20;

Error unavailable(const std::string& why) { return Error(ErrorCode::kUnavailable, "write-ahead log: " + why); }

// What a caller has put into the queue.
struct Request {
  enum class Kind { kPush, kRaw, kSync, kRoll } kind = Kind::kPush;
  PushRecord push;
  FrameType type{};   // kRaw
  Bytes payload;      // kRaw
  bool needs_sync = false;
  Writer::Done done;
  std::uint64_t* sequence = nullptr;  // set before `done`: the segment the frame went to
  std::uint64_t bytes = 0;
};

}  // namespace

struct Writer::State {
  State(io::FileSystem& file_system, WriterOptions wal_options, std::vector<SegmentInfo> existing,
        const std::atomic<std::uint64_t>& ordinal_counter, obs::Registry& registry, const Clock& wall_clock)
      : fs(file_system), options(std::move(wal_options)), counter(ordinal_counter), clock(wall_clock), segments(std::move(existing)),
        records_logged(registry.counter("loki_ingester_wal_records_logged_total", "Frames appended to the write-ahead log.")),
        bytes_logged(registry.counter("loki_ingester_wal_logged_bytes_total", "Bytes appended to the write-ahead log.")),
        disk_full(registry.counter("loki_ingester_wal_disk_full_failures_total", "Appends refused because the disk was full.")) {
    for (auto& segment : segments) {
      segment.sealed = true;
      total_bytes += segment.bytes;
      next_sequence = std::max(next_sequence, segment.sequence + 1);
    }
  }

  io::FileSystem& fs;
  const WriterOptions options;
  const std::atomic<std::uint64_t>& counter;
  const Clock& clock;

  mutable std::mutex mutex;  // guards all down to `segments`
  std::condition_variable wake;
  std::deque<Request> queue;
  std::uint64_t queued_bytes = 0;
  bool closing = false;
  bool broken = false;
  std::string broken_why;
  std::vector<SegmentInfo> segments;
  std::uint64_t total_bytes = 0;

  // Owned by the writer thread.
  std::unique_ptr<io::WritableFile> file;
  std::uint64_t next_sequence = 1;
  std::unordered_map<std::uint64_t, std::uint64_t> series;  // stream id → number in the open segment
  std::uint64_t next_series = 0;
  bool dirty = false;                                       // written and not synced
  std::int64_t last_sync_ns = 0;
  Bytes buffer;

  obs::Counter& records_logged;
  obs::Counter& bytes_logged;
  obs::Counter& disk_full;
  std::thread thread;

  std::string path_of(std::uint64_t sequence) const { return options.directory + "/" + segment_name(sequence); }

  void enqueue(Request request);
  Result<std::uint64_t> append_raw(FrameType type, Bytes payload);
  void run();
  void process(std::vector<Request>& batch);
  void process_group(std::vector<Request>& batch, std::size_t begin, std::size_t end);
  Result<void> open_segment();
  Result<void> seal_segment();
  Result<void> sync_file();
  void encode(Request& request, std::uint64_t& max_ordinal);
  void break_for_good(const std::string& why);
};

void Writer::State::enqueue(Request request) {
  std::string why;
  {
    std::lock_guard lock(mutex);
    if (broken) why = broken_why;
    else if (closing) why = "closed";
    else if (request.kind == Request::Kind::kPush && queued_bytes > options.queue_bytes_max) why = "more is queued than the disk takes; retry later";
    if (why.empty()) {
      queued_bytes += request.bytes;
      queue.push_back(std::move(request));
      if (!thread.joinable()) thread = std::thread([this] { run(); });
      if (queue.size() == 1) wake.notify_one();
      return;
    }
  }
  request.done(unavailable(why));
}

void Writer::State::run() {
  std::vector<Request> batch;
  std::unique_lock lock(mutex);
  while (true) {
    const auto something = [&] { return !queue.empty() || closing; };
    if (dirty && !options.sync_each_group) {
      wake.wait_for(lock, std::chrono::nanoseconds(options.sync_interval_ns), something);
    } else {
      wake.wait(lock, something);
    }
    if (queue.empty() && closing) break;
    batch.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.end()));
    queue.clear();
    lock.unlock();
    process(batch);
    std::uint64_t done_bytes = 0;
    for (const auto& request : batch) done_bytes += request.bytes;
    batch.clear();
    if (dirty && clock.monotonic_ns() - last_sync_ns >= options.sync_interval_ns) (void)sync_file();
    lock.lock();
    queued_bytes -= done_bytes;
  }
  lock.unlock();
  if (file) (void)seal_segment();
}

void Writer::State::process(std::vector<Request>& batch) {
  for (std::size_t begin = 0; begin < batch.size();) {
    std::uint64_t bytes = 0;
    std::size_t end = begin;
    while (end < batch.size() && (end == begin || bytes + batch[end].bytes <= kGroupBytesMax) && batch[end].kind != Request::Kind::kRoll)
      bytes += batch[end++].bytes;
    if (end == begin) {  // a roll
      Result<void> sealed = file ? seal_segment() : Result<void>();
      batch[begin].done(std::move(sealed));
      ++begin;
      continue;
    }
    process_group(batch, begin, end);
    begin = end;
  }
}

void Writer::State::encode(Request& request, std::uint64_t& max_ordinal) {
  if (request.kind == Request::Kind::kRaw) {
    const std::size_t begin = begin_frame(buffer, request.type);
    buffer += request.payload;
    seal_frame(buffer, begin);
    return;
  }
  std::vector<std::uint64_t> numbers;
  numbers.reserve(request.push.streams.size());
  std::size_t series_frame = 0;
  bool defining = false;
  for (const auto& stream : request.push.streams) {
    const auto [found, fresh] = series.try_emplace(stream.stream_id, next_series);
    if (fresh) {
      if (!defining) series_frame = begin_frame(buffer, FrameType::kSeries);
      defining = true;
      append_series(buffer, next_series++, request.push.tenant, stream.labels->labels);
    }
    numbers.push_back(found->second);
    max_ordinal = std::max(max_ordinal, stream.ordinal);
  }
  if (defining) seal_frame(buffer, series_frame);
  const std::size_t begin = begin_frame(buffer, request.push.received ? FrameType::kPushReceived : FrameType::kPushCanonical);
  append_push_payload(buffer, request.push, numbers);
  seal_frame(buffer, begin);
}

void Writer::State::process_group(std::vector<Request>& batch, std::size_t begin, std::size_t end) {
  const auto finish = [&](const Result<void>& result) {
    for (std::size_t i = begin; i < end; ++i) batch[i].done(result);
  };
  bool needs_sync = false, writes = false;
  for (std::size_t i = begin; i < end; ++i) {
    needs_sync |= batch[i].needs_sync;
    writes |= batch[i].kind != Request::Kind::kSync;
  }
  {
    std::lock_guard lock(mutex);
    if (broken) writes = needs_sync = false;
  }
  if (broken) return finish(unavailable(broken_why));  // only this thread sets it

  if (writes) {
    if (file && file->size() >= options.segment_bytes) {
      if (auto sealed = seal_segment(); !sealed.ok()) return finish(sealed);
    }
    if (!file) {
      if (auto opened = open_segment(); !opened.ok()) return finish(opened);
    }
    buffer.clear();
    std::uint64_t max_ordinal = 0, frames = 0;
    for (std::size_t i = begin; i < end; ++i) {
      if (batch[i].kind == Request::Kind::kSync) continue;
      encode(batch[i], max_ordinal);
      ++frames;
    }
    const std::uint64_t size_before = file->size();
    if (auto written = file->append(buffer); !written.ok()) {
      if (written.error().code() != ErrorCode::kResourceExhausted) {
        break_for_good(written.error().message());
        return finish(unavailable(written.error().message()));
      }
      // A full disk passes. Cut off the half-written group (readers would skip it too) and leave the segment as it is.
      disk_full.add(1);
      const std::uint64_t sequence = next_sequence - 1;
      const bool was_dirty = dirty;
      Result<void> kept = was_dirty ? sync_file() : Result<void>();
      if (kept.ok()) kept = fs.truncate(path_of(sequence), size_before);
      file.reset();
      if (!kept.ok()) {
        break_for_good(kept.error().message());
      } else {
        std::lock_guard lock(mutex);
        segments.back().sealed = true;
      }
      return finish(unavailable("disk full: " + written.error().message()));
    }
    dirty = true;
    records_logged.add(static_cast<double>(frames));
    bytes_logged.add(static_cast<double>(buffer.size()));
    if (buffer.capacity() > 4 * kGroupBytesMax) Bytes().swap(buffer);
    std::lock_guard lock(mutex);
    segments.back().max_ordinal = std::max(segments.back().max_ordinal, max_ordinal);
    total_bytes += file->size() - segments.back().bytes;
    segments.back().bytes = file->size();
  }
  for (std::size_t i = begin; i < end; ++i)
    if (batch[i].sequence != nullptr) *batch[i].sequence = next_sequence - 1;
  if (needs_sync && dirty) return finish(sync_file());
  finish({});
}

Result<void> Writer::State::open_segment() {
  const std::uint64_t sequence = next_sequence;
  const std::string path = path_of(sequence);
  const Bytes header = encode_segment_header({sequence, counter.load(), clock.now_ns()});
  const auto begin = [&]() -> Result<std::unique_ptr<io::WritableFile>> {
    SKALD_TRY_VOID(fs.make_directories(options.directory));
    SKALD_TRY(auto fresh, fs.create(path));
    // Not more than an eighth of what is free: on a small disk the reservation itself must not fill it.
    if (const auto space = fs.disk_space(options.directory); space.ok()) fresh->preallocate(std::min(options.segment_bytes, space->free_bytes / 8));
    SKALD_TRY_VOID(fresh->append(header));
    SKALD_TRY_VOID(fresh->sync());
    SKALD_TRY_VOID(fs.sync_directory(options.directory));
    return fresh;
  };
  auto fresh = begin();
  if (!fresh.ok()) {
    // Nothing acknowledged is in it; a full disk may pass, so only other errors are final.
    (void)fs.remove(path);
    if (fresh.error().code() == ErrorCode::kResourceExhausted)
      disk_full.add(1);
    else
      break_for_good(fresh.error().message());
    return unavailable(fresh.error().message());
  }
  file = std::move(fresh).value();
  ++next_sequence;
  series.clear();
  next_series = 0;
  last_sync_ns = clock.monotonic_ns();
  std::lock_guard lock(mutex);
  segments.push_back({sequence, header.size(), 0, false});
  total_bytes += header.size();
  return {};
}

Result<void> Writer::State::seal_segment() {
  if (dirty) SKALD_TRY_VOID(sync_file());
  // Gives preallocated blocks back.
  const std::uint64_t size = file->size();
  file.reset();
  if (auto cut = fs.truncate(path_of(next_sequence - 1), size); !cut.ok())
    log::warn("write-ahead log: could not release preallocated space", {{"err", cut.error().message()}});
  std::lock_guard lock(mutex);
  segments.back().sealed = true;
  return {};
}

Result<void> Writer::State::sync_file() {
  // Never tried again after a failure: the kernel may have dropped the pages and would report success.
  if (auto synced = file->sync(); !synced.ok()) {
    break_for_good(synced.error().message());
    return unavailable(synced.error().message());
  }
  dirty = false;
  last_sync_ns = clock.monotonic_ns();
  return {};
}

void Writer::State::break_for_good(const std::string& why) {
  log::error("write-ahead log failed for good; pushes are refused until a restart", {{"directory", options.directory}, {"err", why}});
  dirty = false;
  std::lock_guard lock(mutex);
  broken = true;
  broken_why = "failed earlier (" + why + "); restart the process";
}

Result<std::uint64_t> Writer::State::append_raw(FrameType type, Bytes payload) {
  std::mutex done_mutex;
  std::condition_variable done_wake;
  std::optional<Result<void>> result;
  std::uint64_t sequence = 0;
  Request request;
  request.kind = Request::Kind::kRaw;
  request.type = type;
  request.bytes = payload.size() + kFrameHeaderBytes;
  request.payload = std::move(payload);
  request.needs_sync = true;
  request.sequence = &sequence;
  request.done = [&](Result<void> r) {
    std::lock_guard lock(done_mutex);
    result = std::move(r);
    done_wake.notify_one();
  };
  enqueue(std::move(request));
  std::unique_lock lock(done_mutex);
  done_wake.wait(lock, [&] { return result.has_value(); });
  if (!result->ok()) return result->error();
  return sequence;
}

Writer::Writer(io::FileSystem& fs, WriterOptions options, std::vector<SegmentInfo> existing, const std::atomic<std::uint64_t>& counter,
               obs::Registry& registry, const Clock& clock)
    : state_(std::make_unique<State>(fs, std::move(options), std::move(existing), counter, registry, clock)) {}

Writer::~Writer() { (void)close(); }

void Writer::append(PushRecord record, Done done) {
  Request request;
  request.bytes = record.bytes();
  request.push = std::move(record);
  request.needs_sync = state_->options.sync_each_group;
  request.done = std::move(done);
  state_->enqueue(std::move(request));
}

Result<std::uint64_t> Writer::append_flush(const std::vector<FlushRecord>& records) {
  return append_flush(encode_flush_records(records));
}

Result<std::uint64_t> Writer::append_flush(Bytes encoded_records) { return state_->append_raw(FrameType::kFlush, std::move(encoded_records)); }

Result<std::uint64_t> Writer::append_shipped(std::uint64_t up_to_flush_id) {
  return state_->append_raw(FrameType::kShipped, encode_shipped(up_to_flush_id));
}

namespace {
// Waits for a request without payload.
template <class Enqueue>
Result<void> wait_for(Request::Kind kind, Enqueue enqueue) {
  std::mutex mutex;
  std::condition_variable wake;
  std::optional<Result<void>> result;
  Request request;
  request.kind = kind;
  request.needs_sync = kind == Request::Kind::kSync;
  request.done = [&](Result<void> r) {
    std::lock_guard lock(mutex);
    result = std::move(r);
    wake.notify_one();
  };
  enqueue(std::move(request));
  std::unique_lock lock(mutex);
  wake.wait(lock, [&] { return result.has_value(); });
  return std::move(*result);
}
}  // namespace

Result<void> Writer::sync() {
  return wait_for(Request::Kind::kSync, [&](Request r) { state_->enqueue(std::move(r)); });
}

Result<void> Writer::roll() {
  return wait_for(Request::Kind::kRoll, [&](Request r) { state_->enqueue(std::move(r)); });
}

Result<void> Writer::close() {
  {
    std::lock_guard lock(state_->mutex);
    state_->closing = true;
    state_->wake.notify_one();
  }
  if (state_->thread.joinable()) state_->thread.join();
  std::lock_guard lock(state_->mutex);
  if (state_->broken) return unavailable(state_->broken_why);
  return {};
}

std::vector<SegmentInfo> Writer::segments() const {
  std::lock_guard lock(state_->mutex);
  return state_->segments;
}

std::uint64_t Writer::total_bytes() const {
  std::lock_guard lock(state_->mutex);
  return state_->total_bytes;
}

bool Writer::failed() const {
  std::lock_guard lock(state_->mutex);
  return state_->broken;
}

Result<void> Writer::remove_segments(std::uint64_t up_to) {
  while (true) {
    SegmentInfo oldest;
    {
      std::lock_guard lock(state_->mutex);
      if (state_->segments.empty() || !state_->segments.front().sealed || state_->segments.front().sequence > up_to) return {};
      oldest = state_->segments.front();
    }
    // One at a time: were a later segment to vanish before an earlier one, its flush records would be gone while the
    // pushes they cover are still there.
    SKALD_TRY_VOID(state_->fs.remove(state_->path_of(oldest.sequence)));
    SKALD_TRY_VOID(state_->fs.sync_directory(state_->options.directory));
    std::lock_guard lock(state_->mutex);
    state_->segments.erase(state_->segments.begin());
    state_->total_bytes -= oldest.bytes;
  }
}

}  // namespace skald::wal
