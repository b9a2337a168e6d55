#include "skald/io/memory_file_system.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "skald/base/random.h"

namespace skald::io {
namespace {

struct Inode {
  std::string content;  // what processes see
  std::string durable;  // what the disk holds for certain
};
using InodePtr = std::shared_ptr<Inode>;
using Names = std::map<std::string, InodePtr>;

// A change of names that no directory sync has made durable yet.
struct NameChange {
  std::string from;  // name that disappears, or empty
  std::string to;    // name that appears, or empty
  InodePtr inode;    // of `to`
};

std::string normalize(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == '/' && !out.empty() && out.back() == '/') continue;
    out += c;
  }
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

void apply_change(Names& names, const NameChange& change) {
  if (!change.from.empty()) names.erase(change.from);
  if (!change.to.empty()) names[change.to] = change.inode;
}

Error not_found(const std::string& path) { return Error(ErrorCode::kNotFound, path + ": no such file or directory"); }

}  // namespace

struct MemoryFileSystem::State {
  mutable std::mutex mutex;  // guards all below and every inode
  Names names;               // as processes see them
  Names durable_names;
  std::vector<NameChange> pending;
  std::set<std::string> directories{"/", "."};
  std::uint64_t epoch = 0;   // crashes so far: files opened before the last one are dead
  std::uint64_t capacity_bytes = 1ULL << 40;
  std::uint64_t used_bytes = 0;

  void change_names(NameChange change) {
    apply_change(names, change);
    pending.push_back(std::move(change));
  }
  void recount() {
    used_bytes = 0;
    for (const auto& [name, inode] : names) used_bytes += inode->content.size();
  }
};

namespace {

class MemoryWritableFile final : public WritableFile {
 public:
  MemoryWritableFile(std::shared_ptr<MemoryFileSystem::State> state, InodePtr inode)
      : state_(std::move(state)), inode_(std::move(inode)), epoch_(state_->epoch) {}

  Result<void> append(ByteView data) override {
    std::lock_guard lock(state_->mutex);
    if (epoch_ != state_->epoch) return Error(ErrorCode::kIo, "write: the machine has crashed");
    const std::uint64_t room = state_->capacity_bytes > state_->used_bytes ? state_->capacity_bytes - state_->used_bytes : 0;
    const std::size_t take = static_cast<std::size_t>(std::min<std::uint64_t>(room, data.size()));
    inode_->content.append(data.substr(0, take));
    state_->used_bytes += take;
    if (take < data.size()) return Error(ErrorCode::kResourceExhausted, "write: no space left on device");
    return {};
  }
  Result<void> sync() override {
    std::lock_guard lock(state_->mutex);
    if (epoch_ != state_->epoch) return Error(ErrorCode::kIo, "sync: the machine has crashed");
    if (inode_->content.size() >= inode_->durable.size() && inode_->content.compare(0, inode_->durable.size(), inode_->durable) == 0)
      inode_->durable.append(inode_->content, inode_->durable.size());
    else
      inode_->durable = inode_->content;
    return {};
  }
  void preallocate(std::uint64_t) override {}
  std::uint64_t size() const override {
    std::lock_guard lock(state_->mutex);
    return inode_->content.size();
  }

 private:
  const std::shared_ptr<MemoryFileSystem::State> state_;
  const InodePtr inode_;
  const std::uint64_t epoch_;
};

class MemoryRandomAccessFile final : public RandomAccessFile {
 public:
  MemoryRandomAccessFile(std::shared_ptr<MemoryFileSystem::State> state, InodePtr inode)
      : state_(std::move(state)), inode_(std::move(inode)), size_(inode_->content.size()) {}
  std::uint64_t size() const override { return size_; }
  Result<Bytes> read(std::uint64_t offset, std::uint64_t length) const override {
    std::lock_guard lock(state_->mutex);
    if (offset > inode_->content.size() || length > inode_->content.size() - offset)
      return Error(ErrorCode::kCorruption, "read: range ends beyond the file");
    return inode_->content.substr(offset, length);
  }

