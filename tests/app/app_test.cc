#include "skald/app/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "app/directory_lock.h"
#include "app/fsck.h"
#include "app/health.h"
#include "app/options.h"
#include "app/services.h"
#include "app/targets.h"
#include "app/tools.h"
#include "skald/config/load.h"

namespace skald::app {
namespace {

using ::testing::HasSubstr;

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/skald-app-test-XXXXXX";
    SKALD_CHECK(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

config::Config config_in(const std::string& directory, const std::string& extra = "") {
  Result<config::Loaded> loaded = config::load_text("auth_enabled: false\nserver: {http_listen_port: 0, http_listen_address: 127.0.0.1}\ncommon: {path_prefix: " + directory + "}\n" + extra, "test.yaml");
  SKALD_CHECK(loaded.ok());
  return loaded->config;
}

int run_with(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "skald");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return run(static_cast<int>(argv.size()), argv.data());
}

// The status of a POST, by a client as simple as can be.
int post(std::uint16_t port, const std::string& path, const std::string& body) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
  const std::string request = "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) return -2;
  char answer[64] = {};
  const ssize_t got = recv(fd, answer, sizeof answer - 1, MSG_WAITALL);
  close(fd);
  return got > 12 ? std::atoi(answer + 9) : -3;
}

config::Config with_targets(std::vector<std::string> targets, bool shared) {
  config::Config config = config_in("/d", shared ? "memberlist: {join_members: [127.0.0.1]}" : "");
  config.target = std::move(targets);
  return config;
}

Modules alone() { return modules_of(with_targets({"all"}, false)).value(); }

TEST(Targets, AreModules) {
  const Result<Modules> all = modules_of(with_targets({"all"}, false));
  ASSERT_TRUE(all.ok());
  EXPECT_TRUE(all->ingester && all->distributor && all->querier && all->compactor && all->ruler && !all->scheduler && !all->shared);
  const Result<Modules> parts = modules_of(with_targets({"read", "write", "backend"}, false));
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->names(), all->names());
  const Result<Modules> write = modules_of(with_targets({"write"}, true));
  ASSERT_TRUE(write.ok());
  EXPECT_TRUE(write->ingester && write->distributor && !write->queries() && !write->backend() && write->shared);
  const Result<Modules> backend = modules_of(with_targets({"backend"}, true));
  ASSERT_TRUE(backend.ok());
  EXPECT_TRUE(backend->compactor && backend->ruler && backend->scheduler && backend->index_gateway && !backend->ingester);
  EXPECT_THAT(list_targets(), HasSubstr("write\n  distributor\n  ingester\n"));
}

TEST(Targets, APartNeedsARingThatIsShared) {
  EXPECT_THAT(modules_of(with_targets({"write"}, false)).error().message(), HasSubstr("target write is part of an installation"));
  EXPECT_THAT(modules_of(with_targets({"all", "reed"}, false)).error().message(), HasSubstr("unrecognised module name: reed"));
  EXPECT_THAT(modules_of(with_targets({"bloom-builder"}, true)).error().message(), HasSubstr("target bloom-builder does not exist here"));
}

