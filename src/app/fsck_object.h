// One chunk object against itself, against its key, and against what indexes say of it.
#pragma once

#include <string>
#include <vector>

#include "fsck_report.h"
#include "skald/base/bytes.h"
#include "skald/chunk/object_reader.h"
#include "skald/index/chunk_ref.h"

namespace skald::app {

// What an index says: these rows of a stream lie there. Points into what the checker of the day holds.
struct Reference {
  const model::InternedLabels* labels = nullptr;
  const index::ChunkRef* chunk = nullptr;
  const std::string* index_key = nullptr;
};

// `references`: all that name the object. Adds what is wrong to `report`, each damage once: an object that is damaged or
// misplaced is not compared with the indexes as well.
void check_object(const std::string& key, const chunk::ObjectKey& name, ByteView bytes, const std::vector<Reference>& references, FsckReport& report);

}  // namespace skald::app
