#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "scenario/websocket_server.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("the handshake answers with the accept of RFC 6455 §1.3", "[scenario][WIRE-5]") {
  WebSocketServer s;
  WebSocketClient client(s.start(), "/c");
  CHECK(client.head().header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(client.head().lists("Connection", "Upgrade"));
  CHECK(client.head().header("Upgrade") == "websocket");
  CHECK(client.head().header("Date"));
  CHECK_FALSE(client.head().header("Sec-WebSocket-Protocol"));
  CHECK_FALSE(client.head().header("Content-Length"));
  CHECK_FALSE(client.head().header("Transfer-Encoding"));
}

TEST_CASE("only the subprotocol that was offered is selected", "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto port = s.start();
  const auto selected = [&](std::string_view headers) {
    return WebSocketClient(port, "/c", headers).head().header("Sec-WebSocket-Protocol");
  };
  CHECK(selected(WebSocketClient::v1) == "downlink.v1");
  CHECK(selected("Sec-WebSocket-Protocol: chat, downlink.v1\r\n") == "downlink.v1");
  CHECK(selected("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: downlink.v1\r\n") == "downlink.v1");
  CHECK_FALSE(selected("Sec-WebSocket-Protocol: chat\r\n"));
}

TEST_CASE("a handshake that is none is refused", "[scenario][WIRE-5]") {
  WebSocketServer s;
  s.server.on_message("/c", [](Peer, Inbound) {});
  const auto port = s.start();
  const auto answer = [&](std::string_view method, std::string_view version, std::string_view key,
                          std::string_view body = {}) {
    std::string headers = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    if (!version.empty()) headers.append("Sec-WebSocket-Version: ").append(version).append("\r\n");
    if (!key.empty()) headers.append("Sec-WebSocket-Key: ").append(key).append("\r\n");
    return request(port, method, "/c", headers, body);
  };
  const std::string_view key = WebSocketClient::key;
  const auto old = answer("GET", "8", key);
  CHECK(old.status == 426);
  CHECK(old.header("Sec-WebSocket-Version") == "13");
  CHECK(old.header("Content-Type") == "application/problem+json");
  CHECK(answer("GET", "", key).status == 426);
  CHECK(answer("GET", "13", "").status == 400);
  CHECK(answer("GET", "13", "dGhlIHNhbXBsZQ==").status == 400);
  CHECK(answer("GET", "13", "!!!!IHNhbXBsZSBub25jZQ==").status == 400);
  CHECK(answer("GET", "13", "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").status == 400);
  CHECK(answer("GET", "13", key, "body").status == 400);
  CHECK(answer("HEAD", "13", key).status == 400);
  CHECK(answer("POST", "13", key, "body").status == 400);
  CHECK(get(port, "/c").status == 426);
  CHECK(get(port, "/c").header("Upgrade") == "websocket");
  CHECK(s.channel.subscriber_count() == 0);
}

TEST_CASE("without a subprotocol a message is one frame that holds the payload and nothing else",
          "[scenario][WIRE-5]") {
  WebSocketServer s;
  WebSocketClient client(s.start(), "/c");
  REQUIRE(eventually([&] { return s.channel.subscriber_count() == 1; }));
  for (const std::size_t size : {0, 1, 125, 126, 127, 65535, 65536, 300000}) {
    s.publish({.data = std::string(size, 'x'), .event = "ignored"});
    const auto text = client.next_frame();
    CHECK(text.fin);
    CHECK(text.rsv == 0);
    CHECK(text.opcode == ws_text);
    CHECK(text.payload == std::string(size, 'x'));
    s.publish({.data = std::string(size, '\xFF'), .binary = true});
    const auto binary = client.next_frame();
    CHECK(binary.opcode == ws_binary);
    CHECK(binary.payload == std::string(size, '\xFF'));
  }
}

