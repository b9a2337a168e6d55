// Go's flag syntax: -name value, -name=value, two dashes too; a truth value needs '=' to be false.
#include <algorithm>
#include <optional>

#include "keys.h"
#include "limits_keys.h"
#include "skald/config/load.h"

namespace skald::config {
namespace {

struct ProgramFlag {
  const char* name;
  const char* help;
  bool CommandLine::*truth = nullptr;
};

constexpr ProgramFlag kProgramFlags[] = {
    {"config.file", "configuration files, comma-separated; the first that exists is read (default config.yaml,config/config.yaml)"},
    {"config.expand-env", "expand ${VAR} in the file", &CommandLine::expand_env},
    {"verify-config", "check the configuration and exit", &CommandLine::verify_config},
    {"print-config-stderr", "write the configuration in force to stderr, then start", &CommandLine::print_config_stderr},
    {"log-config-reverse-order", "log the configuration in force, last line first, then start", &CommandLine::log_config_reverse_order},
    {"list-targets", "list the targets and what they run, then exit", &CommandLine::list_targets},
    {"version", "print the version and exit", &CommandLine::version},
    {"health", "ask a running server whether it is ready; exit 0 if so", &CommandLine::health},
    {"health.url", "what -health asks (default http://localhost:3100/ready)"},
    {"help", "print this and exit", &CommandLine::help},
    {"h", "print this and exit", &CommandLine::help},
};

Error bad(const std::string& message) { return Error(ErrorCode::kInvalidArgument, message); }

// Checks a value for a key before anything is loaded, so that a typo ends with usage and exit 2.
Result<void> check_value(const std::string& flag, Kind kind, const std::string& text) {
  bool truth = false;
  std::int64_t whole = 0;
  double real = 0;
  std::string string;
  std::vector<std::string> list;
  void* target = &string;
  if (kind == Kind::kBool) target = &truth;
  else if (kind == Kind::kInt || kind == Kind::kDuration || kind == Kind::kPromDuration || kind == Kind::kSize) target = &whole;
  else if (kind == Kind::kFloat) target = &real;
  else if (kind == Kind::kList) target = &list;
  if (Result<void> set = set_from_text(kind, text, target); !set.ok())
    return bad("invalid value \"" + text + "\" for flag -" + flag + ": " + set.error().message());
  return {};
}

}  // namespace

Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine out;
  std::optional<KeyTable> table;  // thousands of names: only when a flag is not one of ours
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--" && i + 1 == arguments.size()) break;
    if (argument.size() < 2 || argument[0] != '-') return bad("unexpected argument \"" + argument + "\"; flags start with a dash");
    std::string name = argument.substr(argument[1] == '-' ? 2 : 1);
    std::optional<std::string> value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    if (name.empty() || name[0] == '-') return bad("bad flag syntax: " + argument);

    const auto take_value = [&]() -> Result<std::string> {
      if (value) return *value;
      if (i + 1 >= arguments.size()) return bad("flag needs an argument: -" + name);
      return arguments[++i];
    };
    const auto program = std::find_if(std::begin(kProgramFlags), std::end(kProgramFlags), [&](const ProgramFlag& f) { return name == f.name; });
    if (program != std::end(kProgramFlags)) {
      if (program->truth) {
        bool truth = true;
        if (value && !set_from_text(Kind::kBool, *value, &truth).ok())
          return bad("invalid boolean value \"" + *value + "\" for -" + name);
        out.*program->truth = truth;
      } else {
        SKALD_TRY(const std::string text, take_value());
        if (name == "config.file") out.config_files = split_list(text);
        else out.health_url = text;
      }
      continue;
    }
    std::string path;
    Kind kind = Kind::kAny;
    if (const LimitKey* limit = find_limit_flag(name)) {
      path = std::string("limits_config.") + limit->name;
      kind = limit->kind;
    } else {
      if (!table) table.emplace();
      const KeyInfo* key = table->find_flag(name);
      if (!key) {
        std::vector<std::string> names;
        for (const KeyInfo& other : table->keys()) names.insert(names.end(), other.flags.begin(), other.flags.end());
        const std::string near = nearest(name, names);
        return bad("flag provided but not defined: -" + name + (near.empty() ? "" : " (did you mean -" + near + "?)"));
      }
      path = key->path;
      kind = key->kind;
    }
    std::string text = "true";
    if (kind == Kind::kBool) {
      if (value) text = *value;
    } else {
      SKALD_TRY(text, take_value());
    }
    SKALD_TRY_VOID(check_value(name, kind, text));
    out.keys.emplace_back(std::move(path), std::move(text));
  }
  return out;
}

std::string flags_help() {
  std::string out = "Usage: skald [flags]\n       skald inspect <file>\n       skald fsck <data directory>\n\nFlags:\n";
  for (const ProgramFlag& flag : kProgramFlags) out += std::string("  -") + flag.name + "\n    \t" + flag.help + "\n";
  const KeyTable table;
  for (const KeyInfo& key : table.keys()) {
    if (key.kind == Kind::kAny || key.alias) continue;
    out += "  -" + key.flags.front() + "\n    \t" + key.path + (*key.fallback ? std::string(" (default ") + key.fallback + ")" : "") +
           (key.effective() ? "" : ", without effect in this release") + "\n";
  }
  Limits defaults;
  for (const LimitKey& limit : limit_keys()) {
    if (!limit.member) continue;
    std::string flag = limit.flag ? limit.flag : std::string("limits.") + limit.name;
    const std::string text = to_text(limit.kind, limit.member(defaults));
    if (!limit.flag) std::replace(flag.begin(), flag.end(), '_', '-');
    out += "  -" + flag + "\n    \tlimits_config." + limit.name + (text.empty() ? "" : " (default " + text + ")") + (limit.effective ? "" : ", without effect in this release") + "\n";
  }
  return out;
}

}  // namespace skald::config
