#include "fsck_bucket.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "fsck_object.h"
#include "skald/codec/hash.h"
#include "skald/compactor/delete_requests.h"
#include "skald/index/day_index.h"
#include "skald/index/verify.h"
#include "skald/obs/log.h"
#include "skald/ruler/rule_group.h"
#include "skald/ruler/rule_store.h"

namespace skald::app {
namespace {

constexpr int kTriesOfADay = 5;
constexpr std::uint64_t kObjectBytesMax = 4ULL << 30;
constexpr index::TimeRange kEver{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};

struct OpenedIndex {
  std::string key;
  Ulid id;
  std::shared_ptr<const index::DayIndexReader> reader;
  std::vector<index::StreamChunkRefs> streams;   // of live ones
};

struct ListedObject {
  chunk::ObjectKey name;
  std::uint64_t size = 0;
  std::vector<Reference> references;
};

std::vector<std::string> keys_of(const std::vector<objstore::ObjectInfo>& objects) {
  std::vector<std::string> keys;
  for (const objstore::ObjectInfo& object : objects) keys.push_back(object.key);
  return keys;
}

std::int64_t created_ns(const Ulid& id) {
  std::int64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = ms << 8 | id.bytes[static_cast<std::size_t>(i)];
  return ms > std::numeric_limits<std::int64_t>::max() / kNanosPerMilli ? std::numeric_limits<std::int64_t>::max() : ms * kNanosPerMilli;
}

// "20261120T" → the day; nullopt for another folder.
std::optional<std::int64_t> day_of_shard_folder(const std::string& tenant, std::string_view folder) {
  const auto key = chunk::parse_object_key(tenant + "/chunks/" + std::string(folder) + "/" + Ulid{}.to_string());
  if (!key.ok()) return std::nullopt;
  return index::day_of(key->shard_start_ns);
}

std::optional<std::int64_t> day_of_index_folder(const std::string& tenant, std::string_view folder) {
  const auto key = index::parse_day_index_key(tenant + "/index/" + std::string(folder) + "/" + Ulid{}.to_string());
  if (!key.has_value()) return std::nullopt;
  return key->day;
}

// One day of one tenant, as it was between two listings.
class DayChecker {
 public:
  DayChecker(objstore::ObjectStore& bucket, exec::Pool& pool, const BucketCheckOptions& options, const CallContext& ctx, std::string tenant, std::int64_t day,
             std::vector<std::string> shard_folders)
      : bucket_(bucket), pool_(pool), options_(options), ctx_(ctx), tenant_(std::move(tenant)), day_(day), shard_folders_(std::move(shard_folders)) {}

  Result<FsckReport> run() {
    for (int attempt = 1;; ++attempt) {
      report_ = {};
      objects_.clear();
      indexes_.clear();
      retired_.clear();
      replaced_.clear();
      index_unreadable_ = false;
      SKALD_TRY(const std::vector<objstore::ObjectInfo> before, list_indexes());
      // Indexes first: what they name was there before them, and a chunk object newer than this listing is young.
      check_indexes(before);
      SKALD_TRY_VOID(list_chunk_objects());
      SKALD_TRY_VOID(check_chunk_objects());
      if (report_.problems.empty() || attempt == kTriesOfADay) return std::move(report_);
      // A compactor may have replaced indexes and deleted what they named while we looked.
      SKALD_TRY(const std::vector<objstore::ObjectInfo> after, list_indexes());
      if (keys_of(before) == keys_of(after)) return std::move(report_);
    }
  }

 private:
  Result<std::vector<objstore::ObjectInfo>> list_indexes() {
    return objstore::list_objects(bucket_, tenant_ + "/index/index_" + std::to_string(day_) + "/", ctx_);
  }

