#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "support/http_client.hpp"

namespace downlink::testing {

/// A frame as it came (RFC 6455 §5.2).
struct WebSocketFrame {
  bool fin = true;
  unsigned rsv = 0;
  unsigned opcode = 0;
  std::string payload = {};

  /// A close frame's code; 1005 where it has none.
  std::uint16_t close_code() const {
    if (payload.size() < 2) return 1005;
    return static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 |
                                      static_cast<unsigned char>(payload[1]));
  }
  std::string close_reason() const { return payload.size() < 2 ? std::string() : payload.substr(2); }
};

inline constexpr unsigned ws_continuation = 0, ws_text = 1, ws_binary = 2, ws_close = 8, ws_ping = 9, ws_pong = 10;

/// How a client's frame differs from a well-formed one.
struct FrameShape {
  bool fin = true;
  unsigned rsv = 0;
  bool masked = true;
  std::uint32_t mask = 0x37fa213d;
};

/// A client's frame as bytes.
inline std::string client_frame(unsigned opcode, std::string_view payload, FrameShape shape = {}) {
  std::string out;
  out += static_cast<char>((shape.fin ? 0x80u : 0u) | shape.rsv << 4 | opcode);
  const unsigned mask_bit = shape.masked ? 0x80u : 0u;
  if (payload.size() < 126) {
    out += static_cast<char>(mask_bit | payload.size());
  } else {
    const bool wide = payload.size() > 0xFFFF;
    out += static_cast<char>(mask_bit | (wide ? 127u : 126u));
    for (int shift = wide ? 56 : 8; shift >= 0; shift -= 8) {
      out += static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> shift & 0xFF);
    }
  }
  if (!shape.masked) return out.append(payload);
  char key[4];
  for (int i = 0; i < 4; ++i) key[i] = static_cast<char>(shape.mask >> (24 - 8 * i) & 0xFF);
  out.append(key, 4);
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ key[i % 4]);
  return out;
}

/// A close frame's payload.
inline std::string close_payload(std::uint16_t code, std::string_view reason = {}) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
  return payload.append(reason);
}

/// Reads a server's frames in whatever pieces they come: unmasked, in the shortest form.
class WebSocketParser {
 public:
  void feed(std::string_view bytes) {
    buffer_.append(bytes);
    while (take()) {
    }
  }
  std::optional<WebSocketFrame> next() {
    if (frames_.empty()) return std::nullopt;
    auto frame = std::move(frames_.front());
    frames_.pop_front();
    return frame;
  }
  bool mid_frame() const { return !buffer_.empty(); }

 private:
  unsigned byte(std::size_t i) const { return static_cast<unsigned char>(buffer_[i]); }

  bool take() {
    if (buffer_.size() < 2) return false;
    if (byte(1) & 0x80u) throw std::runtime_error("a server's frame is masked");
    std::size_t head = 2;
    std::uint64_t size = byte(1);
    if (size >= 126) {
      head = size == 126 ? 4 : 10;
      if (buffer_.size() < head) return false;
      size = 0;
      for (std::size_t i = 2; i < head; ++i) size = size << 8 | byte(i);
      if (size < 126 || (head == 10 && size <= 0xFFFF)) throw std::runtime_error("the length is not minimal");
    }
    if (buffer_.size() - head < size) return false;
    WebSocketFrame frame;
    frame.fin = (byte(0) & 0x80u) != 0;
    frame.rsv = byte(0) >> 4 & 7;
    frame.opcode = byte(0) & 15;
    frame.payload = buffer_.substr(head, size);
    buffer_.erase(0, head + size);
    frames_.push_back(std::move(frame));
    return true;
  }

  std::string buffer_;
  std::deque<WebSocketFrame> frames_;
};

/// A message of the subprotocol `downlink.v1` (WIRE §5).
struct V1Message {
  std::optional<std::string> id = {};
  std::string event = {};
  std::string data = {};
  bool binary = false;

  explicit V1Message(const WebSocketFrame& frame) : binary(frame.opcode == ws_binary) {
    if (!frame.fin || (frame.opcode != ws_text && frame.opcode != ws_binary)) throw std::runtime_error("no message");
    std::string_view rest = frame.payload;
    const auto line = [&] {
      const auto end = rest.find('\n');
      if (end == std::string_view::npos) throw std::runtime_error("a v1 message without a blank line");
      const auto taken = rest.substr(0, end);
      rest.remove_prefix(end + 1);
      return taken;
    };
    auto field = line();
    if (field.starts_with("id: ")) {
      id = field.substr(4);
      field = line();
    }
    if (field.starts_with("event: ")) {
      event = field.substr(7);
      field = line();
    }
    if (!field.empty()) throw std::runtime_error("not a v1 field: " + std::string(field));
    data = rest;
  }
};

