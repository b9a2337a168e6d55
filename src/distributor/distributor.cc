#include "skald/distributor/distributor.h"

#include "distributor/batch_builder.h"
#include "distributor/tenant.h"
#include "skald/model/time.h"

namespace skald::distributor {
namespace {

bool is_otlp(PushFormat format) { return format == PushFormat::kOtlpProtobuf || format == PushFormat::kOtlpJson; }

Error too_large(std::uint64_t size, std::uint64_t limit) {
  return Error(ErrorCode::kTooLarge, "request body too large: received message larger than max (" +
                                         std::to_string(size) + " vs " + std::to_string(limit) + ")");
}

}  // namespace

struct Distributor::State {
  State(rpc::IngesterClient& ingester_in, config::LimitsProvider& limits_in, obs::Registry& registry, const Clock& clock_in,
        DistributorOptions options_in)
      : ingester(ingester_in), limits(limits_in), clock(clock_in), options(options_in), metrics(registry),
        cache(options_in.label_cache_bytes) {}

  // The rows of the body. For plain snappy protobuf `received` becomes true.
  Result<Decoded> decode(const PushJob& job, const config::Limits& tenant_limits, bool& received) const;
  static bool blocked(const config::Limits& tenant_limits, std::int64_t now_ns) {
    return tenant_limits.block_ingestion_until > now_ns;
  }

