// Samples of one tenant on disk until every receiver has them.
//
// Files <directory>/<16 hex digits>.samples hold records one behind the other, in the order of their numbers; a file is
// named by its first. Record, little endian:
//   u32 payload bytes | u32 CRC32C of all that follows | u64 number | u32 samples | i64 newest timestamp, ms | payload
// The payload is a WriteRequest. How far a receiver is stands in <receiver>.sent: the last number it has, in decimal.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "skald/io/file_system.h"

namespace skald::ruler {

struct SampleLogLimits {
  std::uint64_t file_bytes_max = 4 << 20;      // then the next file begins
  std::uint64_t bytes_max = 256 << 20;         // of a tenant; above, the oldest files go, sent or not
};

// Thread-safe. Appending never waits for a receiver.
class SampleLog {
 public:
  // Reads what is there. A file's torn or damaged rest is left out (counted by damaged()); new records begin a new file.
  static Result<std::unique_ptr<SampleLog>> open(io::FileSystem& files, std::string directory, const std::vector<std::string>& receivers, SampleLogLimits limits);

  // On disk when this returns. After a failure nothing of it is sent, and the next append begins a new file.
  Result<void> append(ByteView payload, std::uint32_t samples, std::int64_t newest_ms);

  struct Batch {
    Bytes payload;                 // several records' payloads, one behind the other
    std::uint64_t last = 0;        // number of the last one; 0: there is nothing
    std::uint64_t samples = 0;
    std::int64_t newest_ms = 0;
    std::uint64_t skipped = 0;     // samples that were too old or unreadable
  };
  // What `receiver` lacks, oldest first: whole records, at least one, at most `samples_max` samples if it can be. Records
  // whose newest sample is older than `oldest_ms` are skipped.
  Result<Batch> next(const std::string& receiver, std::uint64_t samples_max, std::int64_t oldest_ms) const;
  // `receiver` has all up to `last`. Files nobody needs any more are removed.
  Result<void> done(const std::string& receiver, std::uint64_t last);

  std::uint64_t pending(const std::string& receiver) const;   // samples
  std::uint64_t disk_bytes() const;
  std::uint64_t damaged() const { return damaged_; }          // files with a damaged rest
  std::uint64_t dropped() const;                              // samples that went because of bytes_max, per receiver that lacked them

 private:
  struct Record {
    std::uint64_t number = 0;
    std::string file;
    std::uint64_t offset = 0;      // of the payload
    std::uint32_t bytes = 0, samples = 0;
    std::uint32_t crc = 0;
    std::int64_t newest_ms = 0;
  };

  SampleLog(io::FileSystem& files, std::string directory, SampleLogLimits limits) : files_(files), directory_(std::move(directory)), limits_(limits) {}
  void read_file(const std::string& name);
  void remove_sent();                              // mutex_ held
  void make_room();                                // mutex_ held
  std::uint64_t pending_of(std::uint64_t sent) const;

  io::FileSystem& files_;
  const std::string directory_;
  const SampleLogLimits limits_;
  mutable std::mutex mutex_;                       // guards all below
  std::deque<Record> records_;                     // by number; those of files that are still there
  std::map<std::string, std::uint64_t> file_bytes_;   // by name, oldest first
  std::map<std::string, std::uint64_t> sent_;      // receiver → last number
  std::unique_ptr<io::WritableFile> writer_;
  std::string writing_;                            // its name; empty: the next append begins a file
  std::uint64_t next_number_ = 1;
  std::uint64_t damaged_ = 0, dropped_ = 0;
};

}  // namespace skald::ruler