/// A blocking WebSocket client.
class WebSocketClient {
 public:
  using Time = Connection::Time;

  /// RFC 6455 §1.3's key, and what answers it.
  static constexpr std::string_view key = "dGhlIHNhbXBsZSBub25jZQ==";
  static constexpr std::string_view accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
  static constexpr std::string_view v1 = "Sec-WebSocket-Protocol: downlink.v1\r\n";

  static std::string request(std::string_view target, std::string_view headers = {}) {
    return "GET " + std::string(target) +
           " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
           "13\r\nSec-WebSocket-Key: " +
           std::string(key) + "\r\n" + std::string(headers) + "\r\n";
  }

  /// Connects and shakes hands. `behind` goes out in one piece with the request.
  explicit WebSocketClient(std::uint16_t port, std::string_view target, std::string_view headers = {},
                           std::string_view behind = {})
      : WebSocketClient(Connection(port, std::chrono::seconds{20}), target, headers, behind) {}
  WebSocketClient(Connection connection, std::string_view target, std::string_view headers = {},
                  std::string_view behind = {})
      : connection_(std::move(connection)) {
    connection_.send(request(target, headers) + std::string(behind));
    head_ = connection_.read_head();
    if (head_.status != 101) throw std::runtime_error("no 101 but " + std::to_string(head_.status));
    if (head_.header("Sec-WebSocket-Accept") != accept) throw std::runtime_error("a wrong accept");
  }

  const Response& head() const { return head_; }
  Connection& connection() { return connection_; }

  void send(unsigned opcode, std::string_view payload, FrameShape shape = {}) {
    connection_.send(client_frame(opcode, payload, shape));
  }
  void send_text(std::string_view payload) { send(ws_text, payload); }
  void send_close(std::uint16_t code, std::string_view reason = {}) { send(ws_close, close_payload(code, reason)); }

  /// The next frame of any kind. Throws where the connection ends or nothing comes in time.
  WebSocketFrame next_frame() {
    while (true) {
      if (auto frame = parser_.next()) return std::move(*frame);
      if (!receive()) throw std::runtime_error("the connection was closed");
    }
  }
  /// The next text or binary message, whole; pings are answered on the way.
  WebSocketFrame next_message() {
    while (true) {
      auto frame = next_frame();
      if (frame.opcode == ws_ping) {
        send(ws_pong, frame.payload);
        continue;
      }
      if (frame.opcode == ws_pong) continue;
      if (frame.opcode == ws_close) throw std::runtime_error("closed with " + std::to_string(frame.close_code()));
      if (frame.rsv == 4 && inflate_) {
        frame.payload = inflate_(frame.payload);
        frame.rsv = 0;
        ++compressed_;
      }
      if (!frame.fin || frame.rsv != 0) throw std::runtime_error("not a whole message");
      return frame;
    }
  }
  V1Message next_v1() { return V1Message(next_message()); }
  /// The opening of a `downlink.v1` stream.
  V1Message open() {
    auto message = next_v1();
    if (message.event != "downlink.open") throw std::runtime_error("not an opening: " + message.event);
    return message;
  }

  /// How messages with RSV1 are to be inflated, where permessage-deflate was negotiated (RFC 7692 §6.2).
  void inflate_with(std::function<std::string(std::string_view)> inflate) { inflate_ = std::move(inflate); }
  /// How many messages came compressed.
  std::size_t compressed() const { return compressed_; }

  /// Reads on to the close frame, passing over everything else, answers it, and waits for the server to close.
  WebSocketFrame closes() {
    while (true) {
      auto frame = next_frame();
      if (frame.opcode != ws_close) continue;
      connection_.try_send(client_frame(ws_close, frame.payload.substr(0, 2)));
      connection_.half_close();
      if (connection_.wait_for_end(std::chrono::seconds{20}) == Connection::End::open) {
        throw std::runtime_error("the server does not close");
      }
      return frame;
    }
  }

  /// Takes what has come or comes next, but no more than `most` bytes of it. False once the connection has ended.
  bool receive(std::size_t most = ~std::size_t{0}) {
    std::string bytes = connection_.read_some();
    if (bytes.empty()) return false;
    bytes.resize(std::min(bytes.size(), most));
    received_ += bytes.size();
    parser_.feed(bytes);
    return true;
  }
  std::optional<WebSocketFrame> ready() { return parser_.next(); }
  std::size_t received() const { return received_; }
  bool mid_frame() const { return parser_.mid_frame(); }

 private:
  Connection connection_;
  Response head_;
  WebSocketParser parser_;
  std::function<std::string(std::string_view)> inflate_;
  std::size_t compressed_ = 0;
  std::size_t received_ = 0;
};

}  // namespace downlink::testing