  rpc::IngesterClient& ingester;
  config::LimitsProvider& limits;
  const Clock& clock;
  const DistributorOptions options;
  Metrics metrics;
  LabelCache cache;
  Tenants tenants;
};

Result<Decoded> Distributor::State::decode(const PushJob& job, const config::Limits& tenant_limits, bool& received) const {
  Decoded decoded;
  const bool otlp = is_otlp(job.format);
  const std::uint64_t limit = options.decompressed_bytes_max;
  if (job.body->size() > options.body_bytes_max) return too_large(job.body->size(), options.body_bytes_max);
  SKALD_TRY(decoded.body, undo_content_encoding(job.body, job.content_encoding,
                                                otlp ? EncodingSet::kOtlp : EncodingSet::kLoki, limit));
  switch (job.format) {
    case PushFormat::kLokiProtobuf: {
      received = decoded.body == job.body;
      SKALD_TRY(std::string plain, model::snappy_uncompress(*decoded.body, limit));
      decoded.body = std::make_shared<const std::string>(std::move(plain));
      SKALD_TRY_VOID(model::walk_push(*decoded.body, decoded.wire));
      break;
    }
    case PushFormat::kLokiJson: SKALD_TRY_VOID(decode_loki_json(decoded)); break;
    case PushFormat::kLegacyJson: SKALD_TRY_VOID(decode_legacy_json(decoded)); break;
    case PushFormat::kOtlpProtobuf:
      SKALD_TRY_VOID(decode_otlp_proto(tenant_limits.otlp_config, clock.now_ns(), decoded));
      break;
    case PushFormat::kOtlpJson:
      SKALD_TRY_VOID(decode_otlp_json(tenant_limits.otlp_config, clock.now_ns(), decoded));
      break;
  }
  if (decoded.wire.streams.empty())
    return Error(ErrorCode::kUnprocessable, "error at least one valid stream is required for ingestion");
  return decoded;
}

Distributor::Distributor(rpc::IngesterClient& ingester, config::LimitsProvider& limits, obs::Registry& registry,
                         const Clock& clock, DistributorOptions options)
    : state_(std::make_unique<State>(ingester, limits, registry, clock, options)) {}

Distributor::~Distributor() = default;

int Distributor::blocked_status(const std::string& tenant) const {
  const config::LimitsPtr limits = state_->limits.for_tenant(tenant);
  return State::blocked(*limits, state_->clock.now_ns()) ? static_cast<int>(limits->block_ingestion_status_code) : 0;
}

void Distributor::push(const CallContext& ctx, PushJob job, std::function<void(Result<void>)> done) {
  const std::shared_ptr<Tenant> tenant = state_->tenants.get(ctx.tenant);
  const std::shared_ptr<const TenantSettings> settings = tenant->settings(state_->limits.for_tenant(ctx.tenant));
  const config::Limits& limits = *settings->limits;
  const bool otlp = is_otlp(job.format);
  const std::int64_t now_ns = state_->clock.now_ns();

  bool received = false;
  auto decoded = state_->decode(job, limits, received);
  if (!decoded.ok()) {
    if (decoded.error().code() == ErrorCode::kTooLarge) {
      DiscardCounts discards;
      discards.add(Reason::kBodyTooLarge, 1, job.body->size());
      count_discards(state_->metrics, ctx.tenant, limits, otlp, discards);
    }
    return done(std::move(decoded).error());
  }
  auto made = build_batch(*std::move(decoded), {ctx.tenant, *settings, state_->cache, job.backfill_shard, now_ns});
  if (!made.ok()) return done(std::move(made).error());
  BuiltBatch& built = *made;
  model::PushBatch& batch = *built.batch;
  batch.tenant = ctx.tenant;
  const std::uint64_t bytes = batch.line_bytes + batch.metadata_bytes;
  const std::uint64_t lines = batch.entries.size();

  if (State::blocked(limits, now_ns)) {
    built.discards.add(Reason::kBlocked, lines, bytes);
    count_discards(state_->metrics, ctx.tenant, limits, otlp, built.discards);
    if (limits.block_ingestion_status_code == 200) return done({});
    return done(Error(ErrorCode::kPermissionDenied,
                      "ingestion blocked for user '" + ctx.tenant + "' until '" +
                          model::format_rfc3339_nano(limits.block_ingestion_until / kNanosPerSecond * kNanosPerSecond) +
                          "' with status code '" + std::to_string(limits.block_ingestion_status_code) + "'"));
  }
  if (built.truncated_lines > 0) {
    state_->metrics.mutated_samples.with({"line_too_long", ctx.tenant}).add(static_cast<double>(built.truncated_lines));
    state_->metrics.mutated_bytes.with({"line_too_long", ctx.tenant}).add(static_cast<double>(built.truncated_bytes));
  }

  const auto refusal = [](const GroupedErrors& errors) -> Result<void> {
    if (errors.empty()) return {};
    return Error(ErrorCode::kInvalidArgument, errors.text());
  };
  if (lines == 0) {
    count_discards(state_->metrics, ctx.tenant, limits, otlp, built.discards);
    return done(refusal(built.errors));
  }
  double rate = limits.ingestion_rate_mb * 1048576;
  if (state_->options.share && limits.ingestion_rate_strategy == "global") rate *= state_->options.share();
  if (!tenant->bucket().take(static_cast<double>(bytes), rate, limits.ingestion_burst_size_mb * 1048576,
                             state_->clock.monotonic_ns())) {
    built.discards.add(Reason::kRateLimited, lines, bytes);
    count_discards(state_->metrics, ctx.tenant, limits, otlp, built.discards);
    return done(Error(ErrorCode::kResourceExhausted,
                      "ingestion rate limit exceeded for user " + ctx.tenant + " (limit: " +
                          std::to_string(static_cast<std::int64_t>(rate)) + " bytes/sec) while attempting to ingest '" +
                          std::to_string(lines) + "' lines totaling '" + std::to_string(bytes) +
                          "' bytes, reduce log volume or contact your Loki administrator to see if the limit can be "
                          "increased"));
  }
  count_discards(state_->metrics, ctx.tenant, limits, otlp, built.discards);
  tenant->count_received(state_->metrics, otlp, limits, batch.line_bytes, batch.metadata_bytes, lines);
  if (received && built.as_received) batch.received_body = job.body;

  obs::Counter& failures = state_->metrics.append_failures.with({"local"});
  state_->metrics.appends.with({"local"}).add(1);
  state_->ingester.push(
      ctx, std::move(built.batch),
      [done = std::move(done), validation = refusal(built.errors), &failures](Result<model::PushOutcome> outcome) mutable {
        if (!outcome.ok()) {
          failures.add(1);
          return done(std::move(outcome).error());
        }
        // What the ingester refused decides the status (429 makes a client retry); validation alone is told otherwise.
        if (outcome->error.has_value()) return done(*std::move(outcome->error));
        done(std::move(validation));
      });
}

}  // namespace skald::distributor
