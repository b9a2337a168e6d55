#include "skald/rpc/ingester_service.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "skald/base/random.h"
#include "skald/codec/varint.h"

namespace skald::rpc {
namespace {

constexpr std::int64_t kTailWaitNs = kNanosPerSecond;      // an unanswered tail-next is answered empty after this
constexpr std::int64_t kTailIdleNs = 15 * kNanosPerSecond; // a tail whose reader is gone ends

Bytes with_id(std::uint64_t id) {
  Bytes out;
  append_le(out, id);
  return out;
}

Result<std::uint64_t> read_id(const http::Request& request) {
  if (request.body->size() != sizeof(std::uint64_t)) return Error(ErrorCode::kInvalidArgument, "call from a peer: not an id");
  return load_le<std::uint64_t>(request.body->data());
}

// The rows a select found, until they are fetched, released or forgotten.
struct Held {
  std::string tenant;
  std::vector<chunk::BlockSlice> blocks;
  std::int64_t used_monotonic_ns = 0;
};

struct Tail {
  std::string tenant;
  std::mutex mutex;                              // guards what follows
  std::vector<TailedEntries> waiting;
  std::size_t entries = 0;
  http::Responder reader;                        // an unanswered tail-next
  std::int64_t reader_since_ns = 0, last_read_ns = 0;
  bool ready = false;                            // something for the reader: the service's thread answers
};

}  // namespace

struct IngesterService::State {
  State(IngesterClient& ingester_in, obs::Registry& registry, const Clock& clock_in, IngesterServiceOptions options_in)
      : ingester(ingester_in), clock(clock_in), options(options_in),
        held_gauge(registry.gauge("skald_rpc_held_selects", "Selects whose rows a peer may still fetch.")), sweeper([this] { sweep(); }) {}
  // Not left to the destructor: routes and unanswered requests hold the state, so the last reference may be let go by any
  // thread, the sweeper's own among them.
  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    sweeper.join();
  }

  Result<Bytes> select(const CallContext& ctx, ByteView message);
  Result<Bytes> blocks(const CallContext& ctx, ByteView message);
  Result<Bytes> start_tail(const CallContext& ctx, ByteView message);
  void next_tail(const http::Request& request, http::Responder respond);
  void sweep();
  void answer_tail(Tail& tail, std::unique_lock<std::mutex>& lock);

  IngesterClient& ingester;
  const Clock& clock;
  const IngesterServiceOptions options;
  LabelTexts texts;
  obs::Gauge& held_gauge;

  std::mutex mutex;                              // guards all below
  std::condition_variable wake;
  bool stopping = false, tail_ready = false;
  std::map<std::uint64_t, std::shared_ptr<Held>> held;
  struct OpenTail {
    std::shared_ptr<Tail> tail;
    std::shared_ptr<void> subscription;
  };
  std::map<std::uint64_t, OpenTail> tails;
  std::thread sweeper;
};

IngesterService::IngesterService(IngesterClient& ingester, obs::Registry& registry, const Clock& clock, IngesterServiceOptions options)
    : state_(std::make_shared<State>(ingester, registry, clock, options)) {}
IngesterService::~IngesterService() { state_->stop(); }

Result<Bytes> IngesterService::State::select(const CallContext& ctx, ByteView message) {
  SKALD_TRY(const SelectRequest request, decode_select(message));
  SKALD_TRY(const chunk::SelectResult found, ingester.select(ctx, request));
  RemoteSelect out;
  out.stats = found.stats;
  auto rows = std::make_shared<Held>();
  rows->tenant = ctx.tenant;
  std::uint64_t inlined = 0;
  bool all = true;
  for (const chunk::StreamData& stream : found.streams) {
    RemoteStream& remote = out.streams.emplace_back();
    remote.labels = stream.labels;
    for (const chunk::BlockSlice& slice : stream.blocks) {
      RemoteBlockInfo& info = remote.blocks.emplace_back();
      info.rows = slice.rows, info.min_ts_ns = slice.min_ts_ns, info.max_ts_ns = slice.max_ts_ns, info.raw_bytes = slice.raw_bytes;
      info.source_id = slice.source_id, info.from_ingester = slice.from_ingester, info.content_id = slice.content_id;
      const std::uint64_t size = slice.raw_bytes + 16 * slice.rows;
      const bool wanted = info.content_id == 0 || request.has_turn(stream.labels->hash);
      if (wanted && size <= options.inline_block_bytes && inlined + size <= options.inline_bytes) {
        SKALD_TRY(const auto columns, slice.block->load(chunk::kAllColumns, ctx));
        SKALD_TRY(info.columns, encode_columns(*columns, slice.first_row, slice.rows, chunk::kAllColumns));
        inlined += size;
        rows->blocks.emplace_back();   // keeps the numbers; never asked for
      } else {
        all = false;
        rows->blocks.push_back(slice);
      }
    }
  }
  if (!all) {
    out.handle = system_random().next_u64() | 1;
    rows->used_monotonic_ns = clock.monotonic_ns();
    const std::lock_guard lock(mutex);
    held.emplace(out.handle, std::move(rows));
    held_gauge.set(static_cast<double>(held.size()));
  }
  return encode_remote_select(out);
}

