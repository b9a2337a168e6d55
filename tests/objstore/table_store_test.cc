#include "skald/objstore/table_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <set>

#include "objstore/store_contract.h"
#include "objstore/table_head.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

using Names = std::vector<std::string>;

// A table that is shared, counted and sometimes fails.
class WatchedTable final : public TableClient {
 public:
  struct Shared {
    std::unique_ptr<TableClient> table = make_memory_table(1'000, 7);
    std::function<Result<void>(const char* operation, std::string_view hash, std::string_view range)> before;
    int reads = 0;
  };
  explicit WatchedTable(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  Result<void> put(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) override {
    SKALD_TRY_VOID(told("put", hash, range));
    return shared_->table->put(hash, range, value, ctx);
  }
  Result<void> put_if_absent(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) override {
    SKALD_TRY_VOID(told("put_if_absent", hash, range));
    return shared_->table->put_if_absent(hash, range, value, ctx);
  }
  Result<Bytes> get(std::string_view hash, std::string_view range, const CallContext& ctx) override {
    SKALD_TRY_VOID(told("get", hash, range));
    return shared_->table->get(hash, range, ctx);
  }
  Result<TablePage> query(std::string_view hash, std::string_view prefix, std::string_view next, std::size_t items_max, WithValues values, const CallContext& ctx) override {
    SKALD_TRY_VOID(told("query", hash, prefix));
    return shared_->table->query(hash, prefix, next, items_max, values, ctx);
  }
  Result<void> remove(std::string_view hash, std::string_view range, const CallContext& ctx) override {
    SKALD_TRY_VOID(told("remove", hash, range));
    return shared_->table->remove(hash, range, ctx);
  }
  std::size_t value_bytes_max() const override { return shared_->table->value_bytes_max(); }

 private:
  Result<void> told(const char* operation, std::string_view hash, std::string_view range) {
    return shared_->before ? shared_->before(operation, hash, range) : Result<void>();
  }
  const std::shared_ptr<Shared> shared_;
};

class TableIndex : public testing::Test {
 protected:
  std::unique_ptr<ObjectStore> open() {
    auto inner = make_memory_store();
    inner_ = inner.get();
    return with_table_index(std::move(inner), std::make_unique<WatchedTable>(shared_));
  }
  std::size_t items(const std::string& hash) {
    std::size_t count = 0;
    std::string next;
    do {
      const TablePage page = shared_->table->query(hash, "", next, 0, WithValues::kNo, ctx_).value();
      count += page.items.size();
      next = page.next;
    } while (!next.empty());
    return count;
  }
  Names keys(ObjectStore& store, const std::string& prefix) {
    Names names;
    const auto objects = list_objects(store, prefix, ctx_).value();
    for (const ObjectInfo& object : objects) names.push_back(object.key);
    return names;
  }
  static Bytes body_of(std::size_t size) {
    Bytes out(size, '\0');
    SeededRandom random(size);
    for (char& c : out) c = static_cast<char>(random.next_u64());
    return out;
  }

