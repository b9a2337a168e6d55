#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "objstore/encryption_format.h"
#include "skald/io/file_system.h"
#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

constexpr std::uint64_t kKeyFileBytesMax = 1 << 20;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Wipes the text it was given, also when the function returns early.
class Wiped {
 public:
  explicit Wiped(std::string text) : text_(std::move(text)) {}
  ~Wiped() { OPENSSL_cleanse(text_.data(), text_.size()); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  std::string_view text() const { return text_; }

 private:
  std::string text_;
};

Result<KeyRing::Named> parse_line(std::string_view line, const std::string& where) {
  const auto refuse = [&](const char* why) { return Error(ErrorCode::kInvalidArgument, where + ": " + why); };
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return refuse("expected 'id:64 hex digits'");
  KeyRing::Named named;
  named.id = line.substr(0, colon);
  if (!encryption::is_key_id(named.id)) return refuse("a key id has 1 to 31 letters, digits, '.', '_' or '-'");
  const std::string_view digits = line.substr(colon + 1);
  if (digits.size() != 64) return refuse("a key has 64 hex digits (32 bytes); make one with: openssl rand -hex 32");
  std::array<unsigned char, 32> bytes{};
  bool all_zero = true;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
    if (high < 0 || low < 0) return refuse("a key has hex digits only");
    bytes[i] = static_cast<unsigned char>(high * 16 + low);
    all_zero = all_zero && bytes[i] == 0;
  }
  if (all_zero) return refuse("a key of zeros protects nothing; make one with: openssl rand -hex 32");
  named.key = std::make_shared<const SecretKey>(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return named;
}

Result<std::vector<KeyRing::Named>> parse_keys(std::string_view text, const std::string& source) {
  std::vector<KeyRing::Named> keys;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.empty() || line.front() == '#') continue;
    const std::string where = source + " line " + std::to_string(line_number);
    SKALD_TRY(KeyRing::Named named, parse_line(line, where));
    if (std::any_of(keys.begin(), keys.end(), [&](const KeyRing::Named& other) { return other.id == named.id; }))
      return Error(ErrorCode::kInvalidArgument, where + ": key id '" + named.id + "' comes twice; a new key needs a new id");
    keys.push_back(std::move(named));
  }
  if (keys.empty()) return Error(ErrorCode::kInvalidArgument, source + ": holds no key; make one with: echo \"k1:$(openssl rand -hex 32)\"");
  return keys;
}

void warn_if_readable_by_all(const std::string& path) {
  std::error_code failed;
  const auto mode = std::filesystem::status(path, failed).permissions();
  if (!failed && (mode & std::filesystem::perms::others_read) != std::filesystem::perms::none)
    log::warn("the file with the encryption keys can be read by every user of the machine; chmod 600 it", {{"file", path}});
}

Result<std::vector<KeyRing::Named>> load_keys(const config::EncryptionConfig& config) {
  if (config.key_file.empty() == config.key_env.empty())
    return Error(ErrorCode::kInvalidArgument, "encryption: set either key_file or key_env");
  if (!config.key_env.empty()) {
    const char* const text = std::getenv(config.key_env.c_str());
    if (text == nullptr) return Error(ErrorCode::kInvalidArgument, "encryption: environment variable " + config.key_env + " is not set");
    return parse_keys(text, "environment variable " + config.key_env);
  }
  Result<Bytes> text = io::posix_file_system().read_file(config.key_file, kKeyFileBytesMax);
  if (!text.ok()) return text.error().with_prefix("encryption keys");
  warn_if_readable_by_all(config.key_file);
  const Wiped wiped(std::move(*text));
  return parse_keys(wiped.text(), config.key_file);
}

}  // namespace

Result<std::shared_ptr<KeyRing>> KeyRing::open(const config::EncryptionConfig& config) {
  SKALD_TRY(std::vector<Named> keys, load_keys(config));
  return std::shared_ptr<KeyRing>(new KeyRing(config, std::move(keys)));
}

Result<std::shared_ptr<KeyRing>> KeyRing::parse(std::string_view text, const std::string& source) {
  SKALD_TRY(std::vector<Named> keys, parse_keys(text, source));
  return std::shared_ptr<KeyRing>(new KeyRing({}, std::move(keys)));
}

Result<void> KeyRing::reload() {
  SKALD_TRY(std::vector<Named> keys, load_keys(config_));
  const std::lock_guard lock(mutex_);
  for (const Named& old : keys_) {
    const bool stays = std::any_of(keys.begin(), keys.end(), [&](const Named& named) { return named.id == old.id; });
    if (!stays) log::warn("an encryption key is gone; objects it encrypted cannot be read any more", {{"key_id", old.id}});
  }
  if (keys.back().id != keys_.back().id) log::info("objects are encrypted with another key from now on", {{"key_id", keys.back().id}});
  keys_ = std::move(keys);
  return {};
}

KeyRing::Named KeyRing::writing_key() const {
  const std::lock_guard lock(mutex_);
  return keys_.back();
}

std::shared_ptr<const SecretKey> KeyRing::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  for (const Named& named : keys_)
    if (named.id == id) return named.key;
  return nullptr;
}

std::vector<std::string> KeyRing::ids() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const Named& named : keys_) out.push_back(named.id);
  return out;
}

}  // namespace skald::objstore
