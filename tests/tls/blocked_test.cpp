#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/sse_client.hpp"
#include "support/tls_tunnel.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

std::string numbered(std::size_t number, std::size_t size) {
  std::string text = std::to_string(number);
  text.resize(std::max(text.size(), size), '.');
  return text;
}
std::size_t number_of(const std::string& data) { return std::stoul(data); }

/// A server whose subscribers may lag little.
struct SlowTls : ServedTls<WebSocket, Sse, ShortPolling> {
  explicit SlowTls(LagPolicy policy, std::size_t max_lag = 128 << 10)
      : ServedTls({.stream = {.write_timeout = 20s}}, {.max_lag = max_lag, .lag_policy = policy}) {
    server.on_message("/c", [](Peer, Inbound in) -> Reply { return Message{.data = "reply " + in.data}; });
    start();
  }
};

std::unique_ptr<TlsTunnel> slow_tunnel(std::uint16_t port) {
  return std::make_unique<TlsTunnel>(slow_connection(port, 16 << 10));
}

/// A client of a WebSocket that reads nothing of its own accord.
struct StalledWebSocket {
  explicit StalledWebSocket(std::uint16_t port) : tls(slow_connection(port, 16 << 10)) {
    tls.handshake().send(WebSocketClient::request("/c", WebSocketClient::v1));
    tls.read_until("\r\n\r\n");
  }
  V1Message next() {
    while (true) {
      if (auto frame = parser.next()) {
        if (frame->opcode == ws_text) return V1Message(*frame);
        if (frame->opcode == ws_pong) ++pongs;
        if (frame->opcode == ws_close) throw std::runtime_error("closed");
        continue;
      }
      const auto bytes = tls.read_some();
      if (bytes.empty()) throw std::runtime_error("the end");
      parser.feed(bytes);
    }
  }

  TlsClient tls;
  WebSocketParser parser;
  int pongs = 0;
};

}  // namespace

TEST_CASE("a slow reader within max_lag gets everything over TLS, exactly once", "[tls][scenario][WIRE-7]") {
  const std::size_t size = GENERATE(std::size_t{10}, std::size_t{700}, std::size_t{20'000}, std::size_t{200'000});
  const std::size_t count = 6'000'000 / (size + 200);
  SlowTls server(LagPolicy::disconnect, 64 << 20);
  auto way = slow_tunnel(server.port());
  SseClient client(way->connection(), "/c");
  client.open();
  for (std::size_t n = 0; n < count; ++n) server.publish(numbered(n, size));
  for (std::size_t n = 0; n < count; ++n) REQUIRE(client.next_event().data == numbered(n, size));
}

TEST_CASE("a reader past max_lag that is dropped got whole messages, and resumes by its id",
          "[tls][scenario][WIRE-7][DESIGN-3.4]") {
  SlowTls server(LagPolicy::disconnect);
  const std::size_t size = GENERATE(std::size_t{300}, std::size_t{5'000}, std::size_t{50'000});
  auto way = slow_tunnel(server.port());
  SseClient client(way->connection(), "/c");
  client.open();
  server.publish(numbered(0, size));
  CHECK(client.next_event().data == numbered(0, size));
  std::size_t sent = 1;
  while (server.channel.subscriber_count() > 0) server.publish(numbered(sent++, size));
  CHECK(client.ends());
  CHECK(way->end() == TlsTunnel::End::notified);
  std::size_t next = 1;
  std::string last = client.last_id();
  for (const auto& item : client.rest()) {
    if (item.kind != SseItem::Kind::event || !item.event.empty()) continue;
    REQUIRE(item.data == numbered(next++, size));
    last = item.id.value();
  }
  auto again = std::make_unique<TlsTunnel>(server.connect());
  SseClient resumed(again->connection(), "/c", cursor_header(last));
  resumed.open();
  const auto event = resumed.next_event();
  if (event.event != "downlink.gap") CHECK(event.data == numbered(next, size));
}

TEST_CASE("a reader past max_lag that skips is told so between whole messages", "[tls][scenario][WIRE-7][DESIGN-3.4]") {
  SlowTls server(LagPolicy::skip);
  const std::size_t size = GENERATE(std::size_t{50}, std::size_t{700}, std::size_t{5'000}, std::size_t{50'000});
  StalledWebSocket client(server.port());
  CHECK(client.next().event == "downlink.open");
  std::size_t published = 0;
  for (int round = 0; round < 3; ++round) {
    const auto skips = server.server.stats().skips;
    for (std::size_t bytes = 0; bytes < (2 << 20); bytes += size) server.publish(numbered(published++, size));
    const auto newest = published - 1;
    std::size_t last = 0;
    bool gap = false;
    for (bool done = false; !done;) {
      const auto message = client.next();
      if (message.event == "downlink.gap") {
        gap = true;
        continue;
      }
      const auto number = number_of(message.data);
      REQUIRE(message.data == numbered(number, size));
      REQUIRE((last == 0 || number == last + 1 || (gap && number > last)));
      last = number;
      gap = false;
      done = number == newest;
    }
    CHECK(server.server.stats().skips > skips);
  }
}