 private:
  const std::shared_ptr<MemoryFileSystem::State> state_;
  const InodePtr inode_;
  const std::uint64_t size_;
};

// What a disk may hold of a file after power loss.
std::string survivor(const Inode& inode, SeededRandom& random) {
  const bool extends = inode.content.size() >= inode.durable.size() && inode.content.compare(0, inode.durable.size(), inode.durable) == 0;
  if (!extends) return random.next_u64() % 2 == 0 ? inode.durable : inode.content;
  const std::uint64_t unsynced = inode.content.size() - inode.durable.size();
  switch (random.next_u64() % 4) {
    case 0: return inode.durable;
    case 1: return inode.content;
    default: break;
  }
  if (unsynced == 0) return inode.durable;
  const std::uint64_t keep = random.next_u64() % unsynced;
  std::string bytes = inode.content.substr(0, inode.durable.size() + keep);
  if (random.next_u64() % 2 == 0) {  // the last, half-written sector
    const std::uint64_t garbage = std::min<std::uint64_t>(1 + random.next_u64() % 512, unsynced - keep);
    for (std::uint64_t i = 0; i < garbage; ++i) bytes += random.next_u64() % 2 == 0 ? '\0' : static_cast<char>(random.next_u64());
  }
  return bytes;
}

}  // namespace

MemoryFileSystem::MemoryFileSystem() : state_(std::make_shared<State>()) {}
MemoryFileSystem::~MemoryFileSystem() = default;

void MemoryFileSystem::crash(std::uint64_t seed) {
  std::lock_guard lock(state_->mutex);
  ++state_->epoch;
  SeededRandom random(seed);
  if (seed != 0 && !state_->pending.empty()) {
    const std::uint64_t keep = random.next_u64() % (state_->pending.size() + 1);
    for (std::uint64_t i = 0; i < keep; ++i) apply_change(state_->durable_names, state_->pending[i]);
  }
  state_->pending.clear();
  Names after;
  for (const auto& [name, inode] : state_->durable_names) {
    auto fresh = std::make_shared<Inode>();
    fresh->content = seed == 0 ? inode->durable : survivor(*inode, random);
    fresh->durable = fresh->content;
    after[name] = std::move(fresh);
  }
  state_->names = after;
  state_->durable_names = std::move(after);
  state_->recount();
}

void MemoryFileSystem::set_capacity(std::uint64_t total_bytes) {
  std::lock_guard lock(state_->mutex);
  state_->capacity_bytes = total_bytes;
}

std::uint64_t MemoryFileSystem::used_bytes() const {
  std::lock_guard lock(state_->mutex);
  return state_->used_bytes;
}

