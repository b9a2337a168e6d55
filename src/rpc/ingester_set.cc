#include "skald/rpc/ingester_set.h"

#include <algorithm>
#include <condition_variable>
#include <set>
#include <unordered_map>

#include "rpc/set_push.h"
#include "skald/codec/hash.h"
#include "skald/rpc/merge.h"

namespace skald::rpc {

IngesterSet::IngesterSet(const ring::Ring& ring, Connect connect, exec::Pool& pool, obs::Registry& registry, IngesterSetOptions options)
    : ring_(ring), connect_(std::move(connect)), pool_(pool), options_(options),
      pushes_(registry.counter_family("loki_distributor_replica_pushes_total", "Pushes sent to ingesters.", {"ingester"})),
      push_failures_(registry.counter_family("loki_distributor_replica_push_failures_total", "Pushes an ingester did not take.", {"ingester", "reason"})) {}

std::shared_ptr<IngesterClient> IngesterSet::client_of(const ring::Instance& instance) {
  const std::lock_guard lock(mutex_);
  // A restarted member has a new address: the old client goes when nobody uses it any more.
  const auto key = std::make_pair(instance.id, instance.address);
  if (const auto found = clients_.find(key); found != clients_.end()) return found->second;
  std::erase_if(clients_, [&](const auto& entry) { return entry.first.first == instance.id; });
  return clients_.emplace(key, connect_(instance)).first->second;
}

void IngesterSet::push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) {
  const std::shared_ptr<const ring::Picture> picture = ring_.picture();
  const std::int64_t now_s = ring_.now_s();
  auto push = std::make_shared<SetPush>(batch, std::move(done));
  std::map<const ring::Instance*, std::vector<std::uint32_t>> by_member;
  for (std::uint32_t i = 0; i < batch->streams.size(); ++i) {
    const std::uint32_t token = ring::stream_token(batch->tenant, batch->streams[i].labels->text);
    auto members = picture->members_for(token, options_.extend_writes ? ring::Operation::kWrite : ring::Operation::kWriteNoExtend, now_s);
    if (!members.ok()) return push->refuse(std::move(members).error());
    push->add_stream(members->min_success, members->max_failures());
    for (const ring::Instance* member : members->members) by_member[member].push_back(i);
  }
  SharedBytes whole;   // encoded once when several members get every stream
  for (const auto& [member, streams] : by_member) {
    const std::shared_ptr<IngesterClient> client = client_of(*member);
    pushes_.with({member->address}).add();
    auto answered = [push, streams, client, address = member->address, &failures = push_failures_](Result<model::PushOutcome> outcome) {
      if (!outcome.ok()) failures.with({address, error_code_name(outcome.error().code())}).add();
      push->answered(streams, std::move(outcome));
    };
    const bool all = streams.size() == batch->streams.size();
    if (!client->takes_encoded()) {
      client->push(ctx, all ? batch : part_of(batch, streams), std::move(answered));
      continue;
    }
    auto encode = [&]() -> Result<SharedBytes> {
      if (all && whole) return whole;
      SKALD_TRY(Bytes message, all ? encode_push(*batch) : encode_push(*batch, streams));
      auto shared = std::make_shared<const Bytes>(std::move(message));
      if (all) whole = shared;
      return SharedBytes(shared);
    };
    Result<SharedBytes> message = encode();
    if (!message.ok()) answered(std::move(message).error());
    else client->push_encoded(ctx, *std::move(message), std::move(answered));
  }
}

namespace {

// Answers as they come; outlives the call for stragglers.
template <class T>
struct Gathering {
  std::mutex mutex;   // guards all below
  std::condition_variable changed;
  std::vector<T> answers;
  std::vector<std::string> failed_zones;
  std::optional<Error> first_error;
  std::size_t pending = 0, failures = 0;
};

}  // namespace

