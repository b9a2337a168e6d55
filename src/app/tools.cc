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
    case FileType::kEncrypted: return Error(ErrorCode::kInvalidArgument, "an encrypted object; its contents need the key and the object's name");
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

// What follows "fsck" on the command line.
struct FsckCommand {
  bool json = false;
  BucketCheckOptions options;
  std::vector<std::string> rest;   // the directory
};

FsckCommand parse_fsck(const std::vector<std::string>& arguments) {
  FsckCommand command;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = std::string_view(arguments[i]).substr(arguments[i].starts_with("--") ? 1 : 0);
    if (name == "-json") command.json = true;
    else if (name == "-quick") command.options.read_objects = false;
    else command.rest.push_back(arguments[i]);
  }
  return command;
}

int usage() {
  std::fprintf(stderr,
               "Usage: skald inspect <file>\n"
               "       skald fsck [-json] [-quick] <data directory>\n"
               "-quick: chunk objects are only looked for, not read. Exit code: 0 whole, 1 damage or unreadable.\n");
  return 2;
}

int run_fsck(const FsckCommand& command) {
  if (command.rest.size() != 1 || command.rest[0].starts_with("-")) return usage();
  io::FileSystem& files = io::posix_file_system();
  if (const auto top = files.list(command.rest[0]); !top.ok()) return fail(command.rest[0], top.error());
  const FsckReport report = fsck(files, command.rest[0], command.options);
  print(command.json ? to_json(report) : to_text(report));
  return report.problems.empty() ? 0 : 1;
}

}  // namespace

int run_tool(const std::vector<std::string>& arguments) {
  if (arguments[0] == "fsck") return run_fsck(parse_fsck(arguments));
  if (arguments.size() != 2) return usage();
  const std::string& path = arguments[1];
  Result<Bytes> bytes = io::posix_file_system().read_file(path, kFileBytesMax);
  if (!bytes.ok()) return fail(path, bytes.error());
  const Result<std::string> text = describe(std::move(*bytes));
  return text.ok() ? print(*text) : fail(path, text.error());
}

}  // namespace skald::app
