#include "skald/ring/desc.h"

#include <gtest/gtest.h>

#include <set>
#include <snappy.h>

#include "skald/base/random.h"

namespace skald::ring {
namespace {

Instance member(const std::string& id, std::int64_t heartbeat_s, std::vector<std::uint32_t> tokens, InstanceState state = InstanceState::kActive) {
  Instance out;
  out.id = id;
  out.address = id + ":9095";
  out.zone = "zone-" + id.substr(0, 1);
  out.heartbeat_s = heartbeat_s;
  out.state = state;
  out.tokens = std::move(tokens);
  out.registered_s = 1'700'000'000;
  return out;
}

Desc ring_of(std::vector<Instance> members) {
  Desc out;
  for (Instance& one : members) {
    const std::string id = one.id;
    out.instances.emplace(id, std::move(one));
  }
  return out;
}

Desc random_desc(SeededRandom& random) {
  Desc out;
  for (std::uint64_t n = random.next_u64() % 6; n > 0; --n) {
    Instance one = member("i" + std::to_string(random.next_u64() % 8), static_cast<std::int64_t>(100 + random.next_u64() % 5), {},
                          static_cast<InstanceState>(random.next_u64() % 5));
    if (one.state != InstanceState::kLeft)
      for (std::uint64_t t = random.next_u64() % 4; t > 0; --t) one.tokens.push_back(static_cast<std::uint32_t>(random.next_u64() % 12));
    std::sort(one.tokens.begin(), one.tokens.end());
    one.tokens.erase(std::unique(one.tokens.begin(), one.tokens.end()), one.tokens.end());
    out.instances.insert_or_assign(one.id, one);
  }
  return out;
}

// Within one moment of an instance its entry is one and the same everywhere; tokens may have been taken from it since.
std::map<std::string, std::pair<std::int64_t, InstanceState>> essence(const Desc& desc) {
  std::map<std::string, std::pair<std::int64_t, InstanceState>> out;
  for (const auto& [id, instance] : desc.instances) out[id] = {instance.heartbeat_s, instance.state};
  return out;
}

TEST(Desc, RoundTrips) {
  Desc desc = ring_of({member("a", 1'700'000'100, {1, 2, 4'000'000'000}), member("b", 7, {}, InstanceState::kLeft), member("c", 0, {5}, InstanceState::kJoining)});
  desc.instances["a"].read_only = true;
  desc.instances["a"].read_only_updated_s = 12;
  desc.instances["a"].versions = {{1, 2}, {3, 400}};
  EXPECT_EQ(decode(encode(desc)).value(), desc);
  EXPECT_EQ(decode(encode(Desc{})).value(), Desc{});
}

// Field by field as the protobuf schema has it, so that another implementation reads us and we read it.
TEST(Desc, HasTheBytesOfTheSchema) {
  Instance one;
  one.id = "n0";
  one.address = "h:1";
  one.heartbeat_s = 5;
  one.tokens = {1, 300};
  Bytes plain;
  ASSERT_TRUE(snappy::Uncompress(encode(ring_of({one})).data(), encode(ring_of({one})).size(), &plain));
  const std::string instance = std::string("\x0a\x03h:1\x10\x05\x32\x03\x01\xac\x02\x4a\x02n0", 16);
  const std::string entry = std::string("\x0a\x02n0\x12\x10", 6) + instance;
  EXPECT_EQ(plain, std::string("\x0a") + static_cast<char>(entry.size()) + entry);
}

TEST(Desc, ReadsUnpackedTokensAndSkipsUnknownFields) {
  const std::string instance = std::string("\x30\x07\x30\x05\x7a\x01x\x78\x01", 9);   // two tokens one by one, fields 15
  std::string entry = std::string("\x0a\x01q\x12", 4) + static_cast<char>(instance.size()) + instance;
  std::string plain = std::string("\x0a") + static_cast<char>(entry.size()) + entry, packed;
  snappy::Compress(plain.data(), plain.size(), &packed);
  const Desc desc = decode(packed).value();
  EXPECT_EQ(desc.instances.at("q").tokens, (std::vector<std::uint32_t>{5, 7}));
  EXPECT_EQ(desc.instances.at("q").id, "q");
}

TEST(Desc, DamageIsAnErrorOrAnotherDesc) {
  const Bytes good = encode(ring_of({member("a", 1'700'000'100, {1, 2, 3}), member("b", 7, {9, 10})}));
  for (std::size_t cut = 0; cut < good.size(); ++cut) (void)decode(ByteView(good).substr(0, cut));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    (void)decode(bad);
  }
  EXPECT_FALSE(decode("").ok());
  EXPECT_FALSE(decode(std::string("\xff\xff\xff\xff\x7f", 5)).ok());   // says it unpacks to 34 GB
}

TEST(Merge, NewerHeartbeatWins) {
  Desc ours = ring_of({member("a", 100, {1})});
  const Desc change = merge(ours, ring_of({member("a", 101, {1}, InstanceState::kLeaving)}));
  EXPECT_EQ(ours.instances.at("a").state, InstanceState::kLeaving);
  EXPECT_EQ(change.instances.size(), 1U);
  EXPECT_TRUE(merge(ours, ring_of({member("a", 100, {1})})).instances.empty());
  EXPECT_TRUE(merge(ours, ring_of({member("a", 101, {1})})).instances.empty());   // equal: nothing new
  EXPECT_EQ(ours.instances.at("a").state, InstanceState::kLeaving);
}

TEST(Merge, AnOldNewsDoesNotBringBackWhoLeft) {
  Desc ours = ring_of({member("a", 100, {1})});
  EXPECT_EQ(merge(ours, ring_of({member("a", 100, {1}, InstanceState::kLeft)})).instances.size(), 1U);
  EXPECT_TRUE(ours.instances.at("a").tokens.empty());
  EXPECT_TRUE(merge(ours, ring_of({member("a", 99, {1})})).instances.empty());
  EXPECT_TRUE(visible(ours).instances.empty());
  remove_tombstones(ours, 100);
  EXPECT_EQ(ours.instances.size(), 1U);
  remove_tombstones(ours, 101);
  EXPECT_TRUE(ours.instances.empty());
}

TEST(Merge, ContestedTokensGoToOneOwner) {
  Desc ours = ring_of({member("b", 100, {1, 2}), member("l", 100, {3}, InstanceState::kLeaving)});
  const Desc change = merge(ours, ring_of({member("a", 100, {2, 5}), member("z", 100, {3})}));
  EXPECT_EQ(ours.instances.at("a").tokens, (std::vector<std::uint32_t>{2, 5}));   // the smaller id
  EXPECT_EQ(ours.instances.at("b").tokens, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(ours.instances.at("z").tokens, (std::vector<std::uint32_t>{3}));      // who is not leaving
  EXPECT_TRUE(ours.instances.at("l").tokens.empty());
  EXPECT_EQ(change.instances.size(), 4U);
}

TEST(Merge, OrderAndRepetitionDoNotMatter) {
  SeededRandom random(7);
  for (int round = 0; round < 500; ++round) {
    const Desc a = random_desc(random), b = random_desc(random), c = random_desc(random);
    Desc abc, cba, repeated;
    merge(abc, a), merge(abc, b), merge(abc, c);
    merge(cba, c), merge(cba, b), merge(cba, a);
    merge(repeated, a), merge(repeated, b), merge(repeated, c), merge(repeated, a), merge(repeated, b);
    // Two different entries with one heartbeat cannot happen for one instance; where they do, only heartbeat and LEFT count.
    std::map<std::string, std::int64_t> first, second, third;
    for (const auto& [id, what] : essence(abc)) first[id] = what.first;
    for (const auto& [id, what] : essence(cba)) second[id] = what.first;
    for (const auto& [id, what] : essence(repeated)) third[id] = what.first;
    EXPECT_EQ(first, second);
    EXPECT_EQ(first, third);
    std::set<std::uint32_t> tokens;
    for (const auto& [id, instance] : abc.instances)
      for (const std::uint32_t token : instance.tokens) EXPECT_TRUE(tokens.insert(token).second) << token;
  }
}

TEST(MergeLocal, RemovedEntriesBecomeTombstonesThatWin) {
  Desc ours = ring_of({member("a", 100, {1}), member("b", 300, {2})});
  Desc edited = ours;
  edited.instances.erase("b");
  const Desc change = merge_local(ours, edited, 200);
  ASSERT_EQ(change.instances.size(), 1U);
  Desc peer = ring_of({member("a", 100, {1}), member("b", 300, {2})});
  merge(peer, change);
  EXPECT_TRUE(peer.instances.at("b").state == InstanceState::kLeft);
  EXPECT_TRUE(merge_local(ours, visible(ours), 201).instances.empty());
}

TEST(MergeLocal, AnEditWithoutANewHeartbeatStillReachesPeers) {
  Desc ours = ring_of({member("a", 100, {1})}), peer = ours;
  Desc edited = ours;
  edited.instances["a"].state = InstanceState::kLeaving;
  merge(peer, merge_local(ours, edited, 100));
  EXPECT_EQ(peer.instances.at("a").state, InstanceState::kLeaving);
}

}  // namespace
}  // namespace skald::ring
