// Leaving: what memory holds goes to other ingesters, in batches, and what nobody takes goes to the bucket.
#include <algorithm>
#include <unordered_set>

#include "ingester/state.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"

namespace skald::ingester {
namespace {

constexpr std::int64_t kRetryPauseMinNs = 50 * kNanosPerMilli, kRetryPauseMaxNs = 2 * kNanosPerSecond;

// A batch whose views point into decoded rows.
struct RowsBatch {
  model::PushBatch batch;
  std::vector<std::shared_ptr<const chunk::Columns>> rows;
};

void append_row(RowsBatch& out, const chunk::Columns& columns, std::uint32_t row) {
  model::PushBatch& batch = out.batch;
  model::PushEntry& entry = batch.entries.emplace_back();
  entry.timestamp_ns = columns.timestamps_ns[row];
  entry.line = columns.line(row);
  entry.level = columns.levels.empty() ? model::Level::kNone : static_cast<model::Level>(columns.levels[row]);
  entry.metadata_begin = static_cast<std::uint32_t>(batch.metadata.size());
  for (const chunk::MetadataColumn& column : columns.metadata) {
    if (column.values[row].data() == nullptr) continue;
    batch.metadata.push_back({column.name, column.values[row]});
    batch.metadata_bytes += column.name.size() + column.values[row].size();
  }
  entry.metadata_end = static_cast<std::uint32_t>(batch.metadata.size());
  batch.line_bytes += entry.line.size();
}

// Waits for the answer; one that comes later finds nobody.
Result<model::PushOutcome> push_and_wait(rpc::IngesterClient& successor, std::shared_ptr<const model::PushBatch> batch, CallContext ctx,
                                         std::int64_t timeout_ns) {
  struct Answer {
    std::mutex mutex;  // guards all below
    std::condition_variable wake;
    std::optional<Result<model::PushOutcome>> outcome;
  };
  const auto answer = std::make_shared<Answer>();
  ctx.deadline_monotonic_ns = std::min(ctx.deadline_monotonic_ns, ctx.clock->monotonic_ns() + timeout_ns);
  successor.push(ctx, std::move(batch), [answer](Result<model::PushOutcome> outcome) {
    const std::lock_guard lock(answer->mutex);
    answer->outcome = std::move(outcome);
    answer->wake.notify_all();
  });
  std::unique_lock lock(answer->mutex);
  if (!answer->wake.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [&] { return answer->outcome.has_value(); }))
    return Error(ErrorCode::kDeadlineExceeded, "no answer within " + std::to_string(timeout_ns / kNanosPerMilli) + " ms");
  return *std::move(answer->outcome);
}

// Equal entries have equal keys; entries of different times never do.
using EntryKey = std::pair<std::int64_t, std::uint64_t>;
struct EntryKeyHash {
  std::size_t operator()(const EntryKey& key) const { return static_cast<std::size_t>(key.second); }
};
EntryKey key_of(const model::PushBatch& batch, const model::PushEntry& entry) {
  return {entry.timestamp_ns, codec::xxh3_words(entry_hash(entry, batch.metadata.data()), static_cast<std::uint64_t>(entry.level))};
}

}  // namespace

// Sends the chunks of one tenant to one successor.
class Ingester::State::Sender {
 public:
  Sender(State& state, Tenant& tenant, rpc::IngesterClient& successor, const HandOverOptions& how, const CallContext& ctx, bool may_log, HandOver& done)
      : state_(state), tenant_(tenant), successor_(successor), how_(how), ctx_(ctx), may_log_(may_log), done_(done) {
    ctx_.tenant = tenant.name;
  }

  // After an error it is of no more use: chunks that are not durable are for the caller to flush.
  Result<void> send(const CutChunkPtr& chunk) {
    SKALD_TRY(auto parts, split_by_shard(chunk, chunk->raw_bytes < kGroupStreamBytesMax, ctx_));
    Complete whole{chunk, {}};
    for (auto& [shard, part] : parts) {
      if (chunk->shards_done.contains(shard)) continue;
      whole.shards.push_back(shard);
      for (auto& columns : part.columns) SKALD_TRY_VOID(add(*chunk, std::move(columns)));
      for (const auto& encoded : part.encoded) {
        SKALD_TRY(auto columns, chunk::as_block(encoded)->load(chunk::kAllColumns, ctx_));
        SKALD_TRY_VOID(add(*chunk, std::move(columns)));
      }
    }
    complete_.push_back(std::move(whole));
    return {};
  }

  // Sends what is left; everything given to send() is durable afterwards.
  Result<void> finish() {
    if (batch_ != nullptr) SKALD_TRY_VOID(send_batch());
    settle();
    return {};
  }

 private:
  struct Complete {
    CutChunkPtr chunk;
    std::vector<std::int64_t> shards;
  };

