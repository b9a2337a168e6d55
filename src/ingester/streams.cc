// Finding, creating and filling stream records.
#include "ingester/state.h"
#include "skald/codec/hash.h"

namespace skald::ingester {

Stream* StreamTable::find(std::uint64_t hash, const Tenant* tenant, const model::InternedLabels& labels) const {
  if (slots_.empty()) return nullptr;
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask; slots_[i].stream; i = (i + 1) & mask) {
    const Stream& stream = *slots_[i].stream;
    if (slots_[i].hash == hash && stream.tenant == tenant && (stream.labels.get() == &labels || stream.labels->text == labels.text))
      return slots_[i].stream.get();
  }
  return nullptr;
}

std::uint64_t signature_bits(std::string_view name, std::string_view value) {
  const std::uint64_t hash = codec::xxh3_64_seeded(value, codec::xxh3_64(name));
  return 1ULL << (hash & 63) | 1ULL << (hash >> 6 & 63);
}

void StreamTable::insert(std::uint64_t hash, std::uint64_t signature, std::unique_ptr<Stream> stream) {
  if ((size_ + 1) * 4 > slots_.size() * 3) rehash(slots_.empty() ? 8 : slots_.size() * 2);
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  while (slots_[i].stream) i = (i + 1) & mask;
  slots_[i] = {hash, signature, std::move(stream)};
  ++size_;
}

void StreamTable::rehash(std::size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  const std::size_t mask = slots - 1;
  for (auto& slot : old) {
    if (!slot.stream) continue;
    std::size_t i = slot.hash & mask;
    while (slots_[i].stream) i = (i + 1) & mask;
    slots_[i] = std::move(slot);
  }
}

Tenant* Ingester::State::find_tenant(const std::string& name) const {
  std::shared_lock lock(tenants_mutex);
  const auto found = tenants.find(name);
  return found == tenants.end() ? nullptr : found->second.get();
}

Tenant& Ingester::State::tenant_of(const std::string& name) {
  if (Tenant* known = find_tenant(name)) return *known;
  std::unique_lock lock(tenants_mutex);
  auto& tenant = tenants[name];
  if (!tenant) {
    tenant = std::make_unique<Tenant>();
    tenant->name = name;
    tenant->hash = codec::xxh3_64(name);
    tenant->memory_streams = &metrics.memory_streams.with({name});
    tenant->streams_created = &metrics.streams_created.with({name});
    tenant->streams_removed = &metrics.streams_removed.with({name});
  }
  return *tenant;
}

std::uint64_t Ingester::State::stream_hash(const Tenant& tenant, const model::InternedLabels& labels) {
  return codec::xxh3_words(tenant.hash, labels.hash);
}

Stream& Ingester::State::create_stream(Shard& shard, std::uint64_t hash, Tenant& tenant, const model::LabelsPtr& labels) {
  auto stream = std::make_unique<Stream>();
  Stream& created = *stream;
  created.labels = labels;
  created.tenant = &tenant;
  created.id = stream_ids.fetch_add(1, std::memory_order_relaxed);
  std::uint64_t signature = signature_bits("", tenant.name);  // no label has the empty name
  for (const auto& pair : labels->labels.pairs()) signature |= signature_bits(pair.name, pair.value);
  shard.streams.insert(hash, signature, std::move(stream));
  tenant.streams.fetch_add(1, std::memory_order_relaxed);
  tenant.memory_streams->add(1);
  tenant.streams_created->add(1);
  metrics.labels_bytes.add(static_cast<double>(labels->text.size()));
  return created;
}

void Ingester::State::note_ordinal(Stream& stream, std::uint64_t ordinal) {
  if (stream.first_ordinal == 0) {
    stream.first_ordinal = stream.last_ordinal = ordinal;
    return;
  }
  // Rising while pushes come in; replay may bring them in another order.
  if (ordinal < stream.first_ordinal) stream.first_ordinal = ordinal;
  if (ordinal > stream.last_ordinal) stream.last_ordinal = ordinal;
}

void Ingester::State::append_entry(Stream& stream, const model::PushEntry& entry, const model::LabelView* metadata, std::uint64_t hash,
                                   NameCache& names, std::vector<MemBlockPtr>& sealed) {
  if (stream.head_rows > 0 &&
      (stream.head_rows >= chunk::kBlockRowsMax || stream.head_raw + entry.line.size() > options.chunk_block_bytes))
    sealed.push_back(seal_head(stream));
  if (!stream.has_open_data()) {
    stream.begun_s = seconds_now();
    metrics.memory_chunks.add(1);
    metrics.chunks_created.add(1);
  }
  if (!stream.head) {
    stream.head = ChainRef::create();
    memory_bytes.fetch_add(static_cast<std::int64_t>(stream.head->memory_bytes()), std::memory_order_relaxed);
  }
  const std::uint64_t before = stream.head->memory_bytes();
  const std::int64_t ts = entry.timestamp_ns;
  stream.head_length += append_record(*stream.head.operator->(), stream.head_rows > 0 ? stream.head_max_ns : 0, entry, metadata, names);
  memory_bytes.fetch_add(static_cast<std::int64_t>(stream.head->memory_bytes() - before), std::memory_order_relaxed);
  if (stream.head_rows == 0) {
    stream.head_min_ns = stream.head_max_ns = ts;
    stream.ascending = true;
  } else {
    if (ts <= stream.head_max_ns) stream.ascending = false;
    stream.head_min_ns = std::min(stream.head_min_ns, ts);
    stream.head_max_ns = std::max(stream.head_max_ns, ts);
  }
  ++stream.head_rows;
  stream.head_raw += static_cast<std::uint32_t>(entry.line.size());
  stream.last_hash = hash;
  stream.head_sum += hash;
  stream.highest_ts_ns = stream.any ? std::max(stream.highest_ts_ns, ts) : ts;
  stream.any = true;
}

MemBlockPtr Ingester::State::seal_head(Stream& stream) {
  auto block = std::make_shared<MemBlock>();
  block->source_id = kIngesterSourceBit | source_ids.fetch_add(1, std::memory_order_relaxed);
  block->rows = stream.head_rows;
  block->raw_bytes = stream.head_raw;
  block->min_ts_ns = stream.head_min_ns;
  block->max_ts_ns = stream.head_max_ns;
  block->ascending = stream.ascending;
  block->content_id = content_id_of(stream.head_sum, stream.head_rows);
  block->memory_bytes = stream.head->memory_bytes();
  block->view = {std::move(stream.head), stream.head_length, stream.head_rows, stream.ascending, stream.tenant->names};
  stream.head = ChainRef();
  stream.head_length = stream.head_rows = stream.head_raw = 0;
  stream.head_sum = 0;
  if (!stream.blocks) stream.blocks = std::make_unique<StreamBlocks>();
  stream.blocks->sealed.push_back(block);
  stream.blocks->raw_bytes += block->raw_bytes;
  return block;
}

bool Ingester::State::is_full(const Stream& stream) const {
  if (!stream.blocks || stream.blocks->sealed.empty()) return false;
  if (stream.blocks->raw_bytes >= kChunkRawBytesMax) return true;
  std::uint64_t encoded = 0;
  for (const auto& block : stream.blocks->sealed) {
    std::lock_guard lock(block->mutex);
    encoded += block->pieces.empty() ? block->raw_bytes / 8 : block->memory_bytes;
  }
  return encoded >= options.chunk_target_bytes;
}

}  // namespace skald::ingester
