#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "parsing.hpp"
#include "target.hpp"

enum class Transport { websocket, sse, long_polling, short_polling };

/// What all clients of a load have in common.
struct Plan {
  Transport transport = Transport::websocket;
  std::uint16_t port = 0;
  std::size_t channels = 1;
  std::string path = "/c/";  // before the channel's number
  bool nchan = false;        // long polling by nchan's own headers
  std::size_t size = 0;      // of the messages published now
};

/// One subscriber. Checks every message that it gets, and throws where one is wrong or lost.
class Client {
 public:
  /// Begins with the message of the number `next`. With a cursor it asks for what came after that.
  Client(const Plan& plan, std::size_t index, std::uint64_t next, const std::string& cursor = {})
      : plan_(plan),
        next_(next),
        channel_(static_cast<std::uint32_t>(index % plan.channels)),
        fd_(connect_to(plan.port, static_cast<unsigned>(1 + index % 16))) {
    switch (plan.transport) {
      case Transport::websocket:
        request("",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        break;
      case Transport::sse:
        request("", "Accept: text/event-stream\r\n" + (cursor.empty() ? "" : "Last-Event-ID: " + cursor + "\r\n"));
        break;
      default:
        request("", "");
    }
    opened_ = plan.nchan && plan.transport == Transport::long_polling;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  int fd() const { return fd_; }
  /// Whether the server has answered: a stream has begun, or a polling client has its first cursor.
  bool opened() const { return opened_; }
  /// The number of the message that it waits for.
  std::uint64_t next() const { return next_; }
  /// Where a polling client stands.
  const std::string& cursor() const { return cursor_; }

  /// Reads once and returns how many messages came, or answers to a short-polling client. `received` grows by the
  /// bytes.
  std::uint64_t read(char* buffer, std::size_t size, std::uint64_t& received) {
    const ssize_t got = ::recv(fd_, buffer, size, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) throw std::runtime_error("the server closed a connection");
    received += static_cast<std::uint64_t>(got);
    std::string_view bytes(buffer, static_cast<std::size_t>(got));
    std::string joined;
    if (!unread_.empty()) {
      joined = std::exchange(unread_, {});
      bytes = joined.append(bytes);
    }
    const std::uint64_t before = progress();
    if (streams() && !opened_) take_opening(bytes);
    if (!streams()) take_answers(bytes);
    if (streams() && opened_) chunked_ ? take_chunks(bytes) : take_messages(bytes);
    unread_ = bytes;
    return progress() - before;
  }

  /// Short polling: asks once for what came after a cursor, which begins with message `from`.
  void poll(const std::string& cursor, std::uint64_t from) {
    next_ = from;
    request("?cursor=" + cursor, "");
  }

 private:
  std::uint64_t progress() const { return plan_.transport == Transport::short_polling ? answers_ : next_; }
  bool streams() const { return plan_.transport == Transport::websocket || plan_.transport == Transport::sse; }

  void request(const std::string& query, const std::string& headers) {
    const std::string text = "GET " + plan_.path + std::to_string(channel_) + query + " HTTP/1.1\r\nHost: a\r\n" +
                             "Authorization: " + std::string(authorization) + "\r\n" + headers + "\r\n";
    if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
      throw std::runtime_error("a request can't be sent");
    }
  }

  void take_opening(std::string_view& bytes) {
    const std::string_view head = parsing::take_head(bytes);
    if (head.empty()) return;
    if (parsing::status(head) != (plan_.transport == Transport::websocket ? 101 : 200)) {
      throw std::runtime_error("a client was refused: " + std::string(head));
    }
    chunked_ = parsing::header(head, "Transfer-Encoding") == "chunked";
    opened_ = true;
  }

  void take_chunks(std::string_view& bytes) {
    std::string_view content;
    while (parsing::take_chunk(bytes, content)) {
      if (text_.empty()) {
        take_messages(content);
        text_ = content;
      } else {
        std::string joined = std::exchange(text_, {}).append(content);
        std::string_view rest = joined;
        take_messages(rest);
        text_ = rest;
      }
    }
  }

  void take_messages(std::string_view& bytes) {
    std::string_view name, data;
    if (plan_.transport == Transport::sse) {
      bool has_data = false;
      while (parsing::take_event(bytes, name, data, has_data)) {
        if (name == "downlink.gap") throw std::runtime_error("the server tells of a gap");
        if (has_data && !name.starts_with("downlink.")) check(data);
      }
      return;
    }
    unsigned opcode = 0;
    while (parsing::take_frame(bytes, opcode, data)) {
      if (opcode == 1 || opcode == 2) {
        check(data);
      } else if (opcode == 9) {
        std::string pong{'\x8a', static_cast<char>(0x80 | data.size()), 0, 0, 0, 0};  // masked with zeros
        pong += data;
        ::send(fd_, pong.data(), pong.size(), MSG_NOSIGNAL);
      } else {
        throw std::runtime_error("the server ends a WebSocket");
      }
    }
  }

  void take_answers(std::string_view& bytes) {
    std::string_view head, body, data;
    while (parsing::take_response(bytes, head, body)) {
      const int status = parsing::status(head);
      if (status != 200 && status != 304) throw std::runtime_error("a poll was refused: " + std::string(head));
      if (plan_.nchan) {
        if (status == 200) check(body);
        cursor_ = "If-Modified-Since: " + std::string(parsing::header(head, "Last-Modified")) +
                  "\r\nIf-None-Match: " + std::string(parsing::header(head, "Etag")) + "\r\n";
      } else if (parsing::take_member(body, "\"cursor\":\"", data)) {
        cursor_ = data;
        while (opened_ && parsing::take_member(body, "\"data\":\"", data)) check(data);
      }
      if (plan_.transport == Transport::short_polling) {
        if (opened_) ++answers_;
      } else if (plan_.nchan) {
        request("", cursor_);
      } else {
        request("?wait=60&cursor=" + cursor_, "");
      }
      opened_ = true;
    }
  }

  void check(std::string_view data) {
    static const std::string fill(std::size_t{1} << 17, 'x');
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < 16 && i < data.size(); ++i) {
      number = number * 10 + static_cast<std::uint64_t>(data[i] - '0');
    }
    if (number != next_) {
      throw std::runtime_error("message " + std::to_string(number) + " came in place of " + std::to_string(next_));
    }
    if (data.size() != plan_.size || std::memcmp(data.data() + 16, fill.data(), data.size() - 16) != 0) {
      throw std::runtime_error("message " + std::to_string(number) + " has " + std::to_string(data.size()) + " bytes");
    }
    ++next_;
  }

  const Plan& plan_;
  std::uint64_t next_;
  std::uint64_t answers_ = 0;
  std::uint32_t channel_;
  int fd_;
  bool opened_ = false;
  bool chunked_ = false;
  std::string unread_{};  // a part of a frame, chunk or response
  std::string text_{};    // a part of an event, whose chunk has been taken
  std::string cursor_{};
};
