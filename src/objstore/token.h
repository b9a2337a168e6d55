// Access tokens of clouds: short-lived, fetched over HTTP, kept until shortly before they expire.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "skald/base/bytes.h"
#include "skald/base/clock.h"
#include "skald/base/context.h"
#include "skald/base/result.h"

namespace skald::objstore {

// The process's surroundings that credentials are found in; tests bring their own.
struct Environment {
  std::function<std::string(const char* name)> variable;            // "" when unset
  std::function<Result<Bytes>(const std::string& path)> read_file;  // at most 1 MiB
};
Environment process_environment();

struct Token {
  std::string value;
  std::int64_t expires_ns = 0;   // wall clock
};

// Thread-safe. One fetch at a time, whoever asks. The token is renewed 5 minutes before it expires (halfway when it lives
// less than 10 minutes). While renewing fails, the old token serves until its last second.
class CachedToken {
 public:
  using Fetch = std::function<Result<Token>(const CallContext& ctx)>;
  // `what` names the token in logs and errors: "azure token (managed identity)". `clock` outlives this.
  CachedToken(std::string what, Fetch fetch, const Clock& clock);

  // Waits at most until the call's deadline; the error of a fetch goes to all who waited for it.
  Result<std::string> get(const CallContext& ctx);
  // The service refused `value`: it is not handed out again, unless it is younger than 10 seconds (a new one would be
  // refused as well, and the token service asked once per request). A newer token stays.
  void reject(std::string_view value);
  const std::string& what() const { return what_; }

 private:
  Result<Token> fetch(const CallContext& ctx, bool have_old);

  const std::string what_;
  const Fetch fetch_;
  const Clock& clock_;
  std::mutex mutex_;   // guards all below
  std::condition_variable ended_;
  std::optional<Token> token_;
  std::int64_t fetched_ns_ = 0;
  std::int64_t renew_ns_ = 0;         // from when on a new token is wanted
  bool fetching_ = false;
  std::uint64_t failed_flights_ = 0;  // fetches that ended without a token
  std::optional<Error> last_error_;
};

}  // namespace skald::objstore
