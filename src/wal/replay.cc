#include "skald/wal/replay.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "skald/obs/log.h"
#include "wal/payload.h"

namespace skald::wal {
namespace {

struct Segment {
  SegmentInfo info;
  std::string path;
  std::vector<FrameRef> frames;
};

struct Series {
  std::string tenant;
  model::LabelsPtr labels;
  std::string key;
};

// What is in chunks already, per stream.
struct FlushedRange {
  std::uint64_t first = 0, last = 0;
  std::int64_t shard_start_ns = 0;
};
using Flushed = std::unordered_map<std::string, std::vector<FlushedRange>>;

std::string key_of(std::string_view tenant, const model::InternedLabels& labels) {
  std::string key(tenant);
  key += '\0';
  return key += labels.text;
}

struct DecodedPush {
  std::optional<PushHead> head;   // none: damaged
  model::PushBatch batch;
  bool ok = false;
};

class Replayer {
 public:
  Replayer(io::FileSystem& fs, const std::string& directory, exec::Pool& pool, ReplaySink& sink)
      : fs_(fs), directory_(directory), pool_(pool), sink_(sink) {}

  Result<ReplayReport> run() {
    SKALD_TRY_VOID(find_segments());
    for (std::size_t i = 0; i < segments_.size(); ++i) SKALD_TRY_VOID(scan(segments_[i], i + 1 == segments_.size()));
    // Flush order, and of a re-logged record the newest place.
    for (auto& [flush_id, pending] : pending_)
      if (flush_id > shipped_)
        for (auto& record : pending) sink_.on_pending(std::move(record.first), record.second);
    pending_.clear();
    for (auto& segment : segments_) SKALD_TRY_VOID(apply(segment));
    for (const auto& segment : segments_) report_.segments.push_back(segment.info);
    return std::move(report_);
  }

 private:
  Result<void> find_segments() {
    auto entries = fs_.list(directory_);
    if (!entries.ok()) {
      if (entries.error().code() == ErrorCode::kNotFound) return {};
      return entries.error();
    }
    for (const auto& entry : *entries) {
      std::uint64_t sequence = 0;
      if (entry.is_directory || !parse_segment_name(entry.name, sequence)) continue;
      segments_.push_back({{sequence, entry.size, 0, true}, directory_ + "/" + entry.name, {}});
    }
    std::sort(segments_.begin(), segments_.end(), [](const auto& a, const auto& b) { return a.info.sequence < b.info.sequence; });
    return {};
  }

  void damaged(const Segment& segment, std::uint64_t count, const std::string& what) {
    report_.corrupt_frames += count;
    log::error("write-ahead log: damage skipped", {{"segment", segment.path}, {"what", what}, {"count", count}});
  }

  Result<void> scan(Segment& segment, bool newest) {
    SKALD_TRY(const Bytes bytes, fs_.read_file(segment.path, kSegmentBytesMax));
    const auto header = decode_segment_header(bytes);
    if (header.ok()) {
      if (header->counter > 0) report_.max_ordinal = std::max(report_.max_ordinal, header->counter - 1);
    } else if (newest && bytes.size() <= kSegmentHeaderBytes) {
      report_.torn_tail_bytes += bytes.size();  // died while the segment was being begun: nothing was acknowledged in it
      return {};
    } else {
      damaged(segment, 1, header.error().message());  // its frames have checksums of their own
    }
    SegmentScan found = scan_segment(bytes);
    if (found.corrupt_stretches > 0) damaged(segment, found.corrupt_stretches, "frames do not check out");
    if (found.valid_end < bytes.size()) {
      const std::uint64_t tail = bytes.size() - found.valid_end;
      if (newest) {
        report_.torn_tail_bytes += tail;
        log::warn("write-ahead log: torn tail cut", {{"segment", segment.path}, {"bytes", tail}});
        SKALD_TRY_VOID(fs_.truncate(segment.path, found.valid_end));
        segment.info.bytes = found.valid_end;
      } else {
        damaged(segment, 1, "damaged up to the end of the segment");
      }
    }
    if (newest && found.valid_end == bytes.size()) (void)fs_.truncate(segment.path, bytes.size());  // gives back what a dead process preallocated
    segment.frames = std::move(found.frames);
    for (const FrameRef& frame : segment.frames) {
      ++report_.frames;
      const ByteView payload(bytes.data() + frame.offset, frame.length);
      if (frame.type == FrameType::kFlush) {
        auto records = decode_flush_records(payload);
        if (!records.ok()) {
          damaged(segment, 1, records.error().message());
          continue;
        }
        for (auto& record : *records) take_flush(std::move(record), segment.info.sequence);
      } else if (frame.type == FrameType::kShipped) {
        if (const auto id = decode_shipped(payload); id.ok()) shipped_ = std::max(shipped_, *id);
        report_.max_ordinal = std::max(report_.max_ordinal, shipped_);
      } else if (frame.type != FrameType::kSeries) {
        if (const auto head = decode_push_head(payload); head.ok())
          for (const auto& stream : head->streams) segment.info.max_ordinal = std::max(segment.info.max_ordinal, stream.ordinal);
      }
    }
    report_.max_ordinal = std::max(report_.max_ordinal, segment.info.max_ordinal);
    return {};
  }