TEST_CASE("pongs and replies go between messages while the socket is full", "[tls][scenario][DESIGN-3.4]") {
  SlowTls server(GENERATE(LagPolicy::disconnect, LagPolicy::skip), 16 << 20);
  const std::size_t size = GENERATE(std::size_t{100}, std::size_t{3'000}, std::size_t{40'000});
  StalledWebSocket client(server.port());
  CHECK(client.next().event == "downlink.open");
  const std::size_t count = 2'000'000 / size;
  for (std::size_t n = 0; n < count; ++n) {
    server.publish(numbered(n, size));
    if (n % (count / 10) != 0) continue;
    client.tls.send(client_frame(ws_ping, std::string(100, 'p')));
    client.tls.send(client_frame(ws_text, "q"));
  }
  std::size_t next = 0;
  int replies = 0;
  while (next < count || replies < 10 || client.pongs < 10) {
    const auto message = client.next();
    if (message.data == "reply q") {
      ++replies;
    } else {
      REQUIRE(message.data == numbered(next++, size));
    }
  }
}

TEST_CASE("messages that expire while a record waits are not torn", "[tls][scenario][DESIGN-3.4]") {
  // What was submitted is finished, although it is of several pieces and the log no longer has some of them.
  SlowTls server(LagPolicy::skip, 1 << 20);
  StalledWebSocket client(server.port());
  CHECK(client.next().event == "downlink.open");
  TlsTunnel fast(server.connect());
  WebSocketClient watcher(fast.connection(), "/c", WebSocketClient::v1);
  watcher.open();
  std::size_t published = 0;
  for (int round = 0; round < 300; ++round) {
    // One batch, of which each second message is superseded by the next batch.
    server.loop.run_on([&] {
      for (int i = 0; i < 40; ++i) {
        const auto number = published++;
        Message message{.data = numbered(number, 300)};
        if (number % 2 == 0) message.key = std::to_string(number % 40);
        server.publisher.publish(std::move(message));
      }
    });
  }
  const auto newest = published - 1;
  std::size_t last = 0;
  for (bool done = false; !done;) {
    const auto message = client.next();
    if (message.event == "downlink.gap") continue;
    const auto number = number_of(message.data);
    REQUIRE(message.data == numbered(number, 300));
    REQUIRE((last == 0 || number > last));
    last = number;
    done = number == newest;
  }
}

TEST_CASE("a reader that takes nothing is reset after the write time-out", "[tls][scenario][WIRE-7]") {
  ServedTls<Sse> server({.stream = {.heartbeat = 100ms, .write_timeout = 300ms}, .socket = {.user_timeout = 0ms}},
                        {.max_lag = 64 << 20});
  server.start();
  TlsClient client(slow_connection(server.port(), 16 << 10));
  client.handshake().send(request_text("GET", "/c", event_stream));
  REQUIRE(server.subscribers(1));
  for (int i = 0; i < 40; ++i) server.publish(std::string(100'000, 'x'));
  CHECK(server.connections(0));
  CHECK(server.server.stats().ended[EndReason::timed_out] == 1);
}

TEST_CASE("a client may change its keys, and ask the server to, at any time", "[tls][scenario][RFC8446-4.6.3]") {
  SlowTls server(LagPolicy::disconnect, 64 << 20);
  StalledWebSocket client(server.port());
  CHECK(client.next().event == "downlink.open");
  constexpr std::size_t count = 3000;
  const auto update = [&] {
    ::SSL_key_update(client.tls.ssl(), SSL_KEY_UPDATE_REQUESTED);
    client.tls.send(client_frame(ws_text, "q"));
  };
  update();
  for (std::size_t n = 0; n < count; ++n) {
    server.publish(numbered(n, 2'000));
    if (n % 500 == 250) update();  // while the server's socket is full
  }
  std::size_t next = 0;
  int replies = 0;
  while (next < count || replies < 7) {
    const auto message = client.next();
    if (message.data == "reply q") {
      ++replies;
    } else {
      REQUIRE(message.data == numbered(next++, 2'000));
    }
  }
}