Result<Bytes> IngesterService::State::blocks(const CallContext& ctx, ByteView message) {
  SKALD_TRY(const BlocksRequest request, decode_blocks_request(message));
  std::shared_ptr<Held> rows;
  {
    const std::lock_guard lock(mutex);
    const auto found = held.find(request.handle);
    if (found != held.end() && found->second->tenant == ctx.tenant) {
      rows = found->second;
      rows->used_monotonic_ns = clock.monotonic_ns();
    }
  }
  if (!rows) return Error(ErrorCode::kUnavailable, "the rows of this query are no longer held here (restarted, or not asked for in time)");
  std::vector<Bytes> out;
  std::uint64_t bytes = 0;
  for (const std::uint32_t number : request.blocks) {
    SKALD_TRY_VOID(ctx.check());
    if (number >= rows->blocks.size() || rows->blocks[number].block == nullptr) return Error(ErrorCode::kInvalidArgument, "call from a peer: no such block");
    const chunk::BlockSlice& slice = rows->blocks[number];
    SKALD_TRY(const auto columns, slice.block->load(request.mask, ctx));
    SKALD_TRY(Bytes encoded, encode_columns(*columns, slice.first_row, slice.rows, request.mask));
    bytes += encoded.size();
    out.push_back(std::move(encoded));
    if (bytes >= options.answer_bytes) break;
  }
  return encode_blocks(out);
}

Result<Bytes> IngesterService::State::start_tail(const CallContext& ctx, ByteView message) {
  SKALD_TRY(SelectRequest request, decode_select(message));
  auto tail = std::make_shared<Tail>();
  tail->tenant = ctx.tenant;
  tail->last_read_ns = clock.monotonic_ns();
  const std::size_t entries_max = options.tail_entries_max;
  const auto sink = [this, tail, entries_max](const model::LabelsPtr& labels, const std::vector<TailEntry>& entries) {
    bool notify = false;
    {
      const std::lock_guard lock(tail->mutex);
      if (tail->entries + entries.size() > entries_max) return;   // the reader is too slow: it loses lines, pushes do not wait
      tail->waiting.push_back({labels, entries});
      tail->entries += entries.size();
      notify = tail->reader != nullptr && !std::exchange(tail->ready, true);
    }
    if (!notify) return;
    const std::lock_guard lock(mutex);
    tail_ready = true;
    wake.notify_all();
  };
  CallContext subscription_ctx = ctx;   // outlives the call that opens it
  subscription_ctx.cancel = nullptr;
  subscription_ctx.deadline_monotonic_ns = std::numeric_limits<std::int64_t>::max();
  SKALD_TRY(std::shared_ptr<void> subscription, ingester.tail(subscription_ctx, std::move(request.matchers), sink));
  const std::uint64_t id = system_random().next_u64();
  const std::lock_guard lock(mutex);
  if (stopping) return Error(ErrorCode::kUnavailable, "shutting down");
  tails.emplace(id, OpenTail{std::move(tail), std::move(subscription)});
  return with_id(id);
}

// With the tail's lock, which is let go.
void IngesterService::State::answer_tail(Tail& tail, std::unique_lock<std::mutex>& lock) {
  const http::Responder respond = std::exchange(tail.reader, nullptr);
  const std::vector<TailedEntries> batch = std::exchange(tail.waiting, {});
  tail.entries = 0;
  tail.ready = false;
  tail.last_read_ns = clock.monotonic_ns();
  lock.unlock();
  if (respond) respond(answer(encode_tail_batch(batch)));
}

void IngesterService::State::next_tail(const http::Request& request, http::Responder respond) {
  const Result<std::uint64_t> id = read_id(request);
  if (!id.ok()) return respond(answer(id.error()));
  std::shared_ptr<Tail> tail;
  {
    const std::lock_guard lock(mutex);
    if (const auto found = tails.find(*id); found != tails.end()) tail = found->second.tail;
  }
  const std::string* tenant = request.header("X-Scope-OrgID");
  if (!tail || tail->tenant != (tenant == nullptr ? "" : *tenant)) return respond(answer(Error(ErrorCode::kNotFound, "no such tail")));
  std::unique_lock lock(tail->mutex);
  tail->reader = std::move(respond);
  tail->reader_since_ns = clock.monotonic_ns();
  if (!tail->waiting.empty()) answer_tail(*tail, lock);
}