  void take_flush(FlushRecord record, std::uint64_t sequence) {
    report_.max_ordinal = std::max({report_.max_ordinal, record.flush_id, record.last_ordinal});
    auto& ranges = flushed_[key_of(record.tenant, *record.entry.labels)];
    ranges.push_back({record.first_ordinal, record.last_ordinal, record.shard_start_ns});
    auto& same = pending_[record.flush_id];
    for (auto& [known, where] : same) {
      if (known.entry.chunk.object == record.entry.chunk.object && known.entry.chunk.offset == record.entry.chunk.offset &&
          known.entry.labels->text == record.entry.labels->text && known.tenant == record.tenant) {
        where = sequence;
        return;
      }
    }
    same.emplace_back(std::move(record), sequence);
  }

  Result<void> apply(const Segment& segment) {
    if (segment.frames.empty()) return {};
    SKALD_TRY(const Bytes bytes, fs_.read_file(segment.path, kSegmentBytesMax));
    std::unordered_map<std::uint64_t, const Series*> series;
    constexpr std::size_t kBatch = 64;  // frames decoded at once; bounds memory
    for (std::size_t begin = 0; begin < segment.frames.size(); begin += kBatch) {
      const std::size_t count = std::min(kBatch, segment.frames.size() - begin);
      std::vector<DecodedPush> decoded(count);
      pool_.parallel_for(count, [&](std::size_t i) {
        const FrameRef& frame = segment.frames[begin + i];
        if (frame.type != FrameType::kPushReceived && frame.type != FrameType::kPushCanonical) return;
        auto head = decode_push_head(ByteView(bytes.data() + frame.offset, frame.length));
        if (!head.ok()) return;
        decoded[i].ok = decode_push_entries(frame.type, *head, decoded[i].batch).ok();
        decoded[i].head = std::move(head).value();
      });
      for (std::size_t i = 0; i < count; ++i) {
        const FrameRef& frame = segment.frames[begin + i];
        const ByteView payload(bytes.data() + frame.offset, frame.length);
        if (frame.type == FrameType::kSeries) {
          auto definitions = decode_series(payload);
          if (!definitions.ok()) {
            damaged(segment, 1, definitions.error().message());
            continue;
          }
          for (auto& definition : *definitions) series[definition.number] = intern_series(std::move(definition));
        } else if (frame.type == FrameType::kPushReceived || frame.type == FrameType::kPushCanonical) {
          if (decoded[i].ok)
            deliver(segment, decoded[i], series);
          else
            damaged(segment, 1, "push does not decode");
        }
      }
    }
    return {};
  }

  const Series* intern_series(SeriesDefinition definition) {
    auto labels = model::intern(std::move(definition.labels));
    std::string key = key_of(definition.tenant, *labels);
    auto [found, fresh] = all_series_.try_emplace(key);
    if (fresh) found->second = {std::move(definition.tenant), std::move(labels), std::move(key)};
    return &found->second;
  }

  void deliver(const Segment& segment, DecodedPush& push, const std::unordered_map<std::uint64_t, const Series*>& series) {
    std::vector<std::uint64_t> ordinals;
    std::uint32_t next = 0;
    bool lost_series = false;
    for (const auto& stream : push.head->streams) {
      const std::uint32_t begin = next;
      next += static_cast<std::uint32_t>(stream.entries);
      const auto found = series.find(stream.number);
      if (found == series.end()) {
        lost_series = true;
        continue;
      }
      const Series& known = *found->second;
      push.batch.tenant = known.tenant;
      const auto flushed = flushed_.find(known.key);
      if (flushed == flushed_.end()) {
        push.batch.streams.push_back({known.labels, begin, next});
        ordinals.push_back(stream.ordinal);
        report_.entries += stream.entries;
        continue;
      }
      // Runs of entries that no chunk holds.
      std::uint32_t run = begin;
      const auto end_run = [&](std::uint32_t end) {
        if (end == run) return;
        push.batch.streams.push_back({known.labels, run, end});
        ordinals.push_back(stream.ordinal);
        report_.entries += end - run;
      };
      for (std::uint32_t i = begin; i < next; ++i) {
        const std::int64_t shard = chunk::time_shard_start(push.batch.entries[i].timestamp_ns);
        const bool is_flushed = std::any_of(flushed->second.begin(), flushed->second.end(), [&](const FlushedRange& range) {
          return range.first <= stream.ordinal && stream.ordinal <= range.last && range.shard_start_ns == shard;
        });
        if (!is_flushed) continue;
        end_run(i);
        run = i + 1;
        ++report_.entries_flushed;
      }
      end_run(next);
    }
    if (lost_series) damaged(segment, 1, "push of a stream whose definition is lost");
    if (!push.batch.streams.empty()) sink_.on_push(push.batch, ordinals, push.head->arrival_ns);
  }

  io::FileSystem& fs_;
  const std::string directory_;
  exec::Pool& pool_;
  ReplaySink& sink_;
  ReplayReport report_;
  std::vector<Segment> segments_;
  Flushed flushed_;
  std::map<std::uint64_t, std::vector<std::pair<FlushRecord, std::uint64_t>>> pending_;  // by flush id; with the segment
  std::uint64_t shipped_ = 0;
  std::unordered_map<std::string, Series> all_series_;
};

}  // namespace

Result<ReplayReport> replay(io::FileSystem& fs, const std::string& directory, exec::Pool& pool, ReplaySink& sink) {
  return Replayer(fs, directory, pool, sink).run();
}

}  // namespace skald::wal
