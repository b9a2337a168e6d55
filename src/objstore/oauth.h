// Asking a token service (RFC 6749 and its relatives): encoding of forms, reading of its answers.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "objstore/remote.h"
#include "objstore/token.h"
#include "skald/http/client.h"

namespace skald::objstore {

// The ways to token services. A metadata service lies on the machine's own link: no proxy may stand between.
struct TokenRemotes {
  std::unique_ptr<Remote> services, metadata;
};
// `options` are the store's; the tries and timeouts are those of tokens. `what`: "azure token service".
Result<TokenRemotes> open_token_remotes(RemoteOptions options, const std::string& what, obs::Registry& registry, const Clock& clock, Random& random);

// RFC 3986: unreserved characters and those of `keep` stay.
std::string percent_encode(std::string_view text, std::string_view keep = "");
// application/x-www-form-urlencoded; also a query string. Pairs with an empty value are left out.
std::string form_encode(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs);

// What a token service answered with `access_token` and `expires_in` or `expires_on` (numbers or numbers as text).
// kPermissionDenied: the service refused, with its own reason; kUnavailable: anything else. `who` opens the message.
Result<Token> read_token(const http::ClientResponse& response, std::string_view who, std::int64_t now_ns);

// POST of a form.
http::ClientRequest form_request(std::string url, ByteView form);

// The address the user is shown: scheme and authority without user, path and query.
std::string origin_of(std::string_view url);

// One request to a token service, tried as `remote` does; also again where `judge` says so.
Result<http::ClientResponse> ask(Remote& remote, const http::ClientRequest& request, const CallContext& ctx,
                                 std::function<Verdict(const http::ClientResponse&)> judge = {});

// Trimmed, one line, at most `bytes_max` bytes: text of a service, fit for an error message.
std::string one_line(std::string_view text, std::size_t bytes_max = 300);

}  // namespace skald::objstore
