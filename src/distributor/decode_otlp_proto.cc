// opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest, walked by hand: no message objects.
#include <limits>

#include "distributor/otlp_value.h"
#include "skald/model/proto_cursor.h"

namespace skald::distributor {
namespace {

using model::ProtoCursor;
using Kind = OtlpValue::Kind;
constexpr const char* kWrongType = "proto: wrong wireType for field";

class Walker {
 public:
  Walker(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out) : rows_(config, now_ns, out) {}

  Result<void> walk(std::string_view body) {
    ProtoCursor cursor(body);
    std::uint32_t field = 0, wire = 0;
    std::string_view part;
    while (cursor.tag(field, wire)) {
      if (field != 1) {
        cursor.skip(wire);
        continue;
      }
      if (wire != 2) return bad(kWrongType);
      if (!cursor.bytes(part)) break;
      SKALD_TRY_VOID(resource_logs(part));
    }
    return cursor.error != nullptr ? bad(cursor.error) : Result<void>();
  }

 private:
  static Result<void> bad(const char* text) { return Error(ErrorCode::kInvalidArgument, text); }

  // The resource may stand behind its records on the wire, and they need it: two passes.
  Result<void> resource_logs(std::string_view message) {
    OtlpResource resource;
    std::uint32_t field = 0, wire = 0;
    std::string_view part;
    for (int pass = 0; pass < 2; ++pass) {
      ProtoCursor cursor(message);
      while (cursor.tag(field, wire)) {
        if (field != 1 && field != 2) {
          cursor.skip(wire);
          continue;
        }
        if (wire != 2) return bad(kWrongType);
        if (!cursor.bytes(part)) break;
        if (field == 1 && pass == 0) {
          if (const char* error = resource_of(part, resource)) return bad(error);
        } else if (field == 2 && pass == 1) {
          if (const char* error = scope_logs(part)) return bad(error);
        }
      }
      if (cursor.error != nullptr) return bad(cursor.error);
      if (pass == 0) SKALD_TRY_VOID(rows_.begin_resource(resource));
    }
    rows_.end_resource();
    return rows_.check_budget();
  }

  const char* resource_of(std::string_view message, OtlpResource& out) {
    ProtoCursor cursor(message);
    std::uint32_t field = 0, wire = 0;
    while (cursor.tag(field, wire)) {
      if (field == 1 && wire == 2) attribute(cursor, out.attributes);
      else if (field == 2 && wire == 0) cursor.varint(out.dropped);
      else cursor.skip(wire);
    }
    return cursor.error;
  }

  const char* scope_logs(std::string_view message) {
    OtlpScope scope;
    std::uint32_t field = 0, wire = 0;
    std::string_view part;
    for (int pass = 0; pass < 2; ++pass) {
      ProtoCursor cursor(message);
      while (cursor.tag(field, wire)) {
        if (field != 1 && field != 2) {
          cursor.skip(wire);
          continue;
        }
        if (wire != 2) return kWrongType;
        if (!cursor.bytes(part)) break;
        if (field == 1 && pass == 0) {
          if (const char* error = scope_of(part, scope)) return error;
        } else if (field == 2 && pass == 1) {
          if (const char* error = log_record(part)) return error;
        }
      }
      if (cursor.error != nullptr) return cursor.error;
      if (pass == 0) rows_.begin_scope(scope);
    }
    return nullptr;
  }

  const char* scope_of(std::string_view message, OtlpScope& out) {
    ProtoCursor cursor(message);
    std::uint32_t field = 0, wire = 0;
    while (cursor.tag(field, wire)) {
      if (field == 1 && wire == 2) cursor.bytes(out.name);
      else if (field == 2 && wire == 2) cursor.bytes(out.version);
      else if (field == 3 && wire == 2) attribute(cursor, out.attributes);
      else if (field == 4 && wire == 0) cursor.varint(out.dropped);
      else cursor.skip(wire);
    }
    return cursor.error;
  }

