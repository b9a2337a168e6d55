#include "skald/objstore/encryption.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <list>
#include <unordered_map>

#include "objstore/encryption_format.h"
#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

using namespace encryption;

// Up to here a read begins at the start of the object, header included: at 50 MB/s the extra bytes cost 10 ms, a request
// of its own for the header costs more.
constexpr std::uint64_t kReadFromStartBytes = 512 << 10;

// What it takes to open an object's segments.
struct Opened {
  Bytes header;
  std::shared_ptr<const SecretKey> object_key;
};
using OpenedPtr = std::shared_ptr<const Opened>;

// The last used of them, by object. Objects that are read in ranges never change, see EncryptedStore::get.
class Headers {
 public:
  explicit Headers(std::size_t entries_max) : entries_max_(entries_max) {}

  OpenedPtr find(std::string_view name) {
    const std::lock_guard lock(mutex_);
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return nullptr;
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->second;
  }

  void add(std::string_view name, OpenedPtr opened) {
    if (entries_max_ == 0) return;
    const std::lock_guard lock(mutex_);
    drop(name);
    if (recent_.size() >= entries_max_) drop(recent_.back().first);
    recent_.emplace_front(std::string(name), std::move(opened));
    by_name_.emplace(recent_.front().first, recent_.begin());
  }

  void remove(std::string_view name) {
    const std::lock_guard lock(mutex_);
    drop(name);
  }

 private:
  using Entry = std::pair<std::string, OpenedPtr>;

  void drop(std::string_view name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    const auto entry = found->second;
    by_name_.erase(found);
    recent_.erase(entry);
  }

  const std::size_t entries_max_;
  std::mutex mutex_;                // guards what follows
  std::list<Entry> recent_;         // last used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_name_;   // views of names in recent_
};

class EncryptedStore final : public ObjectStore {
 public:
  EncryptedStore(std::shared_ptr<ObjectStore> inner, std::shared_ptr<const KeyRing> keys, EncryptionOptions options)
      : inner_(std::move(inner)), keys_(std::move(keys)), options_(options), headers_(options.headers_max) {}

  Result<void> put(std::string_view key, ByteView body, const CallContext& ctx) override {
    OpenedPtr opened;
    SKALD_TRY(const Bytes stored, seal(key, body, opened));
    headers_.remove(key);
    SKALD_TRY_VOID(inner_->put(key, stored, ctx));
    if (stored.size() > kReadFromStartBytes) headers_.add(key, std::move(opened));
    return {};
  }

  Result<void> create(std::string_view key, ByteView body, const CallContext& ctx) override {
    OpenedPtr opened;
    SKALD_TRY(const Bytes stored, seal(key, body, opened));
    SKALD_TRY_VOID(inner_->create(key, stored, ctx));
    if (stored.size() > kReadFromStartBytes) headers_.add(key, std::move(opened));
    return {};
  }

  // Objects that are replaced (rules, delete requests, locks) are small and read as a whole: header and segments come from
  // one answer. A remembered header that does not fit any more is fetched anew, once.
  Result<Bytes> get(std::string_view key, ByteRange range, const CallContext& ctx) override {
    SKALD_TRY_VOID(check_key(key));
    const std::uint64_t first = range.begin / kSegmentBytes;
    if (range.begin > range.end || first >= kSegmentsMax) return beyond_end(key, range);
    if (segment_offset(first) <= kReadFromStartBytes) return get_from_start(key, range, ctx);
    if (const OpenedPtr known = headers_.find(key); known != nullptr) {
      Result<Bytes> plain = get_segments(key, range, *known, ctx);
      if (plain.ok() || plain.error().code() != ErrorCode::kCorruption) return plain;
      headers_.remove(key);
    }
    SKALD_TRY(const Bytes start, inner_->get(key, {0, kHeaderBytes}, ctx));
    SKALD_TRY(const OpenedPtr opened, open_header(key, start));
    if (opened == nullptr) return inner_->get(key, range, ctx);
    headers_.add(key, opened);
    return get_segments(key, range, *opened, ctx);
  }

