#include "ruler/sample_log.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "skald/codec/crc32c.h"
#include "skald/obs/log.h"

namespace skald::ruler {
namespace {

constexpr std::uint64_t kHeaderBytes = 4 + 4 + 8 + 4 + 8;
constexpr std::uint64_t kPayloadBytesMax = 64 << 20;
constexpr std::string_view kSuffix = ".samples", kSentSuffix = ".sent";

std::string name_of(std::uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%016" PRIx64, number);
  return text + std::string(kSuffix);
}

}  // namespace

Result<std::unique_ptr<SampleLog>> SampleLog::open(io::FileSystem& files, std::string directory, const std::vector<std::string>& receivers, SampleLogLimits limits) {
  SKALD_TRY_VOID(files.make_directories(directory));
  std::unique_ptr<SampleLog> log(new SampleLog(files, std::move(directory), limits));
  SKALD_TRY(const std::vector<io::DirEntry> entries, files.list(log->directory_));
  for (const io::DirEntry& entry : entries)
    if (!entry.is_directory && entry.name.ends_with(kSuffix)) log->read_file(entry.name);
  for (const std::string& receiver : receivers) {
    std::uint64_t& sent = log->sent_[receiver];
    const Result<Bytes> text = files.read_file(log->directory_ + "/" + receiver + std::string(kSentSuffix), 64);
    if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), sent);
    // Numbers go on behind what was sent, also when all files are gone.
    log->next_number_ = std::max(log->next_number_, sent + 1);
  }
  const std::scoped_lock lock(log->mutex_);
  log->remove_sent();
  return log;
}

void SampleLog::read_file(const std::string& name) {
  const std::string path = directory_ + "/" + name;
  const Result<Bytes> content = files_.read_file(path, limits_.file_bytes_max + kPayloadBytesMax + kHeaderBytes);
  std::uint64_t at = 0;
  if (content.ok()) {
    file_bytes_[name] = content->size();
    while (content->size() - at >= kHeaderBytes) {
      const char* header = content->data() + at;
      const auto bytes = load_le<std::uint32_t>(header);
      if (bytes > content->size() - at - kHeaderBytes) break;
      Record record;
      record.number = load_le<std::uint64_t>(header + 8);
      record.crc = load_le<std::uint32_t>(header + 4);
      if (codec::crc32c(ByteView(*content).substr(at + 8, kHeaderBytes - 8 + bytes)) != record.crc) break;
      if (!records_.empty() && record.number <= records_.back().number) break;
      record.file = name;
      record.offset = at + kHeaderBytes;
      record.bytes = bytes;
      record.samples = load_le<std::uint32_t>(header + 16);
      record.newest_ms = load_le<std::int64_t>(header + 20);
      next_number_ = std::max(next_number_, record.number + 1);
      records_.push_back(std::move(record));
      at += kHeaderBytes + bytes;
    }
    if (at == content->size()) return;
  }
  ++damaged_;
  log::warn("samples of rules: the rest of a file is not readable", {{"path", path}, {"offset", at}});
}

Result<void> SampleLog::append(ByteView payload, std::uint32_t samples, std::int64_t newest_ms) {
  if (payload.size() > kPayloadBytesMax) return Error(ErrorCode::kTooLarge, "samples of one rule take " + std::to_string(payload.size()) + " bytes, above 64 MiB");
  const std::scoped_lock lock(mutex_);
  const std::uint64_t number = next_number_;
  Bytes frame;
  append_le<std::uint32_t>(frame, static_cast<std::uint32_t>(payload.size()));
  append_le<std::uint32_t>(frame, 0);
  append_le<std::uint64_t>(frame, number);
  append_le<std::uint32_t>(frame, samples);
  append_le<std::int64_t>(frame, newest_ms);
  frame += payload;
  const std::uint32_t crc = codec::crc32c(ByteView(frame).substr(8));
  store_le<std::uint32_t>(frame.data() + 4, crc);

  const auto write = [&]() -> Result<std::uint64_t> {
    if (writer_ == nullptr || writer_->size() >= limits_.file_bytes_max) {
      writing_ = name_of(number);
      SKALD_TRY(writer_, files_.create(directory_ + "/" + writing_));
      SKALD_TRY_VOID(files_.sync_directory(directory_));
    }
    const std::uint64_t offset = writer_->size();
    SKALD_TRY_VOID(writer_->append(frame));
    SKALD_TRY_VOID(writer_->sync());
    return offset;
  };
  const Result<std::uint64_t> offset = write();
  ++next_number_;   // also after a failure: the number may be in the file
  if (!offset.ok()) {
    writer_.reset();
    return offset.error();
  }
  file_bytes_[writing_] = writer_->size();
  records_.push_back({number, writing_, *offset + kHeaderBytes, static_cast<std::uint32_t>(payload.size()), samples, crc, newest_ms});
  make_room();
  return {};
}

