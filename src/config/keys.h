// The one list of configuration keys. It drives YAML, flags, defaults, printing and the documentation.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/config/config.h"
#include "values.h"

namespace skald::config {

struct Key {
  const char* path;                      // "server.http_listen_port"
  Kind kind;
  const char* fallback;                  // default as text; for keys with a member it equals the member's initial value
  void* (*member)(Config&) = nullptr;    // null: known, without effect here
  const char* flag = nullptr;            // Loki's flag name where it is not the path with dashes
  bool alias = false;                    // older spelling of another key; that one wins, and only that one is shown
};

#define SKALD_MEMBER(expression) [](Config& c) -> void* { return &c.expression; }

// Blocks that occur in many places (a store, a cache, a client) are listed once and mounted.
struct Mount {
  const char* path;
  const char* block;
};

std::span<const Key> server_keys();      // keys_server.cc: top level, server, common, memberlist, runtime_config
std::span<const Key> storage_keys();     // keys_storage.cc
std::span<const Key> write_keys();       // keys_write.cc
std::span<const Key> read_keys();        // keys_read.cc
std::span<const Key> backend_keys();     // keys_backend.cc
std::span<const Key> block_keys(std::string_view block);  // keys_blocks.cc
std::span<const Mount> mounts();

struct KeyInfo {
  std::string path;
  Kind kind = Kind::kAny;
  const char* fallback = "";
  void* (*member)(Config&) = nullptr;
  bool alias = false;
  std::vector<std::string> flags;        // first is the usual one
};

// Every key, blocks expanded, in the order to print. Built on demand: the process needs it only while loading or showing.
class KeyTable {
 public:
  KeyTable();
  const std::vector<KeyInfo>& keys() const { return keys_; }
  const KeyInfo* find(const std::string& path) const;
  const KeyInfo* find_flag(const std::string& flag) const;
  bool is_block(const std::string& path) const { return blocks_.count(path) != 0; }   // has keys below it
  std::vector<std::string> children(const std::string& block) const;                  // names one level below

 private:
  void add(std::string path, const Key& key);
  std::vector<KeyInfo> keys_;
  std::unordered_map<std::string, std::size_t> by_path_, by_flag_;
  std::unordered_map<std::string, std::vector<std::string>> blocks_;
};

// The candidate nearest to `word` by edit distance, or empty when none is near enough to be meant.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace skald::config
