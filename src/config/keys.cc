#include "keys.h"

#include <algorithm>
#include <numeric>

namespace skald::config {
namespace {

std::string flag_of(std::string path) {
  std::replace(path.begin(), path.end(), '_', '-');
  return path;
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t up = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = up;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  if (word.size() > 128) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    // A word that only lacks or adds a part (listen_port, http_port) is near whatever its length.
    if (word.size() >= 4 && (candidate.find(word) != std::string::npos || (candidate.size() >= 4 && word.find(candidate) != std::string::npos))) distance = std::min<std::size_t>(distance, 2);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

KeyTable::KeyTable() {
  keys_.reserve(2048);
  by_path_.reserve(2048);
  by_flag_.reserve(2048);
  for (const auto list : {server_keys(), storage_keys(), write_keys(), read_keys(), backend_keys()})
    for (const Key& key : list) add(key.path, key);
  for (const Mount& mount : mounts())
    for (const Key& key : block_keys(mount.block)) add(std::string(mount.path) + "." + key.path, key);
}

void KeyTable::add(std::string path, const Key& key) {
  if (by_path_.count(path)) return;  // an explicit row wins over the mounted one
  KeyInfo info{path, key.kind, key.fallback, key.member, key.alias, {}};
  if (key.flag) info.flags.emplace_back(key.flag);
  const std::string derived = flag_of(path);
  if (!key.flag || derived != key.flag) info.flags.push_back(derived);
  for (const std::string& flag : info.flags) by_flag_.emplace(flag, keys_.size());
  by_path_.emplace(path, keys_.size());
  std::string child = path;
  for (;;) {
    const std::size_t dot = child.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : child.substr(0, dot);
    const std::string name = dot == std::string::npos ? child : child.substr(dot + 1);
    std::vector<std::string>& names = blocks_[parent];
    if (std::find(names.begin(), names.end(), name) != names.end()) break;  // so the blocks above know each other already
    names.push_back(name);
    if (parent.empty()) break;
    child = parent;
  }
  keys_.push_back(std::move(info));
}

const KeyInfo* KeyTable::find(const std::string& path) const {
  const auto at = by_path_.find(path);
  return at == by_path_.end() ? nullptr : &keys_[at->second];
}

const KeyInfo* KeyTable::find_flag(const std::string& flag) const {
  const auto at = by_flag_.find(flag);
  return at == by_flag_.end() ? nullptr : &keys_[at->second];
}

std::vector<std::string> KeyTable::children(const std::string& block) const {
  const auto at = blocks_.find(block);
  return at == blocks_.end() ? std::vector<std::string>() : at->second;
}

}  // namespace skald::config
