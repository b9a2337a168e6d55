#include "fsck.h"

#include <algorithm>
#include <thread>

#include "skald/chunk/object_reader.h"
#include "skald/chunk/verify.h"
#include "skald/index/day_index.h"
#include "skald/index/verify.h"
#include "skald/objstore/stores.h"
#include "skald/wal/verify.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kFileBytesMax = 4ULL << 30;
constexpr int kDepthMax = 32;
constexpr const char* kUploads = ".skald-tmp";   // unfinished ones; removed at the next start

class ReadOnlyDirectory final : public objstore::ObjectStore {
 public:
  ReadOnlyDirectory(io::FileSystem& files, std::string root) : files_(files), root_(std::move(root)) {}

  Result<void> put(std::string_view, ByteView, const CallContext&) override { return refuse(); }
  Result<void> create(std::string_view, ByteView, const CallContext&) override { return refuse(); }
  Result<void> remove(std::string_view, const CallContext&) override { return refuse(); }

  Result<Bytes> get(std::string_view key, objstore::ByteRange range, const CallContext& ctx) override {
    SKALD_TRY_VOID(objstore::check_key(key));
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(const auto file, files_.open(root_ + "/" + std::string(key)));
    const std::uint64_t end = std::min(range.end, file->size());
    if (range.begin > end) return Error(ErrorCode::kInvalidArgument, "range begins beyond the end of " + std::string(key));
    return file->read(range.begin, end - range.begin);
  }

  // One page, however long.
  Result<objstore::ListPage> list(std::string_view prefix, std::string_view, objstore::ListDepth depth, const CallContext& ctx) override {
    const std::size_t slash = prefix.rfind('/');
    objstore::ListPage page;
    SKALD_TRY_VOID(walk(std::string(slash == std::string_view::npos ? "" : prefix.substr(0, slash + 1)), prefix, depth, ctx, page));
    std::sort(page.objects.begin(), page.objects.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    std::sort(page.folders.begin(), page.folders.end());
    return page;
  }

 private:
  static Error refuse() { return Error(ErrorCode::kPermissionDenied, "fsck only reads"); }

  // `below` is "" or ends with '/'.
  Result<void> walk(const std::string& below, std::string_view prefix, objstore::ListDepth depth, const CallContext& ctx, objstore::ListPage& page) {
    SKALD_TRY_VOID(ctx.check());
    const Result<std::vector<io::DirEntry>> entries = files_.list(root_ + "/" + below);
    if (!entries.ok()) {
      if (entries.error().code() == ErrorCode::kNotFound) return {};
      return entries.error();
    }
    for (const io::DirEntry& entry : *entries) {
      std::string key = below + entry.name + (entry.is_directory ? "/" : "");
      if (!key.starts_with(prefix) || (below.empty() && entry.name == kUploads)) continue;
      if (!entry.is_directory) page.objects.push_back({std::move(key), entry.size});
      else if (depth == objstore::ListDepth::kOneLevel) page.folders.push_back(std::move(key));
      else SKALD_TRY_VOID(walk(key, prefix, depth, ctx, page));
    }
    return {};
  }

  io::FileSystem& files_;
  const std::string root_;
};

class DirectoryChecker {
 public:
  DirectoryChecker(io::FileSystem& files, const BucketCheckOptions& options, const Clock& clock)
      : files_(files), options_(options), pool_("fsck", std::max(1U, std::thread::hardware_concurrency())) {
    ctx_.clock = &clock;
  }

  FsckReport run(const std::string& directory) {
    walk(directory, 0);
    // Logs are known by now.
    options_.log_beside = options_.log_beside || report_.wal_frames > 0;
    for (const std::string& bucket : buckets_) {
      Result<FsckReport> found = check_bucket(*open_directory_to_read(files_, bucket), pool_, options_, ctx_);
      if (!found.ok()) {
        report_.add(FindingKind::kUnreadable, bucket, found.error().message());
        continue;
      }
      for (std::vector<Finding>* findings : {&found->problems, &found->notes})
        for (Finding& finding : *findings) finding.where = bucket + "/" + finding.where;
      report_.merge(*std::move(found));
    }
    return std::move(report_);
  }