TEST_CASE("with downlink.v1 a message carries its id and event, and the first one is the opening",
          "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto last = s.publish({.data = "before"});
  WebSocketClient client(s.start(), "/c", WebSocketClient::v1);
  const auto open = client.next_frame();
  CHECK(open.opcode == ws_text);
  CHECK(open.payload == "id: " + last + "\nevent: downlink.open\n\n");
  auto id = s.publish({.data = "a\nb"});
  CHECK(client.next_frame().payload == "id: " + id + "\n\na\nb");
  id = s.publish({.data = "", .event = "price"});
  CHECK(client.next_frame().payload == "id: " + id + "\nevent: price\n\n");
  id = s.publish({.data = "\xFF", .event = "blob", .binary = true});
  const auto blob = client.next_frame();
  CHECK(blob.opcode == ws_binary);
  CHECK(blob.payload == "id: " + id + "\nevent: blob\n\n\xFF");

  client.connection().reset();
  const auto next = s.publish({.data = "next"});
  WebSocketClient again(s.server.port(), "/c?cursor=" + id, WebSocketClient::v1);
  CHECK(again.open().id == id);
  CHECK(again.next_v1().id == next);
}

TEST_CASE("a gap comes as an event behind an opening without an id, and closes with 4001 where there is no subprotocol",
          "[scenario][WIRE-1][WIRE-5]") {
  WebSocketServer s({.history = {.max_messages = 2}});
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(s.publish({.data = std::to_string(i)}));
  const auto port = s.start();

  WebSocketClient client(port, "/c", std::string(WebSocketClient::v1) + cursor_header(ids[0]));
  const auto open = client.next_frame();
  CHECK(open.payload == "event: downlink.open\n\n");
  const auto gap = client.next_v1();
  CHECK(gap.event == "downlink.gap");
  CHECK(gap.id == ids[2]);
  CHECK(gap.data == R"({"requested":")" + ids[0] + R"(","earliest":")" + ids[3] + R"("})");
  CHECK(client.next_v1().id == ids[3]);
  CHECK(client.next_v1().id == ids[4]);

  WebSocketClient raw(port, "/c", cursor_header("other-1"));
  CHECK(raw.closes().close_code() == 4001);
  WebSocketClient fine(port, "/c", cursor_header(ids[2]));
  CHECK(fine.next_message().payload == "3");
}

TEST_CASE("a ping is answered by a pong with its payload, between fragments too", "[scenario][WIRE-5]") {
  EchoServer s;
  WebSocketClient client(s.start(), "/c");
  client.send(ws_ping, "");
  CHECK(client.next_frame().opcode == ws_pong);
  client.send(ws_text, "Hel", {.fin = false});
  client.send(ws_ping, std::string(125, 'p'));
  client.send(ws_pong, "not asked for");
  client.send(ws_continuation, "lo");
  const auto pong = client.next_frame();
  CHECK(pong.opcode == ws_pong);
  CHECK(pong.payload == std::string(125, 'p'));
  CHECK(client.next_message().payload == "Hello");
}

TEST_CASE("a close from the client is answered with its code, and the connection is closed", "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto port = s.start();
  for (const unsigned code : {1000u, 1001u, 1008u, 1014u, 3000u, 4999u}) {
    WebSocketClient client(port, "/c");
    client.send_close(static_cast<std::uint16_t>(code), "bye");
    const auto close = client.next_frame();
    CHECK(close.opcode == ws_close);
    CHECK(close.close_code() == code);
    CHECK(client.connection().closed_by_peer());
  }
  WebSocketClient client(port, "/c");
  client.send(ws_close, "");
  CHECK(client.next_frame().payload.empty());
  CHECK(client.connection().closed_by_peer());
  CHECK(eventually([&] { return s.channel.subscriber_count() == 0; }));
  client.connection().close();
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}

TEST_CASE("a closed channel closes with 1000 after its last message", "[scenario][WIRE-5]") {
  WebSocketServer s;
  const auto port = s.start();
  WebSocketClient client(port, "/c", WebSocketClient::v1);
  client.open();
  std::string last;
  for (int i = 0; i < 50; ++i) last = s.publish({.data = "x"});
  s.channel.close();
  for (int i = 0; i < 49; ++i) client.next_v1();
  CHECK(client.next_v1().id == last);
  CHECK(client.closes().close_code() == 1000);
  WebSocketClient late(port, "/c?history=1");
  CHECK(late.next_message().payload == "x");
  CHECK(late.closes().close_code() == 1000);
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}

