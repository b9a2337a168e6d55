// Messages between processes: protobuf, so that an older and a newer binary understand each other (unknown fields are
// skipped, absent ones have a meaning). Sent over HTTP/1.1 by remote_ingester.h and answered by ingester_service.h.
//
// Every call is POST /skald.rpc.v1/<service>/<method> with the tenant in X-Scope-OrgID and the time left in
// X-Skald-Timeout-Ms. 200 carries the answer; anything else an ErrorCode by name in X-Skald-Error and its text as the body.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "skald/base/bytes.h"
#include "skald/base/result.h"
#include "skald/chunk/block.h"
#include "skald/model/labels.h"
#include "skald/model/push.h"
#include "skald/rpc/ingester_client.h"

namespace skald::rpc {

inline constexpr const char* kPathPrefix = "/skald.rpc.v1/";
inline constexpr const char* kTimeoutHeader = "X-Skald-Timeout-Ms";
inline constexpr const char* kErrorHeader = "X-Skald-Error";
inline constexpr std::uint64_t kMessageBytesMax = 256ULL << 20;

// "{a=\"b\"}" → interned labels; a cache on the receiving side makes that one look-up for known streams.
using InternText = std::function<Result<model::LabelsPtr>(std::string_view text)>;

// A push as it goes to one ingester. Bodies that came as snappy protobuf travel as they came.
Result<Bytes> encode_push(const model::PushBatch& batch);
// A batch of some of the streams: `streams` are indexes into batch.streams, ascending.
Result<Bytes> encode_push(const model::PushBatch& batch, const std::vector<std::uint32_t>& streams);
Result<std::shared_ptr<const model::PushBatch>> decode_push(std::string tenant, ByteView message, const InternText& intern);
Bytes encode_push_outcome(const model::PushOutcome& outcome);
Result<model::PushOutcome> decode_push_outcome(ByteView message);

Bytes encode_select(const SelectRequest& request);
Result<SelectRequest> decode_select(ByteView message);

Bytes encode_series(const std::vector<model::LabelsPtr>& series);
Result<std::vector<model::LabelsPtr>> decode_series(ByteView message, const InternText& intern);
Bytes encode_volumes(const std::vector<SeriesVolume>& volumes);
Result<std::vector<SeriesVolume>> decode_volumes(ByteView message, const InternText& intern);

// Rows [first, first + rows) of decoded columns, as far as `mask` asks. LZ4 where it pays. At most 4 GiB of text.
Result<Bytes> encode_columns(const chunk::Columns& columns, std::uint32_t first, std::uint32_t rows, chunk::ColumnMask mask);
// Checks every count against the bytes that carry it before memory is reserved. kCorruption.
Result<std::shared_ptr<const chunk::Columns>> decode_columns(ByteView message);

// What a select answers first: which blocks there are. Rows are fetched when a plan needs them, by handle and number;
// small ones come along.
struct RemoteBlockInfo {
  std::uint32_t rows = 0;
  std::int64_t min_ts_ns = 0, max_ts_ns = 0;
  std::uint64_t raw_bytes = 0;
  std::uint64_t source_id = 0;
  bool from_ingester = false;
  Bytes columns;                  // encoded with all columns; empty: to be fetched
  std::uint64_t content_id = 0;   // BlockSlice::content_id
};
struct RemoteStream {
  model::LabelsPtr labels;
  std::vector<RemoteBlockInfo> blocks;
};
struct RemoteSelect {
  std::uint64_t handle = 0;       // 0: nothing is left to fetch
  std::vector<RemoteStream> streams;
  chunk::SelectStats stats;
};
Bytes encode_remote_select(const RemoteSelect& select);
Result<RemoteSelect> decode_remote_select(ByteView message, const InternText& intern);

// Blocks by number, counted through all streams of the select in order.
struct BlocksRequest {
  std::uint64_t handle = 0;
  chunk::ColumnMask mask = chunk::kAllColumns;
  std::vector<std::uint32_t> blocks;
};
Bytes encode_blocks_request(const BlocksRequest& request);
Result<BlocksRequest> decode_blocks_request(ByteView message);
// The answer: encoded columns, as many of the asked blocks, from the first on, as fit a message; at least one.
Bytes encode_blocks(const std::vector<Bytes>& columns);
Result<std::vector<ByteView>> decode_blocks(ByteView message);

struct TailedEntries {
  model::LabelsPtr labels;
  std::vector<TailEntry> entries;
};
Bytes encode_tail_batch(const std::vector<TailedEntries>& batch);
Result<std::vector<TailedEntries>> decode_tail_batch(ByteView message, const InternText& intern);

}  // namespace skald::rpc
