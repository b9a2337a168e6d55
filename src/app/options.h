// From configuration keys to the options of each module; the one place where the two vocabularies meet.
#pragma once

#include <functional>

#include "skald/api/read.h"
#include "skald/compactor/compactor.h"
#include "skald/config/config.h"
#include "skald/distributor/distributor.h"
#include "skald/http/server.h"
#include "skald/ingester/ingester.h"
#include "skald/querier/querier.h"
#include "skald/store/store.h"

namespace skald::app {

http::ServerOptions server_options(const config::Config& config);
distributor::DistributorOptions distributor_options(const config::Config& config);
api::ReadOptions read_options(const config::Config& config);
querier::QuerierOptions querier_options(const config::Config& config);
store::StoreOptions store_options(const config::Config& config);   // without caches beyond memory
bool uses_remote_store(const config::Config& config);               // some bucket is behind HTTP
bool keeps_index_copies(const config::Config& config);              // index objects on local disk, because the bucket is remote
compactor::CompactorOptions compactor_options(const config::Config& config, const std::string& id);   // without callbacks
objstore::SpaceReserve space_reserve(const config::Config& config);
// `limits` outlives the ingester. `share_of`: what one ingester gets of a limit for all of them; null: all of it.
ingester::IngesterOptions ingester_options(const config::Config& config, const std::string& id, const config::LimitsProvider& limits,
                                           std::function<std::uint64_t(std::uint64_t global)> share_of = nullptr);
bool asks_index_gateway(const config::Config& config);              // readers do not keep the index themselves
// Where several processes share a bucket: an ingester shows its peers what it shipped for so long, and none of them answers
// from a listing that is older than the other.
std::int64_t recent_keep_ns(const config::Config& config);
std::int64_t listing_age_max_ns(const config::Config& config);
std::string instance_id(const config::Config& config);       // lifecycler.id or the host name
std::string instance_address(const config::Config& config);  // host:port as rings show it

}  // namespace skald::app
