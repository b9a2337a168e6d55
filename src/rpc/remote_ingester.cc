#include "skald/rpc/remote_ingester.h"

#include <atomic>
#include <thread>

#include "rpc/call.h"
#include "rpc/remote_rows.h"
#include "skald/obs/log.h"

namespace skald::rpc {
namespace {

CallContext with_timeout(const CallContext& ctx, std::int64_t timeout_ns) {
  CallContext out = ctx;
  const std::int64_t until_ns = ctx.clock->monotonic_ns() + timeout_ns;
  if (timeout_ns > 0 && until_ns < out.deadline_monotonic_ns) out.deadline_monotonic_ns = until_ns;
  return out;
}

// Reads a tail of the peer on a thread of its own until it is dropped.
class RemoteTail {
 public:
  RemoteTail(http::Client& client, std::string base_url, std::string tenant, Bytes id, LabelTexts& texts, TailSink sink)
      : client_(client), base_url_(std::move(base_url)), id_(std::move(id)), texts_(texts), sink_(std::move(sink)) {
    ctx_.tenant = std::move(tenant);
    ctx_.cancel = cancel_;
    thread_ = std::thread([this] { run(); });
  }
  ~RemoteTail() {
    cancel_->cancel();
    thread_.join();
    CallContext ctx;
    ctx.tenant = ctx_.tenant;
    ctx.deadline_monotonic_ns = ctx.clock->monotonic_ns() + kNanosPerSecond;
    client_.call_then(call_request(base_url_, "ingester/tail-stop", ctx), std::make_shared<const Bytes>(id_), ctx, [](Result<http::ClientResponse>) {});
  }

 private:
  void run() {
    while (!cancel_->cancelled()) {
      CallContext call = with_timeout(ctx_, 10 * kNanosPerSecond);
      http::ClientRequest request = call_request(base_url_, "ingester/tail-next", call);
      request.body = id_;
      const Result<Bytes> message = read_answer(client_.call(request, call), base_url_);
      if (!message.ok()) {
        if (!cancel_->cancelled()) log::warn("a peer's live entries ended", {{"peer", base_url_}, {"err", message.error().message()}});
        return;
      }
      const auto batch = decode_tail_batch(*message, [&](std::string_view text) { return texts_.intern(text); });
      if (!batch.ok()) return;
      for (const TailedEntries& tailed : *batch) sink_(tailed.labels, tailed.entries);
    }
  }

  http::Client& client_;
  const std::string base_url_;
  const Bytes id_;
  LabelTexts& texts_;
  const TailSink sink_;
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  CallContext ctx_;
  std::thread thread_;
};

class RemoteIngester final : public IngesterClient {
 public:
  RemoteIngester(http::Client& client, std::string base_url, LabelTexts& texts, RemoteIngesterOptions options)
      : client_(client), base_url_(std::move(base_url)), texts_(texts), options_(options) {}

  void push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) override {
    auto message = encode_push(*batch);
    if (!message.ok()) return done(std::move(message).error());
    push_encoded(ctx, std::make_shared<const Bytes>(*std::move(message)), std::move(done));
  }
  bool takes_encoded() const override { return true; }
  void push_encoded(const CallContext& ctx, SharedBytes message, std::function<void(Result<model::PushOutcome>)> done) override {
    const CallContext call = with_timeout(ctx, options_.call_timeout_ns);
    client_.call_then(call_request(base_url_, "ingester/push", call), std::move(message), call,
                      [done = std::move(done), peer = base_url_](Result<http::ClientResponse> response) {
                        const Result<Bytes> answer = read_answer(std::move(response), peer);
                        if (!answer.ok()) done(answer.error());
                        else done(decode_push_outcome(*answer));
                      });
  }

  Result<chunk::SelectResult> select(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const Bytes message, call("ingester/select", ctx, encode_select(request)));
    SKALD_TRY(RemoteSelect select, decode_remote_select(message, intern()));
    return open_remote_rows(client_, base_url_, ctx.tenant, std::move(select), options_.fetch_bytes);
  }
  Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const Bytes message, call("ingester/series", ctx, encode_select(request)));
    return decode_series(message, intern());
  }
  Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) override {
    SKALD_TRY(const Bytes message, call("ingester/volumes", ctx, encode_select(request)));
    return decode_volumes(message, intern());
  }
  Result<std::shared_ptr<void>> tail(const CallContext& ctx, std::vector<model::Matcher> matchers, TailSink sink) override {
    SKALD_TRY(Bytes id, call("ingester/tail", with_timeout(ctx, options_.call_timeout_ns), encode_select({std::move(matchers), 0, 0})));
    return std::shared_ptr<void>(std::make_shared<RemoteTail>(client_, base_url_, ctx.tenant, std::move(id), texts_, std::move(sink)));
  }

 private:
  InternText intern() {
    return [this](std::string_view text) { return texts_.intern(text); };
  }
  Result<Bytes> call(std::string_view method, const CallContext& ctx, const Bytes& message) {
    http::ClientRequest request = call_request(base_url_, method, ctx);
    request.body = message;
    return read_answer(client_.call(request, ctx), base_url_);
  }

  http::Client& client_;
  const std::string base_url_;
  LabelTexts& texts_;
  const RemoteIngesterOptions options_;
};

}  // namespace

std::shared_ptr<IngesterClient> make_remote_ingester(http::Client& client, std::string base_url, LabelTexts& texts, RemoteIngesterOptions options) {
  return std::make_shared<RemoteIngester>(client, std::move(base_url), texts, options);
}

}  // namespace skald::rpc