  Result<void> add(const CutChunk& chunk, std::shared_ptr<const chunk::Columns> columns) {
    for (std::uint32_t row = 0; row < columns->rows;) {
      if (batch_ == nullptr) batch_ = std::make_shared<RowsBatch>();
      model::PushBatch& batch = batch_->batch;
      const auto begin = static_cast<std::uint32_t>(batch.entries.size());
      const auto is_full = [&] { return batch.line_bytes + batch.metadata_bytes + 32 * batch.entries.size() >= how_.batch_bytes; };
      batch_->rows.push_back(columns);
      do append_row(*batch_, *columns, row++);
      while (row < columns->rows && !is_full());
      batch.streams.push_back({chunk.labels, begin, static_cast<std::uint32_t>(batch.entries.size())});
      if (is_full()) SKALD_TRY_VOID(send_batch());
    }
    return {};
  }

  Result<void> send_batch() {
    const auto rows = std::exchange(batch_, nullptr);
    rows->batch.tenant = tenant_.name;
    rows->batch.handed_over = true;
    const std::shared_ptr<const model::PushBatch> batch(rows, &rows->batch);
    SKALD_TRY_VOID(push_with_retries(batch));
    ++done_.pushes;
    done_.rows += batch->entries.size();
    done_.line_bytes += batch->line_bytes;
    state_.metrics.rows_handed_over.add(static_cast<double>(batch->entries.size()));
    settle();
    return {};
  }

  // Only chunks whose last row was in an acknowledged batch are in the list when this is called.
  void settle() {
    if (complete_.empty()) return;
    done_.chunks += complete_.size();
    log_and_drop(std::exchange(complete_, {}));
  }

  void log_and_drop(const std::vector<Complete>& whole) {
    // A start from this log must not bring the rows back: flush records without a chunk, whose ids count as shipped
    // beforehand, so that replay leaves the rows out and looks for no chunk.
    if (state_.wal && may_log_) {
      std::vector<wal::FlushRecord> records;
      for (const Complete& one : whole) {
        for (const std::int64_t shard : one.shards) {
          wal::FlushRecord& record = records.emplace_back();
          record.tenant = tenant_.name;
          record.entry.labels = one.chunk->labels;
          record.flush_id = state_.ordinals.fetch_add(1);
          record.first_ordinal = one.chunk->first_ordinal;
          record.last_ordinal = one.chunk->last_ordinal;
          record.shard_start_ns = shard;
        }
      }
      const auto write = [&]() -> Result<void> {
        if (records.empty()) return {};
        SKALD_TRY_VOID(state_.wal->append_shipped(records.back().flush_id));
        SKALD_TRY_VOID(state_.wal->append_flush(records));
        return {};
      };
      if (auto written = write(); !written.ok())
        log::warn("a start from this write-ahead log will show streams again that were handed over", {{"err", written.error().message()}});
    }
    // They stay readable here: a query that asked the successor before it had them may ask us after.
    for (const Complete& one : whole) state_.drop(one.chunk, false);
  }

  Result<void> push_with_retries(const std::shared_ptr<const model::PushBatch>& batch) {
    std::int64_t pause_ns = kRetryPauseMinNs;
    for (std::uint32_t attempt = 0;; ++attempt) {
      SKALD_TRY_VOID(ctx_.check());
      const auto outcome = push_and_wait(successor_, batch, ctx_, how_.push_timeout_ns);
      if (outcome.ok() && outcome->refused == 0 && outcome->accepted == batch->entries.size()) return {};
      if (outcome.ok()) {   // what is refused now would be refused again
        if (outcome->error) return *outcome->error;
        return Error(ErrorCode::kInternal, "took " + std::to_string(outcome->accepted) + " of " + std::to_string(batch->entries.size()) + " rows");
      }
      if (attempt >= how_.retries) return outcome.error();
      std::this_thread::sleep_for(std::chrono::nanoseconds(pause_ns));
      pause_ns = std::min(pause_ns * 2, kRetryPauseMaxNs);
    }
  }

  State& state_;
  Tenant& tenant_;
  rpc::IngesterClient& successor_;
  const HandOverOptions& how_;
  CallContext ctx_;
  const bool may_log_;
  HandOver& done_;
  std::shared_ptr<RowsBatch> batch_;   // null: no row waits
  std::vector<Complete> complete_;     // their rows are in the batch at hand or acknowledged
};

