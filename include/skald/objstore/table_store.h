// Index objects in a NoSQL table instead of the bucket: a table of hash key, range key and value, and a store that keeps
// keys <tenant>/index/… in it. Reading an index there takes milliseconds and costs no request to the bucket. Nothing here is
// particular to one service: a Cassandra partition key and clustering key, or a Bigtable row key of both, do as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/context.h"
#include "skald/base/random.h"
#include "skald/base/result.h"
#include "skald/config/storage.h"
#include "skald/objstore/object_store.h"
#include "skald/objstore/remote_stores.h"

namespace skald::objstore {

struct TableItem {
  std::string range;
  Bytes value;          // empty when only keys were asked for
};

struct TablePage {
  std::vector<TableItem> items;   // by range key, in order of its bytes
  std::string next;               // empty: that was all. Else for the next call
};

enum class WithValues : bool { kNo = false, kYes = true };

// Keys are UTF-8, 1 to 900 bytes. Reads see every write that was answered before them. Thread-safe. Errors: kUnavailable,
// kDeadlineExceeded, kCancelled, kPermissionDenied; kInvalidArgument for keys or values that cannot be stored.
class TableClient {
 public:
  virtual ~TableClient() = default;
  virtual Result<void> put(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) = 0;
  // kAlreadyExists. Of several writers exactly one succeeds; an own earlier try whose answer was lost is a success.
  virtual Result<void> put_if_absent(std::string_view hash, std::string_view range, ByteView value, const CallContext& ctx) = 0;
  virtual Result<Bytes> get(std::string_view hash, std::string_view range, const CallContext& ctx) = 0;   // kNotFound
  // Items of `hash` whose range key begins with `range_prefix`, at most `items_max` (0: as many as the service likes).
  // `next`: empty, or from the page before. A page may be empty and yet not the last.
  virtual Result<TablePage> query(std::string_view hash, std::string_view range_prefix, std::string_view next, std::size_t items_max,
                                  WithValues values, const CallContext& ctx) = 0;
  virtual Result<void> remove(std::string_view hash, std::string_view range, const CallContext& ctx) = 0;   // absent is success
  virtual std::size_t value_bytes_max() const = 0;
};

// Gone with the process; for tests. A page has at most `page_items`.
std::unique_ptr<TableClient> make_memory_table(std::size_t value_bytes_max = 350'000, std::size_t page_items = 100);

// Amazon DynamoDB and what speaks its API. Contacts nobody; the table is made at the first use when it is not there
// (config.create_table), paid per request. kInvalidArgument: no region or endpoint.
Result<std::unique_ptr<TableClient>> open_dynamo_table(const config::DynamoConfig& config, const RemoteContext& context);

// Objects <tenant>/index/… live in `table`, all others in `inner`; such objects that `inner` has are not seen. Listings that
// cover both give those of `inner` first: sorted within each only. Layout: docs/formats/table.md.
std::unique_ptr<ObjectStore> with_table_index(std::shared_ptr<ObjectStore> inner, std::unique_ptr<TableClient> table,
                                              const Clock& clock = system_clock(), Random& random = system_random());

}  // namespace skald::objstore