  void check_indexes(const std::vector<objstore::ObjectInfo>& listed) {
    for (const objstore::ObjectInfo& info : listed) {
      ++report_.files;
      const auto name = index::parse_day_index_key(info.key);
      if (!name.has_value()) {
        ++report_.other;
        report_.add(FindingKind::kForeign, info.key, "is not the name of an index object");
        continue;
      }
      ++report_.indexes;
      if (auto reader = open_index(info.key, *name); reader != nullptr) indexes_.push_back({.key = info.key, .id = name->id, .reader = std::move(reader), .streams = {}});
    }
    for (const OpenedIndex& opened : indexes_) {
      const std::vector<Ulid>& inputs = opened.reader->header().inputs;
      replaced_.insert(inputs.begin(), inputs.end());
      for (const index::RetiredObject& object : opened.reader->upkeep().retired_objects) retired_.insert(object.id);
    }
    for (OpenedIndex& opened : indexes_) {
      if (replaced_.contains(opened.id)) {
        ++report_.replaced_indexes;
        continue;
      }
      collect_references(opened);
    }
  }

  std::shared_ptr<const index::DayIndexReader> open_index(const std::string& key, const index::DayIndexKey& name) {
    const auto fail = [&](FindingKind kind, const std::string& what) {
      report_.add(kind, key, what);
      index_unreadable_ = true;
      return nullptr;
    };
    Result<Bytes> bytes = bucket_.get(key, {}, ctx_);
    if (!bytes.ok()) {
      if (bytes.error().code() == ErrorCode::kNotFound) return fail(FindingKind::kUnreadable, "is listed, but not there");
      return fail(bytes.error().code() == ErrorCode::kCorruption ? FindingKind::kIndexDamaged : FindingKind::kUnreadable, bytes.error().message());
    }
    auto reader = index::DayIndexReader::open(std::make_shared<const Bytes>(*std::move(bytes)));
    if (!reader.ok()) return fail(FindingKind::kIndexDamaged, reader.error().message());
    const index::DayIndexHeader& header = (*reader)->header();
    // What lies in the wrong place does not tell of this day: its own day misses it, if it was moved and not copied.
    const auto misplaced = [&](const std::string& what) {
      report_.add(FindingKind::kIndexMisplaced, key, what);
      return nullptr;
    };
    if (header.id != name.id) return misplaced("its header says that it is index object " + header.id.to_string());
    if (header.tenant_hash != codec::xxh3_64(tenant_)) return misplaced("it belongs to another tenant");
    if (header.day != day_) return misplaced("its day is " + std::to_string(header.day));
    if (const std::vector<std::string> problems = index::verify_day_index(**reader); !problems.empty())
      return fail(FindingKind::kIndexDamaged, problems[0] + (problems.size() > 1 ? " (and " + std::to_string(problems.size() - 1) + " more)" : ""));
    return *std::move(reader);
  }

  void collect_references(OpenedIndex& opened) {
    const Result<index::SeriesBitmap> all = opened.reader->match({});
    const Result<void> done = all.ok() ? opened.reader->append_chunk_refs(*all, kEver, index::WithSketches::kNo, opened.streams) : Result<void>(all.error());
    if (!done.ok()) {
      report_.add(FindingKind::kIndexDamaged, opened.key, done.error().message());
      index_unreadable_ = true;
      return;
    }
    for (const index::StreamChunkRefs& stream : opened.streams)
      for (const index::ChunkRef& chunk : stream.chunks) {
        ListedObject& object = objects_[chunk::object_key(tenant_, chunk.object.shard_start_ns, chunk.object.id)];
        object.name = {.tenant = tenant_, .shard_start_ns = chunk.object.shard_start_ns, .id = chunk.object.id};
        object.references.push_back({.labels = stream.labels.get(), .chunk = &chunk, .index_key = &opened.key});
      }
  }

  Result<void> list_chunk_objects() {
    for (const std::string& folder : shard_folders_) {
      SKALD_TRY(const std::vector<objstore::ObjectInfo> listed, objstore::list_objects(bucket_, tenant_ + "/chunks/" + folder + "/", ctx_));
      for (const objstore::ObjectInfo& info : listed) {
        ++report_.files;
        auto name = chunk::parse_object_key(info.key);
        if (!name.ok()) {
          ++report_.other;
          report_.add(FindingKind::kForeign, info.key, "is not the name of a chunk object");
          continue;
        }
        ++report_.objects;
        ListedObject& object = objects_[info.key];
        object.name = *std::move(name);
        object.size = std::max<std::uint64_t>(1, info.size);   // 0: named by an index, not listed
      }
    }
    return {};
  }

