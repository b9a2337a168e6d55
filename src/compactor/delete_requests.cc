#include "skald/compactor/delete_requests.h"

#include <fmt/format.h>

#include <algorithm>

#include "skald/logql/parser.h"

namespace skald::compactor {
namespace {

// "id start end status created\n" and then the query to the end: trivially readable by hand.
std::string encode(const DeleteRequest& request) {
  return fmt::format("skald-delete-1 {} {} {} {} {}\n{}", request.id, request.start_s, request.end_s,
                     request.status == DeleteStatus::kReceived ? "received" : "processed", request.created_ms, request.query);
}

Result<DeleteRequest> decode(const std::string& key, const std::string& text) {
  DeleteRequest request;
  char id[9] = {};
  char status[16] = {};
  long long start = 0;
  long long end = 0;
  long long created = 0;
  int length = 0;
  if (std::sscanf(text.c_str(), "skald-delete-1 %8s %lld %lld %15s %lld%n", id, &start, &end, status, &created, &length) != 5 ||
      static_cast<std::size_t>(length) >= text.size() || text[static_cast<std::size_t>(length)] != '\n') {
    return Error(ErrorCode::kCorruption, "delete request " + key + " is not readable");
  }
  request.id = id;
  request.start_s = start;
  request.end_s = end;
  request.created_ms = created;
  request.status = std::string_view(status) == "processed" ? DeleteStatus::kProcessed : DeleteStatus::kReceived;
  request.query = text.substr(static_cast<std::size_t>(length) + 1);
  auto selector = parse_delete_query(request.query);
  if (!selector.ok()) return Error(ErrorCode::kCorruption, "delete request " + key + ": " + selector.error().message());
  request.selector = std::move(selector).value();
  return request;
}

std::string key_of(const std::string& tenant, const std::string& id) { return tenant + "/deletes/" + id; }

bool is_blank_selector(const std::string& query) {
  std::string squeezed;
  for (const char c : query) {
    if (c != ' ' && c != '\t' && c != '\n') squeezed += c;
  }
  return squeezed == "{}";
}

}  // namespace

Result<logql::LogSelector> parse_delete_query(const std::string& query) {
  if (is_blank_selector(query)) return logql::LogSelector{};
  auto parsed = logql::parse(query);
  if (!parsed.ok() || !parsed->is_log()) return Error(ErrorCode::kInvalidArgument, "invalid query expression");
  return parsed->log();
}

Result<void> DeleteStore::load(const CallContext& ctx, const std::vector<std::string>& tenants) {
  for (const std::string& tenant : tenants) {
    std::vector<std::shared_ptr<const DeleteRequest>> requests;
    SKALD_TRY(const std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects_, tenant + "/deletes/", ctx));
    for (const auto& object : found) {
      SKALD_TRY(const Bytes text, objects_.get(object.key, {}, ctx));
      SKALD_TRY(DeleteRequest request, decode(object.key, text));
      requests.push_back(std::make_shared<const DeleteRequest>(std::move(request)));
    }
    if (!requests.empty()) replace(tenant, std::move(requests));
  }
  return {};
}

Result<std::string> DeleteStore::add(const CallContext& ctx, const std::string& query, std::int64_t start_s, std::int64_t end_s) {
  DeleteRequest request;
  SKALD_TRY(request.selector, parse_delete_query(query));
  request.id = fmt::format("{:08x}", static_cast<std::uint32_t>(random_.next_u64()));
  request.query = query;
  request.start_s = start_s;
  request.end_s = end_s;
  request.created_ms = clock_.now_ns() / kNanosPerMilli;
  SKALD_TRY_VOID(objects_.put(key_of(ctx.tenant, request.id), encode(request), ctx));
  std::string id = request.id;
  const std::lock_guard change(change_mutex_);
  auto requests = *of(ctx.tenant);
  requests.push_back(std::make_shared<const DeleteRequest>(std::move(request)));
  replace(ctx.tenant, std::move(requests));
  return id;
}

Result<void> DeleteStore::cancel(const CallContext& ctx, const std::string& id, bool force) {
  const std::lock_guard change(change_mutex_);
  auto requests = *of(ctx.tenant);
  const auto found = std::find_if(requests.begin(), requests.end(), [&](const auto& request) { return request->id == id; });
  if (found == requests.end()) return Error(ErrorCode::kNotFound, "could not find delete request with given id");
  const std::int64_t age_ns = clock_.now_ns() - (*found)->created_ms * kNanosPerMilli;
  if (!force && ((*found)->status == DeleteStatus::kProcessed || age_ns > cancel_period_ns_)) {
    return Error(ErrorCode::kInvalidArgument, "deletion of request which is in process or already processed is not allowed");
  }
  SKALD_TRY_VOID(objects_.remove(key_of(ctx.tenant, id), ctx));
  requests.erase(found);
  replace(ctx.tenant, std::move(requests));
  return {};
}

DeleteRequests DeleteStore::of(const std::string& tenant) const {
  static const DeleteRequests none = std::make_shared<const std::vector<std::shared_ptr<const DeleteRequest>>>();
  const std::lock_guard lock(mutex_);
  const auto found = by_tenant_.find(tenant);
  return found == by_tenant_.end() ? none : found->second;
}

void DeleteStore::replace(const std::string& tenant, std::vector<std::shared_ptr<const DeleteRequest>> requests) {
  std::sort(requests.begin(), requests.end(), [](const auto& a, const auto& b) {
    return a->created_ms != b->created_ms ? a->created_ms < b->created_ms : a->id < b->id;
  });
  const std::lock_guard lock(mutex_);
  by_tenant_[tenant] = std::make_shared<const std::vector<std::shared_ptr<const DeleteRequest>>>(std::move(requests));
}

}  // namespace skald::compactor
