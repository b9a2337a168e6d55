#include "skald/rpc/index_service.h"

#include <utility>

#include "rpc/index_wire.h"
#include "skald/rpc/ingester_service.h"

namespace skald::rpc {

struct IndexService::State {
  State(IndexClient& index_in, obs::Registry& registry, const Clock& clock_in, IndexServiceOptions options_in)
      : index(index_in), clock(clock_in), options(options_in),
        before(registry.histogram_family("loki_index_gateway_prefilter_chunks", "Chunks found for a request, before filtering.", {"route"}, edges())),
        after(registry.histogram_family("loki_index_gateway_postfilter_chunks", "Chunks found for a request, after filtering.", {"route"}, edges())) {}
  static std::vector<double> edges() { return {4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576}; }

  Result<Bytes> refs(const CallContext& ctx, const IndexQuery& query) {
    SKALD_TRY(std::vector<index::StreamChunkRefs> streams,
              index.refs(ctx, query.select, query.with_sketches ? index::WithSketches::kYes : index::WithSketches::kNo, query.fresh));
    if (query.after.empty()) {
      double chunks = 0;
      for (const index::StreamChunkRefs& stream : streams) chunks += static_cast<double>(stream.chunks.size());
      before.with({"chunk_refs"}).observe(chunks);   // nothing filters here
      after.with({"chunk_refs"}).observe(chunks);
    }
    return encode_refs_page(ctx.tenant, streams, query.after, options.page_bytes);
  }
  Result<Bytes> series(const CallContext& ctx, const IndexQuery& query) {
    SKALD_TRY(const std::vector<model::LabelsPtr> found, index.series(ctx, query.select));
    return encode_series(found);
  }
  Result<Bytes> volumes(const CallContext& ctx, const IndexQuery& query) {
    SKALD_TRY(const std::vector<SeriesVolume> found, index.volumes(ctx, query.select));
    return encode_volumes(found);
  }
  Result<Bytes> label_names(const CallContext& ctx, const IndexQuery& query) {
    SKALD_TRY(const std::vector<std::string> found, index.label_names(ctx, query.select));
    return encode_texts(found);
  }
  Result<Bytes> label_values(const CallContext& ctx, const IndexQuery& query) {
    SKALD_TRY(const std::vector<std::string> found, index.label_values(ctx, query.name, query.select));
    return encode_texts(found);
  }

  IndexClient& index;
  const Clock& clock;
  const IndexServiceOptions options;
  obs::HistogramFamily& before;
  obs::HistogramFamily& after;
};

IndexService::IndexService(IndexClient& index, obs::Registry& registry, const Clock& clock, IndexServiceOptions options)
    : state_(std::make_shared<State>(index, registry, clock, options)) {}
IndexService::~IndexService() = default;

void IndexService::add_routes(http::Server& server) {
  using Call = Result<Bytes> (State::*)(const CallContext&, const IndexQuery&);
  const std::pair<const char*, Call> calls[] = {{"refs", &State::refs}, {"series", &State::series}, {"volumes", &State::volumes},
                                                {"label-names", &State::label_names}, {"label-values", &State::label_values}};
  for (const auto& [method, call] : calls) {
    http::Route route;
    route.methods = {"POST"};
    route.pattern = std::string(kPathPrefix) + "index/" + method;
    route.name = std::string("skald_rpc_index_") + method;
    route.run_on = http::RunOn::kPool;
    route.body_bytes_max = 1 << 20;
    route.handler = [state = state_, member = call](std::shared_ptr<http::Request> request, http::Responder respond) {
      const CallContext ctx = context_of(*request, state->clock);
      const auto run = [&]() -> Result<Bytes> {
        auto query = decode_index_query(*request->body);
        if (!query.ok()) return Error(ErrorCode::kInvalidArgument, query.error().message());
        return (state.get()->*member)(ctx, *query);
      };
      respond(answer(run()));
    };
    server.add(std::move(route));
  }
}

}  // namespace skald::rpc
