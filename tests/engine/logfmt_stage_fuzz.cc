// Any bytes through the logfmt parsers: no crash, and rows come out as they went in.
#include "engine/stage_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::engine::test;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static Fuzzed lenient({skald::logql::LogfmtStage{}});
  static Fuzzed strict({skald::logql::LogfmtStage{true, true, {}}});
  static Fuzzed keys({skald::logql::LogfmtStage{true, false, {{"a", "a", false}, {"app", "b", true}}}});
  lenient.run(bytes);
  strict.run(bytes);
  keys.run(bytes);
  return 0;
}
