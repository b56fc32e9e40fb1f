#pragma once

#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "support/tls.hpp"

namespace downlink::testing {

/// TLS for the clients that speak without it: a thread carries their bytes over. It reads from the server only as fast
/// as the client reads from it.
class TlsTunnel {
 public:
  explicit TlsTunnel(Connection to_server) : tls_(std::move(to_server)) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair");
    const int little = 4096;
    for (const int end : ends) ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    tls_.handshake();
    client_ = ends[0];
    inner_ = ends[1];
    ::fcntl(inner_, F_SETFL, ::fcntl(inner_, F_GETFL) | O_NONBLOCK);
    thread_ = std::thread([this] { carry(); });
  }
  TlsTunnel(const TlsTunnel&) = delete;
  TlsTunnel& operator=(const TlsTunnel&) = delete;
  ~TlsTunnel() {
    stopped_ = true;
    thread_.join();
    ::close(inner_);
    if (client_ >= 0) ::close(client_);
  }

  /// The client's end, once.
  Connection connection() {
    auto connection = Connection::over(std::exchange(client_, -1));
    connection.set_patience(std::chrono::seconds{20});
    return connection;
  }
  /// How the server ended.
  enum class End { open, notified, cut };
  End end() const { return end_; }

 private:
  void carry() {
    const int outer = tls_.connection().native_handle();
    bool asks = true;
    while (!stopped_) {
      pollfd waiting[2] = {{outer, static_cast<short>(down_.empty() && end_ == End::open ? POLLIN : 0), 0},
                           {inner_, static_cast<short>((asks ? POLLIN : 0) | (down_.empty() ? 0 : POLLOUT)), 0}};
      if (::poll(waiting, 2, 5) < 0) return;
      if (waiting[0].revents != 0) receive();
      if (waiting[1].revents & POLLIN) asks = send();
      if (!down_.empty()) {
        const auto sent = ::send(inner_, down_.data(), down_.size(), MSG_NOSIGNAL);
        if (sent > 0) down_.erase(0, static_cast<std::size_t>(sent));
      }
      if (down_.empty() && end_ != End::open) ::shutdown(inner_, SHUT_WR);
    }
  }
  void ended(End how) {
    if (end_ == End::open) end_ = how;
  }
  // Takes what one `recv` gives.
  void receive() {
    char room[4096];
    const auto got = ::recv(tls_.connection().native_handle(), room, sizeof room, 0);
    if (got <= 0) {
      if (got == 0 || (errno != EAGAIN && errno != EINTR)) ended(End::cut);
      return;
    }
    tls_.put_input({room, static_cast<std::size_t>(got)});
    while (true) {
      ::ERR_clear_error();
      const int read = ::SSL_read(tls_.ssl(), room, sizeof room);
      if (read <= 0) {
        if (::SSL_get_error(tls_.ssl(), read) != SSL_ERROR_WANT_READ) {
          ended(::SSL_get_shutdown(tls_.ssl()) & SSL_RECEIVED_SHUTDOWN ? End::notified : End::cut);
        }
        return;
      }
      down_.append(room, static_cast<std::size_t>(read));
    }
  }
  // False once the client says no more.
  bool send() {
    char room[4096];
    const auto got = ::recv(inner_, room, sizeof room, 0);
    try {
      if (got > 0) {
        tls_.send({room, static_cast<std::size_t>(got)});
        return true;
      }
      if (got == 0) {
        ::SSL_shutdown(tls_.ssl());
        tls_.flush();
        tls_.connection().half_close();
      }
    } catch (const std::exception&) {
      ended(End::cut);
    }
    return got != 0;
  }

  TlsClient tls_;
  int client_ = -1;
  int inner_ = -1;
  std::string down_;
  std::atomic<End> end_{End::open};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace downlink::testing
