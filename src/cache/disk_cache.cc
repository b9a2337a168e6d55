// One file per item: <directory>/<2 hex digits>/<32 hex digits: hash of the key>.<16 hex digits: stored at, ns>. The names are the
// index, so that a start reads directories and no file. Files appear by rename; none is synced: what a power cut leaves
// half-written fails its checksum (envelope.h) and is removed when it is next asked for.
#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>

#include "cache/envelope.h"
#include "cache/levels.h"
#include "skald/codec/hash.h"
#include "skald/obs/log.h"

namespace skald::cache {
namespace {

constexpr std::uint64_t kFileBytesMin = 4096;            // what a file costs at least; bounds their number
constexpr std::uint64_t kValueBytesMax = 1ULL << 30;
constexpr std::uint64_t kFreePercentMin = 5;             // the disk is shared with what must not be lost
constexpr std::int64_t kPauseAfterFailureNs = 30 * kNanosPerSecond;
constexpr std::string_view kDigits = "0123456789abcdef";

struct Name {
  std::uint64_t high = 0, low = 0;
  bool operator==(const Name&) const = default;
};
struct NameHash {
  std::size_t operator()(const Name& name) const { return static_cast<std::size_t>(name.low); }
};

Name name_of(const std::string& key) { return {.high = codec::xxh3_64(key), .low = codec::xxh3_64_seeded(key, 0x6469736BULL)}; }

void append_hex(std::string& out, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[value >> shift & 15];
}
bool parse_hex(std::string_view text, std::uint64_t& value) {
  value = 0;
  for (const char digit : text) {
    const std::size_t at = kDigits.find(digit);
    if (at == std::string_view::npos) return false;
    value = value << 4 | at;
  }
  return text.size() == 16;
}

std::uint64_t charge_of(std::uint64_t file_bytes) { return (file_bytes + kFileBytesMin - 1) / kFileBytesMin * kFileBytesMin; }

class DiskCache final : public Cache {
 public:
  DiskCache(const DiskOptions& options, io::FileSystem& fs, obs::Registry& registry, const Clock& clock)
      : options_(options), fs_(fs), clock_(clock),
        entries_gauge_(registry.gauge_family("skald_diskcache_entries", "Items in the cache on disk.", {"cache"}).with({options.name})),
        bytes_gauge_(registry.gauge_family("skald_diskcache_bytes", "Bytes of the cache on disk.", {"cache"}).with({options.name})),
        evicted_full_(evicted(registry).with({options.name, "full"})), evicted_expired_(evicted(registry).with({options.name, "expired"})),
        corrupt_(registry.counter_family("skald_diskcache_corrupt_total", "Files that did not check out.", {"cache"}).with({options.name})),
        failures_(registry.counter_family("skald_diskcache_failures_total", "Reads and writes that the disk refused.", {"cache"}).with({options.name})) {}

  Result<void> scan() {
    SKALD_TRY_VOID(fs_.make_directories(options_.directory));
    SKALD_TRY(const std::vector<io::DirEntry> folders, fs_.list(options_.directory));
    std::vector<Found> found;
    for (const io::DirEntry& folder : folders) {
      if (!folder.is_directory || folder.name.size() != 2) continue;
      SKALD_TRY(const std::vector<io::DirEntry> files, fs_.list(options_.directory + "/" + folder.name));
      for (const io::DirEntry& file : files) {
        Found one{.name = {}, .stored_ns = 0, .charge = charge_of(file.size)};
        if (parse_file_name(file.name, one.name, one.stored_ns) && file.name.starts_with(folder.name)) {
          found.push_back(one);
        } else if (!file.is_directory) {
          (void)fs_.remove(options_.directory + "/" + folder.name + "/" + file.name);   // a write that never ended
        }
      }
    }
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.stored_ns < b.stored_ns; });
    std::vector<std::string> doomed;
    {
      const std::lock_guard lock(mutex_);
      for (const Found& one : found) insert_locked(one.name, one.stored_ns, one.charge, doomed);
    }
    remove_files(doomed);
    return {};
  }

