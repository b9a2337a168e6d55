#include "api/read_fields.h"

#include <rapidjson/reader.h>
#include <rapidjson/memorystream.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "skald/model/time.h"

namespace skald::api {

namespace {

constexpr std::size_t kDepthMax = 64;

// Collects scalars outside arrays.
class JsonCollector : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, JsonCollector> {
 public:
  explicit JsonCollector(std::vector<FoundField>& fields) : fields_(fields) {}
  bool Null() { return true; }
  bool Bool(bool value) { return scalar(value ? "true" : "false"); }
  bool RawNumber(const char* text, rapidjson::SizeType size, bool) { return scalar({text, size}); }
  bool String(const char* text, rapidjson::SizeType size, bool) { return scalar({text, size}); }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    if (arrays_ == 0) path_.back().assign(text, size);
    return true;
  }
  bool StartObject() {
    if (++depth_ > kDepthMax) return false;
    if (arrays_ == 0) path_.emplace_back();
    return true;
  }
  bool EndObject(rapidjson::SizeType) {
    --depth_;
    if (arrays_ == 0) path_.pop_back();
    return true;
  }
  bool StartArray() {
    ++arrays_;
    return ++depth_ <= kDepthMax && !path_.empty();   // the document itself must be an object
  }
  bool EndArray(rapidjson::SizeType) { --arrays_; --depth_; return true; }

 private:
  bool scalar(std::string_view value) {
    if (path_.empty()) return false;
    if (arrays_ != 0) return true;
    std::string name;
    for (const std::string& key : path_) {
      if (!name.empty()) name += '_';
      name += key;
    }
    name = field_name(name);
    if (!name.empty() && names_.insert(name).second) fields_.push_back({std::move(name), std::string(value), path_});
    return true;
  }
  std::vector<FoundField>& fields_;
  std::vector<std::string> path_;
  std::set<std::string> names_;   // the first of equal names counts
  std::size_t depth_ = 0, arrays_ = 0;
};

bool is_integer(std::string_view v) {
  if (!v.empty() && v.front() == '+') v.remove_prefix(1);
  long long n = 0;
  const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), n);
  return error == std::errc() && end == v.data() + v.size();
}

bool is_float(std::string_view v) {
  if (!v.empty() && v.front() == '+') v.remove_prefix(1);
  double n = 0;
  const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), n);
  return error == std::errc() && end == v.data() + v.size();
}

bool is_boolean(std::string_view v) {
  static constexpr std::string_view kWords[] = {"t", "T", "true", "TRUE", "True", "f", "F", "false", "FALSE", "False"};
  return std::find(std::begin(kWords), std::end(kWords), v) != std::end(kWords);
}

// Digits, dots and commas, optional spaces, a unit in any case.
bool is_bytes(std::string_view v) {
  std::size_t i = 0;
  while (i < v.size() && ((v[i] >= '0' && v[i] <= '9') || v[i] == '.' || v[i] == ',')) ++i;
  if (i == 0) return false;
  while (i < v.size() && v[i] == ' ') ++i;
  std::string unit(v.substr(i));
  for (char& c : unit)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  static constexpr std::string_view kUnits[] = {"b", "k", "kb", "ki", "kib", "m", "mb", "mi", "mib", "g", "gb", "gi", "gib",
                                                "t", "tb", "ti", "tib", "p", "pb", "pi", "pib", "e", "eb", "ei", "eib"};
  return std::find(std::begin(kUnits), std::end(kUnits), unit) != std::end(kUnits);
}

}  // namespace

std::string field_name(std::string_view key) {
  const auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!key.empty() && space(key.front())) key.remove_prefix(1);
  while (!key.empty() && space(key.back())) key.remove_suffix(1);
  std::string name;
  if (!key.empty() && key.front() >= '0' && key.front() <= '9') name += '_';
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0U) == 0x80U) continue;   // later bytes of a rune
    const bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    name += keep ? c : '_';
  }
  return name;
}

bool find_json_fields(std::string_view line, std::vector<FoundField>& fields) {
  std::vector<FoundField> found;
  JsonCollector collector(found);
  rapidjson::MemoryStream stream(line.data(), line.size());
  rapidjson::Reader reader;
  constexpr unsigned kFlags = rapidjson::kParseNumbersAsStringsFlag | rapidjson::kParseStopWhenDoneFlag | rapidjson::kParseIterativeFlag;
  if (reader.Parse<kFlags>(stream, collector).IsError()) return false;
  fields.insert(fields.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  return true;
}

bool find_logfmt_fields(std::string_view line, std::vector<FoundField>& fields) {
  const std::size_t before = fields.size();
  std::set<std::string> names;
  std::size_t i = 0;
  while (i < line.size()) {
    while (i < line.size() && static_cast<unsigned char>(line[i]) <= ' ') ++i;
    const std::size_t key_begin = i;
    while (i < line.size() && static_cast<unsigned char>(line[i]) > ' ' && line[i] != '=' && line[i] != '"') ++i;
    const std::string_view key = line.substr(key_begin, i - key_begin);
    if (i >= line.size() || line[i] != '=' || key.empty()) {   // a bare key or something malformed: skip the token
      while (i < line.size() && static_cast<unsigned char>(line[i]) > ' ') ++i;
      continue;
    }
    ++i;
    std::string value;
    if (i < line.size() && line[i] == '"') {
      bool closed = false;
      for (++i; i < line.size(); ++i) {
        if (line[i] == '"') { closed = true; ++i; break; }
        if (line[i] == '\\' && i + 1 < line.size()) {
          ++i;
          value += line[i] == 'n' ? '\n' : line[i] == 't' ? '\t' : line[i] == 'r' ? '\r' : line[i];
        } else {
          value += line[i];
        }
      }
      if (!closed) break;
    } else {
      const std::size_t begin = i;
      while (i < line.size() && static_cast<unsigned char>(line[i]) > ' ' && line[i] != '=' && line[i] != '"') ++i;
      const bool malformed = i < line.size() && static_cast<unsigned char>(line[i]) > ' ';
      value = line.substr(begin, i - begin);
      while (malformed && i < line.size() && static_cast<unsigned char>(line[i]) > ' ') ++i;
      if (malformed) continue;
    }
    std::string name = field_name(key);
    if (!value.empty() && !name.empty() && names.insert(name).second) fields.push_back({std::move(name), std::move(value), {}});
  }
  return fields.size() != before;
}

std::string_view field_type(std::string_view value) {
  if (is_integer(value)) return "int";
  if (is_float(value)) return "float";
  if (is_boolean(value)) return "boolean";
  if (model::parse_go_duration(value)) return "duration";
  if (is_bytes(value)) return "bytes";
  return "string";
}

}  // namespace skald::api