TEST(Options, KeysReachTheModules) {
  config::Config config = config_in("/d", "ingester: {chunk_encoding: flate, chunk_target_size: 0, chunk_block_size: 1000, wal: {durability: always}, lifecycler: {id: me, address: 10.0.0.1}}\n"
                                          "chunk_store_config: {chunk_cache_config: {embedded_cache: {max_size_mb: 7}}}\nlimits_config: {query_timeout: 5m}\n");
  config::RuntimeLimits limits(config.limits, "", kNanosPerSecond, nullptr, obs::default_registry());
  const ingester::IngesterOptions options = ingester_options(config, instance_id(config), limits);
  EXPECT_EQ(options.id, "me");
  EXPECT_EQ(options.wal_directory, "/d/wal");
  EXPECT_EQ(options.chunk_encoding, chunk::Codec::kGzip);
  EXPECT_EQ(options.chunk_target_bytes, 10000u);
  EXPECT_EQ(options.durability, ingester::Durability::kAlways);
  EXPECT_EQ(options.limits("t").max_streams, 5000u);
  EXPECT_EQ(store_options(config).chunk_cache_bytes, 7u << 20);
  EXPECT_EQ(server_options(config).write_timeout_ms, 310'000);
  config.distributor.max_recv_msg_size = 1 << 20;
  config.distributor.max_decompressed_size = 2 << 20;
  EXPECT_EQ(distributor_options(config).body_bytes_max, 1u << 20);
  EXPECT_EQ(distributor_options(config).decompressed_bytes_max, 2u << 20);
  config.distributor.max_decompressed_size = std::int64_t{1} << 60;   // more than any machine has
  EXPECT_LT(distributor_options(config).decompressed_bytes_max, std::uint64_t{1} << 50);
  EXPECT_EQ(instance_address(config), "10.0.0.1:9095");
  config.ingester.wal_enabled = false;
  EXPECT_TRUE(ingester_options(config, "x", limits).flush_on_shutdown);
  EXPECT_EQ(ingester_options(config, "x", limits).wal_directory, "");
}

TEST(DirectoryLock, IsExclusiveUntilReleased) {
  const Directory directory;
  {
    const Result<DirectoryLock> first = DirectoryLock::take(directory.path());
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(DirectoryLock::take(directory.path()).error().code(), ErrorCode::kUnavailable);
  }
  EXPECT_TRUE(DirectoryLock::take(directory.path()).ok());
  EXPECT_FALSE(DirectoryLock::take(directory.path() + "/none").ok());
}

TEST(Health, RefusesUrlsItCannotAsk) {
  EXPECT_THAT(check_health("https://x/ready").error().message(), HasSubstr("must start with http://"));
  EXPECT_FALSE(check_health("http://").ok());
  EXPECT_FALSE(check_health("http://127.0.0.1:1/ready").ok());
}

TEST(Services, StartServeAndStopOnAnEmptyDirectory) {
  const Directory directory;
  Services services(config_in(directory.path()), alone(), [] {});
  const Result<void> started = services.start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  const std::string base = "http://127.0.0.1:" + std::to_string(services.port());
  EXPECT_TRUE(check_health(base + "/ready").ok());
  EXPECT_THAT(check_health(base + "/nope").error().message(), HasSubstr("answered 404"));
  for (const char* page : {"/metrics", "/config", "/services", "/ring", "/memberlist", "/loki/api/v1/status/buildinfo", "/log_level", "/config/tenant/v1/limits"})
    EXPECT_TRUE(check_health(base + page).ok()) << page;
  services.begin_stop();
  EXPECT_THAT(check_health(base + "/ready").error().message(), HasSubstr("answered 503"));
  services.stop();
  EXPECT_FALSE(check_health(base + "/ready").ok());
  services.stop();  // once more changes nothing
}

TEST(Services, ADamagedIndexObjectDoesNotKeepTheServerDown) {
  const Directory directory;
  {
    Services services(config_in(directory.path(), "ingester: {wal: {flush_on_shutdown: true}}\n"), alone(), [] {});
    ASSERT_TRUE(services.start().ok());
    ASSERT_EQ(post(services.port(), "/loki/api/v1/push", "{\"streams\":[{\"stream\":{\"app\":\"x\"},\"values\":[[\"" + std::to_string(system_clock().now_ns()) + "\",\"a line\"]]}]}"), 204);
    services.stop();
  }
  std::size_t damaged = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path() + "/chunks/fake/index")) {
    if (!entry.is_regular_file()) continue;
    std::ofstream(entry.path(), std::ios::trunc) << "not an index";
    ++damaged;
  }
  ASSERT_GT(damaged, 0u);
  Services services(config_in(directory.path()), alone(), [] {});
  const Result<void> started = services.start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  const std::string base = "http://127.0.0.1:" + std::to_string(services.port());
  EXPECT_TRUE(check_health(base + "/ready").ok());
  // What may be incomplete is an error, not an answer.
  EXPECT_FALSE(check_health(base + "/loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D").ok());
}

