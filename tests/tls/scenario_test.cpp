#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/poll_answer.hpp"
#include "support/sse_client.hpp"
#include "support/tls_tunnel.hpp"
#include "support/websocket_client.hpp"
#ifdef TLS_WITH_DEFLATE
#include <downlink/deflate.hpp>
#endif

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<TlsTunnel> tunnel(std::uint16_t port) { return std::make_unique<TlsTunnel>(Connection(port, 20s)); }

}  // namespace

TEST_CASE("every transport is served over TLS, and one cursor goes through all of them", "[tls][scenario][WIRE-2]") {
  ServedTlsAll server;
  server.server.on_message("/c", [](Peer, Inbound in) -> Reply { return Message{.data = "got " + in.data}; });
  server.start();
  const auto first = server.publish("1");
  auto way = tunnel(server.port());
  auto http = way->connection();
  http.send(request_text("GET", "/c?cursor=earliest"));
  CHECK(http.read_response().body.find("\"data\":\"1\"") != std::string::npos);
  http.send(request_text("GET", "/c?wait=60", cursor_header(first)));
  REQUIRE(server.subscribers(1));
  const auto second = server.publish("2");
  CHECK(http.read_response().body.find("\"data\":\"2\"") != std::string::npos);
  http.send(request_text("POST", "/c", {}, "hello"));
  CHECK(http.read_response().body == "got hello");

  server.publish("3");
  auto sse_way = tunnel(server.port());
  SseClient sse(sse_way->connection(), "/c", cursor_header(second));
  sse.open();
  CHECK(sse.next_event().data == "3");
  auto ws_way = tunnel(server.port());
  WebSocketClient ws(ws_way->connection(), "/c?cursor=" + first, WebSocketClient::v1);
  ws.open();
  CHECK(ws.next_v1().data == "2");
  CHECK(ws.next_v1().data == "3");
  ws.send_text("there");
  CHECK(ws.next_v1().data == "got there");
  ws.send(ws_ping, "?");
  CHECK(ws.next_frame().payload == "?");
  ws.send_close(1000);
  CHECK(ws.closes().close_code() == 1000);
  CHECK(eventually([&] { return ws_way->end() == TlsTunnel::End::notified; }));
  CHECK(server.handshakes(3));
}

TEST_CASE("messages of every size come whole and in order", "[tls][scenario][WIRE-5]") {
  ServedTls<WebSocket> server({.max_message = 4 << 20});
  server.server.on_message("/c", [](Peer, Inbound in) -> Reply { return Message{.data = in.data}; });
  server.start();
  auto way = tunnel(server.port());
  WebSocketClient client(way->connection(), "/c");
  REQUIRE(server.subscribers(1));
  for (const std::size_t size : {0u, 1u, 125u, 16'383u, 16'384u, 16'385u, 32'768u, 65'536u, 300'000u, 2'000'000u}) {
    const std::string text(size, 'a' + static_cast<char>(size % 26));
    server.publish(text);
    CHECK((client.next_message().payload == text));
    client.send_text(text);
    CHECK((client.next_message().payload == text));
  }
}

TEST_CASE("a poll with many messages, superseded ones between them, comes whole", "[tls][scenario][WIRE-3]") {
  ServedTls<ShortPolling, Sse> server;
  server.start();
  auto way = tunnel(server.port());
  SseClient sse(way->connection(), "/c");  // its form is encoded as they come, so ranges are in many pieces
  sse.open();
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    const bool superseded = i % 3 == 0 && i < 297;
    Message message{.data = std::to_string(i)};
    if (superseded) message.key = "k";
    server.publisher.publish(std::move(message));
    if (!superseded) expected.push_back(std::to_string(i));
    while (i % 100 == 99 && sse.next_event().data != std::to_string(i)) {
    }
  }
  server.publisher.publish({.data = "last", .key = "k"});
  expected.push_back("last");
  auto poll_way = tunnel(server.port());
  auto http = poll_way->connection();
  std::vector<std::string> got;
  std::string cursor = "earliest";
  for (bool more = true; more;) {
    http.send(request_text("GET", "/c?cursor=" + cursor));
    const PollAnswer answer(http.read_response());
    got.insert(got.end(), answer.data.begin(), answer.data.end());
    cursor = answer.cursor;
    more = answer.more;
  }
  CHECK(got == expected);
}

