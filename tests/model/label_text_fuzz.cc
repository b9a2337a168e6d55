// Label text: what parses is, once canonical, its own canonical text.
#include "skald/base/check.h"
#include "skald/model/labels.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald::model;
  auto parsed = parse_label_text(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  const Labels labels = Labels::from_pairs(*std::move(parsed));
  for (const Label& label : labels.pairs()) {  // canonical text writes names bare
    for (const char c : label.name)
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')) return 0;
    if (label.name.empty() || label.value.find("\xEF\xBF\xBD") != std::string::npos) return 0;
  }
  auto again = parse_label_text(labels.to_string());
  SKALD_CHECK(again.ok());
  SKALD_CHECK(Labels::from_pairs(*std::move(again)) == labels);
  return 0;
}