  std::shared_ptr<WatchedTable::Shared> shared_ = std::make_shared<WatchedTable::Shared>();
  ObjectStore* inner_ = nullptr;
  CallContext ctx_;
};

TEST_F(TableIndex, KeepsTheContractOfStores) {
  for (const std::size_t value_bytes_max : {std::size_t{1'000}, std::size_t{350'000}}) {
    shared_->table = make_memory_table(value_bytes_max, 100);
    auto store = with_prefix(open(), "tenant/index/");
    StoreContract(*store, 300'000).run();
    EXPECT_EQ(items("tenant/folders"), 0U);
    EXPECT_TRUE(inner_->list("", "", ListDepth::kAll, ctx_)->objects.empty());
  }
}

TEST_F(TableIndex, OtherKeysKeepItToo) {
  auto store = open();
  StoreContract(*store, 10'000).run();
  EXPECT_EQ(items("tenants"), 0U);
}

TEST_F(TableIndex, RoundTripsAroundPartEdges) {
  auto store = open();
  const std::size_t part = 1'000 - table::kPartHeaderBytes, inline_max = 1'000 - table::kHeadBytes;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, inline_max, inline_max + 1, part, part + 1, 2 * part, 2 * part + 1, 10 * part}) {
    const Bytes body = body_of(size);
    ASSERT_TRUE(store->put("t/index/index_5/A", body, ctx_).ok());
    EXPECT_EQ(store->get("t/index/index_5/A", {}, ctx_).value(), body) << size;
    EXPECT_EQ(list_objects(*store, "t/index/", ctx_).value()[0].size, size);
    for (const std::size_t begin : {std::size_t{0}, part - 1, part, part + 1, size})
      for (const std::size_t end : {begin, begin + 1, part, 2 * part, size, size + 5}) {
        if (end < begin || begin > size) continue;
        EXPECT_EQ(store->get("t/index/index_5/A", {begin, end}, ctx_).value(), body.substr(begin, end - begin)) << size << " " << begin << " " << end;
      }
    EXPECT_EQ(items("t/parts/index_5"), size <= inline_max ? 0 : (size + part - 1) / part);   // none left of the object before
  }
  ASSERT_TRUE(store->remove("t/index/index_5/A", ctx_).ok());
  for (const char* hash : {"t/index/index_5", "t/parts/index_5", "t/folders"}) EXPECT_EQ(items(hash), 0U) << hash;
}

TEST_F(TableIndex, TenantsAndFoldersOfBothAreFound) {
  auto store = open();
  for (const char* key : {"anna/chunks/20261120T06/x", "bob/rules/r", "anna/index/index_1/A", "anna/index/index_2/B", "carl/index/index_1/C", "carl-2/index/index_1/D", "top"})
    ASSERT_TRUE(store->put(key, "v", ctx_).ok()) << key;
  EXPECT_EQ(list_folders(*store, "", ctx_).value(), (Names{"anna/", "bob/", "carl-2/", "carl/"}));
  EXPECT_EQ(list_folders(*store, "car", ctx_).value(), (Names{"carl-2/", "carl/"}));
  EXPECT_EQ(list_folders(*store, "anna/", ctx_).value(), (Names{"anna/chunks/", "anna/index/"}));
  EXPECT_EQ(list_folders(*store, "anna/in", ctx_).value(), Names{"anna/index/"});
  EXPECT_EQ(list_folders(*store, "anna/c", ctx_).value(), Names{"anna/chunks/"});
  EXPECT_EQ(list_folders(*store, "bob/", ctx_).value(), Names{"bob/rules/"});
  EXPECT_EQ(list_folders(*store, "anna/index/", ctx_).value(), (Names{"anna/index/index_1/", "anna/index/index_2/"}));
  EXPECT_EQ(list_folders(*store, "anna/index/index_2", ctx_).value(), Names{"anna/index/index_2/"});
  EXPECT_EQ(keys(*store, "anna/"), (Names{"anna/chunks/20261120T06/x", "anna/index/index_1/A", "anna/index/index_2/B"}));
  EXPECT_EQ(keys(*store, "anna/index/index_1/"), Names{"anna/index/index_1/A"});
  EXPECT_EQ(keys(*store, ""), (Names{"anna/chunks/20261120T06/x", "bob/rules/r", "top", "anna/index/index_1/A", "anna/index/index_2/B", "carl-2/index/index_1/D",
                                     "carl/index/index_1/C"}));
  // A second process sees the same.
  const auto other = open();
  EXPECT_EQ(list_folders(*other, "", ctx_).value(), (Names{"anna/", "carl-2/", "carl/"}));
  // What becomes empty is listed no more.
  ASSERT_TRUE(store->remove("carl/index/index_1/C", ctx_).ok());
  EXPECT_EQ(list_folders(*store, "", ctx_).value(), (Names{"anna/", "bob/", "carl-2/"}));
  ASSERT_TRUE(store->remove_all(Names{"anna/index/index_2/B", "bob/rules/r"}, ctx_).ok());
  EXPECT_EQ(list_folders(*store, "", ctx_).value(), (Names{"anna/", "carl-2/"}));
  EXPECT_EQ(list_folders(*store, "anna/index/", ctx_).value(), Names{"anna/index/index_1/"});
}

TEST_F(TableIndex, PagesThroughSeveralTenants) {
  shared_->table = make_memory_table();
  auto store = open();
  std::size_t expected = 0;
  for (const char* tenant : {"a", "a-b", "b"})
    for (int i = 0; i < 700; ++i, ++expected)
      ASSERT_TRUE(store->put(std::string(tenant) + "/index/index_" + std::to_string(i % 7) + "/" + std::to_string(i), "v", ctx_).ok());
  ASSERT_TRUE(store->put("a/chunks/x", "v", ctx_).ok());
  const Names all = keys(*store, "");
  EXPECT_EQ(all.size(), expected + 1);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
  EXPECT_EQ(keys(*store, "a/").size(), 701U);
}

TEST_F(TableIndex, ObjectsOfTheBucketAreNotMixedIn) {
  auto store = open();
  ASSERT_TRUE(inner_->put("t/index/index_1/old", "v", ctx_).ok());
  EXPECT_EQ(keys(*store, "t/"), Names{});
  EXPECT_EQ(list_folders(*store, "t/", ctx_).value(), Names{});
  EXPECT_EQ(store->get("t/index/index_1/old", {}, ctx_).error().code(), ErrorCode::kNotFound);
}

TEST_F(TableIndex, TheLoserOfARaceLeavesNoParts) {
  auto store = open();
  ASSERT_TRUE(store->create("t/index/index_1/A", body_of(5'000), ctx_).ok());
  const std::size_t parts = items("t/parts/index_1");
  EXPECT_EQ(store->create("t/index/index_1/A", body_of(9'000), ctx_).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(items("t/parts/index_1"), parts);
  EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).value(), body_of(5'000));
}

// Whichever request fails: the old object or the new one, and a listing that names it.
TEST_F(TableIndex, WhicheverRequestFailsTheObjectIsOldOrNew) {
  for (int nth = 1;; ++nth) {
    shared_->table = make_memory_table(1'000, 7);
    shared_->before = nullptr;
    auto store = open();
    const Bytes first = body_of(3'000), second = body_of(4'000);
    ASSERT_TRUE(store->put("t/index/index_1/A", first, ctx_).ok());
    std::atomic<int> count{0};
    shared_->before = [&](const char*, std::string_view, std::string_view) -> Result<void> {
      if (++count == nth) return Error(ErrorCode::kUnavailable, "lost");
      return {};
    };
    const bool replaced = store->put("t/index/index_1/A", second, ctx_).ok();
    const auto fault = std::exchange(shared_->before, nullptr);
    const Bytes now = store->get("t/index/index_1/A", {}, ctx_).value();
    ASSERT_TRUE(now == second || (!replaced && now == first)) << nth;
    shared_->before = fault;
    const bool added = store->create("t/index/index_2/B", second, ctx_).ok();
    const bool removed = store->remove("t/index/index_1/A", ctx_).ok();
    shared_->before = nullptr;
    const auto a = store->get("t/index/index_1/A", {}, ctx_);
    if (a.ok()) {
      ASSERT_FALSE(removed) << nth;
      ASSERT_EQ(*a, now) << nth;
      ASSERT_EQ(keys(*store, "t/index/index_1/"), Names{"t/index/index_1/A"}) << nth;
    } else {
      ASSERT_EQ(a.error().code(), ErrorCode::kNotFound) << nth;
    }
    const auto b = store->get("t/index/index_2/B", {}, ctx_);
    ASSERT_TRUE(b.ok() || !added) << nth;
    if (added) {
      ASSERT_EQ(keys(*store, "t/index/index_2/"), Names{"t/index/index_2/B"}) << nth;
      ASSERT_EQ(list_folders(*store, "t/index/", ctx_).value().back(), "t/index/index_2/") << nth;
    }
    if (count < nth) break;   // nothing failed
  }
}

// The last object of a folder goes while another process adds one: the folder stays listed.
TEST_F(TableIndex, AFolderIsNotForgottenWhileSomebodyAddsToIt) {
  auto remover = open(), adder = open();
  for (const std::string at : {"query t/index/index_1", "remove t/folders"}) {
    ASSERT_TRUE(adder->put("t/index/index_1/A", "v", ctx_).ok());
    bool done = false;
    shared_->before = [&](const char* operation, std::string_view hash, std::string_view) -> Result<void> {
      if (done || std::string(operation) + " " + std::string(hash) != at) return {};
      done = true;
      return adder->put("t/index/index_1/B", "v", ctx_);
    };
    ASSERT_TRUE(remover->remove("t/index/index_1/A", ctx_).ok());
    ASSERT_TRUE(done) << at;
    shared_->before = nullptr;
    EXPECT_EQ(keys(*remover, "t/index/"), Names{"t/index/index_1/B"}) << at;
    ASSERT_TRUE(remover->remove("t/index/index_1/B", ctx_).ok());
    EXPECT_EQ(keys(*remover, "t/index/"), Names{}) << at;
  }
}

TEST_F(TableIndex, AReplacementBetweenHeadAndPartsIsReadAnew) {
  auto store = open(), other = open();
  const Bytes first = body_of(3'000), second = body_of(4'000);
  ASSERT_TRUE(store->put("t/index/index_1/A", first, ctx_).ok());
  std::atomic<bool> done{false};
  shared_->before = [&](const char* operation, std::string_view hash, std::string_view) -> Result<void> {
    if (std::string_view(operation) != "get" || !hash.starts_with("t/parts") || done.exchange(true)) return {};
    return other->put("t/index/index_1/A", second, ctx_);
  };
  EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).value(), second);
}

TEST_F(TableIndex, LostAndDamagedPartsAreNoticed) {
  auto store = open();
  ASSERT_TRUE(store->put("t/index/index_1/A", body_of(3'000), ctx_).ok());
  const TablePage parts = shared_->table->query("t/parts/index_1", "", "", 0, WithValues::kYes, ctx_).value();
  ASSERT_EQ(parts.items.size(), 4U);
  for (const TableItem& part : parts.items) {
    ASSERT_TRUE(shared_->table->remove("t/parts/index_1", part.range, ctx_).ok());
    EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).error().code(), ErrorCode::kCorruption);
    Bytes bad = part.value;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    for (const Bytes& value : {bad, part.value.substr(0, part.value.size() - 1), Bytes("x")}) {
      ASSERT_TRUE(shared_->table->put("t/parts/index_1", part.range, value, ctx_).ok());
      EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).error().code(), ErrorCode::kCorruption);
    }
    ASSERT_TRUE(shared_->table->put("t/parts/index_1", part.range, part.value, ctx_).ok());
  }
  EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).value(), body_of(3'000));
  // A damaged head is listed, cannot be read, and can be replaced.
  ASSERT_TRUE(shared_->table->put("t/index/index_1", "A", "nonsense", ctx_).ok());
  EXPECT_EQ(keys(*store, "t/index/"), Names{"t/index/index_1/A"});
  EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).error().code(), ErrorCode::kCorruption);
  ASSERT_TRUE(store->put("t/index/index_1/A", "new", ctx_).ok());
  EXPECT_EQ(store->get("t/index/index_1/A", {}, ctx_).value(), "new");
}

TEST(TableHead, EveryCutAndFlippedBitIsNoticed) {
  SeededRandom random(3);
  const table::Head small{.upload = Ulid::make(5, random), .size = 4, .part_bytes = 0, .crc = 0x86a072c0};
  const table::Head large{.upload = Ulid::make(5, random), .size = 1'000'000, .part_bytes = 900, .crc = 7};
  EXPECT_EQ(large.parts(), 1'112U);
  const Bytes inline_body = "abcd";
  for (const auto& [head, body] : {std::pair{large, Bytes()}}) {
    const Bytes value = table::encode_head(head, body);
    ByteView rest;
    const auto again = table::decode_head(value, rest);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->upload, head.upload);
    EXPECT_EQ(again->size, head.size);
    EXPECT_EQ(again->part_bytes, head.part_bytes);
    EXPECT_EQ(rest, body);
    for (std::size_t keep = 0; keep < value.size(); ++keep) ASSERT_FALSE(table::decode_head(ByteView(value).substr(0, keep), rest).ok()) << keep;
    for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
      Bytes bad = value;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      ASSERT_FALSE(table::decode_head(bad, rest).ok()) << bit;
    }
  }
  ByteView rest;
  EXPECT_FALSE(table::decode_head(table::encode_head(small, inline_body), rest).ok());   // its checksum is another's
}

TEST(TablePlaces, FollowFromKeys) {
  EXPECT_FALSE(table::in_table("t/index"));
  EXPECT_FALSE(table::in_table("t/chunks/index/x"));
  EXPECT_FALSE(table::in_table("/index/x"));
  const table::Place place = table::place_of("t/index/index_5/01ABC");
  EXPECT_EQ(place.hash() + " " + place.name + " " + place.parts_hash(), "t/index/index_5 01ABC t/parts/index_5");
  EXPECT_EQ(table::place_of("t/index/x").hash(), "t/index");
  EXPECT_EQ(table::place_of("t/index/a/b/c").folder, "a/b");
}

}  // namespace
}  // namespace skald::objstore
