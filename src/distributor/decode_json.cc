// Loki's two JSON push shapes. Streams and entries are read in one pass; the error texts are those of Loki's two JSON
// readers (an outer one that reports "… error found in #10 byte of …", an inner one per stream with fixed phrases).
#include <algorithm>
#include <limits>

#include "distributor/json_cursor.h"
#include "skald/model/time.h"

namespace skald::distributor {
namespace {

constexpr const char* kBadValue = "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
constexpr const char* kBadString = "Value is string, but can't find closing '\"' symbol";
constexpr const char* kBadObject = "Value looks like object, but can't find closing '}' symbol";
constexpr const char* kBadArray = "Value is array, but can't find closing ']' symbol";
constexpr const char* kBadJson = "Malformed JSON error";
constexpr const char* kOverflow = "Value is number, but overflowed while parsing";

bool same_name(std::string_view name, std::string_view lower) {
  if (name.size() != lower.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i)
    if ((name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]) != lower[i]) return false;
  return true;
}

const char* parse_timestamp(std::string_view text, std::int64_t& out) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty()) return kBadValue;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return kBadValue;
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value))
      return kOverflow;
  }
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value > kMost + (negative ? 1 : 0)) return kOverflow;
  out = negative ? static_cast<std::int64_t>(0 - value) : static_cast<std::int64_t>(value);
  return nullptr;
}

class LokiJson {
 public:
  explicit LokiJson(Decoded& out)
      : out_(out), cursor_(*out.body), arena_(out.owned, out.body->size()) {}

  Result<void> decode(bool legacy) {
    out_.wire.clear();
    if (out_.body->size() > std::numeric_limits<std::uint32_t>::max())
      return Error(ErrorCode::kTooLarge, "push body larger than 4 GiB");
    const char first = cursor_.peek();
    if (cursor_.at == cursor_.end) return Error(ErrorCode::kInvalidArgument, "EOF");
    if (first == 'n') {
      ++cursor_.at;
      if (cursor_.literal("ull")) return {};
      if (cursor_.at < cursor_.end) ++cursor_.at;
      return reader_error(cursor_, "skipThreeBytes: expect ull");
    }
    if (first != '{') return reader_error_after(cursor_, "readObjectStart: expect { or n, but found ");
    ++cursor_.at;
    if (cursor_.take('}')) return {};
    while (true) {
      RawString name;
      if (cursor_.peek() != '"') return reader_error_after(cursor_, "readFieldHash: expect \", but found ");
      if (!cursor_.string(name)) return reader_error(cursor_, "readFieldHash: incomplete field name");
      if (!cursor_.take(':')) return reader_error_after(cursor_, "readFieldHash: expect :, but found ");
      if (same_name(name.text, "streams")) {
        SKALD_TRY_VOID(streams(legacy));
      } else if (!cursor_.skip_value()) {
        return reader_error(cursor_, "Skip: do not know how to skip: " + shown_byte(cursor_));
      }
      if (cursor_.take('}')) return {};
      if (!cursor_.take(',')) return reader_error_after(cursor_, "loghttp.PushRequest.ReadObject: expect , or }, but found ");
    }
  }

 private:
  static constexpr const char* kIn = "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: ";

  Result<void> streams(bool legacy) {
    if (cursor_.peek() == 'n' && cursor_.literal("null")) return {};
    if (cursor_.peek() != '[')
      return reader_error_after(cursor_, std::string(kIn) + "decode slice: expect [ or n, but found ");
    ++cursor_.at;
    if (cursor_.take(']')) return {};
    while (true) {
      cursor_.skip_space();
      const JsonCursor start = cursor_;
      if (const char* error = legacy ? legacy_stream() : stream()) {
        cursor_ = start;
        if (!cursor_.skip_value()) {
          if (cursor_.at == cursor_.end) return Error(ErrorCode::kInvalidArgument, std::string(kIn) + "unexpected EOF");
          return reader_error(cursor_, std::string(kIn) + "Skip: do not know how to skip: " + shown_byte(cursor_));
        }
        return reader_error(cursor_, std::string(kIn) + "unmarshalerDecoder: " + error);
      }
      if (cursor_.take(']')) return {};
      if (!cursor_.take(',')) return reader_error_after(cursor_, std::string(kIn) + "decode slice: expect ], but found ");
    }
  }

  // One {"stream":…,"values":…}; the phrase that tells what is wrong, or null.
  const char* stream() {
    model::WireStream stream;
    stream.entries_begin = entry_count();
    if (cursor_.peek() == 'n' && cursor_.literal("null")) {
      stream.entries_end = stream.entries_begin;
      out_.wire.streams.push_back(stream);
      return nullptr;
    }
    const char* late = nullptr;
    const char* const error = object([&](std::string_view name) -> const char* {
      if (name == "stream") {
        if (cursor_.peek() != '{') return skip_with(kBadObject);
        const char* const first = cursor_.at;
        if (!cursor_.skip_value()) return kBadObject;
        stream.labels_text = std::string_view(first, static_cast<std::size_t>(cursor_.at - first));
        return nullptr;
      }
      if (name == "values") {
        if (cursor_.peek() == 'n' && cursor_.literal("null")) return nullptr;
        return values(late);
      }
      return cursor_.skip_value() ? nullptr : kBadJson;
    });
    if (error != nullptr) return error;
    if (late != nullptr) return late;
    stream.entries_end = entry_count();
    out_.wire.streams.push_back(stream);
    return nullptr;
  }

