// The one list of configuration keys. It drives YAML, flags, defaults, printing and the documentation.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "skald/config/config.h"
#include "values.h"

namespace skald::config {

// Where a key's value is kept: in Config, or in one of its cache blocks.
struct Member {
  void* (*direct)(Config&) = nullptr;
  CacheBlockConfig& (*cache)(Config&) = nullptr;
  void* (*in_cache)(CacheBlockConfig&) = nullptr;
  explicit operator bool() const { return direct || in_cache; }
  void* operator()(Config& config) const { return direct ? direct(config) : in_cache(cache(config)); }
};

struct Key {
  const char* path;                      // "server.http_listen_port"
  Kind kind;
  const char* fallback;                  // default as text; for keys with a member it equals the member's initial value
  void* (*member)(Config&) = nullptr;    // null: kept as text in Config::other
  const char* flag = nullptr;            // Loki's flag name where it is not the path with dashes; below the mount's in a block
  bool alias = false;                    // older spelling of another key; that one wins, and only that one is shown
  bool as_text = false;                  // has an effect although it has no member: derivation reads the text
  void* (*in_cache)(CacheBlockConfig&) = nullptr;   // member of a key of the cache block
};

#define SKALD_MEMBER(expression) [](Config& c) -> void* { return &c.expression; }

// Blocks that occur in many places (a store, a cache, a client) are listed once and mounted.
struct Mount {
  const char* path;
  const char* block;
  const char* flag = nullptr;                        // what the flags of its keys start with, where that is not the path
  CacheBlockConfig& (*cache)(Config&) = nullptr;     // a cache block's values
  bool as_text = false;                              // derivation reads the texts of its keys
};

std::span<const Key> server_keys();      // keys_server.cc: top level, server, common, memberlist, runtime_config
std::span<const Key> storage_keys();     // keys_storage.cc
std::span<const Key> write_keys();       // keys_write.cc
std::span<const Key> read_keys();        // keys_read.cc
std::span<const Key> backend_keys();     // keys_backend.cc
std::span<const Key> block_keys(std::string_view block);  // keys_blocks.cc
std::span<const Key> store_block_keys(std::string_view block);   // keys_stores.cc: stores and caches
std::span<const Mount> mounts();

struct KeyInfo {
  std::string path;
  Kind kind = Kind::kAny;
  const char* fallback = "";
  Member member;
  bool alias = false;
  bool as_text = false;
  const char* block = nullptr;           // the mounted block it is from, and its name there
  const char* path_in_block = "";
  std::vector<std::string> flags;        // first is the usual one
  bool effective() const { return member || as_text; }
};

// Every key, blocks expanded, in the order to print. Built on demand: the process needs it only while loading or showing.
class KeyTable {
 public:
  KeyTable();
  // Adds the keys of a block below a path that only a file knows (a named store).
  void mount(const std::string& path, std::string_view block);
  const std::deque<KeyInfo>& keys() const { return keys_; }   // addresses stay when blocks are mounted
  const KeyInfo* find(const std::string& path) const;
  const KeyInfo* find_flag(const std::string& flag) const;
  bool is_block(const std::string& path) const { return blocks_.count(path) != 0; }   // has keys below it
  std::vector<std::string> children(const std::string& block) const;                  // names one level below

 private:
  void add(std::string path, const Key& key, const Mount* mount = nullptr);
  std::deque<KeyInfo> keys_;
  std::unordered_map<std::string, std::size_t> by_path_, by_flag_;
  std::unordered_map<std::string, std::vector<std::string>> blocks_;
};

// Why a key without an effect needs none, for the warning; empty: nothing to say.
// Read and checked, but without effect here: whoever sets it is told.
bool is_idle(std::string_view path);
std::string_view reason_without_effect(std::string_view path);

// The candidate nearest to `word` by edit distance, or empty when none is near enough to be meant.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace skald::config
