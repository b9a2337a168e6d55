// Prometheus' remote write, version 1: the message and its fields (prompb.WriteRequest).
#pragma once

#include <span>

#include "skald/base/bytes.h"
#include "skald/ruler/evaluation.h"

namespace skald::ruler {

// The samples as a WriteRequest, one series each. Two such messages one behind the other are one WriteRequest with both.
Bytes encode_write_request(std::span<const TimedSample> samples);

}  // namespace skald::ruler