Result<void> MemoryFileSystem::corrupt(const std::string& raw, std::uint64_t offset, std::uint8_t xor_mask) {
  std::lock_guard lock(state_->mutex);
  const auto found = state_->names.find(normalize(raw));
  if (found == state_->names.end()) return not_found(raw);
  Inode& inode = *found->second;
  if (offset >= inode.content.size()) return Error(ErrorCode::kInvalidArgument, "corrupt: beyond the end");
  inode.content[offset] = static_cast<char>(inode.content[offset] ^ xor_mask);
  if (offset < inode.durable.size()) inode.durable[offset] = static_cast<char>(inode.durable[offset] ^ xor_mask);
  return {};
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::create(const std::string& raw) {
  const std::string path = normalize(raw);
  std::lock_guard lock(state_->mutex);
  if (!state_->directories.contains(parent_of(path))) return not_found(parent_of(path));
  auto& names = state_->names;
  auto found = names.find(path);
  if (found == names.end()) {
    auto inode = std::make_shared<Inode>();
    state_->change_names({"", path, inode});
    return std::unique_ptr<WritableFile>(std::make_unique<MemoryWritableFile>(state_, std::move(inode)));
  }
  state_->used_bytes -= found->second->content.size();
  found->second->content.clear();
  return std::unique_ptr<WritableFile>(std::make_unique<MemoryWritableFile>(state_, found->second));
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::open_append(const std::string& raw) {
  const std::string path = normalize(raw);
  {
    std::lock_guard lock(state_->mutex);
    if (const auto found = state_->names.find(path); found != state_->names.end())
      return std::unique_ptr<WritableFile>(std::make_unique<MemoryWritableFile>(state_, found->second));
  }
  return create(path);
}

Result<std::unique_ptr<RandomAccessFile>> MemoryFileSystem::open(const std::string& raw) {
  std::lock_guard lock(state_->mutex);
  const auto found = state_->names.find(normalize(raw));
  if (found == state_->names.end()) return not_found(raw);
  return std::unique_ptr<RandomAccessFile>(std::make_unique<MemoryRandomAccessFile>(state_, found->second));
}

Result<Bytes> MemoryFileSystem::read_file(const std::string& path, std::uint64_t limit_bytes) {
  SKALD_TRY(const auto file, open(path));
  if (file->size() > limit_bytes) return Error(ErrorCode::kTooLarge, "read " + path + ": above the limit");
  return file->read(0, file->size());
}

Result<std::vector<DirEntry>> MemoryFileSystem::list(const std::string& raw) {
  const std::string directory = normalize(raw);
  std::lock_guard lock(state_->mutex);
  if (!state_->directories.contains(directory)) return not_found(raw);
  std::vector<DirEntry> entries;
  const auto leaf = [](const std::string& path) { return path.substr(path.rfind('/') + 1); };
  for (const auto& [name, inode] : state_->names)
    if (parent_of(name) == directory) entries.push_back({leaf(name), false, inode->content.size()});
  for (const auto& name : state_->directories)
    if (name != directory && name != "." && parent_of(name) == directory) entries.push_back({leaf(name), true, 0});
  std::sort(entries.begin(), entries.end(), [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
  return entries;
}

Result<void> MemoryFileSystem::make_directories(const std::string& raw) {
  std::string path = normalize(raw);
  std::lock_guard lock(state_->mutex);
  for (; !state_->directories.contains(path); path = parent_of(path)) {
    if (state_->names.contains(path)) return Error(ErrorCode::kIo, "mkdir " + path + ": a file is in the way");
    state_->directories.insert(path);
  }
  return {};
}

Result<void> MemoryFileSystem::rename(const std::string& raw_from, const std::string& raw_to) {
  const std::string from = normalize(raw_from), to = normalize(raw_to);
  std::lock_guard lock(state_->mutex);
  const auto found = state_->names.find(from);
  if (found == state_->names.end()) return not_found(from);
  if (!state_->directories.contains(parent_of(to))) return not_found(parent_of(to));
  if (from == to) return {};
  state_->change_names({from, to, found->second});
  state_->recount();
  return {};
}

Result<void> MemoryFileSystem::remove(const std::string& raw) {
  const std::string path = normalize(raw);
  std::lock_guard lock(state_->mutex);
  if (state_->directories.contains(path)) {
    for (const auto& [name, inode] : state_->names)
      if (parent_of(name) == path) return Error(ErrorCode::kIo, "remove " + path + ": directory not empty");
    state_->directories.erase(path);
    return {};
  }
  if (!state_->names.contains(path)) return {};
  state_->change_names({path, "", nullptr});
  state_->recount();
  return {};
}

Result<void> MemoryFileSystem::truncate(const std::string& raw, std::uint64_t size) {
  std::lock_guard lock(state_->mutex);
  const auto found = state_->names.find(normalize(raw));
  if (found == state_->names.end()) return not_found(raw);
  found->second->content.resize(size);
  state_->recount();
  return {};
}

Result<void> MemoryFileSystem::sync_directory(const std::string& raw) {
  const std::string directory = normalize(raw);
  std::lock_guard lock(state_->mutex);
  if (!state_->directories.contains(directory)) return not_found(raw);
  std::vector<NameChange> rest;
  for (auto& change : state_->pending) {
    const bool here = (!change.from.empty() && parent_of(change.from) == directory) || (!change.to.empty() && parent_of(change.to) == directory);
    if (here)
      apply_change(state_->durable_names, change);
    else
      rest.push_back(std::move(change));
  }
  state_->pending = std::move(rest);
  return {};
}

Result<bool> MemoryFileSystem::exists(const std::string& raw) {
  const std::string path = normalize(raw);
  std::lock_guard lock(state_->mutex);
  return state_->names.contains(path) || state_->directories.contains(path);
}

Result<DiskSpace> MemoryFileSystem::disk_space(const std::string&) {
  std::lock_guard lock(state_->mutex);
  const auto used = std::min(state_->used_bytes, state_->capacity_bytes);
  return DiskSpace{state_->capacity_bytes, state_->capacity_bytes - used};
}

std::unique_ptr<FileSystem> make_memory_file_system() { return std::make_unique<MemoryFileSystem>(); }

}  // namespace skald::io
