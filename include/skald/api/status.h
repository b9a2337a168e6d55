// Errors as answers; the status follows http/status.h.
#pragma once

#include "skald/base/result.h"
#include "skald/http/message.h"

namespace skald::api {

http::Response error_response(const Error& error);               // text/plain, no final LF (query path)
http::Response error_response_with_newline(const Error& error);  // as handlers that call http.Error do

}  // namespace skald::api