 private:
  // A server marks the root of its bucket by the folder for uploads; a copy of a bucket may lack it.
  bool is_bucket(const std::string& directory, const std::vector<io::DirEntry>& entries) {
    for (const io::DirEntry& entry : entries) {
      if (!entry.is_directory) continue;
      if (entry.name == kUploads) return true;
      for (const char* folder : {"/index", "/chunks"}) {
        const auto below = files_.list(directory + "/" + entry.name + folder);
        if (!below.ok()) continue;
        for (const io::DirEntry& one : *below) {
          const std::string key = "t" + std::string(folder) + "/" + one.name + "/" + Ulid{}.to_string();
          if (one.is_directory && (index::parse_day_index_key(key).has_value() || chunk::parse_object_key(key).ok())) return true;
        }
      }
    }
    return false;
  }

  void walk(const std::string& directory, int depth) {
    if (depth > kDepthMax) return report_.add(FindingKind::kUnreadable, directory, "nested too deeply, not looked into");
    const Result<std::vector<io::DirEntry>> entries = files_.list(directory);
    if (!entries.ok()) return report_.add(FindingKind::kUnreadable, directory, entries.error().message());
    if (is_bucket(directory, *entries)) {
      buckets_.push_back(directory);
      return;
    }
    for (const io::DirEntry& entry : *entries) {
      const std::string path = directory + "/" + entry.name;
      if (entry.is_directory) walk(path, depth + 1);
      else check_file(path);
    }
  }

  void check_file(const std::string& path) {
    ++report_.files;
    Result<Bytes> bytes = files_.read_file(path, kFileBytesMax);
    if (!bytes.ok()) {
      // A log's oldest segment goes while a server runs.
      if (bytes.error().code() != ErrorCode::kNotFound) report_.add(FindingKind::kUnreadable, path, bytes.error().message());
      return;
    }
    FileType type = type_of(*bytes);
    if (type == FileType::kOther && path.ends_with(".wal")) type = FileType::kWal;   // damage may have hit the magic
    switch (type) {
      case FileType::kObject:
        ++report_.objects;
        return add_verified(path, chunk::verify_object(*bytes));
      case FileType::kChunk: return add_verified(path, chunk::verify_chunk(*bytes));
      case FileType::kWal: return check_segment(path, *bytes);
      case FileType::kIndex: return check_index(path, std::make_shared<const std::string>(*std::move(bytes)));
      case FileType::kEncrypted:
      case FileType::kOther: ++report_.other; return;
    }
  }

  void add_verified(const std::string& path, const chunk::VerifyReport& found) {
    report_.chunks += found.chunks;
    report_.blocks += found.blocks;
    report_.rows += found.rows;
    for (const chunk::Problem& one : found.problems)
      report_.add(FindingKind::kObjectDamaged, path, "at byte " + std::to_string(one.offset) + ": " + one.what);
  }

  void check_segment(const std::string& path, ByteView bytes) {
    ++report_.segments;
    const Result<wal::SegmentCheck> found = wal::verify_wal_segment(bytes);
    if (!found.ok()) return report_.add(FindingKind::kLogDamaged, path, found.error().message());
    report_.wal_frames += found->frames;
    report_.torn_tail_bytes += found->torn_tail_bytes;
    if (found->corrupt_frames != 0) report_.add(FindingKind::kLogDamaged, path, std::to_string(found->corrupt_frames) + " damaged frames");
  }

  void check_index(const std::string& path, SharedBytes bytes) {
    ++report_.indexes;
    const auto reader = index::DayIndexReader::open(std::move(bytes));
    if (!reader.ok()) return report_.add(FindingKind::kIndexDamaged, path, reader.error().message());
    for (const std::string& what : index::verify_day_index(**reader)) report_.add(FindingKind::kIndexDamaged, path, what);
  }

  io::FileSystem& files_;
  BucketCheckOptions options_;
  exec::Pool pool_;
  CallContext ctx_;
  FsckReport report_;
  std::vector<std::string> buckets_;
};

}  // namespace

FileType type_of(ByteView bytes) {
  const ByteView magic = bytes.substr(0, 4);
  if (magic == "SKO1") return FileType::kObject;
  if (magic == "SKC1") return FileType::kChunk;
  if (magic == "SKI1") return FileType::kIndex;
  if (magic == "SKWL") return FileType::kWal;
  if (magic == "SKX1") return FileType::kEncrypted;
  return FileType::kOther;
}

std::unique_ptr<objstore::ObjectStore> open_directory_to_read(io::FileSystem& files, std::string directory) {
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  return std::make_unique<ReadOnlyDirectory>(files, std::move(directory));
}

FsckReport fsck(io::FileSystem& files, const std::string& directory, BucketCheckOptions options, const Clock& clock) {
  return DirectoryChecker(files, options, clock).run(directory);
}

}  // namespace skald::app
