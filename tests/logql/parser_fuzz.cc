// Any bytes: refused, or printed in a form that parses back to the same text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "skald/base/check.h"
#include "skald/logql/format.h"
#include "skald/logql/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::logql;
  const auto parsed = parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  (void)format_pretty(*parsed);
  const std::string line = format_line(*parsed);
  if (line.size() >= 131'072) return 0;  // escapes may make the text longer than a query may be
  const auto again = parse(line);
  SKALD_CHECK(again.ok());
  SKALD_CHECK(format_line(*again) == line);
  return 0;
}
