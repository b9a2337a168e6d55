// Result<T>: a value or an Error. The only way a function of ours reports failure.
//
// Exceptions stop at the wrapper of the library that throws them. Broken invariants abort (check.h);
// bad input returns an Error whose message says what, which, how much, and what to do.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "skald/base/check.h"

namespace skald {

// One place (api/status.h) maps these to HTTP statuses.
enum class ErrorCode {
  kInvalidArgument,    // 400: malformed or refused input
  kUnauthenticated,    // 401
  kPermissionDenied,   // 403
  kNotFound,           // 404
  kAlreadyExists,      // 409
  kTooLarge,           // 413: a body or declared size above its limit
  kUnprocessable,      // 422: well-formed but empty of meaning
  kResourceExhausted,  // 429: a rate, stream or memory limit; also a full disk inside io
  kCancelled,          // 499: the client went away
  kInternal,           // 500
  kUnimplemented,      // 501
  kUnavailable,        // 503: retry later
  kDeadlineExceeded,   // 504
  kCorruption,         // 500: bytes we stored do not check out
  kIo,                 // 500: the operating system refused
};

const char* error_code_name(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  ErrorCode code() const { return code_; }
  const std::string& message() const& { return message_; }
  std::string&& message() && { return std::move(message_); }
  // The same error with "prefix: " before its text.
  Error with_prefix(const std::string& prefix) const { return Error(code_, prefix + ": " + message_); }
  bool operator==(const Error&) const = default;

 private:
  ErrorCode code_;
  std::string message_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}        // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}    // NOLINT
  template <class U>
    requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::decay_t<U>, Result> &&
             !std::is_same_v<std::decay_t<U>, Error> && !std::is_same_v<std::decay_t<U>, T>)
  Result(U&& value) : state_(std::in_place_index<0>, T(std::forward<U>(value))) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & { SKALD_CHECK(ok()); return *std::get_if<0>(&state_); }
  const T& value() const& { SKALD_CHECK(ok()); return *std::get_if<0>(&state_); }
  T&& value() && { SKALD_CHECK(ok()); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const& { SKALD_CHECK(!ok()); return *std::get_if<1>(&state_); }
  Error&& error() && { SKALD_CHECK(!ok()); return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { SKALD_CHECK(!ok()); return *error_; }
  Error&& error() && { SKALD_CHECK(!ok()); return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

#define SKALD_CONCAT_INNER(a, b) a##b
#define SKALD_CONCAT(a, b) SKALD_CONCAT_INNER(a, b)

// SKALD_TRY(auto x, f());  assigns f()'s value, or returns its Error from the enclosing function.
#define SKALD_TRY(declaration, expression) SKALD_TRY_IMPL(SKALD_CONCAT(skald_try_, __COUNTER__), declaration, expression)
#define SKALD_TRY_IMPL(temporary, declaration, expression) \
  auto temporary = (expression);                           \
  if (!temporary.ok()) return std::move(temporary).error(); \
  declaration = std::move(temporary).value()

// SKALD_TRY_VOID(f());  for Result<void>, or where the value is not needed.
#define SKALD_TRY_VOID(expression)                                      \
  do {                                                                  \
    auto skald_try_result = (expression);                               \
    if (!skald_try_result.ok()) return std::move(skald_try_result).error(); \
  } while (false)

}  // namespace skald
