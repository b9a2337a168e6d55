#include "skald/ingester/ingester.h"

#include "ingester/state.h"

namespace skald::ingester {

Ingester::Ingester(IngesterOptions options, io::FileSystem& fs, objstore::ObjectStore& objects, store::Store& store, exec::Pool& pool,
                   obs::Registry& registry, const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), fs, objects, store, pool, registry, clock)) {}

Ingester::~Ingester() { stop(); }

Result<RecoveryReport> Ingester::start() { return state_->start(); }
void Ingester::stop() { state_->stop(); }
Result<HandOver> Ingester::hand_over(const CallContext& ctx, const Successor& successor, const HandOverOptions& options) {
  return state_->hand_over(ctx, successor, options);
}

void Ingester::push(const CallContext& ctx, std::shared_ptr<const model::PushBatch> batch, std::function<void(Result<model::PushOutcome>)> done) {
  state_->push(ctx, std::move(batch), std::move(done));
}

Result<chunk::SelectResult> Ingester::select(const CallContext& ctx, const rpc::SelectRequest& request) { return state_->select(ctx, request); }

Result<std::vector<model::LabelsPtr>> Ingester::series(const CallContext& ctx, const rpc::SelectRequest& request) {
  return state_->series(ctx, request);
}

Result<std::vector<rpc::SeriesVolume>> Ingester::volumes(const CallContext& ctx, const rpc::SelectRequest& request) {
  return state_->volumes(ctx, request);
}

Result<std::shared_ptr<void>> Ingester::tail(const CallContext& ctx, std::vector<model::Matcher> matchers, rpc::TailSink sink) {
  auto tail = std::make_shared<Tail>();
  tail->tenant = ctx.tenant;
  tail->matchers = std::move(matchers);
  tail->sink = std::move(sink);
  Tenant& tenant = state_->tenant_of(ctx.tenant);
  {
    std::lock_guard lock(state_->tails_mutex);
    auto list = std::make_shared<TailList>(*state_->tails);
    list->push_back(tail);
    state_->tails = std::move(list);
  }
  tenant.tails.fetch_add(1);
  // Waits for a sink that is running; none runs afterwards. Not to be released from within its own sink, nor with a
  // lock held that the sink takes.
  return std::shared_ptr<void>(tail.get(), [state = state_.get(), tail, &tenant](void*) {
    tail->closed.store(true);
    tenant.tails.fetch_sub(1);
    {
      std::lock_guard lock(state->tails_mutex);
      auto list = std::make_shared<TailList>(*state->tails);
      std::erase(*list, tail);
      state->tails = std::move(list);
    }
    while (tail->running.load() != 0) std::this_thread::yield();
  });
}

Result<void> Ingester::flush_all(const CallContext& ctx) { return state_->flush_all(ctx); }

void Ingester::set_prepare_shutdown(bool on) {
  state_->prepare_shutdown.store(on);
  state_->metrics.shutdown_marker.set(on ? 1 : 0);
}
bool Ingester::prepare_shutdown() const { return state_->prepare_shutdown.load(); }

bool Ingester::ready() const {
  return state_->running.load() && !state_->stopping.load() && !(state_->wal && state_->wal->failed());
}

std::uint64_t Ingester::stream_count(const std::string& tenant) const {
  const Tenant* found = state_->find_tenant(tenant);
  return found == nullptr ? 0 : found->streams.load();
}

}  // namespace skald::ingester