TEST(Services, TwoProcessesNeverShareADirectory) {
  const Directory directory;
  Services first(config_in(directory.path()), alone(), [] {});
  ASSERT_TRUE(first.start().ok());
  Services second(config_in(directory.path()), alone(), [] {});
  const Result<void> started = second.start();
  ASSERT_FALSE(started.ok());
  EXPECT_THAT(started.error().message(), HasSubstr("is in use by another process"));
}

TEST(Services, AMissingRuntimeFileIsFatalAtStart) {
  const Directory directory;
  Services services(config_in(directory.path(), "runtime_config: {file: /nonexistent/overrides.yaml}\n"), alone(), [] {});
  const Result<void> started = services.start();
  ASSERT_FALSE(started.ok());
  EXPECT_THAT(started.error().message(), HasSubstr("/nonexistent/overrides.yaml"));
}

TEST(CommandLine, ExitCodes) {
  const Directory directory;
  const std::string good = directory.path() + "/good.yaml", bad = directory.path() + "/bad.yaml";
  std::ofstream(good) << "auth_enabled: false\n";
  std::ofstream(bad) << "auth_enable: false\n";
  EXPECT_EQ(run_with({"-config.file=" + good, "-verify-config"}), 0);
  EXPECT_EQ(run_with({"-config.file=" + bad, "-verify-config"}), 1);
  EXPECT_EQ(run_with({"-config.file=" + good, "-verify-config", "-target=nonsense"}), 1);
  EXPECT_EQ(run_with({"-config.file=" + directory.path() + "/none.yaml"}), 1);
  EXPECT_EQ(run_with({"-no-such-flag"}), 2);
  EXPECT_EQ(run_with({"-version"}), 0);
  EXPECT_EQ(run_with({"-help"}), 2);
  EXPECT_EQ(run_with({"fsck"}), 2);
}

TEST(Tools, FsckSaysWhetherADirectoryIsWhole) {
  const Directory directory;
  EXPECT_EQ(run_tool({"fsck", directory.path()}), 0);
  EXPECT_EQ(run_tool({"fsck", directory.path() + "/none"}), 1);
  EXPECT_EQ(run_tool({"fsck", "--json", "-quick", directory.path()}), 0);
  EXPECT_EQ(run_tool({"fsck", "-json"}), 2);
  const std::string prefix = "-common.path-prefix=" + directory.path();
  EXPECT_EQ(run_tool({"fsck", prefix, directory.path()}), 2);
  EXPECT_EQ(run_tool({"fsck", "-config.file=" + directory.path() + "/none.yaml"}), 1);
  EXPECT_EQ(run_tool({"fsck", prefix}), 1);   // no bucket yet, and none is made
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/chunks"));
  EXPECT_EQ(run_tool({"fsck", "-no-such-option", directory.path()}), 2);
  EXPECT_EQ(run_tool({"fsck", directory.path(), directory.path()}), 2);
  std::filesystem::create_directories(directory.path() + "/chunks/t/index/index_1");
  std::ofstream(directory.path() + "/chunks/t/index/index_1/01ARZ3NDEKTSV4RRFFQ69G5FAV") << "not an index";
  EXPECT_EQ(run_tool({"fsck", directory.path()}), 1);
  EXPECT_EQ(run_tool({"fsck", prefix}), 1);
  std::filesystem::remove_all(directory.path() + "/chunks/t/index");
  EXPECT_EQ(run_tool({"fsck", prefix}), 0);
  std::filesystem::create_directories(directory.path() + "/chunks/t/index/index_1");
  std::ofstream(directory.path() + "/chunks/t/index/index_1/01ARZ3NDEKTSV4RRFFQ69G5FAV") << "not an index";
  EXPECT_EQ(run_tool({"inspect", directory.path() + "/chunks/t/index/index_1/01ARZ3NDEKTSV4RRFFQ69G5FAV"}), 1);
}

