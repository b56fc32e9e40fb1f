// The usual Asio pattern: a session that reads and writes asynchronously, kept by shared_ptr, with a queue of shared
// messages and one async_write at a time. Speaks WebSocket (frames by hand, no library) and SSE.

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <asio.hpp>
#include <deque>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "../control.hpp"
#include "control_server.hpp"

namespace {

using asio::ip::tcp;
using Bytes = std::shared_ptr<const std::string>;

class Session;

struct Room {
  std::set<std::shared_ptr<Session>> websockets{}, streams{};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, Room& room) : socket_(std::move(socket)), room_(room) {}

  void start() {
    asio::async_read_until(socket_, asio::dynamic_buffer(request_), "\r\n\r\n",
                           [self = shared_from_this()](asio::error_code error, std::size_t size) {
                             if (!error) self->open(size);
                           });
  }

  void send(Bytes message) {
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) write();
  }

 private:
  std::string header(const std::string& name) const {
    const auto at = request_.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const auto begin = at + name.size() + 4;
    return request_.substr(begin, request_.find('\r', begin) - begin);
  }

  void open(std::size_t size) {
    if (header("Authorization") != authorization) return;
    const std::string key = header("Sec-WebSocket-Key");
    if (key.empty()) {
      room_.streams.insert(shared_from_this());
      send(
          std::make_shared<std::string>("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                        "Cache-Control: no-cache\r\nConnection: keep-alive\r\n\r\n: open\n\n"));
    } else {
      const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
      unsigned char digest[SHA_DIGEST_LENGTH];
      ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
      char accept[32];
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(accept), digest, sizeof digest);
      room_.websockets.insert(shared_from_this());
      send(
          std::make_shared<std::string>("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                        "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
                                        std::string(accept) + "\r\n\r\n"));
    }
    request_.erase(0, size);
    read();
  }

  void read() {
    socket_.async_read_some(asio::buffer(buffer_), [self = shared_from_this()](asio::error_code error, std::size_t) {
      if (error) return self->leave();
      self->read();
    });
  }

  void write() {
    asio::async_write(socket_, asio::buffer(*queue_.front()),
                      [self = shared_from_this()](asio::error_code error, std::size_t) {
                        if (error) return self->leave();
                        self->queue_.pop_front();
                        if (!self->queue_.empty()) self->write();
                      });
  }

  void leave() {
    room_.websockets.erase(shared_from_this());
    room_.streams.erase(shared_from_this());
  }

  tcp::socket socket_;
  Room& room_;
  std::string request_{};
  std::deque<Bytes> queue_{};
  char buffer_[1024]{};
};

std::string frame(const std::string& data) {
  std::string head{'\x81'};
  if (data.size() < 126) {
    head += static_cast<char>(data.size());
  } else {
    const bool large = data.size() > 65'535;
    head += large ? '\x7f' : '\x7e';
    for (int shift = large ? 56 : 8; shift >= 0; shift -= 8) head += static_cast<char>(data.size() >> shift);
  }
  return head + data;
}

}  // namespace

int main() {
  serve<Session, Room, asio::io_context, tcp, asio::mutable_buffer>([](Room& room, std::uint64_t number,
                                                                       const std::string& data) {
    if (!room.websockets.empty()) {
      const auto message = std::make_shared<std::string>(frame(data));
      for (const auto& session : room.websockets) session->send(message);
    }
    if (!room.streams.empty()) {
      const auto message = std::make_shared<std::string>("id: " + std::to_string(number) + "\ndata: " + data + "\n\n");
      for (const auto& session : room.streams) session->send(message);
    }
  });
}
