#include "objstore/aws_credentials.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "skald/obs/log.h"

namespace skald::objstore {
namespace {

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kRenewAheadNs = 5 * kNanosPerMinute;
constexpr std::int64_t kFileValidNs = kNanosPerMinute;       // shared files are read again: keys get rotated
constexpr std::int64_t kYoungNs = 10 * kNanosPerSecond;
constexpr std::int64_t kRetryRenewalNs = 10 * kNanosPerSecond;

}  // namespace

AwsCredentialsSource::AwsCredentialsSource(AwsCredentialsOptions options, Environment environment, const Clock& clock)
    : options_(std::move(options)), environment_(std::move(environment)), clock_(clock) {}

AwsCredentialsSource::~AwsCredentialsSource() = default;

Result<AwsCredentials> AwsCredentialsSource::get(const CallContext& ctx) {
  if (!options_.fixed.access_key_id.empty()) return options_.fixed;
  std::unique_lock lock(mutex_);
  const std::uint64_t failures_before = failures_;
  while (true) {
    const std::int64_t now_ns = clock_.now_ns();
    const bool usable = current_ && (current_->expires_ns == 0 || now_ns < current_->expires_ns);
    if (usable && (now_ns < renew_ns_ || fetching_)) return *current_;
    if (!fetching_) break;
    fetched_.wait_for(lock, std::chrono::milliseconds(20));
    if (!fetching_ && failures_ != failures_before) return *last_error_;   // who waited for it shares its failure
    SKALD_TRY_VOID(ctx.check());
  }
  fetching_ = true;
  lock.unlock();
  std::int64_t renew_ns = kForever;
  Result<AwsCredentials> found = look(ctx, renew_ns);
  lock.lock();
  fetching_ = false;
  fetched_.notify_all();
  if (found.ok()) {
    current_ = *found;
    renew_ns_ = renew_ns;
    fetched_ns_ = clock_.now_ns();
    return found;
  }
  const ErrorCode code = found.error().code();
  if (code != ErrorCode::kCancelled && code != ErrorCode::kDeadlineExceeded) {   // those are this call's own; who waits tries itself
    ++failures_;
    last_error_ = found.error();
  }
  const std::int64_t now_ns = clock_.now_ns();
  if (current_ && (current_->expires_ns == 0 || now_ns < current_->expires_ns)) {
    renew_ns_ = now_ns + kRetryRenewalNs;
    log::warn("AWS credentials could not be renewed; the old ones serve until they expire", {{"err", found.error().message()}});
    return *current_;
  }
  return found;
}

bool AwsCredentialsSource::reject(const std::string& access_key_id) {
  if (!options_.fixed.access_key_id.empty()) return false;
  const std::lock_guard lock(mutex_);
  if (!current_ || current_->access_key_id != access_key_id) return true;
  if (clock_.now_ns() - fetched_ns_ < kYoungNs) return false;
  current_.reset();
  return true;
}

Result<AwsCredentials> AwsCredentialsSource::look(const CallContext& ctx, std::int64_t& renew_ns) {
  std::string notes;
  std::string role = environment_.variable("AWS_ROLE_ARN");
  std::string token_file = environment_.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  SKALD_TRY(std::optional<AwsCredentials> found, from_environment(notes));
  if (found) return *found;
  SKALD_TRY(found, from_files(notes, role, token_file));
  if (found) {
    renew_ns = clock_.now_ns() + kFileValidNs;
    return *found;
  }
  if (!role.empty() && !token_file.empty()) {
    SKALD_TRY(found, from_web_identity(role, token_file, ctx));
  } else {
    notes += "; web identity: AWS_ROLE_ARN or AWS_WEB_IDENTITY_TOKEN_FILE is not set";
  }
  if (!found) {
    SKALD_TRY(found, from_container(notes, ctx));
  }
  if (!found) {
    SKALD_TRY(found, from_instance(notes, ctx));
  }
  if (!found) {
    return Error(ErrorCode::kPermissionDenied,
                 "s3: no credentials: set access_key_id and secret_access_key, or one of what was tried (" + notes + ")");
  }
  if (found->expires_ns > 0) {
    const std::int64_t now_ns = clock_.now_ns();
    const std::int64_t left_ns = std::max<std::int64_t>(0, found->expires_ns - now_ns);
    renew_ns = found->expires_ns - std::min(kRenewAheadNs, left_ns / 2);
  }
  return *found;
}

AwsCredentialsSource::Found AwsCredentialsSource::from_environment(std::string& notes) const {
  AwsCredentials credentials{.access_key_id = environment_.variable("AWS_ACCESS_KEY_ID"),
                             .secret_access_key = environment_.variable("AWS_SECRET_ACCESS_KEY"),
                             .session_token = environment_.variable("AWS_SESSION_TOKEN")};
  if (!credentials.access_key_id.empty() && !credentials.secret_access_key.empty()) return std::optional(std::move(credentials));
  notes = "environment: AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set";
  return std::optional<AwsCredentials>();
}

}  // namespace skald::objstore
