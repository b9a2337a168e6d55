#include "fsck.h"

#include <limits>

#include "skald/chunk/object_reader.h"
#include "skald/chunk/verify.h"
#include "skald/index/verify.h"
#include "skald/wal/verify.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kFileBytesMax = 4ULL << 30;
constexpr int kDepthMax = 32;

// What a file should be by its place; damage may have hit the magic itself.
FileType expected_type(const std::string& path) {
  if (path.ends_with(".wal")) return FileType::kWal;
  if (path.find("/index/index_") != std::string::npos) return FileType::kIndex;
  if (path.find("/chunks/2") != std::string::npos) return FileType::kObject;   // <tenant>/chunks/<hour, 20…>/<id>
  return FileType::kOther;
}

// The last four parts of a path are the key below the bucket's root: <tenant>/chunks/<hour>/<id>, <tenant>/index/<day>/<id>.
std::string key_of(const std::string& path) {
  std::size_t at = path.size();
  for (int part = 0; part < 4; ++part) {
    at = path.rfind('/', at - 1);
    if (at == std::string::npos || at == 0) return {};
  }
  return path.substr(at + 1);
}

class Checker {
 public:
  explicit Checker(io::FileSystem& files) : files_(files) {}

  FsckReport run(const std::string& directory) {
    walk(directory, 0);
    compare();
    return std::move(report_);
  }

 private:
  struct Named {
    std::uint64_t length = 0;
    std::string by;   // path of the index
  };

  void problem(const std::string& path, const std::string& what) { report_.problems.push_back(path + ": " + what); }

  void walk(const std::string& directory, int depth) {
    if (depth > kDepthMax) return problem(directory, "nested too deeply, not looked into");
    const Result<std::vector<io::DirEntry>> entries = files_.list(directory);
    if (!entries.ok()) return problem(directory, entries.error().message());
    for (const io::DirEntry& entry : *entries) {
      const std::string path = directory + "/" + entry.name;
      if (!entry.is_directory) check(path);
      else if (entry.name != ".skald-tmp") walk(path, depth + 1);  // unfinished uploads; removed at the next start
    }
  }

  void check(const std::string& path) {
    ++report_.files;
    Result<Bytes> bytes = files_.read_file(path, kFileBytesMax);
    if (!bytes.ok()) return problem(path, bytes.error().message());
    FileType type = type_of(*bytes);
    if (type == FileType::kOther) type = expected_type(path);
    switch (type) {
      case FileType::kObject:
        if (const std::string key = key_of(path); chunk::parse_object_key(key).ok()) present_.emplace(key, bytes->size());
        return check_object(path, chunk::verify_object(*bytes));
      case FileType::kChunk: return check_object(path, chunk::verify_chunk(*bytes));
      case FileType::kWal: return check_segment(path, *bytes);
      case FileType::kIndex: return check_index(path, std::make_shared<const std::string>(std::move(*bytes)));
      case FileType::kOther: ++report_.other; return;
    }
  }

  void check_object(const std::string& path, const chunk::VerifyReport& found) {
    ++report_.objects;
    report_.chunks += found.chunks;
    report_.blocks += found.blocks;
    report_.rows += found.rows;
    for (const chunk::Problem& one : found.problems) problem(path, "at byte " + std::to_string(one.offset) + ": " + one.what);
  }

  void check_segment(const std::string& path, ByteView bytes) {
    ++report_.segments;
    const Result<wal::SegmentCheck> found = wal::verify_wal_segment(bytes);
    if (!found.ok()) return problem(path, found.error().message());
    report_.wal_frames += found->frames;
    report_.torn_tail_bytes += found->torn_tail_bytes;
    if (found->corrupt_frames != 0) problem(path, std::to_string(found->corrupt_frames) + " damaged frames");
  }

  void check_index(const std::string& path, SharedBytes bytes) {
    ++report_.indexes;
    const auto reader = index::DayIndexReader::open(std::move(bytes));
    if (!reader.ok()) return problem(path, reader.error().message());
    for (const std::string& what : index::verify_day_index(**reader)) problem(path, what);
    const auto key = index::parse_day_index_key(key_of(path));
    if (!key) return;
    if (key->day != (*reader)->header().day) problem(path, "its day is " + std::to_string((*reader)->header().day));
    const Result<index::SeriesBitmap> all = (*reader)->match({});
    std::vector<index::StreamChunkRefs> refs;
    constexpr index::TimeRange kEver{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
    if (!all.ok() || !(*reader)->append_chunk_refs(*all, kEver, index::WithSketches::kNo, refs).ok()) return;  // told by verify
    for (const index::StreamChunkRefs& stream : refs)
      for (const index::ChunkRef& chunk : stream.chunks)
        named_.emplace(chunk::object_key(key->tenant, chunk.object.shard_start_ns, chunk.object.id), Named{chunk.object.length, path});
  }

  void compare() {
    for (const auto& [key, named] : named_) {
      const auto at = present_.find(key);
      if (at == present_.end()) problem(named.by, "names object " + key + ", which is not there");
      else if (at->second != named.length)
        problem(named.by, "names object " + key + " with " + std::to_string(named.length) + " bytes, it has " + std::to_string(at->second));
    }
    for (const auto& [key, length] : present_) report_.unlisted_objects += named_.contains(key) ? 0 : 1;
  }

  io::FileSystem& files_;
  FsckReport report_;
  std::map<std::string, std::uint64_t> present_;   // object key → bytes
  std::map<std::string, Named> named_;             // object key → what an index says
};

}  // namespace

FileType type_of(ByteView bytes) {
  const ByteView magic = bytes.substr(0, 4);
  if (magic == "SKO1") return FileType::kObject;
  if (magic == "SKC1") return FileType::kChunk;
  if (magic == "SKI1") return FileType::kIndex;
  if (magic == "SKWL") return FileType::kWal;
  return FileType::kOther;
}

FsckReport fsck(io::FileSystem& files, const std::string& directory) { return Checker(files).run(directory); }

std::string to_text(const FsckReport& report) {
  std::string out;
  for (const std::string& problem : report.problems) out += problem + "\n";
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  return out + number(report.files) + " files: " + number(report.objects) + " objects (" + number(report.chunks) + " chunks, " + number(report.blocks) +
         " blocks, " + number(report.rows) + " rows; " + number(report.unlisted_objects) + " in no index), " + number(report.indexes) + " indexes, " +
         number(report.segments) + " WAL segments (" + number(report.wal_frames) + " frames, " + number(report.torn_tail_bytes) + " bytes of torn tails), " +
         number(report.other) + " other; " + number(report.problems.size()) + " problems\n";
}

}  // namespace skald::app
