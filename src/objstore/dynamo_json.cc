#include "objstore/dynamo_json.h"

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <functional>

#include "objstore/jwt.h"

namespace skald::objstore::dynamo {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::UTF8<>, rapidjson::CrtAllocator, rapidjson::kWriteValidateEncodingFlag>;

Error bad(const char* what) { return Error(ErrorCode::kUnavailable, std::string("the table's answer is not as expected: ") + what); }

// One JSON object; its members are written by methods. Text that is not UTF-8 makes done() fail.
class Body {
 public:
  Body() { writer_.StartObject(); }

  void text(const char* name, std::string_view value) {
    writer_.Key(name);
    valid_ = writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size())) && valid_;
  }
  void number(const char* name, std::size_t value) {
    writer_.Key(name);
    writer_.Uint64(value);
  }
  void truth(const char* name) {
    writer_.Key(name);
    writer_.Bool(true);
  }
  void object(const char* name, const std::function<void()>& members) {
    writer_.Key(name);
    writer_.StartObject();
    members();
    writer_.EndObject();
  }
  void list(const char* name, const std::function<void()>& elements) {
    writer_.Key(name);
    writer_.StartArray();
    elements();
    writer_.EndArray();
  }
  void element(const std::function<void()>& members) {
    writer_.StartObject();
    members();
    writer_.EndObject();
  }
  // {"S": text}, {"B": base64}
  void attribute(const char* name, const char* type, std::string_view value) {
    object(name, [&] { text(type, value); });
  }

  Result<std::string> done() {
    if (!valid_) return Error(ErrorCode::kInvalidArgument, "a key for the table is not UTF-8");
    writer_.EndObject();
    return std::string(buffer_.GetString(), buffer_.GetSize());
  }

 private:
  rapidjson::StringBuffer buffer_;
  Writer writer_{buffer_};
  bool valid_ = true;
};

void append_key(Body& body, const char* name, std::string_view hash, std::string_view range) {
  body.object(name, [&] {
    body.attribute("h", "S", hash);
    body.attribute("r", "S", range);
  });
}

const rapidjson::Value* member(const rapidjson::Value& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() ? nullptr : &found->value;
}

std::string_view text_of(const rapidjson::Value* value) {
  return value != nullptr && value->IsString() ? std::string_view(value->GetString(), value->GetStringLength()) : std::string_view();
}

// {"r":{"S":"x"}} → x
std::string_view attribute_of(const rapidjson::Value& item, const char* name, const char* type) {
  const rapidjson::Value* attribute = member(item, name);
  return attribute == nullptr ? std::string_view() : text_of(member(*attribute, type));
}

Result<void> parse(std::string_view json, rapidjson::Document& document) {
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) return bad("not a JSON object");
  return {};
}

}  // namespace

Result<std::string> put_item_body(const ItemKey& key, ByteView value, bool only_new) {
  Body body;
  body.text("TableName", key.table);
  body.object("Item", [&] {
    body.attribute("h", "S", key.hash);
    body.attribute("r", "S", key.range);
    body.attribute("v", "B", base64_encode(value));
  });
  if (only_new) body.text("ConditionExpression", "attribute_not_exists(h)");
  return body.done();
}

Result<std::string> key_body(const ItemKey& key, bool consistent_read) {
  Body body;
  body.text("TableName", key.table);
  append_key(body, "Key", key.hash, key.range);
  if (consistent_read) body.truth("ConsistentRead");
  return body.done();
}

Result<std::string> query_body(const ItemKey& key, std::string_view next, std::size_t items_max, WithValues values) {
  Body body;
  body.text("TableName", key.table);
  body.truth("ConsistentRead");
  body.text("KeyConditionExpression", key.range.empty() ? "h = :h" : "h = :h AND begins_with(r, :p)");
  body.object("ExpressionAttributeValues", [&] {
    body.attribute(":h", "S", key.hash);
    if (!key.range.empty()) body.attribute(":p", "S", key.range);
  });
  if (values == WithValues::kNo) body.text("ProjectionExpression", "r");
  if (items_max != 0) body.number("Limit", items_max);
  if (!next.empty()) append_key(body, "ExclusiveStartKey", key.hash, next);
  return body.done();
}

std::string create_table_body(std::string_view table) {
  Body body;
  body.text("TableName", table);
  body.text("BillingMode", "PAY_PER_REQUEST");
  body.list("AttributeDefinitions", [&] {
    for (const char* name : {"h", "r"})
      body.element([&] {
        body.text("AttributeName", name);
        body.text("AttributeType", "S");
      });
  });
  body.list("KeySchema", [&] {
    for (const auto& [name, type] : {std::pair{"h", "HASH"}, std::pair{"r", "RANGE"}})
      body.element([&, attribute = name, key_type = type] {
        body.text("AttributeName", attribute);
        body.text("KeyType", key_type);
      });
  });
  return body.done().value();   // table names are checked when the table is opened
}

std::string describe_table_body(std::string_view table) {
  Body body;
  body.text("TableName", table);
  return body.done().value();
}

Result<Bytes> read_item(std::string_view json) {
  rapidjson::Document document;
  SKALD_TRY_VOID(parse(json, document));
  const rapidjson::Value* item = member(document, "Item");
  if (item == nullptr) return Error(ErrorCode::kNotFound, "no such item");
  Result<Bytes> value = base64_decode(attribute_of(*item, "v", "B"));
  if (!value.ok()) return bad("the item's value is not base64");
  return value;
}

Result<TablePage> read_query(std::string_view json) {
  rapidjson::Document document;
  SKALD_TRY_VOID(parse(json, document));
  const rapidjson::Value* items = member(document, "Items");
  if (items == nullptr || !items->IsArray()) return bad("no items");
  TablePage page;
  page.items.reserve(items->Size());
  for (const rapidjson::Value& item : items->GetArray()) {
    TableItem one{.range = std::string(attribute_of(item, "r", "S")), .value = {}};
    if (one.range.empty()) return bad("an item without a range key");
    if (const std::string_view value = attribute_of(item, "v", "B"); !value.empty()) {
      Result<Bytes> bytes = base64_decode(value);
      if (!bytes.ok()) return bad("an item's value is not base64");
      one.value = *std::move(bytes);
    }
    page.items.push_back(std::move(one));
  }
  if (const rapidjson::Value* last = member(document, "LastEvaluatedKey")) {
    page.next = attribute_of(*last, "r", "S");
    if (page.next.empty()) return bad("a page's end without a range key");
  }
  return page;
}

Result<std::string> read_table_status(std::string_view json) {
  rapidjson::Document document;
  SKALD_TRY_VOID(parse(json, document));
  for (const char* name : {"Table", "TableDescription"})
    if (const rapidjson::Value* table = member(document, name)) return std::string(text_of(member(*table, "TableStatus")));
  return bad("no description of a table");
}

Fault read_fault(std::string_view json) {
  rapidjson::Document document;
  if (!parse(json, document).ok()) return {};
  std::string_view type = text_of(member(document, "__type"));
  if (const std::size_t hash = type.rfind('#'); hash != std::string_view::npos) type.remove_prefix(hash + 1);
  std::string_view message = text_of(member(document, "message"));
  if (message.empty()) message = text_of(member(document, "Message"));
  return {std::string(type), std::string(message)};
}

}  // namespace skald::objstore::dynamo
