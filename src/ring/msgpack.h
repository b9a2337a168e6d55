// The subset of MessagePack that the gossip protocol speaks: the codec's old form, in which text and byte strings are one
// kind ("raw": a0-bf, da, db; no str8, no bin), structs are maps keyed by field name in alphabetical order, and signed
// integers differ from unsigned ones. We write exactly that and read every form of an integer, text or byte string.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "skald/base/bytes.h"

namespace skald::ring::gossip {

class MsgpackWriter {
 public:
  explicit MsgpackWriter(Bytes& out) : out_(out) {}
  void map(std::size_t pairs);                   // pairs below 16
  void raw(std::string_view bytes);
  void key(std::string_view name) { raw(name); }
  void nil() { out_.push_back(static_cast<char>(0xC0)); }
  void boolean(bool value) { out_.push_back(static_cast<char>(value ? 0xC3 : 0xC2)); }
  void uint(std::uint64_t value);                // Go's unsigned fields: fixint, cc-cf
  void sint(std::int64_t value);                 // Go's int fields: fixint, d0-d3

 private:
  void big_endian(std::uint64_t value, int bytes);
  Bytes& out_;
};

// Over bytes of which more may follow. Errors are sticky. No function allocates; views point into the input.
class MsgpackReader {
 public:
  explicit MsgpackReader(ByteView in) : in_(in) {}

  bool ok() const { return state_ == State::kOk; }
  bool truncated() const { return state_ == State::kTruncated; }   // else malformed
  std::size_t at() const { return at_; }
  // When truncated: how long the input has to be at least for the next attempt to get further.
  std::size_t needed() const { return needed_; }

  bool map(std::size_t& pairs);                  // nil is an empty map
  bool raw(ByteView& bytes);                     // nil is empty
  bool uint(std::uint64_t& value);               // any integer form; negative is malformed
  bool boolean(bool& value);
  bool skip() { return skip_nested(0); }
  bool take(std::size_t count, ByteView& bytes); // not MessagePack: what follows it

  // A struct: `field` is called with each key and reads the value, or returns false to have it skipped.
  bool structure(const std::function<bool(std::string_view key, MsgpackReader& reader)>& field);

 private:
  enum class State { kOk, kTruncated, kMalformed };
  bool need(std::size_t count);
  bool fail() { state_ = State::kMalformed; return false; }
  bool big_endian(int bytes, std::uint64_t& value);
  bool skip_nested(int depth);

  const ByteView in_;
  std::size_t at_ = 0, needed_ = 0;
  State state_ = State::kOk;
};

}  // namespace skald::ring::gossip
