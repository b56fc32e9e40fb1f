#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/example_program.hpp"
#include "support/websocket_client.hpp"

namespace downlink::testing {

/// A frame that has to come: unfragmented, without reserved bits.
struct Expected {
  unsigned opcode = ws_text;
  std::string payload = {};
};

/// The echo example, and conversations with it that are judged as strictly as they can be: exactly these frames in this
/// order, exactly this close code, and an end by EOF that the server begins (RFC 6455 §7.1.1), without a reset.
class Echo {
 public:
  std::uint16_t port() { return program_.port(); }
  WebSocketClient connect() { return WebSocketClient(port(), "/"); }

  /// Sends `bytes` in pieces of `piece`, each with the answers meanwhile taken; 0 is all at once.
  static void send(WebSocketClient& client, std::string_view bytes, std::size_t piece = 0) {
    auto& connection = client.connection();
    while (!bytes.empty()) {
      const auto sent = connection.try_send(bytes.substr(0, piece == 0 ? bytes.size() : piece));
      bytes.remove_prefix(sent);
      const auto end = connection.wait_for_end(std::chrono::milliseconds(sent == 0 ? 1 : 0));
      if (!connection.unread().empty()) client.receive();
      if (end != Connection::End::open) return connection.send(bytes);  // nothing more will come
    }
  }

  static void expect(WebSocketClient& client, const std::vector<Expected>& frames) {
    for (const auto& expected : frames) {
      const auto frame = client.next_frame();
      REQUIRE(frame.opcode == expected.opcode);
      REQUIRE(frame.fin);
      REQUIRE(frame.rsv == 0);
      REQUIRE(frame.payload.size() == expected.payload.size());
      REQUIRE((frame.payload == expected.payload));
    }
  }

  /// The close frame, then EOF, with nothing between or behind.
  static void expect_end(WebSocketClient& client, std::uint16_t code) {
    const auto frame = client.next_frame();
    REQUIRE(frame.opcode == ws_close);
    REQUIRE(frame.fin);
    REQUIRE(frame.rsv == 0);
    REQUIRE(frame.close_code() == code);
    REQUIRE(frame.payload.size() <= 125);
    REQUIRE(client.connection().wait_for_end(std::chrono::seconds{20}) == Connection::End::closed);
    REQUIRE(client.connection().unread().empty());
    REQUIRE_FALSE(client.ready());
    REQUIRE_FALSE(client.mid_frame());
  }

  /// These bytes are answered by these frames, and nothing else; the client's close then ends all in order.
  void answers(std::string_view bytes, const std::vector<Expected>& frames, std::size_t piece = 0) {
    auto client = connect();
    send(client, bytes, piece);
    expect(client, frames);
    client.send_close(1000);
    expect_end(client, 1000);
  }

  /// These bytes are answered by these frames, and then make the server fail the connection with the code.
  void fails(std::string_view bytes, std::uint16_t code, const std::vector<Expected>& frames = {},
             std::size_t piece = 0) {
    auto client = connect();
    send(client, bytes, piece);
    expect(client, frames);
    expect_end(client, code);
  }

 private:
  ExampleProgram program_{"echo", {"--port", "0"}};
};

/// A client's frames as bytes, one of each kind.
inline std::string text_frame(std::string_view payload, FrameShape shape = {}) {
  return client_frame(ws_text, payload, shape);
}
inline std::string binary_frame(std::string_view payload, FrameShape shape = {}) {
  return client_frame(ws_binary, payload, shape);
}
inline std::string ping_frame(std::string_view payload = {}) { return client_frame(ws_ping, payload); }
inline std::string pong_frame(std::string_view payload = {}) { return client_frame(ws_pong, payload); }
inline std::string close_frame(std::uint16_t code, std::string_view reason = {}) {
  return client_frame(ws_close, close_payload(code, reason));
}
/// The first and the following fragments of a message.
inline std::string first_fragment(std::string_view payload, unsigned opcode = ws_text) {
  return client_frame(opcode, payload, {.fin = false});
}
inline std::string fragment(std::string_view payload) { return client_frame(ws_continuation, payload, {.fin = false}); }
inline std::string last_fragment(std::string_view payload) { return client_frame(ws_continuation, payload); }

/// Bytes of every value, which repeat with no short period.
inline std::string noise(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 0x9E3779B9u + static_cast<std::uint32_t>(size);
  for (auto& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}
/// Text of characters of one to four bytes, of exactly that size.
inline std::string prose(std::size_t size) {
  constexpr std::string_view pattern = "downlink \u00e4\u00f6\u00fc \u2026 \u4e16\u754c \U0001F30D; ";
  std::string text;
  while (text.size() + pattern.size() <= size) text += pattern;
  return text.append(size - text.size(), '.');
}

}  // namespace downlink::testing
