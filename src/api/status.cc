#include "skald/api/status.h"

namespace skald::api {

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return 400;
    case ErrorCode::kUnauthenticated: return 401;
    case ErrorCode::kPermissionDenied: return 403;
    case ErrorCode::kNotFound: return 404;
    case ErrorCode::kAlreadyExists: return 409;
    case ErrorCode::kTooLarge: return 413;
    case ErrorCode::kUnprocessable: return 422;
    case ErrorCode::kResourceExhausted: return 429;
    case ErrorCode::kCancelled: return 499;
    case ErrorCode::kInternal: return 500;
    case ErrorCode::kUnimplemented: return 501;
    case ErrorCode::kUnavailable: return 503;
    case ErrorCode::kDeadlineExceeded: return 504;
    case ErrorCode::kCorruption: return 500;
    case ErrorCode::kIo: return 500;
  }
  return 500;
}

http::Response error_response(const Error& error) {
  return http::Response::text(http_status(error.code()), error.message());
}

http::Response error_response_with_newline(const Error& error) {
  return http::Response::text(http_status(error.code()), error.message() + "\n");
}

}  // namespace skald::api
