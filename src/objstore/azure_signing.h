// Shared Key authorization of Azure Storage requests:
// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "skald/http/client.h"

namespace skald::objstore {

// What is signed: the verb, eleven standard headers, the x-ms- headers and the resource with its query.
std::string azure_string_to_sign(const http::ClientRequest& request, std::string_view account);

// Adds "Authorization: SharedKey account:signature". Everything else must be in place, x-ms-date included.
Result<void> azure_sign(http::ClientRequest& request, std::string_view account, ByteView key);

// "Fri, 20 Nov 2026 12:00:00 GMT" (RFC 9110's preferred form).
std::string http_date(std::int64_t now_ns);

}  // namespace skald::objstore
