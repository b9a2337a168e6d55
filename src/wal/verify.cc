#include "skald/wal/verify.h"

#include "wal/payload.h"

namespace skald::wal {
namespace {

const char* type_name(FrameType type) {
  switch (type) {
    case FrameType::kPushReceived: return "push";
    case FrameType::kPushCanonical: return "push (canonical)";
    case FrameType::kFlush: return "flush";
    case FrameType::kShipped: return "shipped";
    case FrameType::kSeries: return "series";
  }
  return "?";
}

template <class OnFrame>  // void(frame, text or nullptr when undecodable)
SegmentScan walk(ByteView bytes, SegmentCheck& check, OnFrame on_frame) {
  SegmentScan scan = scan_segment(bytes);
  for (const FrameRef& frame : scan.frames) {
    const ByteView payload(bytes.data() + frame.offset, frame.length);
    std::string text;
    bool ok = true;
    if (frame.type == FrameType::kSeries) {
      const auto series = decode_series(payload);
      if ((ok = series.ok())) {
        check.series += series->size();
        for (const auto& definition : *series)
          text += " #" + std::to_string(definition.number) + "=" + definition.tenant + definition.labels.to_string();
      }
    } else if (frame.type == FrameType::kFlush) {
      const auto records = decode_flush_records(payload);
      if ((ok = records.ok())) {
        check.flush_records += records->size();
        for (const auto& record : *records)
          text += " " + record.tenant + record.entry.labels->text + " ordinals " + std::to_string(record.first_ordinal) + "-" +
                  std::to_string(record.last_ordinal) + " in object " + record.entry.chunk.object.id.to_string() +
                  "+" + std::to_string(record.entry.chunk.offset);
      }
    } else if (frame.type == FrameType::kShipped) {
      const auto id = decode_shipped(payload);
      if ((ok = id.ok())) text = " up to flush " + std::to_string(*id);
    } else {
      const auto head = decode_push_head(payload);
      model::PushBatch batch;
      ok = head.ok() && decode_push_entries(frame.type, *head, batch).ok();
      ++check.pushes;
      if (ok) {
        check.entries += batch.entries.size();
        for (const auto& stream : head->streams)
          text += " #" + std::to_string(stream.number) + "@" + std::to_string(stream.ordinal) + "x" + std::to_string(stream.entries);
      }
    }
    ++check.frames;
    if (!ok) ++check.corrupt_frames;
    on_frame(frame, ok ? &text : nullptr);
  }
  check.corrupt_frames += scan.corrupt_stretches;
  check.torn_tail_bytes = bytes.size() > scan.valid_end ? bytes.size() - scan.valid_end : 0;
  return scan;
}

}  // namespace

Result<SegmentCheck> verify_wal_segment(ByteView bytes) {
  SKALD_TRY(const SegmentHeader header, decode_segment_header(bytes));
  SegmentCheck check;
  check.sequence = header.sequence;
  walk(bytes, check, [](const FrameRef&, const std::string*) {});
  return check;
}

Result<std::string> describe_wal_segment(ByteView bytes) {
  SKALD_TRY(const SegmentHeader header, decode_segment_header(bytes));
  SegmentCheck check;
  std::string out = "segment " + std::to_string(header.sequence) + ", counter " + std::to_string(header.counter) + "\n";
  walk(bytes, check, [&](const FrameRef& frame, const std::string* text) {
    out += std::to_string(frame.offset - kFrameHeaderBytes) + " " + type_name(frame.type) + " " + std::to_string(frame.length) + " B" +
           (text != nullptr ? *text : std::string(" undecodable")) + "\n";
  });
  out += std::to_string(check.frames) + " frames, " + std::to_string(check.entries) + " entries, damaged " + std::to_string(check.corrupt_frames) +
         ", torn tail " + std::to_string(check.torn_tail_bytes) + " B\n";
  return out;
}

}  // namespace skald::wal
