#include "tools.h"

#include <cstdio>

#include "fsck.h"
#include "skald/chunk/verify.h"
#include "skald/index/verify.h"
#include "skald/wal/verify.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kFileBytesMax = 4ULL << 30;

Result<std::string> describe(Bytes bytes) {
  switch (type_of(bytes)) {
    case FileType::kObject: return chunk::describe_object(bytes);
    case FileType::kChunk: return chunk::describe_chunk(bytes);
    case FileType::kWal: return wal::describe_wal_segment(bytes);
    case FileType::kIndex: {
      SKALD_TRY(const index::DayIndexInfo info, index::describe_day_index(std::make_shared<const std::string>(std::move(bytes))));
      return index::to_text(info);
    }
    case FileType::kOther: break;
  }
  return Error(ErrorCode::kInvalidArgument, "not a file of ours (object, chunk, index or WAL segment)");
}

int fail(const std::string& path, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", path.c_str(), error.message().c_str());
  return 1;
}

int print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace

int run_tool(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) {
    std::fprintf(stderr, "Usage: skald inspect <file>\n       skald fsck <data directory>\n");
    return 2;
  }
  const std::string& path = arguments[1];
  io::FileSystem& files = io::posix_file_system();
  if (arguments[0] == "fsck") {
    if (const auto top = files.list(path); !top.ok()) return fail(path, top.error());
    const FsckReport report = fsck(files, path);
    print(to_text(report));
    return report.problems.empty() ? 0 : 1;
  }
  Result<Bytes> bytes = files.read_file(path, kFileBytesMax);
  if (!bytes.ok()) return fail(path, bytes.error());
  const Result<std::string> text = describe(std::move(*bytes));
  return text.ok() ? print(*text) : fail(path, text.error());
}

}  // namespace skald::app