Result<HandOver> Ingester::State::hand_over(const CallContext& ctx, const Successor& successor, const HandOverOptions& how) {
  if (!running.load()) return Error(ErrorCode::kUnavailable, "ingester: not started, nothing to hand over");
  end_pushes();
  cut_ripe(true);
  CallContext own;   // what must be tried even when the caller's time is up
  own.clock = &clock;
  if (auto shipped = ship(own); !shipped.ok()) log::warn("shipping the index failed; it will be tried again", {{"err", shipped.error().message()}});

  HandOver done;
  {
    std::lock_guard flush_lock(flush_mutex);
    std::vector<CutChunkPtr> taken;
    {
      std::lock_guard lock(queue_mutex);
      taken.swap(queue);
    }
    std::map<std::pair<rpc::IngesterClient*, Tenant*>, std::vector<CutChunkPtr>> by_successor;
    for (auto& chunk : taken) {
      rpc::IngesterClient* to = successor ? successor(chunk->tenant->name, *chunk->labels) : nullptr;
      by_successor[{to, chunk->tenant}].push_back(std::move(chunk));
    }
    const bool may_log = pending.empty();   // else marking ids as shipped would lose index entries
    std::set<rpc::IngesterClient*> given_up{nullptr};
    std::vector<CutChunkPtr> left;
    for (auto& [whom, chunks] : by_successor) {
      const auto& [client, tenant] = whom;
      if (!given_up.contains(client)) {
        Sender sender(*this, *tenant, *client, how, ctx, may_log, done);
        Result<void> sent;
        for (std::size_t i = 0; i < chunks.size() && sent.ok(); ++i) sent = sender.send(chunks[i]);
        if (sent.ok()) sent = sender.finish();
        if (!sent.ok()) {
          given_up.insert(client);
          log::warn("handing streams over failed; they are flushed instead", {{"tenant", tenant->name}, {"err", sent.error().message()}});
        }
      }
      for (auto& chunk : chunks)
        if (!chunk->durable) left.push_back(std::move(chunk));
    }
    done.chunks_flushed = left.size();
    std::lock_guard lock(queue_mutex);
    queue.insert(queue.begin(), left.begin(), left.end());
    metrics.flush_queue_length.set(static_cast<double>(queue.size()));
  }
  log::info("streams handed over", {{"chunks", done.chunks}, {"rows", done.rows}, {"bytes", done.line_bytes}, {"chunks_left", done.chunks_flushed}});
  SKALD_TRY_VOID(flush_all(own));
  return done;
}

std::vector<std::uint8_t> Ingester::State::find_known(Tenant& tenant, const model::PushBatch& batch) {
  std::vector<std::uint8_t> known(batch.entries.size());
  for (const model::PushStream& part : batch.streams) {
    rpc::SelectRequest range;
    range.start_ns = INT64_MAX, range.end_ns = INT64_MIN;
    for (std::uint32_t i = part.entries_begin; i < part.entries_end; ++i) {
      range.start_ns = std::min(range.start_ns, batch.entries[i].timestamp_ns);
      range.end_ns = std::max(range.end_ns, batch.entries[i].timestamp_ns);
    }
    Held held;
    {
      const std::uint64_t hash = stream_hash(tenant, *part.labels);
      Shard& shard = shard_of(hash);
      std::lock_guard lock(shard.mutex);
      const Stream* stream = shard.streams.find(hash, &tenant, *part.labels);
      if (stream == nullptr || !stream->has_data()) continue;
      held = hold(*stream, range);
    }
    std::unordered_set<EntryKey, EntryKeyHash> keys;
    const auto add = [&](const chunk::Columns& columns) {
      RowsBatch row_of;
      const auto begin = std::lower_bound(columns.timestamps_ns.begin(), columns.timestamps_ns.end(), range.start_ns);
      for (auto row = static_cast<std::uint32_t>(begin - columns.timestamps_ns.begin()); row < columns.rows && columns.timestamps_ns[row] <= range.end_ns; ++row) {
        row_of.batch.entries.clear();
        row_of.batch.metadata.clear();
        append_row(row_of, columns, row);
        keys.insert(key_of(row_of.batch, row_of.batch.entries.front()));
      }
    };
    if (held.head) add(*decode_head(*held.head));
    for (const MemBlockPtr& block : held.blocks) {
      HeadView view;
      std::vector<MemBlock::Piece> pieces;
      {
        std::lock_guard lock(block->mutex);
        view = block->view;
        pieces = block->pieces;
      }
      if (view.chain) add(*decode_head(view));
      for (const MemBlock::Piece& piece : pieces) {
        if (piece.min_ts_ns > range.end_ns || piece.max_ts_ns < range.start_ns) continue;
        // What cannot be read is not known: a copy more is found by whoever reads, a missing one by nobody.
        if (const auto columns = chunk::as_block(piece.encoded)->load(chunk::kAllColumns, CallContext()); columns.ok()) add(**columns);
      }
    }
    for (std::uint32_t i = part.entries_begin; i < part.entries_end; ++i) known[i] = keys.contains(key_of(batch, batch.entries[i])) ? 1 : 0;
  }
  return known;
}

}  // namespace skald::ingester
