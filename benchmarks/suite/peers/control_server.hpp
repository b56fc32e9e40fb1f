#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "../control.hpp"

inline void raise_file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The control port of a server on Asio: `Tcp` is `ip::tcp` and `Buffer` is `mutable_buffer`, of standalone Asio or of
/// Boost's.
template <class Tcp, class Buffer>
class ControlServer {
 public:
  /// `publish` is called with the size for each message.
  template <class Context>
  ControlServer(Context& io, std::function<void(std::size_t)> publish)
      : acceptor_(io, typename Tcp::endpoint(Tcp::v4(), 0)), publish_(std::move(publish)) {
    accept();
  }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  struct Connection {
    explicit Connection(typename Tcp::socket from) : socket(std::move(from)) {}
    typename Tcp::socket socket;
    std::string received{};
    char buffer[1024]{};
  };

  void accept() {
    acceptor_.async_accept([this](auto error, typename Tcp::socket socket) {
      if (!error) read(std::make_shared<Connection>(std::move(socket)));
      accept();
    });
  }

  void read(const std::shared_ptr<Connection>& from) {
    from->socket.async_read_some(Buffer(from->buffer, sizeof from->buffer), [this, from](auto error, std::size_t size) {
      if (error) return;
      from->received.append(from->buffer, size);
      take_lines(from->received, [&](const std::string& line) {
        const auto command = parse_command(line);
        for (std::uint64_t i = 0; command && i < command->count; ++i) publish_(command->size);
      });
      read(from);
    });
  }

  typename Tcp::acceptor acceptor_;
  std::function<void(std::size_t)> publish_;
};
