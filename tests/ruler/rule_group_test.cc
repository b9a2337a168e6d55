#include "skald/ruler/rule_group.h"

#include <gtest/gtest.h>

#include "skald/objstore/stores.h"
#include "skald/ruler/rule_store.h"

namespace skald::ruler {
namespace {

constexpr char kGroup[] =
    "name: g1\ninterval: 1m\nrules:\n    - alert: TooMany\n      expr: sum(rate({app=\"x\"}[5m])) > 10\n      for: 5m\n"
    "      labels:\n        sev: page\n      annotations:\n        summary: hi\n    - record: app:rate\n      expr: sum(rate({app=\"x\"}[5m]))\n";

TEST(RuleGroup, CanonicalTextRoundTrips) {
  const auto group = parse_rule_group(kGroup);
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(group->rules.size(), 2U);
  EXPECT_EQ(format_rule_group(*group), kGroup);
}

TEST(RuleGroup, AwkwardTextsReadBackAsTheyWere) {
  RuleGroup group;
  group.name = "a: b #c";
  for (const std::string& text : {std::string("true"), std::string("12"), std::string("- x"), std::string("two\nlines\n"), std::string("two\nlines"),
                                  std::string("trailing "), std::string("\"quoted\""), std::string("tab\there"), std::string("{{ $labels.app }} is down")}) {
    Rule rule;
    rule.alert = "A";
    rule.expr = "vector(1)";
    rule.annotations["text"] = text;
    group.rules.push_back(rule);
  }
  const auto again = parse_rule_group(format_rule_group(group));
  ASSERT_TRUE(again.ok()) << format_rule_group(group);
  EXPECT_EQ(again->name, group.name);
  for (std::size_t i = 0; i < group.rules.size(); ++i) {
    EXPECT_EQ(again->rules.at(i).annotations.at("text"), group.rules[i].annotations.at("text"));
  }
}

TEST(RuleGroup, RefusalsNameTheReason) {
  const auto reason = [](const char* yaml) {
    const auto group = parse_rule_group(yaml);
    if (!group.ok()) return group.error().message();
    const auto valid = validate_rule_group(*group);
    return valid.ok() ? std::string() : valid.error().message();
  };
  EXPECT_EQ(reason(""), "group 0: Groupname must not be empty");
  EXPECT_EQ(reason(": : :"), "unable to decoded rule group");
  EXPECT_EQ(reason("name: l\nrules:\n  - alert: x\n    expr: vector(1)\n    for: abc\n"), "unable to decoded rule group");
  EXPECT_EQ(reason("name: l\nrules:\n  - alert: x\n    record: y\n    expr: vector(1)\n"), "only one of 'record' and 'alert' must be set");
  EXPECT_EQ(reason("name: l\nrules:\n  - expr: vector(1)\n"), "one of 'record' or 'alert' must be set");
  EXPECT_TRUE(reason("name: bad\nrules:\n  - alert: x\n    expr: sum(\n").starts_with("could not parse expression for alert 'x' in group 'bad': parse error"));
  EXPECT_EQ(reason("name: l\nfoo: 1\n"), "");
}

TEST(RuleStore, KeepsGroupsPerTenantAndNamespace) {
  const auto objects = objstore::make_memory_store();
  RuleStore store(*objects);
  CallContext a;
  a.tenant = "a";
  CallContext b;
  b.tenant = "b";
  RuleGroup group = *parse_rule_group(kGroup);
  ASSERT_TRUE(store.set(a, "ns/1", group).ok());
  group.name = "g0";
  ASSERT_TRUE(store.set(a, "ns/1", group).ok());
  EXPECT_TRUE(store.list(b, "")->empty());
  const auto listed = store.list(a, "");
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(listed->at("ns/1").at(0).name, "g0");
  EXPECT_EQ(listed->at("ns/1").at(1).name, "g1");
  EXPECT_EQ(store.get(a, "ns/1", "nope").error().message(), "group does not exist");
  EXPECT_TRUE(store.remove_group(a, "ns/1", "g1").ok());
  EXPECT_EQ(store.remove_namespace(a, "other").error().message(), "group namespace does not exist");
  EXPECT_TRUE(store.remove_namespace(a, "ns/1").ok());
  EXPECT_TRUE(store.list(a, "")->empty());
}

TEST(RuleStore, NamesOfAnyBytesBecomeKeysAndBack) {
  for (const std::string& name : {std::string("a"), std::string("ab"), std::string("abc"), std::string("\x00\xff/..", 5), std::string("名前")}) {
    EXPECT_EQ(*decode_name(encode_name(name)), name);
  }
}

}  // namespace
}  // namespace skald::ruler