  Result<ListPage> list(std::string_view prefix, std::string_view next, ListDepth depth, const CallContext& ctx) override {
    SKALD_TRY(ListPage page, inner_->list(prefix, next, depth, ctx));
    for (ObjectInfo& object : page.objects) object.size = plain_size(object.size).value_or(object.size);
    return page;
  }

  Result<void> remove(std::string_view key, const CallContext& ctx) override {
    headers_.remove(key);
    return inner_->remove(key, ctx);
  }
  Result<void> remove_all(std::span<const std::string> keys, const CallContext& ctx) override {
    for (const std::string& key : keys) headers_.remove(key);
    return inner_->remove_all(keys, ctx);
  }

 private:
  static Error beyond_end(std::string_view key, const ByteRange& range) {
    return Error(ErrorCode::kInvalidArgument,
                 "object '" + std::string(key) + "': range begins at " + std::to_string(range.begin) + ", beyond its end");
  }

  Result<Bytes> seal(std::string_view key, ByteView body, OpenedPtr& opened) const {
    SKALD_TRY_VOID(check_key(key));
    const KeyRing::Named writing = keys_->writing_key();
    Header header{.key_id = writing.id, .salt = {}};
    if (RAND_bytes(reinterpret_cast<unsigned char*>(header.salt.data()), static_cast<int>(header.salt.size())) != 1)
      return Error(ErrorCode::kInternal, "put '" + std::string(key) + "': no random numbers from the system");
    auto made = std::make_shared<Opened>();
    made->header = encode_header(header);
    made->object_key = derive_object_key(*writing.key, header.salt);
    Bytes stored(stored_size(body.size()), '\0');
    std::memcpy(stored.data(), made->header.data(), kHeaderBytes);
    SegmentCipher cipher(SegmentCipher::Direction::kSeal, *made->object_key, made->header, key);
    std::uint64_t number = 0;
    do {
      const std::uint64_t begin = number * kSegmentBytes;
      const bool last = body.size() - begin <= kSegmentBytes;
      cipher.seal(number, last, body.substr(begin, kSegmentBytes), stored.data() + segment_offset(number));
      ++number;
    } while (number * kSegmentBytes < body.size());
    opened = std::move(made);
    return stored;
  }

  // nullptr: not encrypted, and that is allowed.
  Result<OpenedPtr> open_header(std::string_view key, ByteView start) const {
    const std::string name = "object '" + std::string(key) + "'";
    Result<std::optional<Header>> header = decode_header(start);
    if (!header.ok()) return std::move(header).error().with_prefix(name);
    if (!header->has_value()) {
      if (options_.allow_plaintext) return OpenedPtr();
      return Error(ErrorCode::kInternal, name + " is not encrypted, and encryption.allow_plaintext is off");
    }
    const std::shared_ptr<const SecretKey> key_of_ring = keys_->find((*header)->key_id);
    if (key_of_ring == nullptr)
      return Error(ErrorCode::kInternal, name + " is encrypted with key '" + (*header)->key_id +
                                                     "', which is not in the key ring; add its line to the key file and reload");
    auto opened = std::make_shared<Opened>();
    opened->header = start.substr(0, kHeaderBytes);
    opened->object_key = derive_object_key(*key_of_ring, (*header)->salt);
    return OpenedPtr(std::move(opened));
  }

  // End of the stored bytes that cover the range. One byte of the following segment tells whether there is one: the last
  // segment of an object is sealed as such.
  static std::uint64_t stored_end(const ByteRange& range) {
    const std::uint64_t last = std::max(range.begin, range.end - std::min<std::uint64_t>(1, range.end)) / kSegmentBytes;   // also of an empty range
    return last >= kSegmentsMax ? std::numeric_limits<std::uint64_t>::max() : segment_offset(last + 1) + 1;
  }

