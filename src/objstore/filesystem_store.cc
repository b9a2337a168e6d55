#include <algorithm>
#include <atomic>
#include <cstdio>
#include <set>

#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

constexpr char kTemporaryDirectory[] = ".skald-tmp";

class FilesystemStore final : public ObjectStore {
 public:
  FilesystemStore(io::FileSystem& fs, std::string root, std::uint64_t token) : fs_(fs), root_(std::move(root)), token_(token) {}

  Result<void> prepare() {
    SKALD_TRY_VOID(fs_.make_directories(root_));
    const std::string temporary = root_ + "/" + kTemporaryDirectory;
    SKALD_TRY_VOID(fs_.make_directories(temporary));
    SKALD_TRY_VOID(fs_.sync_directory(root_));
    SKALD_TRY(const std::vector<io::DirEntry> left, fs_.list(temporary));
    for (const io::DirEntry& entry : left) {
      if (!entry.is_directory) SKALD_TRY_VOID(fs_.remove(temporary + "/" + entry.name));
    }
    return {};
  }

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, Existing::kReplace, ctx); }
  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override { return write(key, body, Existing::kKeep, ctx); }

  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_own_key(key));
    SKALD_TRY_VOID(ctx.check());
    auto file = fs_.open(path_of(key));
    if (!file.ok()) return std::move(file).error().with_prefix("get '" + std::string(key) + "'");
    const std::uint64_t end = std::min(range.end, (*file)->size());
    if (range.begin > end) {
      return Error(ErrorCode::kInvalidArgument, "object '" + std::string(key) + "': range begins at " +
                                                    std::to_string(range.begin) + ", beyond its end");
    }
    return (*file)->read(range.begin, end - range.begin);
  }

  Result<ListPage> list(std::string_view prefix, std::string_view after, ListDepth depth, const CallContext& ctx) override {
    ListPage page;
    // Only the deepest directory the prefix names in full is walked.
    const std::size_t slash = prefix.rfind('/');
    const std::string directory(slash == std::string_view::npos ? std::string_view{} : prefix.substr(0, slash + 1));
    if (!directory.empty() && !check_key(std::string_view(directory).substr(0, slash)).ok()) return page;   // no such keys
    if (depth == ListDepth::kAll) SKALD_TRY_VOID(walk(directory, prefix, after, ctx, page));
    else SKALD_TRY_VOID(list_level(directory, prefix, after, ctx, page));
    return page;
  }

  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_own_key(key));
    SKALD_TRY_VOID(ctx.check());
    const std::lock_guard lock(mutex_);
    SKALD_TRY_VOID(fs_.remove(path_of(key)));
    // Time shards come and go; their directories go with the last object. Removing a directory in use fails: stop there.
    for (std::size_t slash = key.rfind('/'); slash != std::string_view::npos; slash = key.rfind('/')) {
      key = key.substr(0, slash);
      if (!directory_is_empty(path_of(key)) || !fs_.remove(path_of(key)).ok()) break;
      durable_directories_.erase(std::string(key));
    }
    return {};
  }

 private:
  enum class Existing { kReplace, kKeep };

  Result<void> write(std::string_view key, ByteView body, Existing existing, const CallContext& ctx) {
    SKALD_TRY_VOID(check_own_key(key));
    SKALD_TRY_VOID(ctx.check());
    const std::string temporary = make_temporary_path();
    Result<void> done = write_temporary(temporary, body);
    if (done.ok()) done = move_into_place(temporary, key, existing);
    if (!done.ok()) {
      // The space matters more than a second error; what stays is deleted at the next start.
      (void)fs_.remove(temporary);
      return std::move(done).error().with_prefix("put '" + std::string(key) + "'");
    }
    return {};
  }

  std::string path_of(std::string_view key) const { return root_ + "/" + std::string(key); }

  static Result<void> check_own_key(std::string_view key) {
    SKALD_TRY_VOID(check_key(key));
    if (key.substr(0, key.find('/')) == kTemporaryDirectory) {
      return Error(ErrorCode::kInvalidArgument, "object key '" + std::string(key) + "': '.skald-tmp' is reserved");
    }
    return {};
  }

  std::string make_temporary_path() {
    char name[64];
    std::snprintf(name, sizeof name, "%016llx-%llu", static_cast<unsigned long long>(token_),
                  static_cast<unsigned long long>(next_temporary_.fetch_add(1, std::memory_order_relaxed)));
    return root_ + "/" + kTemporaryDirectory + "/" + name;
  }

  Result<void> write_temporary(const std::string& path, ByteView body) {
    SKALD_TRY(const std::unique_ptr<io::WritableFile> file, fs_.create(path));
    SKALD_TRY_VOID(file->append(body));
    return file->sync();
  }

  Result<void> move_into_place(const std::string& temporary, std::string_view key, Existing existing) {
    const std::size_t slash = key.rfind('/');
    const std::string_view directory = slash == std::string_view::npos ? std::string_view{} : key.substr(0, slash);
    {
      // Under one lock, so that remove() of a neighbour cannot take the directory away in between.
      const std::lock_guard lock(mutex_);
      SKALD_TRY_VOID(make_durable_directories(directory));
      SKALD_TRY_VOID(check_no_directory(key));
      if (existing == Existing::kKeep) {
        // This process owns the directory (its lock file says so): nobody else makes the file between these two lines.
        SKALD_TRY(const bool exists, fs_.exists(path_of(key)));
        if (exists) return Error(ErrorCode::kAlreadyExists, "the object exists already");
      }
      SKALD_TRY_VOID(fs_.rename(temporary, path_of(key)));
    }
    return fs_.sync_directory(directory.empty() ? root_ : path_of(directory));
  }

  // A directory is durable once its parent was synced after it was made. Needs mutex_.
  Result<void> make_durable_directories(std::string_view directory) {
    if (directory.empty() || durable_directories_.contains(directory)) return {};
    const std::size_t slash = directory.rfind('/');
    const std::string_view parent = slash == std::string_view::npos ? std::string_view{} : directory.substr(0, slash);
    SKALD_TRY_VOID(make_durable_directories(parent));
    SKALD_TRY(const bool exists, fs_.exists(path_of(directory)));
    if (exists && !fs_.list(path_of(directory)).ok()) {
      return Error(ErrorCode::kAlreadyExists, "an object named '" + std::string(directory) + "' is in the way");
    }
    SKALD_TRY_VOID(fs_.make_directories(path_of(directory)));
    SKALD_TRY_VOID(fs_.sync_directory(parent.empty() ? root_ : path_of(parent)));
    durable_directories_.emplace(directory);
    return {};
  }

  Result<void> check_no_directory(std::string_view key) {
    if (durable_directories_.contains(key)) {
      return Error(ErrorCode::kAlreadyExists, "objects below '" + std::string(key) + "/' are in the way");
    }
    return {};
  }

  bool directory_is_empty(const std::string& path) {
    const auto entries = fs_.list(path);
    return entries.ok() && entries->empty();
  }

  // The entries of a directory that belong into a listing, sorted as their keys are: a directory sorts as if its name ended
  // with '/' ("a-b" comes before "a/b", which comes before "a0"), and gets that '/'.
  Result<std::vector<io::DirEntry>> entries_of(const std::string& directory) {
    auto listed = fs_.list(directory.empty() ? root_ : path_of(std::string_view(directory).substr(0, directory.size() - 1)));
    if (!listed.ok()) {
      if (listed.error().code() == ErrorCode::kNotFound) return std::vector<io::DirEntry>{};   // nothing there, or just removed
      return std::move(listed).error();
    }
    std::vector<io::DirEntry> entries;
    for (io::DirEntry& entry : *listed) {
      if (entry.is_directory) entry.name += '/';
      if (directory.empty() && entry.name == std::string(kTemporaryDirectory) + "/") continue;
      entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end(), [](const io::DirEntry& a, const io::DirEntry& b) { return a.name < b.name; });
    return entries;
  }

  Result<void> list_level(const std::string& directory, std::string_view prefix, std::string_view after, const CallContext& ctx, ListPage& page) {
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(const std::vector<io::DirEntry> entries, entries_of(directory));
    std::string last;
    for (const io::DirEntry& entry : entries) {
      std::string key = directory + entry.name;
      if (!key.starts_with(prefix) || key <= after) continue;
      if (page.objects.size() + page.folders.size() == kListPageObjects) {
        page.next = last;
        return {};
      }
      last = key;
      if (entry.is_directory) page.folders.push_back(std::move(key));
      else page.objects.push_back({std::move(key), entry.size});
    }
    return {};
  }

  // `directory` is "" or ends with '/'.
  Result<void> walk(const std::string& directory, std::string_view prefix, std::string_view after, const CallContext& ctx,
                    ListPage& page) {
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(const std::vector<io::DirEntry> entries, entries_of(directory));
    for (const io::DirEntry& entry : entries) {
      if (!page.next.empty()) return {};
      const std::string key = directory + entry.name;
      if (entry.is_directory) {
        const bool in_prefix = key.starts_with(prefix) || prefix.starts_with(key);
        const bool all_before = key < after && !after.starts_with(key);
        if (in_prefix && !all_before) SKALD_TRY_VOID(walk(key, prefix, after, ctx, page));
        continue;
      }
      if (!key.starts_with(prefix) || key <= after) continue;
      if (page.objects.size() == kListPageObjects) {
        page.next = page.objects.back().key;
        return {};
      }
      page.objects.push_back({key, entry.size});
    }
    return {};
  }

  io::FileSystem& fs_;
  const std::string root_;
  const std::uint64_t token_;   // temporary names of two processes on one root differ
  std::atomic<std::uint64_t> next_temporary_{0};
  std::mutex mutex_;            // guards durable_directories_, and directories against being removed while in use
  std::set<std::string, std::less<>> durable_directories_;
};

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_filesystem_store(io::FileSystem& fs, std::string root, Random& random) {
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  auto store = std::make_unique<FilesystemStore>(fs, std::move(root), random.next_u64());
  SKALD_TRY_VOID(store->prepare());
  return std::unique_ptr<ObjectStore>(std::move(store));
}

}  // namespace skald::objstore
