#include "fsck_report.h"

#include <iterator>
#include <utility>

#include "skald/api/json.h"

namespace skald::app {
namespace {

struct Count {
  const char* name;
  std::uint64_t FsckReport::*value;
};
constexpr Count kCounts[] = {
    {"files", &FsckReport::files},
    {"objects", &FsckReport::objects},
    {"indexes", &FsckReport::indexes},
    {"replaced_indexes", &FsckReport::replaced_indexes},
    {"segments", &FsckReport::segments},
    {"other", &FsckReport::other},
    {"chunks", &FsckReport::chunks},
    {"blocks", &FsckReport::blocks},
    {"rows", &FsckReport::rows},
    {"wal_frames", &FsckReport::wal_frames},
    {"delete_requests", &FsckReport::delete_requests},
    {"rule_groups", &FsckReport::rule_groups},
    {"torn_tail_bytes", &FsckReport::torn_tail_bytes},
    {"unlisted_objects", &FsckReport::unlisted_objects},
    {"retired_objects", &FsckReport::retired_objects},
    {"unlisted_chunks", &FsckReport::unlisted_chunks},
};

void append_findings(std::string& out, const std::vector<Finding>& findings) {
  out += '[';
  for (std::size_t i = 0; i < findings.size(); ++i) {
    out += i == 0 ? "{\"kind\":\"" : ",{\"kind\":\"";
    out += kind_name(findings[i].kind);
    out += "\",\"where\":";
    api::append_json_string(out, findings[i].where);
    out += ",\"what\":";
    api::append_json_string(out, findings[i].what);
    out += '}';
  }
  out += ']';
}

}  // namespace

const char* kind_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kUnreadable: return "unreadable";
    case FindingKind::kIndexDamaged: return "index_damaged";
    case FindingKind::kIndexMisplaced: return "index_misplaced";
    case FindingKind::kObjectMissing: return "object_missing";
    case FindingKind::kObjectLength: return "object_length";
    case FindingKind::kObjectDamaged: return "object_damaged";
    case FindingKind::kObjectMisplaced: return "object_misplaced";
    case FindingKind::kObjectUnlisted: return "object_unlisted";
    case FindingKind::kReferenceBroken: return "reference_broken";
    case FindingKind::kIndexDisagrees: return "index_disagrees";
    case FindingKind::kDeleteRequest: return "delete_request";
    case FindingKind::kRuleGroup: return "rule_group";
    case FindingKind::kLogDamaged: return "log_damaged";
    case FindingKind::kForeign: return "foreign";
    case FindingKind::kIndexSkipped: return "index_skipped";
  }
  return "unknown";
}

void FsckReport::add(FindingKind kind, std::string where, std::string what) {
  (is_note(kind) ? notes : problems).push_back({kind, std::move(where), std::move(what)});
}

void FsckReport::merge(FsckReport more) {
  for (const Count& count : kCounts) this->*count.value += more.*count.value;
  std::move(more.problems.begin(), more.problems.end(), std::back_inserter(problems));
  std::move(more.notes.begin(), more.notes.end(), std::back_inserter(notes));
}

std::string to_text(const FsckReport& report) {
  std::string out;
  for (const Finding& finding : report.problems) out += finding.where + ": " + finding.what + "\n";
  for (const Finding& finding : report.notes) out += "note: " + finding.where + ": " + finding.what + "\n";
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  return out + number(report.files) + " files: " + number(report.objects) + " objects (" + number(report.chunks) + " chunks, " + number(report.blocks) +
         " blocks, " + number(report.rows) + " rows; " + number(report.unlisted_objects) + " in no index yet, " + number(report.retired_objects) +
         " retired), " + number(report.indexes) + " indexes (" + number(report.replaced_indexes) + " replaced), " + number(report.delete_requests) +
         " delete requests, " + number(report.rule_groups) + " rule groups, " + number(report.segments) + " WAL segments (" + number(report.wal_frames) +
         " frames, " + number(report.torn_tail_bytes) + " bytes of torn tails), " + number(report.other) + " other; " + number(report.problems.size()) +
         " problems\n";
}

std::string to_json(const FsckReport& report) {
  std::string out = report.problems.empty() ? "{\"ok\":true,\"problems\":" : "{\"ok\":false,\"problems\":";
  append_findings(out, report.problems);
  out += ",\"notes\":";
  append_findings(out, report.notes);
  out += ",\"counts\":{";
  for (const Count& count : kCounts) {
    if (&count != kCounts) out += ',';
    out += '"' + std::string(count.name) + "\":";
    api::append_json_unsigned(out, report.*count.value);
  }
  return out + "}}\n";
}

}  // namespace skald::app