  Result<Bytes> get_from_start(std::string_view key, const ByteRange& range, const CallContext& ctx) {
    const std::uint64_t end = stored_end(range);
    SKALD_TRY(Bytes stored, inner_->get(key, {0, end}, ctx));
    SKALD_TRY(const OpenedPtr opened, open_header(key, ByteView(stored).substr(0, kHeaderBytes)));
    if (opened == nullptr) {   // what was read covers the range: plaintext lies before its place in an encrypted object
      if (range.begin > stored.size()) return beyond_end(key, range);
      return cut_out(std::move(stored), range.begin, range.end);
    }
    const bool more = stored.size() == end;
    if (more) headers_.add(key, opened);
    std::uint64_t first = range.begin / kSegmentBytes;
    // At or beyond the end: the last segment must say that it is the last.
    if (stored.size() <= segment_offset(first) && first > 0) {
      if (stored.size() <= segment_offset(0)) return cut_off(key);
      first = (stored.size() - segment_offset(0) - 1) / kStoredSegmentBytes;
    }
    stored.erase(0, std::min<std::size_t>(segment_offset(first), stored.size()));
    return open_segments(key, range, *opened, first, std::move(stored), more);
  }

  Result<Bytes> get_segments(std::string_view key, const ByteRange& range, const Opened& opened, const CallContext& ctx) {
    const std::uint64_t end = stored_end(range);
    std::uint64_t first = range.begin / kSegmentBytes;
    const auto read = [&]() -> Result<Bytes> {
      Result<Bytes> stored = inner_->get(key, {segment_offset(first), end}, ctx);
      if (!stored.ok() && stored.error().code() == ErrorCode::kInvalidArgument) return beyond_end(key, range);
      return stored;
    };
    SKALD_TRY(Bytes stored, read());
    if (stored.empty()) {   // the range begins where the segments end: the one before must be the last
      --first;
      SKALD_TRY(stored, read());
    }
    const bool more = stored.size() == end - segment_offset(first);
    return open_segments(key, range, opened, first, std::move(stored), more);
  }

  static Error cut_off(std::string_view key) { return Error(ErrorCode::kCorruption, "object '" + std::string(key) + "': encrypted object cut off"); }

  // `stored` holds the segments from `first` on and, when there are more, one byte of the next.
  static Result<Bytes> open_segments(std::string_view key, const ByteRange& range, const Opened& opened, std::uint64_t first, Bytes stored,
                                     bool more) {
    if (more) stored.pop_back();
    SegmentCipher cipher(SegmentCipher::Direction::kOpen, *opened.object_key, opened.header, key);
    std::size_t from = 0, to = 0;
    std::uint64_t number = first;
    do {
      const std::size_t size = std::min<std::size_t>(kStoredSegmentBytes, stored.size() - from);
      if (size < kTagBytes) return cut_off(key);
      const bool last = !more && from + size == stored.size();
      if (!cipher.open(number, last, stored.data() + from, size))
        return Error(ErrorCode::kCorruption, "object '" + std::string(key) + "': encrypted segment " + std::to_string(number) +
                                                 " does not authenticate: damaged, cut, moved from another name, or the key in the ring is "
                                                 "not the one it was written with");
      std::memmove(stored.data() + to, stored.data() + from, size - kTagBytes);
      from += size;
      to += size - kTagBytes;
      ++number;
    } while (from < stored.size());
    stored.resize(to);
    const std::uint64_t base = first * kSegmentBytes;
    if (range.begin > base + stored.size()) return beyond_end(key, range);
    return cut_out(std::move(stored), range.begin - base, range.end - base);
  }

  static Bytes cut_out(Bytes bytes, std::uint64_t begin, std::uint64_t end) {
    if (end < bytes.size()) bytes.resize(end);
    bytes.erase(0, begin);
    return bytes;
  }

  const std::shared_ptr<ObjectStore> inner_;
  const std::shared_ptr<const KeyRing> keys_;
  const EncryptionOptions options_;
  Headers headers_;
};

}  // namespace

std::unique_ptr<ObjectStore> with_encryption(std::shared_ptr<ObjectStore> inner, std::shared_ptr<const KeyRing> keys, EncryptionOptions options) {
  return std::make_unique<EncryptedStore>(std::move(inner), std::move(keys), options);
}

}  // namespace skald::objstore