// A day in the life: push, stop without a flush, start again, flush; fsck must find everything in order, then what is broken.
TEST(Fsck, FindsMissingAndDamagedObjects) {
  const Directory directory;
  io::FileSystem& files = io::posix_file_system();
  {
    Services services(config_in(directory.path(), "ingester: {wal: {flush_on_shutdown: true}}\n"), alone(), [] {});
    ASSERT_TRUE(services.start().ok());
    ASSERT_EQ(post(services.port(), "/loki/api/v1/push", "{\"streams\":[{\"stream\":{\"app\":\"x\"},\"values\":[[\"" + std::to_string(system_clock().now_ns()) + "\",\"a line\"]]}]}"), 204);
    services.stop();
  }
  FsckReport report = fsck(files, directory.path());
  EXPECT_THAT(report.problems, ::testing::IsEmpty());
  EXPECT_EQ(report.objects, 1u);
  EXPECT_EQ(report.rows, 1u);
  EXPECT_EQ(report.indexes, 1u);
  EXPECT_EQ(report.unlisted_objects, 0u);

  std::string object;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path() + "/chunks/fake/chunks"))
    if (entry.is_regular_file()) object = entry.path();
  ASSERT_FALSE(object.empty());
  Bytes bytes = *files.read_file(object, 1 << 20);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_TRUE(io::replace_file(files, object, bytes).ok());
  EXPECT_THAT(fsck(files, directory.path()).problems, ::testing::Not(::testing::IsEmpty()));
  ASSERT_TRUE(files.remove(object).ok());
  report = fsck(files, directory.path());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_THAT(report.problems[0].what, HasSubstr("which is not there"));
}

TEST(Services, PrepareShutdownIsRememberedOverARestartAndFlushesAtTheEnd) {
  const Directory directory;
  {
    Services services(config_in(directory.path()), alone(), [] {});
    ASSERT_TRUE(services.start().ok());
    EXPECT_EQ(post(services.port(), "/ingester/prepare_shutdown", ""), 204);
    EXPECT_TRUE(std::filesystem::exists(directory.path() + "/shutdown-requested.txt"));
  }
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/shutdown-requested.txt"));
}

TEST(Services, AMarkerLeftByAnEarlierProcessIsHonoured) {
  const Directory directory;
  std::ofstream(directory.path() + "/shutdown-requested.txt") << "x";
  config::Config config = config_in(directory.path());
  Services services(config, alone(), [] {});
  ASSERT_TRUE(services.start().ok());
  ASSERT_EQ(post(services.port(), "/loki/api/v1/push", "{\"streams\":[{\"stream\":{\"app\":\"x\"},\"values\":[[\"" + std::to_string(system_clock().now_ns()) + "\",\"a line\"]]}]}"), 204);
  services.stop();
  EXPECT_EQ(fsck(io::posix_file_system(), directory.path()).objects, 1u);   // flushed, although flush_on_shutdown is off
}

TEST(Services, ShutdownByRequestAsksTheProcessToStop) {
  const Directory directory;
  std::atomic<int> asked{0};
  Services services(config_in(directory.path()), alone(), [&] { ++asked; });
  ASSERT_TRUE(services.start().ok());
  EXPECT_EQ(post(services.port(), "/ingester/shutdown?terminate=false", ""), 204);
  EXPECT_EQ(asked.load(), 0);
  EXPECT_EQ(post(services.port(), "/ingester/shutdown", ""), 204);
  EXPECT_EQ(asked.load(), 1);
  EXPECT_EQ(post(services.port(), "/flush/tenant", ""), 204);
}

}  // namespace
}  // namespace skald::app
