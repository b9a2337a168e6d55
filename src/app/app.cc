#include "skald/app/app.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <unistd.h>

#include <algorithm>

#include <string>
#include <vector>

#include "health.h"
#include "services.h"
#include "skald/config/load.h"
#include "skald/io/file_system.h"
#include "skald/obs/log.h"
#include "targets.h"
#include "tools.h"
#include "version.h"

namespace skald::app {
namespace {

constexpr std::uint64_t kConfigBytesMax = 8 << 20;

void print(std::FILE* out, const std::string& text) { std::fwrite(text.data(), 1, text.size(), out); }

// SIGTERM, SIGINT and SIGHUP arrive where we wait for them, in no other thread.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    out.push_back(text.substr(at, end == std::string::npos ? end : end - at));
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return out;
}

void log_warnings(const config::Loaded& loaded) {
  for (const std::string& warning : loaded.warnings) {
    const std::size_t tab = warning.find('\t');
    if (tab == std::string::npos) log::warn("config key has no effect", {{"key", warning}});
    else log::warn("config key ignored", {{"key", warning.substr(0, tab)}, {"note", warning.substr(tab + 1)}});
  }
}

// Waits between two signals for at most `delay_ns`; a second signal ends the wait.
void wait_for(const sigset_t& signals, std::int64_t delay_ns) {
  const timespec timeout{static_cast<time_t>(delay_ns / kNanosPerSecond), static_cast<long>(delay_ns % kNanosPerSecond)};
  sigtimedwait(&signals, nullptr, &timeout);
}

int serve(config::Config config, Modules modules, const sigset_t& signals) {
  Services services(std::move(config), std::move(modules), [] { kill(getpid(), SIGTERM); });
  if (Result<void> started = services.start(); !started.ok()) {
    log::error("error running skald", {{"err", started.error().message()}});
    return 1;
  }
  log::info("skald started", {{"version", build_info().version}, {"port", services.port()}});
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal == SIGHUP) {
      services.reload_limits();
      continue;
    }
    log::info("stopping", {{"signal", signal == SIGINT ? "interrupt" : "terminated"}});
    break;
  }
  services.begin_stop();
  if (services.config().shutdown_delay > 0) wait_for(signals, services.config().shutdown_delay);
  services.stop();
  log::info("stopped");
  return 0;
}

int run_server(const config::CommandLine& command_line) {
  const auto read_file = [](const std::string& path) { return io::posix_file_system().read_file(path, kConfigBytesMax); };
  Result<config::Loaded> loaded = config::load(command_line, read_file, [](const char* name) -> const char* { return std::getenv(name); });
  if (!loaded.ok()) {
    const std::string& message = loaded.error().message();
    if (message.starts_with("CONFIG ERROR") || message.starts_with("MULTIPLE CONFIG ERRORS")) log::error("validating config", {{"err", message}});
    else print(stderr, message + "\n");
    return 1;
  }
  const config::Config& config = loaded->config;
  log::Level level;
  if (log::parse_level(config.server.log_level, level)) log::set_level(level);
  log::set_format(config.server.log_format == "json" ? log::Format::kJson : log::Format::kLogfmt);
  log_warnings(*loaded);
  if (command_line.list_targets) {
    print(stdout, list_targets());
    return 0;
  }
  Result<Modules> modules = modules_of(config);
  if (!modules.ok()) {
    log::error("validating config", {{"err", modules.error().message()}});
    return 1;
  }
  if (command_line.verify_config) {
    log::info("config is valid");
    return 0;
  }
  if (command_line.print_config_stderr) {
    const api::BuildInfo build = build_info();
    print(stderr, "---\n# Skald Config\n# (version=" + build.version + ", branch=" + build.branch + ", revision=" + build.revision + ")\n" + config::print_config(config));
  }
  if (command_line.log_config_reverse_order) {
    const std::vector<std::string> lines = lines_of(config::print_config(config));
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) log::info(*line);
  }
  const sigset_t signals = block_signals();
  return serve(std::move(loaded->config), *std::move(modules), signals);
}

}  // namespace

int run(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (!arguments.empty() && (arguments[0] == "inspect" || arguments[0] == "fsck")) return run_tool(arguments);
  const Result<config::CommandLine> command_line = config::parse_command_line(arguments);
  if (!command_line.ok()) {
    print(stderr, command_line.error().message() + "\nRun with -help to get a list of available parameters\n");
    return 2;
  }
  if (command_line->help) {
    print(stdout, config::flags_help());
    return 2;
  }
  if (command_line->version) {
    print(stdout, version_text());
    return 0;
  }
  if (command_line->health) {
    const Result<void> health = check_health(command_line->health_url);
    if (!health.ok()) print(stderr, health.error().message() + "\n");
    return health.ok() ? 0 : 1;
  }
  return run_server(*command_line);
}

}  // namespace skald::app
