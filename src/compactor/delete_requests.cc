#include "skald/compactor/delete_requests.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "skald/logql/parser.h"

namespace skald::compactor {
namespace {

// "id start end status created\n" and then the query to the end: trivially readable by hand. Once the compactor has begun,
// version 2: "… created finished lines bytes total day,day\n".
std::string encode(const DeleteRequest& request) {
  const char* status = request.status == DeleteStatus::kReceived ? "received" : "processed";
  if (request.days_total == 0 && request.status == DeleteStatus::kReceived) {
    return fmt::format("skald-delete-1 {} {} {} {} {}\n{}", request.id, request.start_s, request.end_s, status, request.created_ms, request.query);
  }
  return fmt::format("skald-delete-2 {} {} {} {} {} {} {} {} {} {}\n{}", request.id, request.start_s, request.end_s, status, request.created_ms, request.finished_ms,
                     request.lines_removed, request.bytes_removed, request.days_total,
                     request.days_done.empty() ? "-" : fmt::format("{}", fmt::join(request.days_done, ",")), request.query);
}

Result<DeleteRequest> decode(const std::string& key, const std::string& text) {
  const Error unreadable(ErrorCode::kCorruption, "delete request " + key + " is not readable");
  DeleteRequest request;
  const std::size_t line_end = text.find('\n');
  if (line_end == std::string::npos) return unreadable;
  std::istringstream line(text.substr(0, line_end));
  std::string version, status, days;
  line >> version >> request.id >> request.start_s >> request.end_s >> status >> request.created_ms;
  if (version == "skald-delete-2") {
    line >> request.finished_ms >> request.lines_removed >> request.bytes_removed >> request.days_total >> days;
  } else if (version != "skald-delete-1") {
    return unreadable;
  }
  if (line.fail() || request.id.size() != 8 || (status != "received" && status != "processed")) return unreadable;
  if (!days.empty() && days != "-") {
    std::istringstream list(days);
    for (std::string one; std::getline(list, one, ',');) {
      std::int64_t day = 0;
      const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), day);
      if (error != std::errc() || end != one.data() + one.size()) return unreadable;
      request.days_done.push_back(day);
    }
  }
  request.status = status == "processed" ? DeleteStatus::kProcessed : DeleteStatus::kReceived;
  request.query = text.substr(line_end + 1);
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

std::string status_text(const DeleteRequest& request) {
  if (request.status == DeleteStatus::kProcessed) return "processed";
  if (request.days_total == 0) return "received";
  return fmt::format("{}% Complete", std::min<std::size_t>(99, 100 * request.days_done.size() / request.days_total));
}

Result<void> DeleteStore::load_tenant(const CallContext& ctx, const std::string& tenant) {
  const std::lock_guard change(change_mutex_);   // or a request added meanwhile would be forgotten
  CallContext tenant_ctx = ctx;
  tenant_ctx.tenant = tenant;
  SKALD_TRY(const std::vector<objstore::ObjectInfo> found, objstore::list_objects(objects_, tenant + "/deletes/", tenant_ctx));
  const DeleteRequests known = of(tenant);
  if (found.empty() && known->empty()) return {};
  std::vector<std::shared_ptr<const DeleteRequest>> requests;
  std::optional<Error> failure;
  for (const auto& object : found) {
    const auto held = std::find_if(known->begin(), known->end(), [&](const auto& request) { return key_of(tenant, request->id) == object.key; });
    if (held != known->end() && (*held)->status == DeleteStatus::kProcessed) {   // changes no more
      requests.push_back(*held);
      continue;
    }
    const Result<Bytes> text = objects_.get(object.key, {}, tenant_ctx);
    if (!text.ok() && text.error().code() == ErrorCode::kNotFound) continue;   // cancelled meanwhile
    Result<DeleteRequest> request = text.ok() ? decode(object.key, *text) : Result<DeleteRequest>(text.error());
    if (request.ok()) {
      requests.push_back(std::make_shared<const DeleteRequest>(std::move(*request)));
    } else {
      failure = request.error();
      if (held != known->end()) requests.push_back(*held);   // rather hidden by old news than shown
    }
  }
  replace(tenant, std::move(requests));
  if (failure) return *failure;
  return {};
}

Result<void> DeleteStore::load(const CallContext& ctx, const std::vector<std::string>& tenants) {
  std::optional<Error> failure;
  for (const std::string& tenant : tenants) {
    if (Result<void> loaded = load_tenant(ctx, tenant); !loaded.ok() && !failure) failure = loaded.error();
    SKALD_TRY_VOID(ctx.check());
  }
  if (failure) return *failure;
  return {};
}

Result<void> DeleteStore::refresh(const CallContext& ctx) {
  SKALD_TRY(std::vector<std::string> tenants, objstore::list_folders(objects_, "", ctx));
  for (std::string& tenant : tenants) tenant.pop_back();   // the '/'
  {
    const std::lock_guard lock(mutex_);   // a tenant whose last object is gone is listed no more, but must be emptied
    for (const auto& [tenant, requests] : by_tenant_)
      if (!requests->empty() && std::find(tenants.begin(), tenants.end(), tenant) == tenants.end()) tenants.push_back(tenant);
  }
  return load(ctx, tenants);
}

Result<std::string> DeleteStore::add(const CallContext& ctx, const std::string& query, std::int64_t start_s, std::int64_t end_s) {
  DeleteRequest request;
  SKALD_TRY(request.selector, parse_delete_query(query));
  request.query = query;
  request.start_s = start_s;
  request.end_s = end_s;
  request.created_ms = clock_.now_ns() / kNanosPerMilli;
  for (int attempt = 0;; ++attempt) {
    request.id = fmt::format("{:08x}", static_cast<std::uint32_t>(random_.next_u64()));
    const Result<void> created = objects_.create(key_of(ctx.tenant, request.id), encode(request), ctx);
    if (created.ok()) break;
    if (created.error().code() == ErrorCode::kUnimplemented) {   // 32 random bits are all there is then
      SKALD_TRY_VOID(objects_.put(key_of(ctx.tenant, request.id), encode(request), ctx));
      break;
    }
    if (created.error().code() != ErrorCode::kAlreadyExists || attempt == 10) return created.error();
  }
  std::string id = request.id;
  const std::lock_guard change(change_mutex_);
  auto requests = *of(ctx.tenant);
  std::erase_if(requests, [&](const auto& known) { return known->id == id; });   // a refresh may have seen it already
  requests.push_back(std::make_shared<const DeleteRequest>(std::move(request)));
  replace(ctx.tenant, std::move(requests));
  if (received_) received_(ctx.tenant);
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

Result<void> DeleteStore::save(const CallContext& ctx, const DeleteRequest& request) {
  const std::lock_guard change(change_mutex_);
  SKALD_TRY_VOID(objects_.get(key_of(ctx.tenant, request.id), {}, ctx));   // what was cancelled stays away
  SKALD_TRY_VOID(objects_.put(key_of(ctx.tenant, request.id), encode(request), ctx));
  auto requests = *of(ctx.tenant);
  std::erase_if(requests, [&](const auto& known) { return known->id == request.id; });
  requests.push_back(std::make_shared<const DeleteRequest>(request));
  replace(ctx.tenant, std::move(requests));
  return {};
}

DeleteRequests DeleteStore::hiding(const std::string& tenant) const {
  DeleteRequests all = of(tenant);
  const std::int64_t now_ns = clock_.now_ns();
  const auto hides = [&](const std::shared_ptr<const DeleteRequest>& request) {
    return request->status != DeleteStatus::kProcessed || now_ns - request->finished_ms * kNanosPerMilli < hide_grace_ns_;
  };
  if (std::all_of(all->begin(), all->end(), hides)) return all;
  auto some = std::make_shared<std::vector<std::shared_ptr<const DeleteRequest>>>();
  std::copy_if(all->begin(), all->end(), std::back_inserter(*some), hides);
  return some;
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