  Result<void> check_chunk_objects() {
    std::vector<std::pair<const std::string, ListedObject>*> all;
    for (auto& entry : objects_) all.push_back(&entry);
    std::vector<FsckReport> reports(all.size());
    pool_.parallel_for(all.size(), [&](std::size_t i) {
      if (ctx_.check().ok()) check_one(all[i]->first, all[i]->second, reports[i]);
    });
    SKALD_TRY_VOID(ctx_.check());
    for (FsckReport& one : reports) report_.merge(std::move(one));
    return {};
  }

  void check_one(const std::string& key, const ListedObject& object, FsckReport& report) const {
    const bool retired = retired_.contains(object.name.id);
    if (object.size == 0) {
      // An ingester may have listed again what compaction has rewritten since.
      if (!retired) report.add(FindingKind::kObjectMissing, object.references[0].index_key[0], "names object " + key + ", which is not there");
      return;
    }
    const std::size_t before = report.problems.size();
    if (!options_.read_objects) check_listed_size(key, object, report);
    else read_and_check(key, object, report);
    if (!object.references.empty()) return;
    if (retired) ++report.retired_objects;
    else if (report.problems.size() == before) check_unlisted(key, object, report);
  }

  void read_and_check(const std::string& key, const ListedObject& object, FsckReport& report) const {
    if (object.size > kObjectBytesMax) return report.add(FindingKind::kObjectDamaged, key, "has " + std::to_string(object.size) + " bytes, more than any object of ours");
    const Result<Bytes> bytes = bucket_.get(key, {}, ctx_);
    if (bytes.ok()) return check_object(key, object.name, *bytes, object.references, report);
    if (bytes.error().code() == ErrorCode::kNotFound) {   // since the listing
      if (!object.references.empty()) report.add(FindingKind::kObjectMissing, *object.references[0].index_key, "names object " + key + ", which is not there");
      return;
    }
    report.add(bytes.error().code() == ErrorCode::kCorruption ? FindingKind::kObjectDamaged : FindingKind::kUnreadable, key, bytes.error().message());
  }

  void check_listed_size(const std::string& key, const ListedObject& object, FsckReport& report) const {
    for (const Reference& reference : object.references) {
      const std::uint64_t told = reference.chunk->object.length;
      if (told == 0 || told == object.size) continue;
      return report.add(FindingKind::kObjectLength, key,
                        "has " + std::to_string(object.size) + " bytes, index " + *reference.index_key + " says " + std::to_string(told));
    }
  }

  void check_unlisted(const std::string& key, const ListedObject& object, FsckReport& report) const {
    const bool young = created_ns(object.name.id) > ctx_.clock->now_ns() - options_.young_ns;
    if (young || options_.log_beside || index_unreadable_) {
      ++report.unlisted_objects;
      return;
    }
    report.add(FindingKind::kObjectUnlisted, key, "is in no index: its index object is gone, or an interrupted flush or compaction left it over");
  }

 public:
  bool index_unreadable() const { return index_unreadable_; }

 private:
  objstore::ObjectStore& bucket_;
  exec::Pool& pool_;
  const BucketCheckOptions& options_;
  const CallContext& ctx_;
  const std::string tenant_;
  const std::int64_t day_;
  const std::vector<std::string> shard_folders_;
  FsckReport report_;
  std::vector<OpenedIndex> indexes_;
  std::map<std::string, ListedObject> objects_;   // by key: listed, or named by an index
  std::set<Ulid> retired_, replaced_;
  bool index_unreadable_ = false;
};

// A store of one object, to hand it to who only reads whole folders.
class OneObject final : public objstore::ObjectStore {
 public:
  OneObject(std::string key, Bytes body) : key_(std::move(key)), body_(std::move(body)) {}
  Result<void> put(std::string_view, ByteView, const CallContext&) override { return refuse(); }
  Result<void> create(std::string_view, ByteView, const CallContext&) override { return refuse(); }
  Result<Bytes> get(std::string_view, objstore::ByteRange, const CallContext&) override { return body_; }
  Result<objstore::ListPage> list(std::string_view, std::string_view, objstore::ListDepth, const CallContext&) override {
    return objstore::ListPage{.objects = {{key_, body_.size()}}, .folders = {}, .next = {}};
  }
  Result<void> remove(std::string_view, const CallContext&) override { return refuse(); }

