// The XML of Azure Blob Storage: listings, errors, block lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "skald/objstore/object_store.h"

namespace skald::objstore {

// Answer of List Blobs. Directories of accounts with a hierarchical namespace are no objects and left out.
Result<ListPage> parse_azure_list(std::string_view xml);

struct AzureError {
  std::string code;      // "BlobNotFound"
  std::string message;
};
// Empty fields where the body is not such XML.
AzureError parse_azure_error(std::string_view xml);

// Body of Put Block List.
std::string azure_block_list(const std::vector<std::string>& block_ids);

}  // namespace skald::objstore