TEST_CASE("what breaks the protocol is closed with the code that says so", "[scenario][WIRE-5]") {
  EchoServer s({.max_message = 1000});
  const auto port = s.start();
  const auto code = [&](const std::string& bytes) {
    WebSocketClient client(port, "/c");
    client.connection().send(bytes);
    return client.closes().close_code();
  };
  CHECK(code(client_frame(ws_text, "x", {.masked = false})) == 1002);
  CHECK(code(client_frame(ws_text, "x", {.rsv = 4})) == 1002);
  CHECK(code(client_frame(ws_text, "x", {.rsv = 1})) == 1002);
  CHECK(code(client_frame(3, "x")) == 1002);
  CHECK(code(client_frame(11, "x")) == 1002);
  CHECK(code(client_frame(ws_ping, "x", {.fin = false})) == 1002);
  CHECK(code(client_frame(ws_ping, std::string(126, 'x'))) == 1002);
  CHECK(code(client_frame(ws_continuation, "x")) == 1002);
  CHECK(code(client_frame(ws_text, "x", {.fin = false}) + client_frame(ws_text, "y")) == 1002);
  CHECK(code(client_frame(ws_close, "x")) == 1002);
  CHECK(code(client_frame(ws_close, close_payload(1005))) == 1002);
  CHECK(code(client_frame(ws_close, close_payload(999))) == 1002);
  CHECK(code(client_frame(ws_close, close_payload(1000, "\xFF"))) == 1007);
  CHECK(code(client_frame(ws_text, "\xC3\x28")) == 1007);
  CHECK(code(client_frame(ws_text, "a\xE2\x82")) == 1007);
  CHECK(code(client_frame(ws_text, std::string(1001, 'x'))) == 1009);
  CHECK(code(client_frame(ws_binary, std::string(600, 'x'), {.fin = false}) +
             client_frame(ws_continuation, std::string(600, 'x'))) == 1009);
  // The frame's head alone shows it.
  CHECK(code(client_frame(ws_text, std::string(70000, 'x')).substr(0, 14)) == 1009);

  WebSocketClient fine(port, "/c");
  fine.send_text(std::string(1000, 'x'));
  CHECK(fine.next_message().payload.size() == 1000);
}

TEST_CASE("a close is read by a client that sends on for longer than heartbeats", "[scenario][WIRE-5][WIRE-8]") {
  EchoServer s({.stream = {.heartbeat = 50ms}, .max_message = 1000, .linger_timeout = 60s});
  // The frame's head alone shows that it is too big.
  WebSocketClient client(s.start(), "/c", {}, client_frame(ws_binary, std::string(70000, 'x')).substr(0, 14));
  for (int i = 0; i < 20; ++i) {
    client.connection().send("xxxxx");
    pollfd reset{client.connection().native_handle(), 0, 0};
    REQUIRE(::poll(&reset, 1, 20) == 0);
  }
  CHECK(client.closes().close_code() == 1009);
  CHECK(eventually([&] { return s.server.connection_count() == 0; }));
}

TEST_CASE("text that can no longer become UTF-8 is failed with the frame that shows it", "[scenario][WIRE-5]") {
  EchoServer s;
  WebSocketClient client(s.start(), "/c");
  client.send(ws_text, "\xCE\xBA\xE1\xBD", {.fin = false});
  client.send(ws_continuation, "\xB9\xED\xA0\x80", {.fin = false});
  CHECK(client.closes().close_code() == 1007);
}

TEST_CASE("messages arrive whole however they are fragmented and chopped", "[scenario][WIRE-5]") {
  EchoServer s;
  WebSocketClient client(s.start(), "/c");
  const std::string text = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bytes += client_frame(i == 0 ? ws_text : ws_continuation, text.substr(i, 1), {.fin = false});
    if (i == 4) bytes += client_frame(ws_ping, "in between");
  }
  bytes += client_frame(ws_continuation, "");
  for (const char c : bytes) client.connection().send({&c, 1});
  CHECK(client.next_frame().opcode == ws_pong);
  CHECK(client.next_message().payload == text);

  const std::string large(200000, '\xFE');
  const auto frame = client_frame(ws_binary, large);
  for (std::size_t at = 0, step = 1; at < frame.size(); at += step, step = step * 3 % 9973 + 1) {
    client.connection().send(std::string_view(frame).substr(at, step));
  }
  const auto answer = client.next_message();
  CHECK(answer.opcode == ws_binary);
  CHECK(answer.payload == large);
}