  const char* values(const char*& late) {
    if (!cursor_.take('[')) return skip_with(kBadArray);
    if (cursor_.take(']')) return nullptr;
    while (true) {
      if (cursor_.peek() != '[') return skip_with(kBadJson);
      if (const char* error = entry(late)) return error;
      if (cursor_.take(']')) return nullptr;
      if (!cursor_.take(',')) return kBadArray;
    }
  }

  // ["ns","line",{metadata}]. A wrong element does not take its place: the next one is tried for the same place, and the
  // last complaint is the one reported.
  const char* entry(const char*& late) {
    model::WireEntry entry;
    entry.metadata_begin = metadata_count();
    ++cursor_.at;
    if (!cursor_.take(']')) {
      int place = 0;
      while (true) {
        const char* complaint = nullptr;
        const char kind = cursor_.peek();
        RawString raw;
        if (place < 2 && kind == '"') {
          if (!cursor_.string(raw)) return kBadString;
          if (place == 0) {
            complaint = parse_timestamp(raw.text, entry.timestamp_ns);
          } else if (!arena_.text(raw, entry.line)) {
            complaint = kBadString;
          }
        } else if (place == 2 && kind == '{') {
          if (const char* error = metadata(complaint)) return error;
        } else {
          if (!cursor_.skip_value()) return kBadArray;
          if (place < 2) complaint = kBadString;
          else if (place == 2) complaint = kBadObject;
        }
        if (complaint != nullptr) late = complaint;
        else ++place;
        if (cursor_.take(']')) break;
        if (!cursor_.take(',')) return kBadArray;
      }
    }
    entry.metadata_end = metadata_count();
    out_.wire.entries.push_back(entry);
    return nullptr;
  }

  const char* metadata(const char*& complaint) {
    return object([&](std::string_view name) -> const char* {
      model::LabelView pair{name, {}};
      RawString raw;
      if (cursor_.peek() != '"') {
        complaint = kBadString;
        return cursor_.skip_value() ? nullptr : kBadObject;
      }
      if (!cursor_.string(raw)) return kBadString;
      if (!arena_.text(raw, pair.value)) complaint = kBadString;
      else out_.wire.metadata.push_back(pair);
      return nullptr;
    });
  }

  // {"labels":"{…}","entries":[{"ts":"…","line":"…"}]}
  const char* legacy_stream() {
    model::WireStream stream;
    stream.entries_begin = entry_count();
    if (const char* error = object([&](std::string_view name) -> const char* {
          if (same_name(name, "labels")) return text(stream.labels_text);
          if (same_name(name, "entries")) return legacy_entries();
          return cursor_.skip_value() ? nullptr : kBadJson;
        }))
      return error;
    stream.entries_end = entry_count();
    out_.wire.streams.push_back(stream);
    return nullptr;
  }

  const char* legacy_entries() {
    if (cursor_.peek() == 'n' && cursor_.literal("null")) return nullptr;
    if (!cursor_.take('[')) return skip_with(kBadArray);
    if (cursor_.take(']')) return nullptr;
    while (true) {
      model::WireEntry entry;
      entry.metadata_begin = metadata_count();
      if (const char* error = object([&](std::string_view name) -> const char* {
            if (same_name(name, "ts") || same_name(name, "timestamp")) {
              std::string_view value;
              if (const char* bad = text(value)) return bad;
              const auto ns = model::parse_rfc3339(value);
              if (!ns) return "parsing time: not an RFC 3339 timestamp";
              entry.timestamp_ns = *ns;
              return nullptr;
            }
            if (same_name(name, "line")) return text(entry.line);
            if (same_name(name, "structuredmetadata")) return legacy_metadata();
            return cursor_.skip_value() ? nullptr : kBadJson;
          }))
        return error;
      entry.metadata_end = metadata_count();
      out_.wire.entries.push_back(entry);
      if (cursor_.take(']')) return nullptr;
      if (!cursor_.take(',')) return kBadArray;
    }
  }

  const char* legacy_metadata() {
    const char* complaint = nullptr;
    if (cursor_.peek() != '{') return cursor_.skip_value() ? nullptr : kBadJson;
    if (const char* error = metadata(complaint)) return error;
    return complaint;
  }

  const char* text(std::string_view& out) {
    RawString raw;
    if (cursor_.peek() != '"' || !cursor_.string(raw) || !arena_.text(raw, out)) return kBadString;
    return nullptr;
  }

  // Walks the members of the object at the cursor; `member` consumes each value.
  template <class Member>
  const char* object(Member&& member) {
    if (cursor_.peek() != '{') return skip_with(kBadObject);
    ++cursor_.at;
    if (cursor_.take('}')) return nullptr;
    while (true) {
      RawString raw;
      std::string_view name;
      if (cursor_.peek() != '"' || !cursor_.string(raw) || !arena_.text(raw, name) || !cursor_.take(':')) return kBadObject;
      if (const char* error = member(name)) return error;
      if (cursor_.take('}')) return nullptr;
      if (!cursor_.take(',')) return kBadObject;
    }
  }

  const char* skip_with(const char* error) {
    return cursor_.skip_value() ? error : kBadJson;
  }
  std::uint32_t entry_count() const { return static_cast<std::uint32_t>(out_.wire.entries.size()); }
  std::uint32_t metadata_count() const { return static_cast<std::uint32_t>(out_.wire.metadata.size()); }

  Decoded& out_;
  JsonCursor cursor_;
  UnescapeArena arena_;
};

}  // namespace

Result<void> decode_loki_json(Decoded& out) {
  out.label_syntax = LabelSyntax::kJsonObject;
  return LokiJson(out).decode(false);
}

Result<void> decode_legacy_json(Decoded& out) {
  out.label_syntax = LabelSyntax::kText;
  return LokiJson(out).decode(true);
}

}  // namespace skald::distributor
