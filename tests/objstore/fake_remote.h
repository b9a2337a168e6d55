// A Remote without a network: answers come from a function, requests are kept.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "objstore/oauth.h"
#include "objstore/remote.h"
#include "objstore/token.h"

namespace skald::objstore {

struct SeenRequest {
  std::string operation, method, url;
  std::vector<http::Header> headers;
  std::string body;
  bool retry = true;
  std::string header(std::string_view name) const {
    for (const http::Header& h : headers)
      if (h.name == name) return h.value;
    return "";
  }
};

using Answer = std::function<Result<http::ClientResponse>(const SeenRequest&)>;

// What a test keeps of a Remote it gave away.
struct RemoteLog {
  std::mutex mutex;   // guards seen and answer's calls
  std::vector<SeenRequest> seen;
  Answer answer;
  int tries = 1;      // reported for each operation
};

class FakeRemote final : public Remote {
 public:
  explicit FakeRemote(std::shared_ptr<RemoteLog> log, std::string mark = "") : log_(std::move(log)), mark_(std::move(mark)) {}
  Result<http::ClientResponse> run(const RemoteOperation& operation, const BuildRequest& build, const CallContext& ctx, int* tries) override {
    SKALD_TRY_VOID(ctx.check());
    SKALD_TRY(const http::ClientRequest request, build());
    const std::lock_guard lock(log_->mutex);
    if (tries != nullptr) *tries = log_->tries;
    log_->seen.push_back({mark_ + operation.name, request.method, request.url, request.headers, std::string(request.body), operation.retry});
    return log_->answer(log_->seen.back());
  }

 private:
  const std::shared_ptr<RemoteLog> log_;
  const std::string mark_;
};

// Requests to a metadata service carry "metadata " before their operation.
inline TokenRemotes fake_token_remotes(const std::shared_ptr<RemoteLog>& log) {
  return {.services = std::make_unique<FakeRemote>(log), .metadata = std::make_unique<FakeRemote>(log, "metadata ")};
}

inline http::ClientResponse answer(int status, std::string body = "", std::vector<http::Header> headers = {}) {
  http::ClientResponse response;
  response.status = status;
  response.body = std::move(body);
  response.headers = std::move(headers);
  return response;
}

// Variables and files of a pretended process.
struct FakeEnvironment {
  std::map<std::string, std::string> variables, files;
};
inline Environment environment_of(std::shared_ptr<FakeEnvironment> fake) {
  return {.variable =
              [fake](const char* name) {
                const auto found = fake->variables.find(name);
                return found == fake->variables.end() ? std::string() : found->second;
              },
          .read_file = [fake](const std::string& path) -> Result<Bytes> {
            const auto found = fake->files.find(path);
            if (found == fake->files.end()) return Error(ErrorCode::kNotFound, path + ": no such file");
            return found->second;
          }};
}

}  // namespace skald::objstore