template <class T>
Result<std::vector<T>> IngesterSet::ask_all(const CallContext& ctx, std::function<Result<T>(IngesterClient&, const CallContext&, Place)> ask) {
  const std::shared_ptr<const ring::Picture> picture = ring_.picture();
  SKALD_TRY(const ring::ReadSet members, picture->members_for_all(ring::Operation::kRead, ring_.now_s()));
  auto gathering = std::make_shared<Gathering<T>>();
  gathering->pending = members.members.size();
  // Stragglers are told to give up when the answer has gone out.
  const auto give_up = std::make_shared<CancelToken>();
  CallContext call = ctx;
  call.cancel = give_up;
  Place place{.index = 0, .count = static_cast<std::uint32_t>(members.members.size())};
  for (const ring::Instance* member : members.members) {
    pool_.submit([gathering, call, ask, place, client = client_of(*member), zone = member->zone] {
      Result<T> answer = ask(*client, call, place);
      const std::lock_guard lock(gathering->mutex);
      --gathering->pending;
      if (answer.ok()) {
        gathering->answers.push_back(std::move(answer).value());
      } else {
        ++gathering->failures;
        if (std::find(gathering->failed_zones.begin(), gathering->failed_zones.end(), zone) == gathering->failed_zones.end()) gathering->failed_zones.push_back(zone);
        if (!gathering->first_error) gathering->first_error = std::move(answer).error();
      }
      gathering->changed.notify_all();
    });
    ++place.index;
  }
  std::unique_lock lock(gathering->mutex);
  std::int64_t enough_since_ns = 0;
  Result<void> stopped;
  while (gathering->pending > 0) {
    const bool too_many = members.by_zone ? gathering->failed_zones.size() > members.max_failing_zones : gathering->failures > members.max_failures;
    if (too_many) break;
    if (stopped = ctx.check(); !stopped.ok()) break;
    // By zones any member may be the one that is needed: wait for all.
    const bool enough = !members.by_zone && gathering->answers.size() + members.max_failures >= members.members.size();
    const std::int64_t now_ns = system_clock().monotonic_ns();
    if (enough && enough_since_ns == 0) enough_since_ns = now_ns;
    if (enough && now_ns - enough_since_ns >= options_.straggler_wait_ns) break;
    gathering->changed.wait_for(lock, std::chrono::milliseconds(20));
  }
  give_up->cancel();
  if (!stopped.ok()) return std::move(stopped).error();
  const bool failed = members.by_zone ? gathering->failed_zones.size() > members.max_failing_zones : gathering->failures > members.max_failures;
  if (failed) return *gathering->first_error;
  return std::exchange(gathering->answers, {});
}

Result<chunk::SelectResult> IngesterSet::select(const CallContext& ctx, const SelectRequest& request) {
  struct Answer {
    Place place;
    chunk::SelectResult found;
  };
  SKALD_TRY(std::vector<Answer> answers, ask_all<Answer>(ctx, [request](IngesterClient& client, const CallContext& call, Place place) -> Result<Answer> {
              SelectRequest mine = request;
              mine.turn = place.index, mine.turns = place.count;
              SKALD_TRY(chunk::SelectResult found, client.select(call, mine));
              return Answer{place, std::move(found)};
            }));
  // Of copies the first stays: the one whose rows came along.
  chunk::SelectResult merged;
  for (Answer& answer : answers) {
    chunk::SelectResult first;
    first.stats = std::exchange(answer.found.stats, {});
    const auto later = std::stable_partition(answer.found.streams.begin(), answer.found.streams.end(),
                                             [&](const chunk::StreamData& stream) { return stream.labels->hash % answer.place.count == answer.place.index; });
    first.streams.assign(std::make_move_iterator(answer.found.streams.begin()), std::make_move_iterator(later));
    answer.found.streams.erase(answer.found.streams.begin(), later);
    merge_into(merged, std::move(first));
  }
  for (Answer& answer : answers) merge_into(merged, std::move(answer.found));
  return merged;
}