TEST_CASE("frames right behind the handshake's request are taken", "[scenario][WIRE-5]") {
  EchoServer s;
  std::string behind;
  for (int i = 0; i < 20; ++i) behind += client_frame(ws_text, std::to_string(i));
  behind += client_frame(ws_close, close_payload(1000));
  WebSocketClient client(s.start(), "/c", {}, behind);
  for (int i = 0; i < 20; ++i) CHECK(client.next_message().payload == std::to_string(i));
  CHECK(client.next_frame().close_code() == 1000);
}

TEST_CASE("a peer is pinged when nothing came for an interval, and dropped after another one", "[scenario][WIRE-5]") {
  WebSocketServer s({}, {.stream = {.heartbeat = 60ms}});
  const auto port = s.start();
  WebSocketClient lively(port, "/c");
  WebSocketClient silent(port, "/c");
  CHECK(silent.next_frame().opcode == ws_ping);
  for (int i = 0; i < 6; ++i) {
    const auto ping = lively.next_frame();
    CHECK(ping.opcode == ws_ping);
    lively.send(ws_pong, ping.payload);
  }
  CHECK(silent.connection().closed_by_peer());
  CHECK(eventually([&] { return s.channel.subscriber_count() == 1; }));
}

TEST_CASE("a peer that answers no ping stays for as long as it takes bytes of a long message", "[scenario][WIRE-5]") {
  constexpr auto heartbeat = 1s;  // so that no machine stands still for two of them
  constexpr std::size_t size = std::size_t{3} << 20;
  WebSocketServer s({.max_lag = std::size_t{64} << 20}, {.stream = {.heartbeat = heartbeat, .write_timeout = 30s}});
  WebSocketClient client(slow_connection(s.start(), 16 << 10), "/c");
  CHECK(client.next_frame().opcode == ws_ping);
  s.publish({.data = std::string(size, 'x')});
  std::optional<WebSocketFrame> message;
  while (!message) {
    REQUIRE(client.receive());
    message = client.ready();
    std::this_thread::sleep_for(20ms);  // four seconds for all of it
  }
  CHECK(message->payload.size() == size);
  CHECK(client.next_frame().opcode == ws_ping);  // from then on there is an interval to answer in
  CHECK(client.connection().closed_by_peer());
}

TEST_CASE("a peer whose answer waits behind the end of a long message stays while it takes that",
          "[scenario][WIRE-5]") {
  constexpr auto heartbeat = 1s;
  constexpr std::size_t size = 200'000;
  WebSocketServer s({}, {.stream = {.heartbeat = heartbeat, .write_timeout = 30s}});
  WebSocketClient client(slow_connection(s.start(), 4096), "/c");
  s.publish({.data = std::string(size, 'x')});
  // What is left when the server has handed its system all of it takes this client some three seconds.
  WebSocketParser parser;
  std::optional<WebSocketFrame> frame;
  for (std::size_t pings = 0; pings < 2;) {
    std::this_thread::sleep_for(25ms);
    char room[1000];
    const auto bytes = ::recv(client.connection().native_handle(), room, sizeof room, MSG_DONTWAIT);
    if (bytes < 0 && errno == EAGAIN) continue;
    REQUIRE(bytes > 0);
    parser.feed({room, static_cast<std::size_t>(bytes)});
    while ((frame = parser.next())) {
      if (frame->opcode == ws_ping) {
        client.send(ws_pong, frame->payload);
        ++pings;
      } else {
        CHECK(frame->payload.size() == size);
      }
    }
  }
}

TEST_CASE("a peer that is heard is not pinged", "[scenario][WIRE-5]") {
  // On a machine that stands still for an interval a ping is right: one quiet run of several will do.
  bool quiet = false;
  for (int attempt = 0; attempt < 10 && !quiet; ++attempt) {
    EchoServer s({.stream = {.heartbeat = 160ms}});
    WebSocketClient client(s.start(), "/c");
    quiet = true;
    for (int i = 0; i < 20 && quiet; ++i) {
      client.send_text("x");
      quiet = client.next_frame().opcode == ws_text;
      std::this_thread::sleep_for(20ms);
    }
  }
  CHECK(quiet);
}