  const char* log_record(std::string_view message) {
    OtlpRecord& record = record_;
    record.clear();
    ProtoCursor cursor(message);
    std::uint32_t field = 0, wire = 0;
    std::uint64_t number = 0;
    std::uint32_t flags = 0;
    std::string_view part;
    while (cursor.tag(field, wire)) {
      if (field == 1 && wire == 1) cursor.fixed(record.time_ns);
      else if (field == 11 && wire == 1) cursor.fixed(record.observed_ns);
      else if (field == 2 && wire == 0) {
        if (cursor.varint(number)) record.severity_number = static_cast<std::int32_t>(number);
      } else if (field == 3 && wire == 2) cursor.bytes(record.severity_text);
      else if (field == 5 && wire == 2) {
        if (cursor.bytes(part))
          if (const char* error = any_value(part, record.body, 0)) return error;
      } else if (field == 6 && wire == 2) attribute(cursor, record.attributes);
      else if (field == 7 && wire == 0) cursor.varint(record.dropped);
      else if (field == 8 && wire == 5) {
        if (cursor.fixed(flags)) record.flags = flags;
      } else if (field == 9 && wire == 2) {
        if (cursor.bytes(part)) record.trace_id = hex(part);
      } else if (field == 10 && wire == 2) {
        if (cursor.bytes(part)) record.span_id = hex(part);
      } else if (field == 12 && wire == 2) cursor.bytes(record.event_name);
      else cursor.skip(wire);
    }
    if (cursor.error != nullptr) return cursor.error;
    rows_.add(record);
    return nullptr;
  }

  // Reads one KeyValue at the cursor; on failure the cursor carries the error.
  void attribute(ProtoCursor& cursor, std::vector<OtlpAttribute>& to) {
    std::string_view message;
    if (!cursor.bytes(message)) return;
    OtlpAttribute out;
    if (const char* error = key_value(message, out.key, out.value, 0)) {
      cursor.fail(error);
      return;
    }
    to.push_back(std::move(out));
  }

  const char* key_value(std::string_view message, std::string_view& key, OtlpValue& value, int depth) {
    ProtoCursor cursor(message);
    std::uint32_t field = 0, wire = 0;
    std::string_view part;
    while (cursor.tag(field, wire)) {
      if (field == 1 && wire == 2) cursor.bytes(key);
      else if (field == 2 && wire == 2) {
        if (cursor.bytes(part))
          if (const char* error = any_value(part, value, depth)) return error;
      } else cursor.skip(wire);
    }
    return cursor.error;
  }

  const char* any_value(std::string_view message, OtlpValue& out, int depth) {
    if (depth > kOtlpDepthMax) return "proto: value nested too deeply";
    out = OtlpValue();
    ProtoCursor cursor(message);
    std::uint32_t field = 0, wire = 0;
    std::uint64_t number = 0;
    std::string_view part;
    while (cursor.tag(field, wire)) {
      if (field == 1 && wire == 2) {
        out.kind = Kind::kString;
        cursor.bytes(out.text);
      } else if ((field == 2 || field == 3) && wire == 0) {
        out.kind = field == 2 ? Kind::kBool : Kind::kInt;
        if (cursor.varint(number)) out.integer = static_cast<std::int64_t>(number);
      } else if (field == 4 && wire == 1) {
        out.kind = Kind::kDouble;
        cursor.fixed(out.number);
      } else if ((field == 5 || field == 6) && wire == 2) {
        if (!cursor.bytes(part)) break;
        out.kind = field == 5 ? Kind::kArray : Kind::kMap;
        if (const char* error = children(part, out, depth)) return error;
      } else if (field == 7 && wire == 2) {
        out.kind = Kind::kBytes;
        cursor.bytes(out.text);
      } else {
        cursor.skip(wire);
      }
    }
    return cursor.error;
  }

  const char* children(std::string_view message, OtlpValue& out, int depth) {
    ProtoCursor cursor(message);
    std::uint32_t field = 0, wire = 0;
    std::string_view part, key;
    while (cursor.tag(field, wire)) {
      if (field != 1 || wire != 2) {
        cursor.skip(wire);
        continue;
      }
      if (!cursor.bytes(part)) break;
      OtlpValue value;
      key = {};
      const char* const error = out.kind == Kind::kArray ? any_value(part, value, depth + 1)
                                                         : key_value(part, key, value, depth + 1);
      if (error != nullptr) return error;
      out.items.push_back(std::move(value));
      if (out.kind == Kind::kMap) out.keys.push_back(key);
    }
    return cursor.error;
  }

  // "" for an id of zeros, which means none.
  std::string_view hex(std::string_view bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    if (bytes.find_first_not_of('\0') == std::string_view::npos) return {};
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const char c : bytes) {
      text += kDigits[static_cast<unsigned char>(c) >> 4];
      text += kDigits[static_cast<unsigned char>(c) & 15];
    }
    return rows_.arena().put(text);
  }

  OtlpRows rows_;
  OtlpRecord record_;
};

}  // namespace

Result<void> decode_otlp_proto(const config::OtlpConfig& config, std::int64_t now_ns, Decoded& out) {
  if (out.body->size() > std::numeric_limits<std::uint32_t>::max())
    return Error(ErrorCode::kTooLarge, "push body larger than 4 GiB");
  return Walker(config, now_ns, out).walk(*out.body);
}

}  // namespace skald::distributor
