#include "ruler/links.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace skald::ruler {
namespace {

std::string percent_encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte | 32) >= 'a' && (byte | 32) <= 'z') out += c;
    else if ((byte >= '0' && byte <= '9') || c == '-' || c == '_' || c == '.' || c == '~') out += c;
    else if (c == ' ') out += '+';
    else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace

std::string explore_link(const std::string& expr, const std::string& datasource_uid) {
  rapidjson::StringBuffer text;
  rapidjson::Writer<rapidjson::StringBuffer> json(text);
  json.StartObject();
  json.Key("datasource");
  json.StartObject();
  json.Key("type");
  json.String("loki");
  json.Key("uid");
  json.String(datasource_uid.data(), static_cast<rapidjson::SizeType>(datasource_uid.size()));
  json.EndObject();
  json.Key("expr");
  json.String(expr.data(), static_cast<rapidjson::SizeType>(expr.size()));
  json.Key("queryType");
  json.String("range");
  json.EndObject();
  return "/explore?left={\"queries\":[" + percent_encoded({text.GetString(), text.GetSize()}) + "]}";
}

}  // namespace skald::ruler
