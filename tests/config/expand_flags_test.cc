#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "skald/config/load.h"

namespace skald::config {
namespace {

using ::testing::HasSubstr;

const char* environment(const char* name) {
  static const std::map<std::string, std::string> variables = {{"V", "value"}, {"EMPTY", ""}, {"PATHLIKE", "a/b/c.tar.gz"}, {"OTHER", "x"}};
  const auto at = variables.find(name);
  return at == variables.end() ? nullptr : at->second.c_str();
}

TEST(ExpandEnvironment, EachFormOfTheReference) {
  const std::pair<const char*, const char*> cases[] = {
      {"a ${V} b", "a value b"}, {"${UNSET}", ""}, {"$V stays", "$V stays"}, {"$$", "$"}, {"$${V}", "${V}"}, {"cost: 3$", "cost: 3$"},
      {"${V:-d}", "value"}, {"${UNSET:-d}", "d"}, {"${EMPTY:-d}", "d"}, {"${UNSET:=d}", "d"}, {"${UNSET=d}", "d"}, {"${EMPTY=d}", "d"},
      {"${UNSET:-http://h:80/p}", "http://h:80/p"}, {"${UNSET:-${OTHER}}", "x"}, {"${UNSET:-}", ""},
      {"${V^}", "Value"}, {"${V^^}", "VALUE"}, {"${V,}", "value"}, {"${V,,}", "value"}, {"${EMPTY^}", ""},
      {"${V:1}", "alue"}, {"${V:1:2}", "al"}, {"${V:9}", ""}, {"${#V}", "5"}, {"${#UNSET}", "0"},
      {"${PATHLIKE#*/}", "b/c.tar.gz"}, {"${PATHLIKE##*/}", "c.tar.gz"}, {"${PATHLIKE%.*}", "a/b/c.tar"}, {"${PATHLIKE%%.*}", "a/b/c"},
      {"${PATHLIKE/b/B}", "a/B/c.tar.gz"}, {"${PATHLIKE//a/A}", "A/b/c.tAr.gz"}, {"${V/#va/VA}", "VAlue"}, {"${V/%ue/UE}", "valUE"}, {"${V/#x/y}", "value"},
      {"# ${V} in a comment", "# value in a comment"}, {"", ""}};
  for (const auto& [text, wanted] : cases) {
    const Result<std::string> got = expand_environment(text, environment);
    ASSERT_TRUE(got.ok()) << text << ": " << got.error().message();
    EXPECT_EQ(*got, wanted) << text;
  }
}

TEST(ExpandEnvironment, WhatIsNotAFormIsAnError) {
  EXPECT_EQ(expand_environment("a ${V", environment).error().message(), "missing closing brace");
  EXPECT_EQ(expand_environment("${V:-${OTHER}", environment).error().message(), "missing closing brace");
  for (const char* text : {"${V-d}", "${V+d}", "${V:?d}", "${V:+d}", "${}", "${V:x}"}) EXPECT_FALSE(expand_environment(text, environment).ok()) << text;
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "${UNSET:-";
  EXPECT_FALSE(expand_environment(deep, environment).ok());
}

TEST(ExpandEnvironment, TheFileIsExpandedOnlyWhenAsked) {
  const auto read = [](const std::string&) -> Result<std::string> { return std::string("auth_enabled: false\ncommon: {path_prefix: \"/p/${V}\"}\n"); };
  Result<Loaded> loaded = load(*parse_command_line({"-config.file=c", "-config.expand-env"}), read, environment);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ(loaded->config.ingester.wal_dir, "/p/value/wal");
  loaded = load(*parse_command_line({"-config.file=c", "-config.expand-env=false"}), read, environment);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->config.ingester.wal_dir, "/p/${V}/wal");
}

TEST(Flags, GoSyntax) {
  const Result<CommandLine> line = parse_command_line({"-config.file=a.yaml,b.yaml", "--server.http-listen-port", "80", "-verify-config", "-auth.enabled=false",
                                                       "-target=read,write", "-log.level=debug", "-distributor.ingestion-rate-limit-mb=7.5", "-validation.reject-old-samples=f"});
  ASSERT_TRUE(line.ok()) << line.error().message();
  EXPECT_EQ(line->config_files, (std::vector<std::string>{"a.yaml", "b.yaml"}));
  EXPECT_TRUE(line->verify_config);
  const std::vector<std::pair<std::string, std::string>> wanted = {{"server.http_listen_port", "80"}, {"auth_enabled", "false"}, {"target", "read,write"},
      {"server.log_level", "debug"}, {"limits_config.ingestion_rate_mb", "7.5"}, {"limits_config.reject_old_samples", "f"}};
  EXPECT_EQ(line->keys, wanted);
}

TEST(Flags, ErrorsNameTheFlag) {
  const auto error = [](std::vector<std::string> arguments) {
    const Result<CommandLine> line = parse_command_line(arguments);
    return line.ok() ? "parsed" : line.error().message();
  };
  EXPECT_THAT(error({"-no.such-flag"}), HasSubstr("flag provided but not defined: -no.such-flag"));
  EXPECT_THAT(error({"-server.http-listen-prt=1"}), HasSubstr("did you mean -server.http-listen-port?"));
  EXPECT_EQ(error({"-server.http-listen-port"}), "flag needs an argument: -server.http-listen-port");
  EXPECT_THAT(error({"-server.http-listen-port=abc"}), HasSubstr("invalid value \"abc\" for flag -server.http-listen-port"));
  EXPECT_THAT(error({"-verify-config=perhaps"}), HasSubstr("invalid boolean value"));
  EXPECT_THAT(error({"stray"}), HasSubstr("unexpected argument \"stray\""));
  EXPECT_THAT(error({"---x"}), HasSubstr("bad flag syntax"));
}

TEST(Flags, EveryKeyOfTheTablesHasItsFlagAndLaterWins) {
  const auto none = [](const std::string& path) -> Result<std::string> { return Error(ErrorCode::kNotFound, path); };
  const Result<CommandLine> line = parse_command_line({"-ingester.chunk-target-size=1", "-ingester.chunk-target-size=2", "-memberlist.join=a", "-memberlist.join=b",
      "-runtime-config.file=/r.yaml", "-common.path-prefix=/x", "-querier.query-timeout=7m", "-store.retention=31d", "-shutdown-delay=10s", "-memberlist.bind-addr=1.2.3.4"});
  ASSERT_TRUE(line.ok()) << line.error().message();
  const Result<Loaded> loaded = load(*line, none, environment);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  const Config& config = loaded->config;
  EXPECT_EQ(config.ingester.chunk_target_size, 2);
  EXPECT_EQ(config.memberlist.join_members, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.runtime_config.file, "/r.yaml");
  EXPECT_EQ(config.bucket_directory(), "/x/chunks");
  EXPECT_EQ(config.limits.query_timeout, 7 * kNanosPerMinute);
  EXPECT_EQ(config.limits.retention_period, 31 * kNanosPerDay);
  EXPECT_EQ(config.shutdown_delay, 10 * kNanosPerSecond);
}

TEST(Flags, HelpNamesEveryFlag) {
  const std::string help = flags_help();
  for (const char* flag : {"-config.file\n", "-server.http-listen-port\n", "-ingester.wal-dir\n", "-distributor.ingestion-rate-limit-mb\n", "-store.max-query-length\n"})
    EXPECT_THAT(help, HasSubstr(flag));
}

}  // namespace
}  // namespace skald::config
