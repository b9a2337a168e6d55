// The gossip node's connections: serving and sending them.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "ring/gossip_node.h"
#include "skald/obs/log.h"

namespace skald::ring::gossip {
namespace {

constexpr std::size_t kFrameBytesMax = 2 + 255 + kDigestBytes;

// "10.0.0.1:7946", as senders of packets call themselves.
bool parse_endpoint(const std::string& text, Endpoint& out) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || text.size() - colon > 6) return false;
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  unsigned port = 0;
  for (const char c : text.substr(colon + 1)) {
    if (c < '0' || c > '9') return false;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  if (port == 0 || port > 65535) return false;
  out.port = static_cast<std::uint16_t>(port);
  return parse_ip(host, out.ip);
}

}  // namespace

void GossipNode::listen() {
  std::vector<pollfd> watched{{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
  for (const auto& listener : listeners_) watched.push_back({.fd = listener->fd(), .events = POLLIN, .revents = 0});
  while (!stopping_) {
    if (poll(watched.data(), watched.size(), -1) < 0) continue;   // EINTR
    for (std::size_t i = 1; i < watched.size(); ++i) {
      if ((watched[i].revents & POLLIN) == 0) continue;
      const int fd = ::accept4(watched[i].fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE) pause(100 * kNanosPerMilli);   // else this spins until one is free
        continue;
      }
      const std::lock_guard lock(accepted_mutex_);
      if (accepted_.size() >= kConnectionsMax) {
        ::close(fd);
        continue;
      }
      accepted_.push_back(fd);
      accepted_wake_.notify_one();
    }
  }
}

void GossipNode::serve() {
  std::unique_lock lock(accepted_mutex_);
  while (true) {
    accepted_wake_.wait(lock, [&] { return stopping_ || !accepted_.empty(); });
    if (stopping_) return;
    const int fd = accepted_.front();
    accepted_.pop_front();
    lock.unlock();
    serve_connection(fd);
    lock.lock();
  }
}

void GossipNode::serve_connection(int fd) {
  const std::int64_t deadline_ns = now_ns() + std::max(config_.stream_timeout, config_.packet_write_timeout);
  auto connection = Connection::accepted(fd, tls_.get(), deadline_ns);
  if (!connection.ok()) {
    log::debug("memberlist: connection refused", {{"err", connection.error().message()}});
    return;
  }
  Bytes begun;
  const auto got = (*connection)->read_some(begun, deadline_ns);
  if (!got.ok() || !*got) return;                          // a health check that only connects
  Result<void> served;
  if (begun[0] == kPacketConnection) {
    served = serve_packet(**connection, std::move(begun), deadline_ns);
    if (!served.ok()) metrics_.packets_received_errors.add();
  } else if (begun[0] == kStreamConnection) {
    metrics_.streams_in.add();
    served = serve_stream(**connection, std::move(begun), deadline_ns);
  } else {
    metrics_.unknown.add();
    served = Error(ErrorCode::kCorruption, "neither a packet nor a stream" + std::string(tls_ == nullptr ? " (TLS is off here)" : ""));
  }
  if (!served.ok()) log::warn("memberlist: a connection was of no use", {{"err", served.error().message()}});
}

Result<void> GossipNode::serve_packet(Connection& connection, Bytes bytes, std::int64_t deadline_ns) {
  while (true) {
    SKALD_TRY(const bool more, connection.read_some(bytes, deadline_ns));
    if (!more) break;
    if (bytes.size() > kPacketBytesMax + kFrameBytesMax) return Error(ErrorCode::kTooLarge, "gossip: a packet of more than " + std::to_string(kPacketBytesMax) + " bytes");
  }
  metrics_.packets_received.add();
  metrics_.packets_received_bytes.add(static_cast<double>(bytes.size()));
  SKALD_TRY(const ByteView packet, unframe_packet(bytes));
  SKALD_TRY(const ParsedPacket parsed, parse_packet(packet, config_.cluster_label, config_.cluster_label_verification_disabled));
  Endpoint from;
  const bool known = parse_endpoint(bytes.substr(2, static_cast<unsigned char>(bytes[1])), from);
  for (const Message& message : parsed.messages) handle(message, known ? &from : nullptr);
  if (parsed.ignored > 0) return Error(ErrorCode::kCorruption, "gossip: " + std::to_string(parsed.ignored) + " messages not understood");
  return {};
}

Result<void> GossipNode::serve_stream(Connection& connection, Bytes bytes, std::int64_t deadline_ns) {
  std::size_t at = 1;
  const auto fill = [&](std::size_t needed) -> Result<void> {
    while (bytes.size() - at < needed) {
      SKALD_TRY(const bool more, connection.read_some(bytes, deadline_ns));
      if (!more) return Error(ErrorCode::kUnavailable, "gossip: a stream ended early");
      if (bytes.size() > kUnpackedBytesMax) return Error(ErrorCode::kTooLarge, "gossip: a stream of more than " + std::to_string(kUnpackedBytesMax) + " bytes");
    }
    return {};
  };
  LabelProgress label = parse_label(ByteView(bytes).substr(at));
  while (label.needed != 0) {
    SKALD_TRY_VOID(fill(label.needed));
    label = parse_label(ByteView(bytes).substr(at));
  }
  if (!config_.cluster_label_verification_disabled && label.label != config_.cluster_label) {
    Error error(ErrorCode::kPermissionDenied, "gossip: a stream with the cluster label '" + std::string(label.label) + "', ours is '" + config_.cluster_label + "'");
    (void)connection.write(encode_stream(StreamError{"cluster label does not match"}, false), deadline_ns);
    return error;
  }
  at += label.bytes;
  StreamProgress progress{.needed = 1, .message = {}};
  while (progress.needed != 0) {
    SKALD_TRY_VOID(fill(progress.needed));
    SKALD_TRY(progress, parse_stream(ByteView(bytes).substr(at)));
  }
  if (const auto* theirs = std::get_if<PushPull>(&progress.message)) {
    const PushPull ours = own_state(false);
    metrics_.pulls.add();
    metrics_.pull_bytes.add(static_cast<double>(ours.state.size()));
    const Result<void> sent = connection.write(encode_stream(ours, config_.compression_enabled), deadline_ns);
    connection.finish_writing();
    take_exchange(*theirs);
    if (!theirs->nodes.empty() && !joined_.exchange(true)) log::info("memberlist: a peer found us");
    return sent;
  }
  if (const auto* ping = std::get_if<Ping>(&progress.message)) return connection.write(encode(Message(Ack{.seq = ping->seq})), deadline_ns);
  if (const auto* user = std::get_if<User>(&progress.message)) hear_user(user->payload);
  if (const auto* error = std::get_if<StreamError>(&progress.message)) return Error(ErrorCode::kUnavailable, "gossip: peer: " + error->text.substr(0, 256));
  return {};
}

void GossipNode::send_one(const Endpoint& to, const Message& message, bool crc) {
  enqueue({.to = to, .messages = {encode(message)}, .crc = crc, .drop_ns = now_ns() + tuning_.probe_timeout_ns});
}

void GossipNode::enqueue(Send send) {
  const std::lock_guard lock(sends_mutex_);
  if (sends_.size() >= kSendsMax) {
    metrics_.packets_dropped.add();
    if (send.gossip) gossiping_.erase(send.to);
    return;
  }
  // Pings and acks before gossip: somebody waits for them.
  if (send.gossip) sends_.push_back(std::move(send));
  else sends_.insert(std::find_if(sends_.begin(), sends_.end(), [](const Send& s) { return s.gossip; }), std::move(send));
  sends_wake_.notify_one();
}

void GossipNode::send() {
  std::unique_lock lock(sends_mutex_);
  while (true) {
    sends_wake_.wait(lock, [&] { return stopping_ || !sends_.empty(); });
    if (sends_.empty()) return;                            // what waits goes out before the end
    const Send job = std::move(sends_.front());
    sends_.pop_front();
    lock.unlock();
    if (now_ns() > job.drop_ns) {
      metrics_.packets_dropped.add();
    } else if (!tuning_.cut || !tuning_.cut(job.to)) {
      for (const Bytes& packet : make_packets(job.messages, config_.cluster_label, job.crc, config_.compression_enabled)) {
        const auto deliver = [&]() -> Result<void> {
          SKALD_TRY(const auto connection, Connection::dial(job.to, tls_.get(), now_ns() + config_.packet_dial_timeout));
          SKALD_TRY_VOID(connection->write(frame_packet(packet, to_text(self_)), now_ns() + config_.packet_write_timeout));
          connection->finish_writing();
          return {};
        };
        metrics_.packets_sent.add();
        metrics_.packets_sent_bytes.add(static_cast<double>(packet.size()));
        if (const auto done = deliver(); !done.ok()) {
          metrics_.packets_sent_errors.add();
          log::debug("memberlist: packet not sent", {{"to", to_text(job.to)}, {"err", done.error().message()}});
          break;
        }
      }
    }
    lock.lock();
    if (job.gossip) gossiping_.erase(job.to);
  }
}

}  // namespace skald::ring::gossip
