// States of rule groups between processes, as protobuf: see skald/rpc/wire.h for the frame of a call.
#pragma once

#include <vector>

#include "skald/base/bytes.h"
#include "skald/ruler/evaluation.h"

namespace skald::ruler {

Bytes encode_states(const std::vector<GroupStatus>& groups);
Result<std::vector<GroupStatus>> decode_states(ByteView message);   // kCorruption

}  // namespace skald::ruler
