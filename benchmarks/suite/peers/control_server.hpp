#pragma once

#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "../../file_limit.hpp"
#include "../control.hpp"

/// Any free port of 127.0.0.1.
template <class Tcp>
typename Tcp::endpoint loopback() {
  using Address = decltype(typename Tcp::endpoint().address().to_v4());
  return {Address::loopback(), 0};
}

/// The control port of a server on Asio: `Tcp` is `ip::tcp` and `Buffer` is `mutable_buffer`, of standalone Asio or of
/// Boost's.
template <class Tcp, class Buffer>
class ControlServer {
 public:
  /// `publish` is called with the size for each message.
  template <class Context>
  ControlServer(Context& io, std::function<void(std::size_t)> publish)
      : acceptor_(io, loopback<Tcp>()), publish_(std::move(publish)) {
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

/// Gives each connection that comes to a session of its own.
template <class Session, class Acceptor, class Room>
void accept_sessions(Acceptor& acceptor, Room& room) {
  acceptor.async_accept([&](auto error, auto socket) {
    if (!error) {
      socket.set_option(typename Acceptor::protocol_type::no_delay(true));
      std::make_shared<Session>(std::move(socket), room)->start();
    }
    accept_sessions<Session>(acceptor, room);
  });
}

/// The whole of a server of such sessions, which share a room: `publish(room, number, data)` is called for each
/// message.
template <class Session, class Room, class Context, class Tcp, class Buffer, class Publish>
void serve(Publish publish) {
  raise_file_limit();
  Context io{1};
  Room room;
  typename Tcp::acceptor acceptor(io, loopback<Tcp>());
  acceptor.listen(4096);
  accept_sessions<Session>(acceptor, room);
  ControlServer<Tcp, Buffer> control(io, [&, number = std::uint64_t{0}](std::size_t size) mutable {
    ++number;
    publish(room, number, payload(number, size));
  });
  std::cout << acceptor.local_endpoint().port() << ' ' << control.port() << std::endl;
  io.run();
}
