#include "skald/rpc/index_gateway.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "rpc/call.h"
#include "rpc/index_wire.h"
#include "skald/codec/hash.h"

namespace skald::rpc {
namespace {

class IndexGateway final : public IndexClient {
 public:
  IndexGateway(http::Client& client, LabelTexts& texts, obs::Registry& registry, IndexGatewayOptions options)
      : client_(client), texts_(texts), options_(std::move(options)),
        duration_(registry.histogram_family("loki_index_gateway_request_duration_seconds", "Time an index gateway took to answer.", {"operation", "status_code"},
                                            {0.005, 0.02, 0.08, 0.32, 1.28, 5.12, 20.48})) {}

  Result<std::vector<index::StreamChunkRefs>> refs(const CallContext& ctx, const SelectRequest& request, index::WithSketches with_sketches, bool fresh) override {
    IndexQuery query{.select = plain(request), .with_sketches = with_sketches == index::WithSketches::kYes, .fresh = fresh, .name = {}, .after = {}};
    std::vector<index::StreamChunkRefs> all;
    do {
      SKALD_TRY(const Bytes message, call("refs", ctx, query));
      SKALD_TRY(RefsPage page, decode_refs_page(ctx.tenant, message, with_sketches));
      if (!page.after.empty() && page.after <= query.after) return Error(ErrorCode::kCorruption, "an index gateway repeats itself");
      all.insert(all.end(), std::make_move_iterator(page.streams.begin()), std::make_move_iterator(page.streams.end()));
      query.after = std::move(page.after);
      query.fresh = false;
    } while (!query.after.empty());
    return all;
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const Bytes message, call("series", ctx, of(request)));
    return decode_series(message, intern());
  }
  Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const Bytes message, call("volumes", ctx, of(request)));
    return decode_volumes(message, intern());
  }
  Result<std::vector<std::string>> label_names(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const Bytes message, call("label-names", ctx, of(request)));
    return decode_texts(message);
  }
  Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name, const SelectRequest& request) override {
    IndexQuery query = of(request);
    query.name = name;
    SKALD_TRY(const Bytes message, call("label-values", ctx, query));
    return decode_texts(message);
  }

 private:
  static SelectRequest plain(SelectRequest request) {
    request.counts = nullptr;
    return request;
  }
  static IndexQuery of(const SelectRequest& request) { return {.select = plain(request), .with_sketches = false, .fresh = false, .name = {}, .after = {}}; }
  InternText intern() {
    return [this](std::string_view text) { return texts_.intern(text); };
  }

  // Best first: by hash, those that lately did not answer behind all others.
  std::vector<std::string> in_order(const CallContext& ctx) {
    const std::uint64_t tenant = codec::xxh3_64(ctx.tenant);
    const std::int64_t now_ns = ctx.clock->monotonic_ns();
    std::vector<std::string> addresses = options_.addresses();
    std::vector<std::tuple<bool, std::uint64_t, std::string>> ranked;
    const std::lock_guard lock(mutex_);
    std::erase_if(aside_until_ns_, [&](const auto& entry) { return entry.second <= now_ns; });
    for (std::string& address : addresses) {
      const std::uint64_t rank = codec::xxh3_words(tenant, codec::xxh3_64(address));
      ranked.emplace_back(aside_until_ns_.contains(address), rank, std::move(address));
    }
    std::sort(ranked.begin(), ranked.end());
    addresses.clear();
    for (auto& [aside, rank, address] : ranked) addresses.push_back(std::move(address));
    return addresses;
  }

  Result<Bytes> call(const std::string& method, const CallContext& ctx, const IndexQuery& query) {
    const Bytes body = encode_index_query(query);
    Error last(ErrorCode::kUnavailable, "none is known");
    for (const std::string& address : in_order(ctx)) {
      SKALD_TRY_VOID(ctx.check());
      CallContext one = ctx;
      const std::int64_t began_ns = ctx.clock->monotonic_ns();
      one.deadline_monotonic_ns = std::min(one.deadline_monotonic_ns, began_ns + options_.call_timeout_ns);
      http::ClientRequest request = call_request(address, "index/" + method, one);
      request.body = body;
      Result<Bytes> answer = read_answer(client_.call(request, one), address);
      duration_.with({method, answer.ok() ? "200" : error_code_name(answer.error().code())}).observe(static_cast<double>(ctx.clock->monotonic_ns() - began_ns) / 1e9);
      if (answer.ok()) return answer;
      const ErrorCode code = answer.error().code();
      if (code != ErrorCode::kUnavailable && code != ErrorCode::kDeadlineExceeded && code != ErrorCode::kUnimplemented) return answer;
      SKALD_TRY_VOID(ctx.check());   // the caller's time is up, not the gateway's
      last = std::move(answer).error();
      const std::lock_guard lock(mutex_);
      aside_until_ns_[address] = ctx.clock->monotonic_ns() + options_.aside_ns;
    }
    return Error(ErrorCode::kUnavailable, "no index gateway answers: " + last.message());
  }

  http::Client& client_;
  LabelTexts& texts_;
  const IndexGatewayOptions options_;
  obs::HistogramFamily& duration_;
  std::mutex mutex_;   // guards aside_until_ns_
  std::map<std::string, std::int64_t> aside_until_ns_;
};

}  // namespace

std::shared_ptr<IndexClient> make_index_gateway(http::Client& client, LabelTexts& texts, obs::Registry& registry, IndexGatewayOptions options) {
  return std::make_shared<IndexGateway>(client, texts, registry, std::move(options));
}

}  // namespace skald::rpc
