// Any text either fails to load with a message or loads to a configuration that prints and reads back the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "skald/config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 * 1024) return 0;
  using namespace skald::config;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)expand_environment(text, [](const char*) -> const char* { return "x"; });
  const skald::Result<Loaded> loaded = load_text(text, "fuzz");
  if (!loaded.ok()) {
    if (loaded.error().message().empty()) std::abort();
    return 0;
  }
  const std::string printed = print_config(loaded->config);
  const skald::Result<Loaded> again = load_text(printed, "printed");
  if (!again.ok() || print_config(again->config) != printed) std::abort();
  return 0;
}
