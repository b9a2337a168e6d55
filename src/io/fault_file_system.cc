#include "skald/io/fault_file_system.h"

#include <mutex>

namespace skald::io {

struct FaultFileSystem::State {
  explicit State(FileSystem& wrapped) : base(wrapped) {}
  FileSystem& base;
  mutable std::mutex mutex;  // guards all below
  FaultPlan plan;
  std::uint64_t counted = 0;
  bool fired = false;

  bool fails(std::uint32_t operation, FaultKind* kind = nullptr) {
    std::lock_guard lock(mutex);
    if ((plan.operations & operation) == 0) return false;
    ++counted;
    if (kind != nullptr) *kind = plan.kind;
    const bool now = plan.fail_at != 0 && (counted == plan.fail_at || (plan.sticky && counted > plan.fail_at));
    fired |= now;
    return now;
  }
  Error error(const char* what) const {
    std::lock_guard lock(mutex);
    if (plan.kind == FaultKind::kNoSpace) return Error(ErrorCode::kResourceExhausted, std::string(what) + ": injected: no space left");
    return Error(ErrorCode::kIo, std::string(what) + ": injected I/O error");
  }
};

namespace {

class FaultWritableFile final : public WritableFile {
 public:
  FaultWritableFile(std::shared_ptr<FaultFileSystem::State> state, std::unique_ptr<WritableFile> base)
      : state_(std::move(state)), base_(std::move(base)) {}
  Result<void> append(ByteView data) override {
    FaultKind kind{};
    if (!state_->fails(kFaultAppend, &kind)) return base_->append(data);
    if (kind != FaultKind::kIo) (void)base_->append(data.substr(0, data.size() / 2));
    return state_->error("write");
  }
  Result<void> sync() override {
    if (state_->fails(kFaultSync)) return state_->error("sync");
    return base_->sync();
  }
  void preallocate(std::uint64_t bytes) override { base_->preallocate(bytes); }
  std::uint64_t size() const override { return base_->size(); }

 private:
  const std::shared_ptr<FaultFileSystem::State> state_;
  const std::unique_ptr<WritableFile> base_;
};

class FaultRandomAccessFile final : public RandomAccessFile {
 public:
  FaultRandomAccessFile(std::shared_ptr<FaultFileSystem::State> state, std::unique_ptr<RandomAccessFile> base)
      : state_(std::move(state)), base_(std::move(base)) {}
  std::uint64_t size() const override { return base_->size(); }
  Result<Bytes> read(std::uint64_t offset, std::uint64_t length) const override {
    if (state_->fails(kFaultRead)) return state_->error("read");
    return base_->read(offset, length);
  }

 private:
  const std::shared_ptr<FaultFileSystem::State> state_;
  const std::unique_ptr<RandomAccessFile> base_;
};

}  // namespace

FaultFileSystem::FaultFileSystem(FileSystem& base) : state_(std::make_shared<State>(base)) {}
FaultFileSystem::~FaultFileSystem() = default;

void FaultFileSystem::set_plan(FaultPlan plan) {
  std::lock_guard lock(state_->mutex);
  state_->plan = plan;
  state_->counted = 0;
  state_->fired = false;
}

std::uint64_t FaultFileSystem::counted() const {
  std::lock_guard lock(state_->mutex);
  return state_->counted;
}

bool FaultFileSystem::fired() const {
  std::lock_guard lock(state_->mutex);
  return state_->fired;
}

Result<std::unique_ptr<WritableFile>> FaultFileSystem::create(const std::string& path) {
  if (state_->fails(kFaultCreate)) return state_->error("create");
  SKALD_TRY(auto file, state_->base.create(path));
  return std::unique_ptr<WritableFile>(std::make_unique<FaultWritableFile>(state_, std::move(file)));
}
Result<std::unique_ptr<WritableFile>> FaultFileSystem::open_append(const std::string& path) {
  if (state_->fails(kFaultCreate)) return state_->error("open");
  SKALD_TRY(auto file, state_->base.open_append(path));
  return std::unique_ptr<WritableFile>(std::make_unique<FaultWritableFile>(state_, std::move(file)));
}
Result<std::unique_ptr<RandomAccessFile>> FaultFileSystem::open(const std::string& path) {
  if (state_->fails(kFaultRead)) return state_->error("open");
  SKALD_TRY(auto file, state_->base.open(path));
  return std::unique_ptr<RandomAccessFile>(std::make_unique<FaultRandomAccessFile>(state_, std::move(file)));
}
Result<Bytes> FaultFileSystem::read_file(const std::string& path, std::uint64_t limit_bytes) {
  if (state_->fails(kFaultRead)) return state_->error("read");
  return state_->base.read_file(path, limit_bytes);
}
Result<std::vector<DirEntry>> FaultFileSystem::list(const std::string& directory) {
  if (state_->fails(kFaultRead)) return state_->error("list");
  return state_->base.list(directory);
}
Result<void> FaultFileSystem::make_directories(const std::string& directory) { return state_->base.make_directories(directory); }
Result<void> FaultFileSystem::rename(const std::string& from, const std::string& to) {
  if (state_->fails(kFaultRename)) return state_->error("rename");
  return state_->base.rename(from, to);
}
Result<void> FaultFileSystem::remove(const std::string& path) {
  if (state_->fails(kFaultRemove)) return state_->error("remove");
  return state_->base.remove(path);
}
Result<void> FaultFileSystem::truncate(const std::string& path, std::uint64_t size) {
  if (state_->fails(kFaultRemove)) return state_->error("truncate");
  return state_->base.truncate(path, size);
}
Result<void> FaultFileSystem::sync_directory(const std::string& directory) {
  if (state_->fails(kFaultSyncDirectory)) return state_->error("sync directory");
  return state_->base.sync_directory(directory);
}
Result<bool> FaultFileSystem::exists(const std::string& path) { return state_->base.exists(path); }
Result<DiskSpace> FaultFileSystem::disk_space(const std::string& path) { return state_->base.disk_space(path); }

}  // namespace skald::io
