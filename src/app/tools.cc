#include "tools.h"

#include <cstdio>

#include "skald/chunk/verify.h"
#include "skald/index/day_index.h"
#include "skald/io/file_system.h"
#include "skald/wal/verify.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kFileBytesMax = 4ULL << 30;

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

enum class FileType { kObject, kChunk, kIndex, kWal, kOther };

FileType type_of(ByteView bytes) {
  const ByteView magic = bytes.substr(0, 4);
  if (magic == "SKO1") return FileType::kObject;
  if (magic == "SKC1") return FileType::kChunk;
  if (magic == "SKI1") return FileType::kIndex;
  if (magic == "SKWL") return FileType::kWal;
  return FileType::kOther;
}

// What a file should be by its place; damage may have hit the magic itself.
FileType expected_type(const std::string& path) {
  if (path.ends_with(".wal")) return FileType::kWal;
  if (path.find("/index/index_") != std::string::npos) return FileType::kIndex;
  if (path.find("/chunks/2") != std::string::npos) return FileType::kObject;   // <tenant>/chunks/<hour, 20…>/<id>
  return FileType::kOther;
}

struct Totals {
  std::uint64_t files = 0, objects = 0, indexes = 0, segments = 0, other = 0;
  std::uint64_t chunks = 0, blocks = 0, rows = 0, wal_frames = 0, torn_tail_bytes = 0;
  std::uint64_t problems = 0;
};

void report(Totals& totals, const std::string& path, const std::string& what) {
  ++totals.problems;
  print(path + ": " + what + "\n");
}

void check_objects(Totals& totals, const std::string& path, const chunk::VerifyReport& found) {
  ++totals.objects;
  totals.chunks += found.chunks;
  totals.blocks += found.blocks;
  totals.rows += found.rows;
  for (const chunk::Problem& problem : found.problems) report(totals, path, "at byte " + std::to_string(problem.offset) + ": " + problem.what);
}

void check_segment(Totals& totals, const std::string& path, ByteView bytes) {
  ++totals.segments;
  const Result<wal::SegmentCheck> found = wal::verify_wal_segment(bytes);
  if (!found.ok()) {
    report(totals, path, found.error().message());
    return;
  }
  totals.wal_frames += found->frames;
  totals.torn_tail_bytes += found->torn_tail_bytes;  // what a crash leaves; replay cuts it off
  if (found->corrupt_frames != 0) report(totals, path, std::to_string(found->corrupt_frames) + " damaged frames");
}

void check_file(Totals& totals, io::FileSystem& files, const std::string& path) {
  ++totals.files;
  Result<Bytes> bytes = files.read_file(path, kFileBytesMax);
  if (!bytes.ok()) {
    report(totals, path, bytes.error().message());
    return;
  }
  FileType type = type_of(*bytes);
  if (type == FileType::kOther) type = expected_type(path);
  switch (type) {
    case FileType::kObject: check_objects(totals, path, chunk::verify_object(*bytes)); return;
    case FileType::kChunk: check_objects(totals, path, chunk::verify_chunk(*bytes)); return;
    case FileType::kWal: check_segment(totals, path, *bytes); return;
    case FileType::kIndex: {
      ++totals.indexes;
      const auto opened = index::DayIndexReader::open(std::make_shared<const std::string>(std::move(*bytes)));
      if (!opened.ok()) report(totals, path, opened.error().message());
      return;
    }
    case FileType::kOther: ++totals.other; return;
  }
}

void walk(Totals& totals, io::FileSystem& files, const std::string& directory, int depth) {
  if (depth > 32) return;
  const Result<std::vector<io::DirEntry>> entries = files.list(directory);
  if (!entries.ok()) {
    report(totals, directory, entries.error().message());
    return;
  }
  for (const io::DirEntry& entry : *entries) {
    const std::string path = directory + "/" + entry.name;
    if (!entry.is_directory) check_file(totals, files, path);
    else if (entry.name != ".skald-tmp") walk(totals, files, path, depth + 1);  // unfinished uploads; removed at the next start
  }
}

int fsck(const std::string& directory) {
  io::FileSystem& files = io::posix_file_system();
  const Result<std::vector<io::DirEntry>> top = files.list(directory);
  if (!top.ok()) {
    std::fprintf(stderr, "%s\n", top.error().message().c_str());
    return 1;
  }
  Totals totals;
  walk(totals, files, directory, 0);
  print(std::to_string(totals.files) + " files: " + std::to_string(totals.objects) + " objects (" + std::to_string(totals.chunks) + " chunks, " +
        std::to_string(totals.blocks) + " blocks, " + std::to_string(totals.rows) + " rows), " + std::to_string(totals.indexes) + " indexes, " +
        std::to_string(totals.segments) + " WAL segments (" + std::to_string(totals.wal_frames) + " frames, " + std::to_string(totals.torn_tail_bytes) +
        " bytes of torn tails), " + std::to_string(totals.other) + " other; " + std::to_string(totals.problems) + " problems\n");
  return totals.problems == 0 ? 0 : 1;
}

int inspect(const std::string& path) {
  Result<Bytes> bytes = io::posix_file_system().read_file(path, kFileBytesMax);
  if (!bytes.ok()) {
    std::fprintf(stderr, "%s\n", bytes.error().message().c_str());
    return 1;
  }
  switch (type_of(*bytes)) {
    case FileType::kObject: print(chunk::describe_object(*bytes)); return 0;
    case FileType::kChunk: print(chunk::describe_chunk(*bytes)); return 0;
    case FileType::kWal: {
      const Result<std::string> text = wal::describe_wal_segment(*bytes);
      if (text.ok()) {
        print(*text);
        return 0;
      }
      std::fprintf(stderr, "%s: %s\n", path.c_str(), text.error().message().c_str());
      return 1;
    }
    case FileType::kIndex: {
      const auto opened = index::DayIndexReader::open(std::make_shared<const std::string>(std::move(*bytes)));
      if (opened.ok()) {
        print("index of one day, all checksums match\n");
        return 0;
      }
      std::fprintf(stderr, "%s: %s\n", path.c_str(), opened.error().message().c_str());
      return 1;
    }
    case FileType::kOther: break;
  }
  std::fprintf(stderr, "%s: not a file of ours (object, chunk, index or WAL segment)\n", path.c_str());
  return 1;
}

}  // namespace

int run_tool(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) {
    std::fprintf(stderr, "Usage: skald inspect <file>\n       skald fsck <data directory>\n");
    return 2;
  }
  return arguments[0] == "inspect" ? inspect(arguments[1]) : fsck(arguments[1]);
}

}  // namespace skald::app