 private:
  static Error refuse() { return Error(ErrorCode::kPermissionDenied, "fsck only reads"); }
  const std::string key_;
  const Bytes body_;
};

class BucketChecker {
 public:
  BucketChecker(objstore::ObjectStore& bucket, exec::Pool& pool, const BucketCheckOptions& options, const CallContext& ctx)
      : bucket_(bucket), pool_(pool), options_(options), ctx_(ctx) {}

  Result<FsckReport> run() {
    SKALD_TRY(const Level top, list_level(""));
    if (options_.check_data)
      for (const std::string& key : top.objects) foreign(key);
    for (const std::string& tenant : top.folders) {
      if (tenant == ".skald-tmp") continue;   // unfinished uploads of a filesystem store; removed at its next start
      SKALD_TRY_VOID(check_tenant(tenant));
    }
    return std::move(report_);
  }

 private:
  struct Level {
    std::vector<std::string> folders;   // names, without the prefix and '/'
    std::vector<std::string> objects;   // keys
  };

  Result<Level> list_level(const std::string& prefix) {
    Level level;
    std::string next;
    do {
      SKALD_TRY(objstore::ListPage page, bucket_.list(prefix, next, objstore::ListDepth::kOneLevel, ctx_));
      for (const std::string& folder : page.folders) level.folders.push_back(folder.substr(prefix.size(), folder.size() - prefix.size() - 1));
      for (objstore::ObjectInfo& object : page.objects) level.objects.push_back(std::move(object.key));
      next = std::move(page.next);
    } while (!next.empty());
    // A folder may be on two pages, or in two of several stores.
    std::sort(level.folders.begin(), level.folders.end());
    level.folders.erase(std::unique(level.folders.begin(), level.folders.end()), level.folders.end());
    return level;
  }

  void foreign(const std::string& key) {
    ++report_.files;
    ++report_.other;
    report_.add(FindingKind::kForeign, key, "is not a name of ours");
  }

  Result<void> check_tenant(const std::string& tenant) {
    SKALD_TRY(const Level level, list_level(tenant + "/"));
    bool data = false;
    for (const std::string& folder : level.folders) {
      if (folder == "chunks" || folder == "index") data = true;
      else if (folder == "deletes") SKALD_TRY_VOID(options_.check_deletes ? check_deletes(tenant) : Result<void>());
      else if (folder == "rules") SKALD_TRY_VOID(options_.check_rules ? check_rules(tenant) : Result<void>());
      else if (options_.check_data && folder != "compactor") foreign(tenant + "/" + folder + "/");   // leases, which come and go
    }
    if (!options_.check_data) return {};
    for (const std::string& key : level.objects) foreign(key);
    return data ? check_days(tenant) : Result<void>();
  }

  Result<void> check_days(const std::string& tenant) {
    std::map<std::int64_t, std::vector<std::string>> shards_of;   // day → its shard folders
    SKALD_TRY(const Level chunks, list_level(tenant + "/chunks/"));
    SKALD_TRY(const Level indexes, list_level(tenant + "/index/"));
    for (const Level* level : {&chunks, &indexes})
      for (const std::string& key : level->objects) foreign(key);
    for (const std::string& folder : chunks.folders) {
      if (const auto day = day_of_shard_folder(tenant, folder); day.has_value()) shards_of[*day].push_back(folder);
      else foreign(tenant + "/chunks/" + folder + "/");
    }
    for (const std::string& folder : indexes.folders) {
      if (const auto day = day_of_index_folder(tenant, folder); day.has_value()) shards_of[*day];
      else foreign(tenant + "/index/" + folder + "/");
    }
    for (const auto& [day, folders] : shards_of) {
      CallContext ctx = ctx_;
      ctx.tenant = tenant;
      DayChecker checker(bucket_, pool_, options_, ctx, tenant, day, folders);
      SKALD_TRY(FsckReport found, checker.run());
      if (checker.index_unreadable() && found.unlisted_objects > 0)
        found.add(FindingKind::kIndexSkipped, tenant + "/index/index_" + std::to_string(day) + "/",
                  std::to_string(found.unlisted_objects) + " objects of the day are in no index that can be read");
      report_.merge(std::move(found));
    }
    return {};
  }