Result<std::vector<model::LabelsPtr>> IngesterSet::series(const CallContext& ctx, const SelectRequest& request) {
  SKALD_TRY(std::vector<std::vector<model::LabelsPtr>> answers,
            ask_all<std::vector<model::LabelsPtr>>(ctx, [request](IngesterClient& client, const CallContext& call, Place) { return client.series(call, request); }));
  std::vector<model::LabelsPtr> merged;
  std::set<std::string_view> known;
  for (auto& answer : answers)
    for (model::LabelsPtr& labels : answer)
      if (known.insert(labels->text).second) merged.push_back(std::move(labels));
  return merged;
}

Result<std::vector<SeriesVolume>> IngesterSet::volumes(const CallContext& ctx, const SelectRequest& request) {
  SKALD_TRY(std::vector<std::vector<SeriesVolume>> answers,
            ask_all<std::vector<SeriesVolume>>(ctx, [request](IngesterClient& client, const CallContext& call, Place) { return client.volumes(call, request); }));
  std::vector<SeriesVolume> merged;
  std::unordered_map<std::string_view, std::size_t> known;
  std::uint32_t holder = 0;
  for (auto& answer : answers) {
    ++holder;
    for (SeriesVolume& volume : answer) {
      for (VolumeSpan& span : volume.spans) span.holder = holder;
      const auto [at, fresh] = known.emplace(volume.labels->text, merged.size());
      if (fresh) {
        merged.push_back(std::move(volume));
        continue;
      }
      SeriesVolume& sum = merged[at->second];
      sum.bytes = std::max(sum.bytes, volume.bytes);
      sum.entries = std::max(sum.entries, volume.entries);
      sum.chunks = std::max(sum.chunks, volume.chunks);
      sum.spans.insert(sum.spans.end(), volume.spans.begin(), volume.spans.end());
    }
  }
  return merged;
}

namespace {

// The first copy of each entry of the last moments.
class TailMerge {
 public:
  explicit TailMerge(TailSink sink) : sink_(std::move(sink)) {}
  void take(const model::LabelsPtr& labels, const std::vector<TailEntry>& entries) {
    std::vector<TailEntry> fresh;
    {
      const std::lock_guard lock(mutex_);
      for (const TailEntry& entry : entries) {
        std::uint64_t hash = codec::xxh3_words(labels->hash, static_cast<std::uint64_t>(entry.timestamp_ns), codec::xxh3_64(entry.line));
        for (const model::Label& pair : entry.metadata) hash = codec::xxh3_words(hash, codec::xxh3_64(pair.name), codec::xxh3_64(pair.value));
        if (young_.contains(hash) || old_.contains(hash)) continue;
        if (young_.size() >= kGenerationMax) {
          old_ = std::move(young_);
          young_.clear();
        }
        young_.insert(hash);
        fresh.push_back(entry);
      }
    }
    if (!fresh.empty()) sink_(labels, fresh);
  }

 private:
  static constexpr std::size_t kGenerationMax = 100'000;
  const TailSink sink_;
  std::mutex mutex_;   // guards both
  std::set<std::uint64_t> young_, old_;
};

}  // namespace

Result<std::shared_ptr<void>> IngesterSet::tail(const CallContext& ctx, std::vector<model::Matcher> matchers, TailSink sink) {
  auto merge = std::make_shared<TailMerge>(std::move(sink));
  SKALD_TRY(std::vector<std::shared_ptr<void>> tails,
            ask_all<std::shared_ptr<void>>(ctx, [matchers, merge](IngesterClient& client, const CallContext& call, Place) {
              CallContext lasting = call;
              lasting.cancel = nullptr;   // the subscription outlives the call
              return client.tail(lasting, matchers, [merge](const model::LabelsPtr& labels, const std::vector<TailEntry>& entries) { merge->take(labels, entries); });
            }));
  return std::shared_ptr<void>(std::make_shared<std::vector<std::shared_ptr<void>>>(std::move(tails)));
}

}  // namespace skald::rpc
