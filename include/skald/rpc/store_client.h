// What queriers ask of the long-term store (index + chunks in the bucket). In process: store::Store.
#pragma once

#include "skald/rpc/ingester_client.h"

namespace skald::rpc {

class StoreClient {
 public:
  virtual ~StoreClient() = default;
  virtual Result<chunk::SelectResult> select(const CallContext& ctx, const SelectRequest& request) = 0;
  virtual Result<std::vector<model::LabelsPtr>> series(const CallContext& ctx, const SelectRequest& request) = 0;
  virtual Result<std::vector<SeriesVolume>> volumes(const CallContext& ctx, const SelectRequest& request) = 0;
  // From the index alone, no chunk is opened. Sorted, unique. Empty matchers: everything in the range's days.
  virtual Result<std::vector<std::string>> label_names(const CallContext& ctx, const SelectRequest& request) = 0;
  virtual Result<std::vector<std::string>> label_values(const CallContext& ctx, const std::string& name,
                                                        const SelectRequest& request) = 0;
};

}  // namespace skald::rpc