  Result<void> check_deletes(const std::string& tenant) {
    SKALD_TRY(const std::vector<objstore::ObjectInfo> listed, objstore::list_objects(bucket_, tenant + "/deletes/", ctx_));
    for (const objstore::ObjectInfo& info : listed) {
      ++report_.files;
      ++report_.delete_requests;
      std::optional<Bytes> text = read_small(info.key, FindingKind::kDeleteRequest);
      if (!text.has_value()) continue;
      OneObject one(info.key, *std::move(text));
      compactor::DeleteStore requests(one, *ctx_.clock, system_random(), 0);
      if (const Result<void> loaded = requests.load(ctx_, {tenant}); !loaded.ok()) report_.add(FindingKind::kDeleteRequest, info.key, loaded.error().message());
    }
    return {};
  }

  Result<void> check_rules(const std::string& tenant) {
    const std::string prefix = tenant + "/rules/";
    SKALD_TRY(const std::vector<objstore::ObjectInfo> listed, objstore::list_objects(bucket_, prefix, ctx_));
    for (const objstore::ObjectInfo& info : listed) {
      const std::string_view rest = std::string_view(info.key).substr(prefix.size());
      const std::size_t slash = rest.find('/');
      if (slash == std::string_view::npos || rest.find('/', slash + 1) != std::string_view::npos) {
        foreign(info.key);
        continue;
      }
      ++report_.files;
      ++report_.rule_groups;
      const Result<std::string> name_space = ruler::decode_name(rest.substr(0, slash)), name = ruler::decode_name(rest.substr(slash + 1));
      if (!name_space.ok() || !name.ok()) {
        report_.add(FindingKind::kRuleGroup, info.key, (name.ok() ? name_space : name).error().message());
        continue;
      }
      const std::optional<Bytes> yaml = read_small(info.key, FindingKind::kRuleGroup);
      if (!yaml.has_value()) continue;
      const Result<ruler::RuleGroup> group = ruler::parse_rule_group(*yaml);
      if (!group.ok()) report_.add(FindingKind::kRuleGroup, info.key, group.error().message());
      else if (group->name != *name) report_.add(FindingKind::kRuleGroup, info.key, "holds the group '" + group->name + "', its name says '" + *name + "'");
    }
    return {};
  }

  // nullopt: gone since the listing, or a finding. `damage`: what a broken one is called.
  std::optional<Bytes> read_small(const std::string& key, FindingKind damage) {
    Result<Bytes> bytes = bucket_.get(key, {}, ctx_);
    if (bytes.ok()) return *std::move(bytes);
    if (bytes.error().code() == ErrorCode::kCorruption) report_.add(damage, key, bytes.error().message());
    else if (bytes.error().code() != ErrorCode::kNotFound) report_.add(FindingKind::kUnreadable, key, bytes.error().message());
    return std::nullopt;
  }

  objstore::ObjectStore& bucket_;
  exec::Pool& pool_;
  const BucketCheckOptions& options_;
  const CallContext& ctx_;
  FsckReport report_;
};

}  // namespace

Result<FsckReport> check_bucket(objstore::ObjectStore& bucket, exec::Pool& pool, const BucketCheckOptions& options, const CallContext& ctx) {
  return BucketChecker(bucket, pool, options, ctx).run();
}

}  // namespace skald::app
