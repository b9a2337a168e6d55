// A blocking HTTP/1.1 server for tests: one thread per connection, each answer is the bytes the test wants on the wire.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace skald::http::testing_server {

struct Received {
  std::string method, target;
  std::map<std::string, std::string> headers;   // names in lower case
  std::string raw_head, body;
  int connection = 0;                            // from 0
  int number = 0;                                // of the request on this server, from 0
};

struct Answer {
  std::string bytes;       // head and body as they go out
  bool close = false;      // after the bytes
  bool reset = false;      // likewise, with RST
};

inline Answer reply(int status, std::string body = "", std::vector<std::pair<std::string, std::string>> headers = {}) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " Text\r\n";
  for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
  head += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  return {.bytes = head + body};
}

// A key and a certificate for 127.0.0.1, "localhost" and "store.test", signed by itself, as PEM files in a folder of its own.
class SelfSigned {
 public:
  SelfSigned() {
    char pattern[] = "/tmp/skald-tls-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    key_.reset(::EVP_EC_gen("P-256"));
    X509* x509 = ::X509_new();
    ::X509_set_version(x509, 2);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(x509), 1);
    ::X509_gmtime_adj(::X509_getm_notBefore(x509), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(x509), 3600);
    ::X509_set_pubkey(x509, key_.get());
    X509_NAME* name = ::X509_get_subject_name(x509);
    ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("skald test"), -1, -1, 0);
    ::X509_set_issuer_name(x509, name);
    for (const auto& [nid, value] : {std::pair(NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost,DNS:store.test"), std::pair(NID_basic_constraints, "CA:TRUE")}) {
      X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
      ::X509_add_ext(x509, extension, -1);
      ::X509_EXTENSION_free(extension);
    }
    ::X509_sign(x509, key_.get(), ::EVP_sha256());
    write(cert_file(), [&](FILE* out) { ::PEM_write_X509(out, x509); });
    write(key_file(), [&](FILE* out) { ::PEM_write_PrivateKey(out, key_.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    ::X509_free(x509);
  }
  ~SelfSigned() { std::filesystem::remove_all(folder_); }
  std::string cert_file() const { return folder_ + "/cert.pem"; }
  std::string key_file() const { return folder_ + "/key.pem"; }

 private:
  struct KeyFree {
    void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
  };
  static void write(const std::string& path, const std::function<void(FILE*)>& body) {
    FILE* out = std::fopen(path.c_str(), "w");
    body(out);
    std::fclose(out);
  }
  std::string folder_;
  std::unique_ptr<EVP_PKEY, KeyFree> key_;
};

class TestServer {
 public:
  using Handler = std::function<Answer(const Received&)>;   // on the connection's thread; several at once

  explicit TestServer(Handler handler, const SelfSigned* tls = nullptr) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 64) != 0) std::abort();
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    if (tls != nullptr) {
      tls_.reset(::SSL_CTX_new(::TLS_server_method()));
      if (::SSL_CTX_use_certificate_file(tls_.get(), tls->cert_file().c_str(), SSL_FILETYPE_PEM) != 1 ||
          ::SSL_CTX_use_PrivateKey_file(tls_.get(), tls->key_file().c_str(), SSL_FILETYPE_PEM) != 1) {
        std::abort();
      }
    }
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~TestServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  std::uint16_t port() const { return port_; }
  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string url(const std::string& path = "/") const { return (tls_ ? "https://" : "http://") + authority() + path; }
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  bool stopping() const { return stopping_; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { ::SSL_free(ssl); }
  };
  void accept_all() {
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd, number = connections_++] { serve(fd, number); });
    }
  }
  void serve(int fd, int connection) {
    sigset_t pipe;   // SSL_write to a connection that the client gave up
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    std::unique_ptr<SSL, Free> ssl;
    if (tls_) {
      ssl.reset(::SSL_new(tls_.get()));
      ::SSL_set_fd(ssl.get(), fd);
      if (::SSL_accept(ssl.get()) != 1) {
        finish(fd, false);
        return;
      }
    }
    const auto receive = [&](char* to, std::size_t size) -> long {
      return ssl ? ::SSL_read(ssl.get(), to, static_cast<int>(size)) : static_cast<long>(::recv(fd, to, size, 0));
    };
    const auto send = [&](std::string_view bytes) {
      while (!bytes.empty()) {
        const long sent = ssl ? ::SSL_write(ssl.get(), bytes.data(), static_cast<int>(bytes.size()))
                              : static_cast<long>(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      }
      return true;
    };
    std::string pending;
    char buffer[65536];
    bool reset = false;
    while (true) {
      std::size_t head_end = 0;
      while ((head_end = pending.find("\r\n\r\n")) == std::string::npos) {
        const long got = receive(buffer, sizeof buffer);
        if (got <= 0) break;
        pending.append(buffer, static_cast<std::size_t>(got));
      }
      if (head_end == std::string::npos) break;
      Received received;
      received.connection = connection;
      received.raw_head = pending.substr(0, head_end + 2);
      pending.erase(0, head_end + 4);
      parse_head(received);
      const std::size_t length = received.headers.contains("content-length") ? std::stoul(received.headers["content-length"]) : 0;
      while (pending.size() < length) {
        const long got = receive(buffer, sizeof buffer);
        if (got <= 0) break;
        pending.append(buffer, static_cast<std::size_t>(got));
      }
      received.body = pending.substr(0, length);
      pending.erase(0, length);
      received.number = requests_++;
      const Answer answer = handler_(received);
      reset = answer.reset;
      if (!send(answer.bytes) || answer.close || answer.reset) break;
    }
    if (ssl && !reset) ::SSL_shutdown(ssl.get());
    ssl.reset();
    finish(fd, reset);
  }
  static void parse_head(Received& received) {
    std::string_view head = received.raw_head;
    std::string_view line = head.substr(0, head.find("\r\n"));
    received.method = std::string(line.substr(0, line.find(' ')));
    line.remove_prefix(received.method.size() + 1);
    received.target = std::string(line.substr(0, line.find(' ')));
    while ((head.remove_prefix(head.find("\r\n") + 2)), !head.empty()) {
      line = head.substr(0, head.find("\r\n"));
      const std::size_t colon = line.find(':');
      std::string name(line.substr(0, colon));
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      std::string_view value = line.substr(colon + 1);
      while (value.starts_with(' ')) value.remove_prefix(1);
      received.headers[name] = std::string(value);
    }
  }
  void finish(int fd, bool reset) {
    const std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    if (reset) {
      const linger now{1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    ::close(fd);
  }

  const Handler handler_;
  std::unique_ptr<SSL_CTX, Free> tls_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;   // guards open_ and threads_
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::atomic<int> connections_{0}, requests_{0};
  std::atomic<bool> stopping_{false};
};

// Takes connections (the kernel does) and never reads from them.
class SilentServer {
 public:
  SilentServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 8) != 0) std::abort();
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(listener_); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }

 private:
  int listener_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace skald::http::testing_server