  std::vector<SharedBytes> fetch(const CallContext& ctx, std::span<const std::string> keys) override {
    std::vector<SharedBytes> values;
    values.reserve(keys.size());
    for (const std::string& key : keys) values.push_back(ctx.check().ok() ? find(key) : nullptr);
    return values;
  }

  void store(std::vector<Item> items) override {
    for (const Item& item : items) write(item);
  }

 private:
  struct Entry {
    Name name;
    std::int64_t stored_ns = 0;
    std::uint64_t charge = 0;
  };
  using Found = Entry;
  using List = std::list<Entry>;

  static obs::CounterFamily& evicted(obs::Registry& registry) {
    return registry.counter_family("skald_diskcache_evicted_total", "Files removed from the cache on disk.", {"cache", "reason"});
  }
  std::string folder_of(const Name& name) const {
    std::string hex;
    append_hex(hex, name.high);
    return options_.directory + "/" + hex.substr(0, 2);
  }
  std::string path_of(const Name& name, std::int64_t stored_ns) const {
    std::string path = folder_of(name) + "/";
    append_hex(path, name.high);
    append_hex(path, name.low);
    path += '.';
    append_hex(path, static_cast<std::uint64_t>(stored_ns));
    return path;
  }
  static bool parse_file_name(std::string_view text, Name& name, std::int64_t& stored_ns) {
    std::uint64_t time = 0;
    if (text.size() != 49 || text[32] != '.' || !parse_hex(text.substr(0, 16), name.high) || !parse_hex(text.substr(16, 16), name.low) ||
        !parse_hex(text.substr(33), time))
      return false;
    stored_ns = static_cast<std::int64_t>(time);
    return true;
  }

