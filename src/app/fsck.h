// Checks a data directory or a bucket, also while a server runs on it: everything is only read.
#pragma once

#include <string>

#include "fsck_bucket.h"
#include "fsck_report.h"
#include "skald/base/bytes.h"
#include "skald/io/file_system.h"
#include "skald/objstore/object_store.h"

namespace skald::app {

// Every bucket below `directory` (or which `directory` is), every WAL segment, and single objects, chunks and indexes that
// lie around, recognised by their first bytes. `options.log_beside` is set where a log with frames is found.
FsckReport fsck(io::FileSystem& files, const std::string& directory, BucketCheckOptions options = {}, const Clock& clock = system_clock());

// The directory as a bucket that cannot be written: unlike the filesystem store, opening it changes nothing.
std::unique_ptr<objstore::ObjectStore> open_directory_to_read(io::FileSystem& files, std::string directory);

enum class FileType { kObject, kChunk, kIndex, kWal, kEncrypted, kOther };
FileType type_of(ByteView bytes);   // by magic

}  // namespace skald::app
