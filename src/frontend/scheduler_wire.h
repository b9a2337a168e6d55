// What queriers and schedulers say to each other about work.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"

namespace skald::frontend {

inline constexpr std::size_t kWorkIdsMax = 10'000;   // of one worker

// A piece of work; id 0: there is none.
struct Work {
  std::uint64_t id = 0;
  std::string tenant;
  std::uint64_t left_ms = 0;    // until its deadline; 0: there is none
  Bytes subquery;               // encode_subquery()
};
Bytes encode_work(const Work& work);
Result<Work> decode_work(ByteView message);

// next, alive, leave: who it is, and for alive what he works on. The answer to alive has no worker.
struct WorkerWord {
  std::string worker;
  std::vector<std::uint64_t> ids;
};
Bytes encode_word(const WorkerWord& word);
Result<WorkerWord> decode_word(ByteView message);

struct WorkDone {
  std::uint64_t id = 0;
  Bytes result;                 // encode_result()
};
Bytes encode_done(const WorkDone& done);
Result<WorkDone> decode_done(ByteView message);

}  // namespace skald::frontend
