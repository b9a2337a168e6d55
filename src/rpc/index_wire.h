// Messages of index gateways. References travel as index objects (docs/formats/index.md): that format is compact, keeps
// sketches, and checks every size and checksum when it is opened.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "skald/rpc/index_client.h"
#include "skald/rpc/wire.h"

namespace skald::rpc {

struct IndexQuery {
  SelectRequest select;
  bool with_sketches = false, fresh = false;
  std::string name;      // label-values
  std::string after;     // refs: streams whose text is greater; "": from the first on
};
Bytes encode_index_query(const IndexQuery& query);
Result<IndexQuery> decode_index_query(ByteView message);

// A page of references: as many streams, in the order of their text, as fit `page_bytes`; at least one. `streams` is sorted
// in place. The answer says whether there is more.
Result<Bytes> encode_refs_page(std::string_view tenant, std::vector<index::StreamChunkRefs>& streams, std::string_view after, std::uint64_t page_bytes);
struct RefsPage {
  std::vector<index::StreamChunkRefs> streams;
  std::string after;     // of the next page; "": this was the last
};
// kCorruption: what is not as encode_refs_page() writes it, or another tenant's.
Result<RefsPage> decode_refs_page(std::string_view tenant, ByteView message, index::WithSketches with_sketches);

Bytes encode_texts(const std::vector<std::string>& texts);
Result<std::vector<std::string>> decode_texts(ByteView message);

}  // namespace skald::rpc
