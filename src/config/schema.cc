#include "schema.h"

#include "keys.h"
#include "skald/model/time.h"

namespace skald::config {
namespace {

Error at_line(const YamlNode& node, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, "line " + std::to_string(node.line) + ": " + what);
}

Error unknown(const YamlNode& name, const std::string& block, const std::vector<std::string>& known) {
  const std::string near = nearest(name.scalar, known);
  return at_line(name, "field " + name.scalar + " not found in " + block + (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
}

Result<void> read_index(const YamlNode& node, SchemaPeriod& period) {
  if (node.is_null()) return {};
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "index must be a map of keys");
  for (const auto& [name, value] : node.entries) {
    if (name.scalar == "prefix") SKALD_TRY_VOID(set_from_yaml(Kind::kString, value, &period.index_prefix));
    else if (name.scalar == "path_prefix") SKALD_TRY_VOID(set_from_yaml(Kind::kString, value, &period.index_path_prefix));
    else if (name.scalar == "period") SKALD_TRY_VOID(set_from_yaml(Kind::kPromDuration, value, &period.index_period));
    else if (name.scalar != "tags") return unknown(name, "schema_config.configs.index", {"prefix", "path_prefix", "period"});
  }
  return {};
}

Result<SchemaPeriod> read_period(const YamlNode& node) {
  SchemaPeriod period;
  period.store.clear();
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "a schema period must be a map of keys");
  for (const auto& [name, value] : node.entries) {
    const std::string& key = name.scalar;
    if (key == "from") SKALD_TRY_VOID(set_from_yaml(Kind::kString, value, &period.from));
    else if (key == "store") SKALD_TRY_VOID(set_from_yaml(Kind::kString, value, &period.store));
    else if (key == "object_store") SKALD_TRY_VOID(set_from_yaml(Kind::kString, value, &period.object_store));
    else if (key == "schema") SKALD_TRY_VOID(set_from_yaml(Kind::kString, value, &period.schema));
    else if (key == "index") SKALD_TRY_VOID(read_index(value, period));
    else if (key != "row_shards" && key != "chunks")
      return unknown(name, "schema_config.configs", {"from", "store", "object_store", "schema", "index"});
    if (key == "from" && !model::parse_rfc3339(period.from + "T00:00:00Z"))
      return at_line(value, "schema_config: `" + period.from + "` is not a day, write YYYY-MM-DD");
  }
  return period;
}

}  // namespace

Result<void> read_schema(const YamlNode& node, std::vector<SchemaPeriod>& periods) {
  if (node.is_null()) return {};
  if (node.kind != YamlNode::Kind::kMap) return at_line(node, "schema_config must be a map of keys");
  for (const auto& [name, value] : node.entries) {
    if (name.scalar != "configs") return unknown(name, "schema_config", {"configs"});
    if (value.is_null()) continue;
    if (value.kind != YamlNode::Kind::kSequence) return at_line(value, "schema_config.configs must be a list");
    for (const YamlNode& item : value.items) {
      SKALD_TRY(SchemaPeriod period, read_period(item));
      periods.push_back(std::move(period));
    }
  }
  return {};
}

std::vector<std::string> validate_schema(const Config& config) {
  std::vector<std::string> out;
  const auto bad = [&](const std::string& what) { out.push_back("invalid schema_config config: " + what); };
  if (config.schema.empty()) {
    bad("must specify at least one schema period; for a single node: schema_config: {configs: [{from: 2020-10-24, store: tsdb, "
        "object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]}");
    return out;
  }
  for (std::size_t i = 0; i < config.schema.size(); ++i) {
    const SchemaPeriod& period = config.schema[i];
    if (period.from.empty()) bad("a period has no `from` day");
    if (i > 0 && period.from <= config.schema[i - 1].from) bad("periods must be in ascending order: " + period.from + " follows " + config.schema[i - 1].from);
    if (period.store != "tsdb" && period.store != "dynamodb")
      bad("unsupported store \"" + period.store + "\" in the period from " + period.from +
          "; only tsdb is supported: add a period with store tsdb that starts in the future, and move this file once the old one has expired");
    if (period.schema != "v11" && period.schema != "v12" && period.schema != "v13")
      bad("unknown schema \"" + period.schema + "\" in the period from " + period.from + "; use v13");
    if (period.index_period != 24 * kNanosPerHour) bad("tsdb must always have periodic config for index set to 24h");
    if (!config.stores.contains(period.bucket))
      bad("unrecognized object_store \"" + period.object_store + "\" in the period from " + period.from + "; use s3, azure, gcs, filesystem or a named store");
  }
  const SchemaPeriod& last = config.schema.back();
  if (config.limits.allow_structured_metadata && (last.schema == "v11" || last.schema == "v12"))
    bad("schema v13 is required to store structured metadata, the last period has " + last.schema +
        "; set limits_config.allow_structured_metadata: false or add a period with schema v13");
  return out;
}

}  // namespace skald::config
