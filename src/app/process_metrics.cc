#include "process_metrics.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace skald::app {
namespace {

// Fields of /proc/self/stat after the command's closing parenthesis; [0] is the state (field 3).
double stat_field(std::size_t field) {
  std::ifstream in("/proc/self/stat");
  std::string text;
  std::getline(in, text);
  const std::size_t close = text.rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream rest(text.substr(close + 2));
  std::string word;
  for (std::size_t i = 3; rest >> word; ++i)
    if (i == field) return std::strtod(word.c_str(), nullptr);
  return 0;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double start_time_seconds() {
  std::ifstream in("/proc/stat");
  double boot = 0;
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("btime ")) boot = std::strtod(line.c_str() + 6, nullptr);
  return boot + stat_field(22) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double open_fds() {
  DIR* directory = opendir("/proc/self/fd");
  if (!directory) return 0;
  double count = -3;  // ".", ".." and the descriptor of this very listing
  while (readdir(directory)) ++count;
  closedir(directory);
  return count;
}

double limit(int resource) {
  rlimit out{};
  getrlimit(static_cast<__rlimit_resource>(resource), &out);
  return out.rlim_cur == RLIM_INFINITY ? -1 : static_cast<double>(out.rlim_cur);
}

// Columns 0 (received) and 8 (sent) of all interfaces but loopback.
double network_bytes(int column) {
  std::ifstream in("/proc/self/net/dev");
  double sum = 0;
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (line.substr(0, colon).find_first_not_of(' ') != std::string::npos && line.substr(0, colon).ends_with("lo")) continue;
    std::istringstream rest(line.substr(colon + 1));
    double value = 0;
    for (int i = 0; rest >> value; ++i)
      if (i == column) sum += value;
  }
  return sum;
}

}  // namespace

void register_process_metrics(obs::Registry& registry, const api::BuildInfo& build) {
  registry.gauge_family("loki_build_info", "What this process was built from; always 1.", {"version", "revision", "branch", "goversion", "goos", "goarch", "tags"})
      .with({build.loki_version, build.revision, build.branch, build.compiler, "linux", "amd64", ""}).set(1);
  registry.gauge_family("skald_build_info", "Version of this program; always 1.", {"version", "revision", "branch", "compiler"})
      .with({build.version, build.revision, build.branch, build.compiler}).set(1);
  const double started = start_time_seconds();
  registry.counter_function("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu_seconds);
  registry.gauge_function("process_resident_memory_bytes", "Resident memory size in bytes.", [] { return stat_field(24) * static_cast<double>(sysconf(_SC_PAGESIZE)); });
  registry.gauge_function("process_virtual_memory_bytes", "Virtual memory size in bytes.", [] { return stat_field(23); });
  registry.gauge_function("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", [] { return limit(RLIMIT_AS); });
  registry.gauge_function("process_open_fds", "Number of open file descriptors.", open_fds);
  registry.gauge_function("process_max_fds", "Maximum number of open file descriptors.", [] { return limit(RLIMIT_NOFILE); });
  registry.gauge_function("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", [started] { return started; });
  registry.counter_function("process_network_receive_bytes_total", "Number of bytes received by the process over the network.", [] { return network_bytes(0); });
  registry.counter_function("process_network_transmit_bytes_total", "Number of bytes sent by the process over the network.", [] { return network_bytes(8); });
  registry.gauge_function("go_goroutines", "Threads of the process, under the name dashboards plot.", [] { return stat_field(20); });
  registry.gauge_function("go_memstats_heap_inuse_bytes", "Bytes the allocator has handed out, under the name dashboards plot.",
                          [] { return static_cast<double>(mallinfo2().uordblks); });
  registry.gauge_function("skald_allocator_in_use_bytes", "Bytes the allocator has handed out.", [] { return static_cast<double>(mallinfo2().uordblks); });
  registry.gauge_function("skald_allocator_retained_bytes", "Bytes the allocator holds in its arenas.", [] { return static_cast<double>(mallinfo2().arena); });
}

}  // namespace skald::app