void SampleLog::make_room() {
  std::uint64_t total = 0;
  for (const auto& [name, bytes] : file_bytes_) total += bytes;
  while (total > limits_.bytes_max && file_bytes_.size() > 1) {
    const auto [name, bytes] = *file_bytes_.begin();
    for (; !records_.empty() && records_.front().file == name; records_.pop_front())
      for (const auto& [receiver, sent] : sent_)
        if (records_.front().number > sent) dropped_ += records_.front().samples;
    if (const Result<void> removed = files_.remove(directory_ + "/" + name); !removed.ok()) log::warn("file of samples not removed", {{"err", removed.error().message()}});
    file_bytes_.erase(name);
    total -= bytes;
  }
}

void SampleLog::remove_sent() {
  std::uint64_t all_have = next_number_;
  for (const auto& [receiver, sent] : sent_) all_have = std::min(all_have, sent);
  while (!records_.empty() && records_.front().number <= all_have) records_.pop_front();
  for (auto at = file_bytes_.begin(); at != file_bytes_.end();) {
    const bool needed = (writer_ != nullptr && at->first == writing_) || (!records_.empty() && records_.front().file <= at->first);
    if (needed) break;
    if (const Result<void> removed = files_.remove(directory_ + "/" + at->first); !removed.ok()) {
      log::warn("file of samples not removed", {{"err", removed.error().message()}});
      break;
    }
    at = file_bytes_.erase(at);
  }
}

Result<SampleLog::Batch> SampleLog::next(const std::string& receiver, std::uint64_t samples_max, std::int64_t oldest_ms) const {
  std::vector<Record> wanted;
  Batch batch;
  {
    const std::scoped_lock lock(mutex_);
    const auto sent = sent_.find(receiver);
    SKALD_CHECK(sent != sent_.end());
    auto at = std::upper_bound(records_.begin(), records_.end(), sent->second, [](std::uint64_t number, const Record& record) { return number < record.number; });
    for (std::uint64_t samples = 0; at != records_.end(); ++at) {
      if (at->newest_ms < oldest_ms) {
        batch.skipped += at->samples;
      } else {
        if (samples != 0 && samples + at->samples > samples_max) break;
        samples += at->samples;
        wanted.push_back(*at);
      }
      batch.last = at->number;
    }
  }
  std::string open_name;
  std::unique_ptr<io::RandomAccessFile> file;
  for (const Record& record : wanted) {
    if (open_name != record.file) {
      SKALD_TRY(file, files_.open(directory_ + "/" + record.file));
      open_name = record.file;
    }
    const std::uint64_t from = record.offset - (kHeaderBytes - 8);
    const Result<Bytes> bytes = file->read(from, kHeaderBytes - 8 + record.bytes);
    if (!bytes.ok() || codec::crc32c(*bytes) != record.crc) {
      batch.skipped += record.samples;
      continue;
    }
    batch.payload += ByteView(*bytes).substr(kHeaderBytes - 8);
    batch.samples += record.samples;
    batch.newest_ms = std::max(batch.newest_ms, record.newest_ms);
  }
  return batch;
}

Result<void> SampleLog::done(const std::string& receiver, std::uint64_t last) {
  const std::scoped_lock lock(mutex_);
  std::uint64_t& sent = sent_[receiver];
  if (last <= sent) return {};
  sent = last;
  // First the mark, then the files: the other way round a crash could give numbers out twice.
  SKALD_TRY_VOID(io::replace_file(files_, directory_ + "/" + receiver + std::string(kSentSuffix), std::to_string(last)));
  remove_sent();
  return {};
}

std::uint64_t SampleLog::pending(const std::string& receiver) const {
  const std::scoped_lock lock(mutex_);
  const auto sent = sent_.find(receiver);
  return sent == sent_.end() ? 0 : pending_of(sent->second);
}

std::uint64_t SampleLog::pending_of(std::uint64_t sent) const {
  std::uint64_t samples = 0;
  for (auto at = records_.rbegin(); at != records_.rend() && at->number > sent; ++at) samples += at->samples;
  return samples;
}

std::uint64_t SampleLog::disk_bytes() const {
  const std::scoped_lock lock(mutex_);
  std::uint64_t total = 0;
  for (const auto& [name, bytes] : file_bytes_) total += bytes;
  return total;
}

std::uint64_t SampleLog::dropped() const {
  const std::scoped_lock lock(mutex_);
  return dropped_;
}

}  // namespace skald::ruler