void IngesterService::State::sweep() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    wake.wait_for(lock, std::chrono::milliseconds(tails.empty() ? 1000 : 200), [&] { return stopping || tail_ready; });
    tail_ready = false;
    const std::int64_t now_ns = clock.monotonic_ns();
    std::vector<std::shared_ptr<Held>> dropped;   // freed without the lock
    for (auto it = held.begin(); it != held.end();) {
      if (now_ns - it->second->used_monotonic_ns > options.handle_idle_ns) {
        dropped.push_back(std::move(it->second));
        it = held.erase(it);
      } else {
        ++it;
      }
    }
    held_gauge.set(static_cast<double>(held.size()));
    std::vector<OpenTail> ended;
    std::vector<std::shared_ptr<Tail>> open;
    for (auto it = tails.begin(); it != tails.end();) {
      bool idle = false;
      {
        const std::lock_guard tail_lock(it->second.tail->mutex);
        idle = !it->second.tail->reader && now_ns - it->second.tail->last_read_ns > kTailIdleNs;
      }
      if (idle) {
        ended.push_back(std::move(it->second));
        it = tails.erase(it);
      } else {
        open.push_back((it++)->second.tail);
      }
    }
    lock.unlock();
    dropped.clear();
    ended.clear();
    for (const std::shared_ptr<Tail>& tail : open) {
      std::unique_lock tail_lock(tail->mutex);
      if (tail->reader && (tail->ready || now_ns - tail->reader_since_ns >= kTailWaitNs)) answer_tail(*tail, tail_lock);
    }
    lock.lock();
  }
  // Who still waits learns that it is over; subscriptions end before the ingester does.
  auto last = std::exchange(tails, {});
  lock.unlock();
  for (auto& [id, open] : last) {
    open.subscription.reset();
    std::unique_lock tail_lock(open.tail->mutex);
    answer_tail(*open.tail, tail_lock);
  }
}

void IngesterService::add_routes(http::Server& server) {
  const auto add = [&](const std::string& method, http::RunOn run_on, http::Handler handler) {
    http::Route route;
    route.methods = {"POST"};
    route.pattern = std::string(kPathPrefix) + "ingester/" + method;
    route.name = "skald_rpc_ingester_" + method;
    route.run_on = run_on;
    route.body_bytes_max = kMessageBytesMax;
    route.handler = std::move(handler);
    server.add(std::move(route));
  };
  const std::shared_ptr<State> state = state_;
  const auto simple = [state](Result<Bytes> (State::*call)(const CallContext&, ByteView)) {
    return [state, call](std::shared_ptr<http::Request> request, http::Responder respond) {
      respond(answer((state.get()->*call)(context_of(*request, state->clock), *request->body)));
    };
  };
  add("push", http::RunOn::kIo, [state](std::shared_ptr<http::Request> request, http::Responder respond) {
    const CallContext ctx = context_of(*request, state->clock);
    auto batch = decode_push(ctx.tenant, *request->body, [&](std::string_view text) { return state->texts.intern(text); });
    if (!batch.ok()) return respond(answer(std::move(batch).error()));
    state->ingester.push(ctx, *std::move(batch), [respond](Result<model::PushOutcome> outcome) {
      if (!outcome.ok()) respond(answer(std::move(outcome).error()));
      else respond(answer(encode_push_outcome(*outcome)));
    });
  });
  add("select", http::RunOn::kPool, simple(&State::select));
  add("blocks", http::RunOn::kPool, simple(&State::blocks));
  add("release", http::RunOn::kIo, [state](std::shared_ptr<http::Request> request, http::Responder respond) {
    const Result<std::uint64_t> id = read_id(*request);
    if (!id.ok()) return respond(answer(id.error()));
    std::shared_ptr<Held> gone;
    {
      const std::lock_guard lock(state->mutex);
      if (const auto found = state->held.find(*id); found != state->held.end()) {
        gone = std::move(found->second);
        state->held.erase(found);
      }
    }
    respond(answer(Bytes()));
  });
  add("series", http::RunOn::kPool, [state](std::shared_ptr<http::Request> request, http::Responder respond) {
    const CallContext ctx = context_of(*request, state->clock);
    const auto run = [&]() -> Result<Bytes> {
      SKALD_TRY(const SelectRequest select, decode_select(*request->body));
      SKALD_TRY(const std::vector<model::LabelsPtr> series, state->ingester.series(ctx, select));
      return encode_series(series);
    };
    respond(answer(run()));
  });
  add("volumes", http::RunOn::kPool, [state](std::shared_ptr<http::Request> request, http::Responder respond) {
    const CallContext ctx = context_of(*request, state->clock);
    const auto run = [&]() -> Result<Bytes> {
      SKALD_TRY(const SelectRequest select, decode_select(*request->body));
      SKALD_TRY(const std::vector<SeriesVolume> volumes, state->ingester.volumes(ctx, select));
      return encode_volumes(volumes);
    };
    respond(answer(run()));
  });
  add("tail", http::RunOn::kPool, simple(&State::start_tail));
  add("tail-next", http::RunOn::kIo, [state](std::shared_ptr<http::Request> request, http::Responder respond) { state->next_tail(*request, std::move(respond)); });
  add("tail-stop", http::RunOn::kPool, [state](std::shared_ptr<http::Request> request, http::Responder respond) {
    const Result<std::uint64_t> id = read_id(*request);
    if (!id.ok()) return respond(answer(id.error()));
    State::OpenTail gone;
    {
      const std::lock_guard lock(state->mutex);
      if (const auto found = state->tails.find(*id); found != state->tails.end()) {
        gone = std::move(found->second);
        state->tails.erase(found);
      }
    }
    gone.subscription.reset();
    respond(answer(Bytes()));
  });
}

}  // namespace skald::rpc
