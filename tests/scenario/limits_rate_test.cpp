#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
#include "support/limits.hpp"
#include "support/served.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

// A server whose handler counts. The rates are so low that no machine is slow enough for them to let more through.
struct Metered {
  explicit Metered(InboundRate rate, std::size_t max_message = 1000) : served(options(rate, max_message)) {
    served.server.on_message("/c", [this](const Peer&, const Inbound&) { ++taken; });
    served.start();
  }
  static EndpointOptions options(InboundRate rate, std::size_t max_message) {
    EndpointOptions options;
    options.inbound_rate = rate;
    options.max_message = max_message;
    return options;
  }

  std::atomic<int> taken{0};
  ServedAll served;
};

}  // namespace

TEST_CASE("a WebSocket that sends messages too fast is closed with 1008 and a reason", "[scenario][WIRE-5]") {
  Metered test({.messages_per_second = 1, .burst = 5s});
  WebSocketClient client(test.served.port(), "/c");
  for (int i = 0; i < 20; ++i) client.send_text("x");
  const auto close = client.next_frame();
  CHECK(close.opcode == ws_close);
  CHECK(close.close_code() == 1008);
  CHECK(close.close_reason() == "too many messages a second");
  CHECK(test.taken >= 5);
  CHECK(test.taken < 20);
  CHECK(test.served.subscribers(0));
}

TEST_CASE("a WebSocket that sends bytes too fast is closed with 1008, whatever they are", "[scenario][WIRE-5]") {
  Metered test({.bytes_per_second = 400, .burst = 5s});
  WebSocketClient client(test.served.port(), "/c");
  SECTION("in messages") {
    for (int i = 0; i < 20; ++i) client.send_text(std::string(900, 'x'));
  }
  SECTION("in pings") {
    for (int i = 0; i < 100; ++i) client.send(ws_ping, std::string(100, 'x'));
  }
  SECTION("in fragments that end no message") {
    for (int i = 0; i < 2000; ++i) client.send(i == 0 ? ws_text : ws_continuation, "", {.fin = false});
  }
  auto frame = client.next_frame();
  while (frame.opcode == ws_pong) frame = client.next_frame();
  CHECK(frame.opcode == ws_close);
  CHECK(frame.close_code() == 1008);
  CHECK(frame.close_reason() == "too many bytes a second");
  CHECK(test.taken <= 4);
}

TEST_CASE("what the rates let through is taken", "[scenario][WIRE-6]") {
  Metered test({.messages_per_second = 100, .bytes_per_second = 100'000});
  WebSocketClient client(test.served.port(), "/c");
  for (int i = 0; i < 90; ++i) client.send_text(std::string(900, 'x'));
  CHECK(eventually([&] { return test.taken == 90; }));
  // By and by there is room again.
  for (int i = 0; i < 20; ++i) {
    REQUIRE_FALSE(client.connection().closed_by_peer(20ms));
    client.send_text("x");
  }
  CHECK(eventually([&] { return test.taken == 110; }));
}

TEST_CASE("a POST past the rate is 429 with Retry-After, and its connection goes on", "[scenario][WIRE-6][RFC6585-4]") {
  Metered test({.messages_per_second = 1, .burst = 2s});
  auto connection = test.served.connect();
  const auto post = request_text("POST", "/c", {}, "x");
  connection.send(post + post + post);
  CHECK(connection.read_response().status == 202);
  CHECK(connection.read_response().status == 202);
  const auto answer = connection.read_response();
  CHECK(answer.status == 429);
  CHECK(answer.header("Content-Type") == "application/problem+json");
  CHECK(answer.body.find("\"status\":429") != std::string::npos);
  REQUIRE(answer.header("Retry-After"));
  const int wait = std::stoi(*answer.header("Retry-After"));
  CHECK(wait >= 1);
  CHECK(wait <= 2);
  CHECK(test.taken == 2);
  connection.send(request_text("GET", "/c"));
  CHECK(connection.read_response().status == 200);
  // Who waits as told is heard.
  CHECK(eventually([&] {
    connection.send(post);
    return connection.read_response().status == 202;
  }));
}

TEST_CASE("the bytes of POSTs are counted too, and each connection for itself", "[scenario][WIRE-6]") {
  Metered test({.bytes_per_second = 100, .burst = 11s});
  auto connection = test.served.connect();
  const auto post = request_text("POST", "/c", {}, std::string(1000, 'x'));
  connection.send(post);
  CHECK(connection.read_response().status == 202);
  connection.send(post + post);
  CHECK(connection.read_response().status == 429);
  CHECK(connection.read_response().status == 429);
  CHECK(test.served.post(std::string(1000, 'x')).status == 202);
}

TEST_CASE("answers to pings do not count as messages", "[scenario][WIRE-5]") {
  EndpointOptions options = Metered::options({.messages_per_second = 1}, 1000);
  options.stream.heartbeat = 50ms;
  std::atomic<int> taken{0};
  ServedAll served(options);
  served.server.on_message("/c", [&](const Peer&, const Inbound&) { ++taken; });
  served.start();
  WebSocketClient client(served.port(), "/c");
  client.send_text("x");
  REQUIRE(eventually([&] { return taken == 1; }));
  for (int i = 0; i < 5; ++i) {
    const auto frame = client.next_frame();
    REQUIRE(frame.opcode == ws_ping);
    client.send(ws_pong, frame.payload);
  }
}

TEST_CASE("what one rate refuses is not charged to the other", "[scenario][WIRE-6]") {
  Metered test({.messages_per_second = 1, .bytes_per_second = 100, .burst = 10s}, 900);
  auto connection = test.served.connect();
  const auto post = [&](std::size_t size) {
    connection.send(request_text("POST", "/c", {}, std::string(size, 'x')));
    return connection.read_response();
  };
  while (post(1).status == 202) continue;
  for (int i = 0; i < 5; ++i) {
    const auto answer = post(900);  // of which there may be one in ten seconds
    CHECK((answer.status == 202 || answer.header("Retry-After") == "1"));
    if (answer.status == 202) break;
  }
  CHECK(test.served.server.stats().messages_received == static_cast<std::uint64_t>(test.taken));
}

TEST_CASE("a message that is refused for its rate is not counted as received", "[scenario][WIRE-5]") {
  Metered test({.messages_per_second = 1, .burst = 5s});
  WebSocketClient client(test.served.port(), "/c");
  for (int i = 0; i < 20; ++i) client.send_text("x");
  CHECK(client.next_frame().opcode == ws_close);
  CHECK(test.served.server.stats().messages_received == static_cast<std::uint64_t>(test.taken));
}
