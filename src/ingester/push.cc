#include <algorithm>
#include <limits>

#include "ingester/refusal.h"
#include "ingester/state.h"
#include "skald/obs/log.h"

namespace skald::ingester {
namespace {

// Token bucket in 8 bytes of the stream record.
bool take_tokens(Stream& stream, const TenantLimits& limits, std::uint32_t now_ms, std::uint64_t bytes) {
  const float burst = static_cast<float>(limits.per_stream_burst_bytes);
  if (!stream.rated) {
    stream.rated = true;
    stream.rate_tokens = burst;
  } else {
    const float earned = static_cast<float>(now_ms - stream.rate_ms) * static_cast<float>(limits.per_stream_rate_bytes) / 1000.0F;
    stream.rate_tokens = std::min(burst, stream.rate_tokens + earned);
  }
  stream.rate_ms = now_ms;
  if (stream.rate_tokens < static_cast<float>(bytes)) return false;
  stream.rate_tokens -= static_cast<float>(bytes);
  return true;
}

}  // namespace

std::optional<Error> Ingester::State::why_not_now() const {
  if (!running.load(std::memory_order_acquire) || stopping.load(std::memory_order_acquire))
    return Error(ErrorCode::kUnavailable, "ingester is not accepting pushes (starting or shutting down); retry later");
  if (wal && wal->failed()) return Error(ErrorCode::kUnavailable, "ingester: the write-ahead log failed; the process must be restarted");
  if (disk_low.load(std::memory_order_relaxed))
    return Error(ErrorCode::kUnavailable, "ingester: free disk space of the write-ahead log is below its reserve; retry later");
  if (wal_full.load(std::memory_order_relaxed))
    return Error(ErrorCode::kUnavailable, "ingester: the write-ahead log has reached its limit and cannot be trimmed (is the object store reachable?)");
  if (hard_bytes != 0 && memory_bytes.load(std::memory_order_relaxed) > static_cast<std::int64_t>(hard_bytes))
    return Error(ErrorCode::kResourceExhausted, "ingester: memory limit of " + std::to_string(hard_bytes >> 20) + " MiB reached; retry later");
  return std::nullopt;
}

void Ingester::State::push(const CallContext&, std::shared_ptr<const model::PushBatch> batch,
                           std::function<void(Result<model::PushOutcome>)> done) {
  if (auto why = why_not_now()) return done(*std::move(why));
  const TenantLimits limits = options.limits ? options.limits(batch->tenant) : TenantLimits{};
  Tenant& tenant = tenant_of(batch->tenant);
  const std::int64_t window_ns = options.max_chunk_age_ns / 2;
  const auto oldest_acceptable = [&](std::int64_t highest_ns) {
    std::int64_t oldest_ns = 0;
    return __builtin_sub_overflow(highest_ns, window_ns, &oldest_ns) ? std::numeric_limits<std::int64_t>::min() : oldest_ns;
  };
  const std::uint32_t now_s = seconds_now();
  const auto now_ms = static_cast<std::uint32_t>((clock.monotonic_ns() - epoch_ns) / kNanosPerMilli);
  const bool handed_over = batch->handed_over;   // accepted once, by an ingester that leaves
  const bool tailed = tenant.tails.load(std::memory_order_relaxed) > 0 && !handed_over;
  const std::vector<std::uint8_t> known = handed_over ? find_known(tenant, *batch) : std::vector<std::uint8_t>();

  model::PushOutcome outcome;
  NameCache names(*tenant.names);
  std::vector<MemBlockPtr> sealed;
  std::vector<std::uint32_t> accepted;
  accepted.reserve(batch->entries.size());
  std::vector<std::uint8_t> fresh(tailed ? batch->entries.size() : 0);
  std::vector<wal::StreamAppend> appends;
  appends.reserve(batch->streams.size());
  std::uint64_t by_order = 0, by_rate = 0, by_streams = 0;
  bool cut_any = false;

  std::optional<PushGate::Pass> pass(push_gate);
  for (const auto& part : batch->streams) {
    const std::uint32_t count = part.entries_end - part.entries_begin;
    const std::uint64_t hash = stream_hash(tenant, *part.labels);
    Shard& shard = shard_of(hash);
    StreamRefusals refusals;
    const std::size_t accepted_before = accepted.size(), sealed_before = sealed.size();
    std::lock_guard lock(shard.mutex);
    Stream* stream = shard.streams.find(hash, &tenant, *part.labels);
    if (stream == nullptr) {
      if (limits.max_streams != 0 && !handed_over && tenant.streams.load(std::memory_order_relaxed) >= limits.max_streams) {
        outcome.refused += count;
        by_streams += count;
        outcome.error = stream_limit_error(tenant.name, part.labels->text);
        continue;
      }
      stream = &create_stream(shard, hash, tenant, part.labels);
    }
    const std::uint64_t ordinal = ordinals.fetch_add(1, std::memory_order_relaxed);
    for (std::uint32_t i = part.entries_begin; i < part.entries_end; ++i) {
      const model::PushEntry& entry = batch->entries[i];
      const std::uint64_t fingerprint = entry_hash(entry, batch->metadata.data());
      if ((stream->any && fingerprint == stream->last_hash) || (handed_over && known[i] != 0)) {
        // Logged again all the same: the first copy's write may have failed, and this one will be acknowledged.
        accepted.push_back(i);
        continue;
      }
      if (handed_over) {
        metrics.rows_taken_over.add(1);
        append_entry(*stream, entry, batch->metadata.data(), fingerprint, names, sealed);
        accepted.push_back(i);
        continue;
      }
      if (limits.per_stream_rate_bytes != 0 && !take_tokens(*stream, limits, now_ms, entry.line.size())) {
        refusals.over_rate(entry.timestamp_ns, limits.per_stream_rate_bytes, entry.line.size(), part.labels->text);
        ++by_rate;
        continue;
      }
      if (stream->any && limits.unordered_writes && entry.timestamp_ns < oldest_acceptable(stream->highest_ts_ns)) {
        refusals.too_far_behind(entry.timestamp_ns, oldest_acceptable(stream->highest_ts_ns));
        ++by_order;
        continue;
      }
      if (stream->any && !limits.unordered_writes && entry.timestamp_ns < stream->highest_ts_ns) {
        refusals.out_of_order(entry.timestamp_ns);
        ++by_order;
        continue;
      }
      append_entry(*stream, entry, batch->metadata.data(), fingerprint, names, sealed);
      accepted.push_back(i);
      if (tailed) fresh[i] = 1;
    }
    stream->appended_s = now_s;
    const auto taken = static_cast<std::uint32_t>(accepted.size() - accepted_before);
    if (taken > 0) {
      // A duplicate dropped on an empty head needs no ordinal kept: what it repeats is in a chunk that holds its own.
      if (stream->has_open_data()) note_ordinal(*stream, ordinal);
      appends.push_back({stream->id, stream->labels, ordinal, taken});
    }
    if (refusals.count() > 0) {
      outcome.refused += refusals.count();
      outcome.error = refusals.error(tenant.name, part.labels->text, count);
    }
    if (sealed.size() > sealed_before && is_full(*stream)) cut_any |= cut(*stream, "full") != nullptr;
  }
  outcome.accepted = accepted.size();

  if (!wal || accepted.empty()) {
    pass.reset();
    done(std::move(outcome));
  } else {
    wal::PushRecord record;
    std::optional<Error> failed;
    if (batch->received_body && outcome.refused == 0) {
      record = wal::make_received_record(*batch, clock.now_ns());
    } else if (auto made = wal::make_canonical_record(*batch, accepted, clock.now_ns()); made.ok()) {
      record = std::move(made).value();
    } else {
      failed = made.error();
    }
    if (!failed) {
      record.streams = std::move(appends);
      wal->append(std::move(record), [done = std::move(done), outcome = std::move(outcome)](Result<void> logged) {
        if (!logged.ok()) return done(std::move(logged).error());
        done(outcome);
      });
    }
    pass.reset();
    if (failed) done(*std::move(failed));
  }

  if (!sealed.empty()) encode_later(std::move(sealed));
  if (tailed) notify_tails(*batch, fresh);
  if (by_order + by_rate + by_streams > 0) {
    const auto count = [&](const char* reason, std::uint64_t n) {
      if (n > 0) metrics.discarded_samples.with({reason, tenant.name, "", "", ""}).add(static_cast<double>(n));
    };
    count("too_far_behind", by_order);
    count("per_stream_rate_limit", by_rate);
    count("stream_limit", by_streams);
  }
  if (cut_any || (soft_bytes != 0 && memory_bytes.load(std::memory_order_relaxed) > static_cast<std::int64_t>(soft_bytes))) hurry();
}

void Ingester::State::replay_push(const model::PushBatch& batch, std::span<const std::uint64_t> replayed_ordinals) {
  Tenant& tenant = tenant_of(batch.tenant);
  NameCache names(*tenant.names);
  std::vector<MemBlockPtr> sealed;
  const std::uint32_t now_s = seconds_now();
  for (std::size_t s = 0; s < batch.streams.size(); ++s) {
    const auto& part = batch.streams[s];
    const std::uint64_t hash = stream_hash(tenant, *part.labels);
    Shard& shard = shard_of(hash);
    std::lock_guard lock(shard.mutex);
    Stream* stream = shard.streams.find(hash, &tenant, *part.labels);
    if (stream == nullptr) stream = &create_stream(shard, hash, tenant, part.labels);
    for (std::uint32_t i = part.entries_begin; i < part.entries_end; ++i) {
      const std::uint64_t fingerprint = entry_hash(batch.entries[i], batch.metadata.data());
      if (stream->any && fingerprint == stream->last_hash) continue;
      append_entry(*stream, batch.entries[i], batch.metadata.data(), fingerprint, names, sealed);
    }
    stream->appended_s = now_s;
    // No cut here, however full: the log may hold a smaller ordinal of this stream further on, and a flush record
    // speaks for all ordinals of its range.
    if (stream->has_open_data()) note_ordinal(*stream, replayed_ordinals[s]);
  }
  // At once, not later: replay must not hold all of the log unencoded.
  if (!sealed.empty()) pool.parallel_for(sealed.size(), [&](std::size_t i) { encode(*sealed[i]); });
}

void Ingester::State::notify_tails(const model::PushBatch& batch, const std::vector<std::uint8_t>& fresh) {
  std::shared_ptr<const TailList> list;
  {
    std::lock_guard lock(tails_mutex);
    list = tails;
  }
  for (const auto& tail : *list) {
    if (tail->tenant != batch.tenant) continue;
    tail->running.fetch_add(1);
    const std::shared_ptr<Tail> leave(tail.get(), [](Tail* t) { t->running.fetch_sub(1); });
    if (tail->closed.load()) continue;
    for (const auto& part : batch.streams) {
      if (!model::matches_all(tail->matchers, part.labels->labels)) continue;
      std::vector<rpc::TailEntry> entries;
      for (std::uint32_t i = part.entries_begin; i < part.entries_end; ++i) {
        if (fresh[i] == 0) continue;
        const model::PushEntry& entry = batch.entries[i];
        rpc::TailEntry out{entry.timestamp_ns, std::string(entry.line), {}};
        for (std::uint32_t k = entry.metadata_begin; k < entry.metadata_end; ++k)
          out.metadata.push_back({std::string(batch.metadata[k].name), std::string(batch.metadata[k].value)});
        if (entry.level != model::Level::kNone) {
          model::Label level{std::string(model::kDetectedLevelName), std::string(model::level_text(entry.level))};
          out.metadata.insert(std::lower_bound(out.metadata.begin(), out.metadata.end(), level), std::move(level));
        }
        entries.push_back(std::move(out));
      }
      if (!entries.empty()) tail->sink(part.labels, entries);
    }
  }
}

}  // namespace skald::ingester
