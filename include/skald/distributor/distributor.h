// The distributor: tenant, label and line rules, rate limits, level and service-name discovery, then on to ingesters.
// Bodies are decoded by distributor/decode_*.h.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "skald/base/context.h"
#include "skald/config/limits.h"
#include "skald/model/push.h"
#include "skald/obs/metrics.h"
#include "skald/rpc/ingester_client.h"

namespace skald::distributor {

enum class PushFormat { kLokiProtobuf, kLokiJson, kLegacyJson, kOtlpProtobuf, kOtlpJson };

struct PushJob {
  PushFormat format = PushFormat::kLokiProtobuf;
  SharedBytes body;                    // as sent; push() undoes content_encoding and snappy
  std::string content_encoding;        // "", "gzip", "deflate", "snappy", "zstd", "lz4"
  std::string backfill_shard;          // X-Loki-Backfill-Shard
};

struct DistributorOptions {
  std::uint64_t body_bytes_max = 100ULL << 20;           // as sent: distributor.max_recv_msg_size
  std::uint64_t decompressed_bytes_max = 5000ULL << 20;  // distributor.max_decompressed_size
  std::size_t label_cache_bytes = 64 << 20;
  // With the global strategy of ingestion rates: this distributor's part of them, by the number of its peers. Null: all.
  std::function<double()> share = nullptr;
};

// Thread-safe. Owned by the process; ingester and limits outlive it.
class Distributor {
 public:
  Distributor(rpc::IngesterClient& ingester, config::LimitsProvider& limits, obs::Registry& registry, const Clock& clock,
              DistributorOptions options = {});
  ~Distributor();
  // Decodes, validates, hands over. `done` is called once, from any thread: success = 204; an Error carries the status
  // (as ErrorCode) and Loki's text. Quick enough for an I/O thread up to some hundred kB. kPermissionDenied says that
  // ingestion is blocked: the status is then blocked_status().
  void push(const CallContext& ctx, PushJob job, std::function<void(Result<void>)> done);
  // The tenant's block_ingestion_status_code while its ingestion is blocked, else 0.
  int blocked_status(const std::string& tenant) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skald::distributor
