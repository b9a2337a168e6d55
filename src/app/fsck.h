// Checks a data directory while nothing runs on it (or while it runs: files are only read).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/io/file_system.h"

namespace skald::app {

struct FsckReport {
  std::uint64_t files = 0, objects = 0, indexes = 0, segments = 0, other = 0;
  std::uint64_t chunks = 0, blocks = 0, rows = 0, wal_frames = 0;
  std::uint64_t torn_tail_bytes = 0;        // what a crash leaves at a log's end; replay cuts it off
  std::uint64_t unlisted_objects = 0;       // in no index of the directory: not yet shipped (the log knows them), or left over
  std::vector<std::string> problems;        // "path: what", complete sentences
};

// Every object, index and WAL segment below `directory`, recognised by its first bytes or else by its place, is decoded
// and checked; then each object an index names must be there in its full length.
FsckReport fsck(io::FileSystem& files, const std::string& directory);
std::string to_text(const FsckReport& report);

enum class FileType { kObject, kChunk, kIndex, kWal, kOther };
FileType type_of(ByteView bytes);   // by magic

}  // namespace skald::app
