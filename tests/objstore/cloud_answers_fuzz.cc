// What Azure, Google and their token services answer, and connection strings: any bytes are read or refused.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "objstore/azure_account.h"
#include "objstore/azure_signing.h"
#include "objstore/azure_xml.h"
#include "objstore/gcs_answers.h"
#include "objstore/gcs_upload.h"
#include "objstore/jwt.h"
#include "objstore/oauth.h"
#include "objstore/range_answer.h"

namespace skald::objstore {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_page(const Result<ListPage>& page) {
  if (!page.ok()) return;
  for (const ObjectInfo& object : page->objects) require(!object.key.empty());
}

void check_range(std::string_view header, std::string_view body) {
  http::ClientResponse response;
  response.status = 206;
  response.headers = {{"Content-Range", std::string(header)}};
  response.body = body;
  const ByteRange range{2, 10};
  const auto total = total_size(response);
  const auto bytes = take_range(std::move(response), range, "x");
  if (bytes.ok()) require(bytes->size() <= 8 && (bytes->size() == body.size()));
  if (bytes.ok() && total.has_value()) require(*total >= range.begin + bytes->size());
}

void check_token(const std::string& body, int status) {
  http::ClientResponse response;
  response.status = status;
  response.body = body;
  const auto token = read_token(response, "x", kNanosPerSecond);
  if (token.ok()) require(status == 200 && !token->value.empty() && token->expires_ns >= 0 && token->value.find('\n') == std::string::npos);
}

void check_account(const std::string& text) {
  config::AzureConfig config;
  config.connection_string = text;
  const auto account = resolve_azure_account(config);
  if (!account.ok()) return;
  require(account->base_url.starts_with("http") && !account->base_url.ends_with('/'));
  require(!account->key.empty() || !account->sas.empty());
  http::ClientRequest request;
  request.url = account->base_url + "/c?comp=list&" + text;
  require(azure_sign(request, account->name, account->key).ok());
}

}  // namespace
}  // namespace skald::objstore

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skald;
  using namespace skald::objstore;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 8) {
    case 0: check_page(parse_azure_list(text)); break;
    case 1: check_page(parse_gcs_list(text)); break;
    case 2: check_range(text.substr(0, text.find('\n')), text.substr(std::min(text.find('\n'), text.size()))); break;
    case 3: check_token(text, 200); break;
    case 4: check_token(text, 400); break;
    case 5: check_account(text); break;
    case 6: {
      const auto bytes = base64_decode(text);
      if (bytes.ok()) require(base64_decode(base64_encode(*bytes)).value() == *bytes && base64_encode(*bytes).size() == text.size());
      break;
    }
    default: {
      http::ClientResponse response;
      response.headers = {{"Range", text}};
      (void)bytes_received(response);
      (void)parse_gcs_object(text);
      (void)parse_azure_error(text);
      require(one_line(text, 50).size() <= 53);
    }
  }
  return 0;
}
