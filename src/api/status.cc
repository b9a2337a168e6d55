#include "skald/api/status.h"

#include "skald/http/status.h"

namespace skald::api {

http::Response error_response(const Error& error) {
  return http::Response::text(http::status_of(error.code()), error.message());
}

http::Response error_response_with_newline(const Error& error) {
  return http::Response::text(http::status_of(error.code()), error.message() + "\n");
}

}  // namespace skald::api
