// Live tails. One thread, started by the first tail, moves entries from the ingester to the clients.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "skald/api/read.h"
#include "skald/engine/pipeline.h"
#include "skald/engine/result.h"
#include "skald/logql/ast.h"

namespace skald::api {

struct TailParams {
  std::string query;
  std::int64_t start_ns = 0;
  std::int64_t delay_ns = 0;
  std::uint32_t limit = 100;
};
Result<TailParams> parse_tail_params(const http::Params& form, std::int64_t now_ns);

// Where push threads leave entries: bounded, what does not fit is reported as dropped. Holds no subscription, so that the
// last reference may go away inside the ingester's callback.
class TailInbox {
 public:
  struct Waiting {
    model::LabelsPtr labels;
    rpc::TailEntry entry;
    std::int64_t received_ns = 0;
  };
  struct Dropped {
    std::int64_t timestamp_ns = 0;
    std::string labels;
  };
  void push(const model::LabelsPtr& labels, const std::vector<rpc::TailEntry>& entries, std::int64_t now_ns);
  // Entries received until `until_ns`, at most `most`, and what was dropped since the last call.
  void take(std::int64_t until_ns, std::size_t most, std::vector<Waiting>& entries, std::vector<Dropped>& dropped);
  // Adds to what is reported as dropped.
  void lose(std::vector<Dropped> entries);
  bool empty() const;

 private:
  mutable std::mutex mutex_;   // guards all below
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::vector<Dropped> dropped_;
};

// The client's connection, which the server owns: after on_close() nobody may hold it, not even for a moment, because the
// server's event loop may be gone then.
class TailSocket {
 public:
  static std::shared_ptr<TailSocket> watch(const std::shared_ptr<http::WebSocket>& socket);
  // False: the client's queue is full and nothing was sent. True when sent, or when there is nobody to send to.
  bool send(std::string frame);
  bool closed();
  void close(int code, const std::string& reason);

 private:
  std::mutex mutex_;   // held while the connection is used
  std::weak_ptr<http::WebSocket> socket_;
  bool gone_ = false;
};

// One client. Used by the thread that starts it, then by the pump's only.
class TailSession {
 public:
  TailSession(std::shared_ptr<http::WebSocket> socket, std::shared_ptr<TailInbox> inbox, const logql::LogSelector& selector, std::shared_ptr<const engine::Pipeline> pipeline,
              std::int64_t delay_ns, bool categorize, std::int64_t duration_max_ns, const Clock& clock);

  // Sends the history, before the first pump(); live entries that are part of it are not sent again.
  void send_history(const engine::LogResult& history);
  // Sends what is due. False: the session is over.
  bool pump();
  void hold(std::shared_ptr<void> subscription, std::shared_ptr<void> slot);
  bool idle() const { return inbox_->empty(); }

 private:
  using Waiting = TailInbox::Waiting;
  using Dropped = TailInbox::Dropped;
  void append_live(std::string& out, std::vector<Waiting>& batch, bool& first);
  void append_element(std::string& out, bool& first, const engine::ResultLabels& labels, std::int64_t timestamp_ns, std::string_view line);
  std::uint64_t entry_key(const engine::ResultLabels& labels, std::int64_t timestamp_ns, std::string_view line) const;
  // False: the client's queue is full and nothing was sent.
  bool send(std::string streams, const std::vector<Dropped>& dropped);

  const std::shared_ptr<TailSocket> socket_;
  const std::shared_ptr<TailInbox> inbox_;
  const bool has_stages_;
  const std::shared_ptr<const engine::Pipeline> pipeline_;
  const std::unique_ptr<engine::PipelineRunner> runner_;   // not thread-safe
  const std::int64_t delay_ns_;
  const bool categorize_;
  const std::int64_t duration_max_ns_;   // 0: no end
  const Clock& clock_;
  const std::int64_t started_ns_;
  std::shared_ptr<void> subscription_, slot_;

  std::int64_t history_until_ns_ = 0;
  std::unordered_set<std::uint64_t> history_keys_;   // of entries that may also come live
};

class TailPump {
 public:
  ~TailPump();
  void add(std::shared_ptr<TailSession> session);
  void wake();

 private:
  void run();
  std::mutex mutex_;   // guards all below
  std::condition_variable changed_;
  std::vector<std::shared_ptr<TailSession>> sessions_;
  std::thread thread_;
  bool stopping_ = false;
  bool woken_ = false;
};

}  // namespace skald::api