  SharedBytes find(const std::string& key) {
    const Name name = name_of(key);
    std::int64_t stored_ns = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(name);
      if (found == entries_.end()) return nullptr;
      lru_.splice(lru_.begin(), lru_, found->second);
      stored_ns = found->second->stored_ns;
    }
    const std::int64_t age_ns = clock_.now_ns() - stored_ns;
    if (options_.ttl_ns > 0 && age_ns > options_.ttl_ns) {
      if (forget(name, stored_ns)) evicted_expired_.add();
      return nullptr;
    }
    auto sealed = fs_.read_file(path_of(name, stored_ns), kValueBytesMax + kEnvelopeBytes);
    if (!sealed.ok()) {
      if (forget(name, stored_ns)) failures_.add();   // else somebody evicted it meanwhile
      return nullptr;
    }
    SharedBytes value = unseal(key, *sealed);
    if (value == nullptr && forget(name, stored_ns)) corrupt_.add();
    return value;
  }

  void write(const Item& item) {
    const Name name = name_of(item.key);
    const std::uint64_t charge = charge_of(kEnvelopeBytes + item.value->size());
    if (charge > options_.bytes_max || item.value->size() > kValueBytesMax) return;
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(name);
      const bool fresh = found != entries_.end() && (options_.ttl_ns <= 0 || clock_.now_ns() - found->second->stored_ns <= options_.ttl_ns / 2);
      if (fresh && found->second->charge == charge) return;
      if (clock_.monotonic_ns() < paused_until_ns_) return;
    }
    const std::int64_t stored_ns = clock_.now_ns();
    if (!write_file(name, stored_ns, seal(item.key, *item.value))) return;
    std::vector<std::string> doomed;
    {
      const std::lock_guard lock(mutex_);
      insert_locked(name, stored_ns, charge, doomed);
    }
    remove_files(doomed);
  }

  bool write_file(const Name& name, std::int64_t stored_ns, ByteView sealed) {
    const std::string path = path_of(name, stored_ns), temporary = path + ".tmp";
    const auto attempt = [&]() -> Result<void> {
      SKALD_TRY(const io::DiskSpace space, fs_.disk_space(options_.directory));
      if (space.free_bytes < space.total_bytes / 100 * kFreePercentMin) return Error(ErrorCode::kResourceExhausted, "less than 5 % of the disk is free");
      auto file = fs_.create(temporary);
      if (!file.ok()) {
        SKALD_TRY_VOID(fs_.make_directories(folder_of(name)));
        file = fs_.create(temporary);
      }
      if (!file.ok()) return file.error();
      SKALD_TRY_VOID((*file)->append(sealed));
      return fs_.rename(temporary, path);
    };
    Result<void> done = attempt();
    if (done.ok()) return true;
    (void)fs_.remove(temporary);
    failures_.add();
    const std::lock_guard lock(mutex_);
    paused_until_ns_ = clock_.monotonic_ns() + kPauseAfterFailureNs;
    log::warn("disk cache not written, pausing", {{"cache", options_.name}, {"directory", options_.directory}, {"err", done.error().message()}});
    return false;
  }

  // Removes the entry if it is still the one stored then. True: this call removed it.
  bool forget(const Name& name, std::int64_t stored_ns) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(name);
      if (found == entries_.end() || found->second->stored_ns != stored_ns) return false;
      erase_locked(found->second);
    }
    (void)fs_.remove(path_of(name, stored_ns));
    return true;
  }

  void insert_locked(const Name& name, std::int64_t stored_ns, std::uint64_t charge, std::vector<std::string>& doomed) {
    if (const auto found = entries_.find(name); found != entries_.end()) {
      if (found->second->stored_ns == stored_ns) {
        bytes_ += charge - found->second->charge;
        found->second->charge = charge;
        return;
      }
      doomed.push_back(path_of(name, found->second->stored_ns));
      erase_locked(found->second);
    }
    lru_.push_front({.name = name, .stored_ns = stored_ns, .charge = charge});
    entries_.emplace(name, lru_.begin());
    bytes_ += charge;
    while (bytes_ > options_.bytes_max && !lru_.empty()) {
      doomed.push_back(path_of(lru_.back().name, lru_.back().stored_ns));
      erase_locked(std::prev(lru_.end()));
      evicted_full_.add();
    }
    publish_locked();
  }
  void erase_locked(List::iterator entry) {
    bytes_ -= entry->charge;
    entries_.erase(entry->name);
    lru_.erase(entry);
    publish_locked();
  }
  void publish_locked() {
    entries_gauge_.set(static_cast<double>(entries_.size()));
    bytes_gauge_.set(static_cast<double>(bytes_));
  }
  void remove_files(const std::vector<std::string>& paths) {
    for (const std::string& path : paths)
      if (auto removed = fs_.remove(path); !removed.ok()) failures_.add();
  }

  const DiskOptions options_;
  io::FileSystem& fs_;
  const Clock& clock_;
  obs::Gauge& entries_gauge_;
  obs::Gauge& bytes_gauge_;
  obs::Counter& evicted_full_;
  obs::Counter& evicted_expired_;
  obs::Counter& corrupt_;
  obs::Counter& failures_;

  std::mutex mutex_;   // guards all below
  List lru_;           // front = used last
  std::unordered_map<Name, List::iterator, NameHash> entries_;
  std::uint64_t bytes_ = 0;
  std::int64_t paused_until_ns_ = 0;
};

}  // namespace

Result<std::shared_ptr<Cache>> open_disk_cache(const DiskOptions& options, io::FileSystem& fs, obs::Registry& registry, const Clock& clock) {
  auto cache = std::make_shared<DiskCache>(options, fs, registry, clock);
  if (auto scanned = cache->scan(); !scanned.ok()) return scanned.error().with_prefix("disk_cache.directory " + options.directory);
  return std::shared_ptr<Cache>(std::move(cache));
}

}  // namespace skald::cache
