// Any bytes as a template over a small row: bounded, and an error leaves the output untouched.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/check.h"
#include "skald/logql/template.h"

namespace {
class Row final : public skald::logql::TemplateInput {
 public:
  bool label(std::string_view name, std::string_view& value) const override {
    value = name == "a" ? "12" : name == "b" ? "{\"k\":[1,\"x\",null]}" : "";
    return !value.empty();
  }
  std::string_view line() const override { return "a line \xE6\x97\xA5 \xFF"; }
  std::int64_t timestamp_ns() const override { return 1'768'474'800'123'456'789; }
  std::vector<std::string_view> label_names() const override { return {"a", "b"}; }
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = skald::logql::Template::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  std::string out = "kept";
  const bool ok = parsed->execute(Row(), out).ok();
  SKALD_CHECK(ok ? out.compare(0, 4, "kept") == 0 : out == "kept");
  return 0;
}
