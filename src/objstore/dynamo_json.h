// Bodies of the DynamoDB API (JSON protocol 1.0): requests made, answers read. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "skald/objstore/table_store.h"

namespace skald::objstore::dynamo {

// kInvalidArgument: hash or range key are not UTF-8.
struct ItemKey {
  std::string_view table, hash, range;
};
Result<std::string> put_item_body(const ItemKey& key, ByteView value, bool only_new);
Result<std::string> key_body(const ItemKey& key, bool consistent_read);   // of GetItem, DeleteItem
// `range` is a prefix; empty: all.
Result<std::string> query_body(const ItemKey& key, std::string_view next, std::size_t items_max, WithValues values);
std::string create_table_body(std::string_view table);
std::string describe_table_body(std::string_view table);

// kNotFound: there is no such item. kUnavailable: not an answer of this API.
Result<Bytes> read_item(std::string_view json);
Result<TablePage> read_query(std::string_view json);
Result<std::string> read_table_status(std::string_view json);   // ACTIVE, CREATING …

// {"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"…"}; empty fields when it is none.
struct Fault {
  std::string code;      // without what stands before '#'
  std::string message;
};
Fault read_fault(std::string_view json);

}  // namespace skald::objstore::dynamo
