// Daily index objects from outside: as they come, and with their checksums made right. Oracle: no crash, no sanitizer
// report, and what verifies as sound answers everything.
#include <cstdint>
#include <memory>
#include <string>

#include "index/reseal.h"
#include "index/walk.h"
#include "skald/index/postings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (const auto view = index::PostingsView::parse(bytes, 100'000); view.ok()) {
    const auto ids = view->to_vector();
    SKALD_CHECK(ids.size() == view->count() && ids.back() < 100'000);
  }
  for (const bool sealed : {false, true}) {
    if (sealed) index::testing::reseal(bytes);
    const auto info = index::describe_day_index(std::make_shared<const Bytes>(bytes));
    if (info.ok()) (void)index::to_text(*info);
    const auto reader = index::DayIndexReader::open(std::make_shared<const Bytes>(bytes));
    SKALD_CHECK(reader.ok() == info.ok());
    if (reader.ok()) (void)index::testing::walk(**reader);
  }
  return 0;
}
