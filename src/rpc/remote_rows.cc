#include "rpc/remote_rows.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "rpc/call.h"
#include "skald/codec/hash.h"

namespace skald::rpc {
namespace {

using ColumnsPtr = std::shared_ptr<const chunk::Columns>;

class RemoteRows {
 public:
  RemoteRows(http::Client& client, std::string base_url, std::string tenant, std::uint64_t handle, std::uint64_t fetch_bytes)
      : client_(client), base_url_(std::move(base_url)), tenant_(std::move(tenant)), handle_(handle), fetch_bytes_(fetch_bytes) {}
  ~RemoteRows() {
    if (handle_ == 0) return;
    // Best effort: unreleased rows are forgotten there after a while.
    CallContext ctx;
    ctx.tenant = tenant_;
    ctx.deadline_monotonic_ns = ctx.clock->monotonic_ns() + 5 * kNanosPerSecond;
    auto id = std::make_shared<Bytes>();
    append_le(*id, handle_);
    client_.call_then(call_request(base_url_, "ingester/release", ctx), std::move(id), ctx, [](Result<http::ClientResponse>) {});
  }
  RemoteRows(const RemoteRows&) = delete;

  void add(RemoteBlockInfo info) { slots_.emplace_back().info = std::move(info); }   // before the first load

  Result<ColumnsPtr> load(std::size_t at, chunk::ColumnMask need, const CallContext& ctx) {
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[at];
    while (slot.loading) arrived_.wait(lock);
    if (ColumnsPtr have = take(slot, need)) return have;
    if (!slot.info.columns.empty()) {   // came along with the select
      slot.loading = true;
      lock.unlock();
      Result<ColumnsPtr> decoded = decode(slot.info.columns, slot.info);
      lock.lock();
      slot.loading = false;
      if (decoded.ok()) keep(slot, *decoded, chunk::kAllColumns);
      arrived_.notify_all();
      return decoded;
    }
    // Fetch this one and, as long as they are cheap, those after it that nobody has asked for yet: who reads one block of a
    // query mostly reads the next.
    BlocksRequest request{.handle = handle_, .mask = need, .blocks = {}};
    std::uint64_t bytes = 0;
    for (std::size_t i = at; i < slots_.size() && bytes < fetch_bytes_; ++i) {
      Slot& next = slots_[i];
      const bool wanted = i == at || (!next.loading && !next.asked && next.info.columns.empty());
      if (!wanted) continue;
      next.loading = true;
      next.asked = true;
      request.blocks.push_back(static_cast<std::uint32_t>(i));
      bytes += 16 * next.info.rows + ((need & (chunk::kLines | chunk::kMetadata)) != 0 ? next.info.raw_bytes : 0);
    }
    lock.unlock();
    Result<std::vector<ColumnsPtr>> fetched = fetch(request, ctx);
    lock.lock();
    for (std::size_t i = 0; i < request.blocks.size(); ++i) {
      Slot& filled = slots_[request.blocks[i]];
      filled.loading = false;
      // An answer may stop early: what is missing will be asked for again.
      if (fetched.ok() && i < fetched->size()) {
        keep(filled, (*fetched)[i], need);
        if (i > 0) filled.ahead = (*fetched)[i];
      } else {
        filled.asked = false;
      }
    }
    arrived_.notify_all();
    if (!fetched.ok()) return std::move(fetched).error();
    return fetched->front();
  }

 private:
  struct Slot {
    RemoteBlockInfo info;
    bool loading = false, asked = false;
    chunk::ColumnMask mask{};
    std::weak_ptr<const chunk::Columns> columns;   // while somebody uses them
    ColumnsPtr ahead;                              // fetched ahead: held until taken once
  };

  static void keep(Slot& slot, const ColumnsPtr& columns, chunk::ColumnMask mask) {
    slot.columns = columns;
    slot.mask = mask;
  }
  static ColumnsPtr take(Slot& slot, chunk::ColumnMask need) {
    ColumnsPtr have = slot.columns.lock();
    slot.ahead.reset();
    // Lines bring their lengths.
    const int given = slot.mask | ((slot.mask & chunk::kLines) != 0 ? chunk::kLineLengths : 0);
    return have && (given & need) == need ? have : nullptr;
  }

  static Result<ColumnsPtr> decode(ByteView bytes, const RemoteBlockInfo& info) {
    SKALD_TRY(ColumnsPtr columns, decode_columns(bytes));
    if (columns->rows != info.rows) return Error(ErrorCode::kCorruption, "rows from a peer: another number than it said");
    return columns;
  }

  Result<std::vector<ColumnsPtr>> fetch(const BlocksRequest& request, const CallContext& ctx) {
    CallContext call = ctx;
    call.tenant = tenant_;
    http::ClientRequest http_request = call_request(base_url_, "ingester/blocks", call);
    const Bytes body = encode_blocks_request(request);
    http_request.body = body;
    SKALD_TRY(const Bytes message, read_answer(client_.call(http_request, call), base_url_));
    SKALD_TRY(const std::vector<ByteView> parts, decode_blocks(message));
    if (parts.empty() || parts.size() > request.blocks.size()) return Error(ErrorCode::kCorruption, "rows from a peer: another number of blocks than asked for");
    std::vector<ColumnsPtr> out;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      SKALD_TRY(ColumnsPtr columns, decode(parts[i], slots_[request.blocks[i]].info));
      out.push_back(std::move(columns));
    }
    return out;
  }

  http::Client& client_;
  const std::string base_url_, tenant_;
  const std::uint64_t handle_, fetch_bytes_;
  std::mutex mutex_;                 // guards slots_, but for `info`
  std::condition_variable arrived_;
  std::vector<Slot> slots_;
};

class RemoteBlock final : public chunk::Block {
 public:
  RemoteBlock(std::shared_ptr<RemoteRows> rows, std::size_t at) : rows_(std::move(rows)), at_(at) {}
  Result<ColumnsPtr> load(chunk::ColumnMask need, const CallContext& ctx) const override { return rows_->load(at_, need, ctx); }

 private:
  const std::shared_ptr<RemoteRows> rows_;
  const std::size_t at_;
};

}  // namespace

Result<chunk::SelectResult> open_remote_rows(http::Client& client, std::string base_url, const std::string& tenant, RemoteSelect select, std::uint64_t fetch_bytes) {
  const std::uint64_t peer = codec::xxh3_64(base_url);
  auto rows = std::make_shared<RemoteRows>(client, std::move(base_url), tenant, select.handle, fetch_bytes);
  chunk::SelectResult out;
  out.stats = select.stats;
  std::size_t at = 0;
  for (RemoteStream& stream : select.streams) {
    chunk::StreamData& data = out.streams.emplace_back();
    data.labels = std::move(stream.labels);
    for (RemoteBlockInfo& info : stream.blocks) {
      if (info.columns.empty() && select.handle == 0) return Error(ErrorCode::kCorruption, "rows from a peer: a block without rows or a handle");
      chunk::BlockSlice& slice = data.blocks.emplace_back();
      slice.block = std::make_shared<RemoteBlock>(rows, at++);
      slice.rows = info.rows, slice.min_ts_ns = info.min_ts_ns, slice.max_ts_ns = info.max_ts_ns, slice.raw_bytes = info.raw_bytes;
      // What a peer holds in memory it counts by itself; stored chunks have one name everywhere.
      slice.source_id = info.from_ingester ? codec::xxh3_words(peer, info.source_id) : info.source_id;
      slice.from_ingester = info.from_ingester;
      slice.content_id = info.content_id;
      rows->add(std::move(info));
    }
  }
  return out;
}

}  // namespace skald::rpc
