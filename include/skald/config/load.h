// From command line and files to a Config. Order, later wins: defaults, derived from `common`, file, flags.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "skald/base/result.h"
#include "skald/config/config.h"

namespace skald::config {

// Flags that steer the program rather than a key.
struct CommandLine {
  std::vector<std::string> config_files;   // -config.file; empty: not given
  bool expand_env = false;
  bool verify_config = false;
  bool print_config_stderr = false;
  bool log_config_reverse_order = false;
  bool list_targets = false;
  bool version = false;
  bool health = false;
  bool help = false;
  std::string health_url = "http://localhost:3100/ready";
  std::vector<std::pair<std::string, std::string>> keys;  // key path, text; in order
};

// kInvalidArgument: what the caller prints before it exits with 2.
Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments);
std::string flags_help();  // every flag with its default

struct Loaded {
  Config config;
  std::string file;                      // which file was read; empty: none
  std::vector<std::string> warnings;     // keys without effect: "key", or "key\tnote"
};

using ReadFile = std::function<Result<std::string>(const std::string& path)>;
using GetEnv = std::function<const char*(const char*)>;

// Reads the first existing file, applies flags, derives and validates. The message of an error is complete: it says
// which file and line. Validation errors start with "CONFIG ERROR: " (or the line for several).
Result<Loaded> load(const CommandLine& command_line, const ReadFile& read_file, const GetEnv& get_env);

// One text as if it were the file `name`; without flags. For tests and tools.
Result<Loaded> load_text(const std::string& text, const std::string& name);

// ${V}, ${V:-default}, … in `text`; see docs/configuration.md. kInvalidArgument: missing closing brace.
Result<std::string> expand_environment(const std::string& text, const GetEnv& get_env);

// The keys this release acts on, as rows "key\tdefault\tkind", for the documentation and its test. A key of a block that
// stands in several places is listed once, as "<block>.key".
std::vector<std::string> effective_keys();

}  // namespace skald::config
