// DynamoDB as a table. The table has string keys "h" (hash) and "r" (range) and a binary "v".
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "objstore/aws_credentials.h"
#include "objstore/dynamo_json.h"
#include "objstore/remote.h"

namespace skald::objstore {

// What the table stands on, for tests.
struct DynamoParts {
  std::unique_ptr<Remote> remote;
  Environment environment;
  const Clock& clock;
};

class DynamoTable final : public TableClient {
 public:
  DynamoTable(config::DynamoConfig config, std::string origin, std::string region, DynamoParts parts);

  Result<void> put(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) override;
  Result<void> put_if_absent(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) override;
  Result<Bytes> get(std::string_view hash, std::string_view range, const CallContext& ctx) override;
  Result<TablePage> query(std::string_view hash, std::string_view range_prefix, std::string_view next, std::size_t items_max, WithValues values,
                          const CallContext& ctx) override;
  Result<void> remove(std::string_view hash, std::string_view range, const CallContext& ctx) override;
  // An item may have 400 KB, its keys included.
  std::size_t value_bytes_max() const override { return 350 << 10; }

 private:
  struct Call {
    const char* metric;      // "DynamoDB.PutItem"
    const char* operation;   // "PutItem"
    std::string_view body;
  };
  // Any status below 500; makes the table where it is missing.
  Result<http::ClientResponse> call(const Call& call, const CallContext& ctx, int* tries = nullptr);
  Result<http::ClientResponse> send(const Call& call, const CallContext& ctx, int* tries);
  Result<void> create_table(const CallContext& ctx);
  Error failure(const Call& call, const http::ClientResponse& response) const;
  dynamo::ItemKey key(std::string_view hash, std::string_view range) const { return {config_.table, hash, range}; }

  const config::DynamoConfig config_;
  const std::string origin_, host_, region_, subject_;
  const std::unique_ptr<Remote> remote_;
  AwsCredentialsSource credentials_;
  const Clock& clock_;
};

}  // namespace skald::objstore
