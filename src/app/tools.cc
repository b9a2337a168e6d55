#include "tools.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "buckets.h"
#include "fsck.h"
#include "skald/chunk/verify.h"
#include "skald/config/load.h"
#include "skald/exec/pool.h"
#include "skald/index/verify.h"
#include "skald/wal/verify.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kFileBytesMax = 4ULL << 30;
constexpr std::uint64_t kConfigBytesMax = 8 << 20;

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
  std::vector<std::string> configuration;   // flags of the server: -config.file=… and others
  std::vector<std::string> rest;            // the directory
};

FsckCommand parse_fsck(const std::vector<std::string>& arguments) {
  FsckCommand command;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view name = std::string_view(arguments[i]).substr(arguments[i].starts_with("--") ? 1 : 0);
    if (name == "-json") command.json = true;
    else if (name == "-quick") command.options.read_objects = false;
    else if (name.starts_with("-") && name.find('=') != std::string_view::npos) command.configuration.push_back(arguments[i]);
    else command.rest.push_back(arguments[i]);
  }
  return command;
}

int usage() {
  std::fprintf(stderr,
               "Usage: skald inspect <file>\n"
               "       skald fsck [-json] [-quick] <data directory>\n"
               "       skald fsck [-json] [-quick] -config.file=<file> [flags of the server]\n"
               "-quick: chunk objects are only looked for, not read. Exit code: 0 whole, 1 damage or unreadable.\n");
  return 2;
}

// The buckets of a configuration and the log beside it.
Result<FsckReport> check_configured(const FsckCommand& command, io::FileSystem& files) {
  SKALD_TRY(const config::CommandLine command_line, config::parse_command_line(command.configuration));
  const auto read_file = [&](const std::string& path) { return files.read_file(path, kConfigBytesMax); };
  SKALD_TRY(const config::Loaded loaded, config::load(command_line, read_file, [](const char* name) -> const char* { return std::getenv(name); }));
  const config::Config& config = loaded.config;
  SKALD_TRY(const Buckets buckets, Buckets::open(config, BucketUse::kInspect, files, obs::default_registry()));
  BucketCheckOptions options = command.options;
  FsckReport report;
  if (const auto log_there = config.ingester.wal_enabled ? files.exists(config.ingester.wal_dir) : Result<bool>(false); log_there.ok() && *log_there) {
    report = fsck(files, config.ingester.wal_dir);
    options.log_beside = report.wal_frames > 0;
  }
  exec::Pool pool("fsck", std::max(1U, std::thread::hardware_concurrency()));
  for (objstore::ObjectStore* bucket : std::set<objstore::ObjectStore*>{&buckets.data(), &buckets.deletes(), &buckets.rules()}) {
    options.check_data = bucket == &buckets.data();
    options.check_deletes = bucket == &buckets.deletes();
    options.check_rules = bucket == &buckets.rules();
    SKALD_TRY(FsckReport found, check_bucket(*bucket, pool, options, CallContext()));
    report.merge(std::move(found));
  }
  return report;
}

int run_fsck(const FsckCommand& command) {
  io::FileSystem& files = io::posix_file_system();
  const bool configured = !command.configuration.empty();
  if (configured ? !command.rest.empty() : command.rest.size() != 1 || command.rest[0].starts_with("-")) return usage();
  if (!configured) {
    if (const auto top = files.list(command.rest[0]); !top.ok()) return fail(command.rest[0], top.error());
  }
  const Result<FsckReport> report = configured ? check_configured(command, files) : Result<FsckReport>(fsck(files, command.rest[0], command.options));
  if (!report.ok()) return fail("fsck", report.error());
  print(command.json ? to_json(*report) : to_text(*report));
  return report->problems.empty() ? 0 : 1;
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
