// Any bytes through the JSON parsers: no crash, and rows come out as they went in.
#include "engine/stage_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::engine::test;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static Fuzzed plain({skald::logql::JsonStage{}});
  static Fuzzed paths({skald::logql::JsonStage{{{"a", "a", false}, {"b", "a.b[1]", true}, {"c", "[0]", true}}}});
  static Fuzzed unpack({skald::logql::UnpackStage{}});
  plain.run(bytes);
  paths.run(bytes);
  unpack.run(bytes);
  return 0;
}
