// From label text to a stream: canonical labels, service_name, validation, and the level a label gives. The outcome
// depends on the text, the tenant's limits and the backfill shard only, so it is cached.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "distributor/decoded.h"
#include "distributor/discards.h"
#include "distributor/level_scan.h"
#include "skald/config/limits.h"
#include "skald/model/labels.h"

namespace skald::distributor {

// A tenant's limits and what is derived from them. Immutable; `generation` differs whenever the limits do.
struct TenantSettings {
  TenantSettings(config::LimitsPtr limits_in, std::uint64_t generation_in)
      : limits(std::move(limits_in)), generation(generation_in), level_fields(limits->log_level_fields) {}
  config::LimitsPtr limits;
  std::uint64_t generation;
  LevelFields level_fields;
};

struct StreamInfo {
  model::LabelsPtr labels;       // set even when refused: its text is in the message
  bool refused = false;
  Reason reason = Reason::kInvalidLabels;
  std::string refusal;
  bool has_level = false;        // a label of the level list exists
  model::Level level = model::Level::kNone;
  std::string level_text;        // with kNone: the label's value as it is
  std::size_t size_bytes() const;
};

// kInvalidArgument: the text does not parse, or uses reserved names; that fails the whole request.
Result<std::shared_ptr<const StreamInfo>> make_stream_info(std::string_view labels_text, LabelSyntax syntax,
                                                           std::string_view backfill_shard, const std::string& tenant,
                                                           const TenantSettings& settings);

}  // namespace skald::distributor
