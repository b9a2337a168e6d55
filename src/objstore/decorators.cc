#include "skald/objstore/stores.h"

#include <type_traits>

namespace skald::objstore {

void FaultPlan::fail_nth(Operation operation, std::uint64_t n, Fault fault) {
  const std::lock_guard lock(mutex_);
  PerOperation& per = operations_[static_cast<std::size_t>(operation)];
  per.at_call.emplace_back(per.calls + n, std::move(fault));
}

void FaultPlan::fail_always(Operation operation, Fault fault) {
  const std::lock_guard lock(mutex_);
  operations_[static_cast<std::size_t>(operation)].always = std::move(fault);
}

void FaultPlan::clear() {
  const std::lock_guard lock(mutex_);
  for (PerOperation& per : operations_) {
    per.at_call.clear();
    per.always.reset();
  }
}

void FaultPlan::set_hook(std::function<void(Operation, std::string_view)> hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

std::uint64_t FaultPlan::calls(Operation operation) const {
  const std::lock_guard lock(mutex_);
  return operations_[static_cast<std::size_t>(operation)].calls;
}

std::optional<Fault> FaultPlan::next(Operation operation, std::string_view key) {
  std::function<void(Operation, std::string_view)> hook;
  std::optional<Fault> fault;
  {
    const std::lock_guard lock(mutex_);
    hook = hook_;
    PerOperation& per = operations_[static_cast<std::size_t>(operation)];
    ++per.calls;
    fault = per.always;
    for (auto it = per.at_call.begin(); it != per.at_call.end(); ++it) {
      if (it->first != per.calls) continue;
      fault = std::move(it->second);
      per.at_call.erase(it);
      break;
    }
  }
  if (hook) hook(operation, key);
  return fault;
}

class FaultyStore final : public ObjectStore {
 public:
  FaultyStore(std::unique_ptr<ObjectStore> inner, std::shared_ptr<FaultPlan> plan)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    const std::optional<Fault> fault = plan_->next(Operation::kPut, key);
    if (!fault) return inner_->put(key, body, ctx);
    if (fault->torn_bytes) SKALD_TRY_VOID(inner_->put(key, body.substr(0, *fault->torn_bytes), ctx));
    else if (fault->after_effect) SKALD_TRY_VOID(inner_->put(key, body, ctx));
    return Error(fault->code, fault->message);
  }

  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    const std::optional<Fault> fault = plan_->next(Operation::kGet, key);
    if (!fault) return inner_->get(key, range, ctx);
    if (!fault->torn_bytes) return Error(fault->code, fault->message);
    SKALD_TRY(Bytes body, inner_->get(key, range, ctx));
    if (body.size() > *fault->torn_bytes) body.resize(*fault->torn_bytes);
    return body;
  }

  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
    const std::optional<Fault> fault = plan_->next(Operation::kPut, key);
    if (!fault) return inner_->create(key, body, ctx);
    if (fault->torn_bytes) SKALD_TRY_VOID(inner_->create(key, body.substr(0, *fault->torn_bytes), ctx));
    else if (fault->after_effect) SKALD_TRY_VOID(inner_->create(key, body, ctx));
    return Error(fault->code, fault->message);
  }

  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    if (const std::optional<Fault> fault = plan_->next(Operation::kList, prefix)) return Error(fault->code, fault->message);
    return inner_->list(prefix, next, depth, ctx);
  }

  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    const std::optional<Fault> fault = plan_->next(Operation::kRemove, key);
    if (!fault) return inner_->remove(key, ctx);
    if (fault->after_effect) SKALD_TRY_VOID(inner_->remove(key, ctx));
    return Error(fault->code, fault->message);
  }

 private:
  const std::unique_ptr<ObjectStore> inner_;
  const std::shared_ptr<FaultPlan> plan_;
};

std::unique_ptr<ObjectStore> with_faults(std::unique_ptr<ObjectStore> inner, std::shared_ptr<FaultPlan> plan) {
  return std::make_unique<FaultyStore>(std::move(inner), std::move(plan));
}

namespace {

class MeteredStore final : public ObjectStore {
 public:
  MeteredStore(std::unique_ptr<ObjectStore> inner, const std::string& bucket, obs::Registry& registry, const Clock& clock)
      : inner_(std::move(inner)),
        clock_(clock),
        upload_(bucket, "upload", registry),
        get_(bucket, "get", registry),
        get_range_(bucket, "get_range", registry),
        iter_(bucket, "iter", registry),
        delete_(bucket, "delete", registry) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    return timed(upload_, [&] { return inner_->put(key, body, ctx); });
  }
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    const bool whole = range.begin == 0 && range.end == ByteRange{}.end;
    Meter& meter = whole ? get_ : get_range_;
    Result<Bytes> body = timed(meter, [&] { return inner_->get(key, range, ctx); });
    if (body.ok()) meter.fetched_bytes.add(static_cast<double>(body->size()));
    return body;
  }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
    return timed(upload_, [&] { return inner_->create(key, body, ctx); });
  }
  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    return timed(iter_, [&] { return inner_->list(prefix, next, depth, ctx); });
  }
  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    return timed(delete_, [&] { return inner_->remove(key, ctx); });
  }
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override {
    return timed(delete_, [&] { return inner_->remove_all(keys, ctx); });
  }

 private:
  struct Meter {
    Meter(const std::string& bucket, const std::string& operation, obs::Registry& registry)
        : total(registry.counter_family("loki_objstore_bucket_operations_total",
                                        "Total number of all attempted operations against a bucket.", {"bucket", "operation"})
                    .with({bucket, operation})),
          failures(registry.counter_family("loki_objstore_bucket_operation_failures_total",
                                           "Total number of operations against a bucket that failed.", {"bucket", "operation"})
                       .with({bucket, operation})),
          fetched_bytes(registry.counter_family("loki_objstore_bucket_operation_fetched_bytes_total",
                                                "Total number of bytes fetched from bucket, per operation.", {"bucket", "operation"})
                            .with({bucket, operation})),
          seconds(registry.histogram_family("loki_objstore_bucket_operation_duration_seconds",
                                            "Duration of successful operations against the bucket.", {"bucket", "operation"},
                                            {.001, .01, .1, .3, .6, 1, 3, 6, 9, 20, 30, 60, 90, 120})
                      .with({bucket, operation})) {}
    obs::Counter& total;
    obs::Counter& failures;
    obs::Counter& fetched_bytes;
    obs::Histogram& seconds;
  };

  template <class Call>
  std::invoke_result_t<Call> timed(Meter& meter, Call&& call) {
    const std::int64_t begin_ns = clock_.monotonic_ns();
    auto result = call();
    meter.total.add();
    if (result.ok()) {
      meter.seconds.observe(static_cast<double>(clock_.monotonic_ns() - begin_ns) / 1e9);
    } else if (result.error().code() != ErrorCode::kNotFound && result.error().code() != ErrorCode::kAlreadyExists) {
      meter.failures.add();
    }
    return result;
  }

  const std::unique_ptr<ObjectStore> inner_;
  const Clock& clock_;
  Meter upload_, get_, get_range_, iter_, delete_;
};

}  // namespace

std::unique_ptr<ObjectStore> with_metrics(std::unique_ptr<ObjectStore> inner, std::string bucket, obs::Registry& registry,
                                          const Clock& clock) {
  return std::make_unique<MeteredStore>(std::move(inner), bucket, registry, clock);
}

}  // namespace skald::objstore