TEST_CASE("a drain ends each connection with close_notify", "[tls][scenario][WIRE-9][RFC8446-6.1]") {
  ServedTlsAll server;
  server.start();
  TlsClient idle(server.port());
  idle.handshake().send(request_text("GET", "/c"));
  idle.read_until("]}");
  TlsClient held(server.port());
  held.handshake().send(request_text("GET", "/c?wait=60"));
  TlsClient sse(server.port());
  sse.handshake().send(request_text("GET", "/c", event_stream));
  TlsClient ws(server.port());
  ws.handshake().send(WebSocketClient::request("/c"));
  TlsClient half(server.port());
  half.step();
  half.connection().send(half.take_output().substr(0, 10));
  REQUIRE(server.subscribers(3));
  REQUIRE(server.connections(5));
  std::atomic<bool> drained{false};
  server.server.async_drain(2s, [&] { drained = true; });
  CHECK(idle.read_to_end().empty());
  CHECK(held.read_to_end().find("\"messages\":[]}") != std::string::npos);
  CHECK(sse.read_to_end().find("0\r\n\r\n") != std::string::npos);
  CHECK_NOTHROW(ws.read_to_end());
  CHECK(half.connection().closed_by_peer(20s));
  for (auto* client : {&idle, &held, &sse, &ws}) client->connection().close();
  CHECK(eventually([&] { return drained.load(); }, 20s));
  CHECK(server.connections(0));
  CHECK(server.fails(TlsFailure::unfinished, 1));
}

TEST_CASE("a peer that goes, with close_notify, without it or by a reset, leaves nothing behind",
          "[tls][scenario][RFC8446-6.1]") {
  ServedTlsAll server;
  server.start();
  const std::string request = GENERATE(request_text("GET", "/c", event_stream), WebSocketClient::request("/c"),
                                       request_text("GET", "/c?wait=60"));
  const int way = GENERATE(0, 1, 2);
  TlsClient client(server.port());
  client.handshake().send(request);
  REQUIRE(server.subscribers(1));
  if (way == 0) {
    ::SSL_shutdown(client.ssl());
    client.flush();
  }
  way == 2 ? client.connection().reset() : client.connection().close();
  CHECK(server.subscribers(0));
  CHECK(server.connections(0));
  CHECK(server.server.stats().ended[EndReason::peer_left] <= 1);
}

TEST_CASE("a body that is cut off without close_notify is not taken for a whole one", "[tls][scenario][RFC8446-6.1]") {
  ServedTlsAll server;
  std::atomic<int> taken{0};
  server.server.on_message("/c", [&](Peer, Inbound) { ++taken; });
  server.start();
  TlsClient client(server.port());
  client.handshake().send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  REQUIRE(server.connections(1));
  client.connection().half_close();
  CHECK(client.connection().wait_for_end(20s) == Connection::End::reset);
  CHECK(server.connections(0));
  CHECK(taken == 0);
}

TEST_CASE("requests that came whole before a close_notify are answered, and then the connection is closed",
          "[tls][scenario][WIRE-3][RFC8446-6.1]") {
  ServedTlsAll server({}, {.max_encoded = 64 << 20});
  std::atomic<int> taken{0};
  server.server.on_message("/c", [&](Peer, Inbound) { ++taken; });
  server.start();
  server.publish(std::string(16 << 20, 'x'));
  TlsClient client(server.port());
  // The end comes while the second answer waits for its client; nothing else comes to wake the connection after it.
  client.handshake().send(request_text("GET", "/nowhere") + request_text("GET", "/c?cursor=earliest") +
                          request_text("POST", "/c", {}, "a"));
  ::SSL_shutdown(client.ssl());
  client.flush();
  const auto answers = client.read_to_end();
  CHECK(answers.starts_with("HTTP/1.1 404 "));
  CHECK(answers.find("HTTP/1.1 202 ") != std::string::npos);
  CHECK(taken == 1);
  CHECK(server.connections(0));
}

TEST_CASE("a peer whose records are tampered with is cut off", "[tls][scenario][RFC8446-5.2]") {
  ServedTlsAll server;
  server.start();
  TlsClient client(server.port());
  client.handshake().send(request_text("GET", "/c", event_stream));
  client.read_until("\n\n");
  ::SSL_write(client.ssl(), "x", 1);
  auto bytes = client.take_output();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  client.connection().send(bytes);
  CHECK(client.connection().closed_by_peer(20s));
  CHECK(server.subscribers(0));
}

#ifdef TLS_WITH_DEFLATE
TEST_CASE("WebSockets compress over TLS", "[tls][deflate][RFC7692-6]") {
  ServedTls<WebSocket> server;
  enable_deflate(server.server);
  server.start();
  auto way = tunnel(server.port());
  WebSocketClient client(way->connection(), "/c", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  REQUIRE(client.head().header("Sec-WebSocket-Extensions"));
  REQUIRE(server.subscribers(1));
  server.publish(std::string(100'000, 'x'));
  const auto frame = client.next_frame();
  CHECK(frame.rsv == 4);
  CHECK(frame.payload.size() < 1000);
}
#endif
