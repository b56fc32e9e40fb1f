#include <chrono>
#include <string>
#include <vector>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("a drain does not put off the end of an authorization", "[scenario][WIRE-8][WIRE-9]") {
  Event drained;
  ServedAll served;
  served.server.authorize([](const RequestHead&) { return allow("ann", {}, 300ms); });
  served.start();
  std::vector<WebSocketClient> sockets;
  for (int i = 0; i < 3; ++i) sockets.emplace_back(served.connect(), "/c");
  SseClient stream(served.connect(), "/c");
  served.server.async_drain(1000h, [&] { drained.set(); });
  for (auto& socket : sockets) {
    const auto code = socket.closes().close_code();
    CHECK((code == 4002 || code == 1001));  // whichever comes first
    socket.connection().close();
  }
  CHECK(stream.ends());
  stream.connection().close();
  CHECK(drained.wait());
}

TEST_CASE("a second drain changes neither the time nor the reason of the first", "[scenario][WIRE-9]") {
  Event drained;
  ServedAll served;
  served.start();
  std::vector<WebSocketClient> sockets;
  for (int i = 0; i < 5; ++i) sockets.emplace_back(served.connect(), "/c");
  REQUIRE(served.subscribers(5));
  served.server.async_drain(400ms, [&] { drained.set(); });
  served.server.async_drain(1h, [] {});
  for (auto& socket : sockets) {
    CHECK(socket.closes().close_code() == 1001);
    socket.connection().close();
  }
  CHECK(drained.wait());
}

TEST_CASE("a drain does not wait for the end of an authorization", "[scenario][WIRE-8][WIRE-9]") {
  Event drained;
  ServedAll served;
  served.server.authorize([](const RequestHead&) { return allow("ann", {}, 1h); });
  served.start();
  WebSocketClient socket(served.port(), "/c");
  REQUIRE(served.subscribers(1));
  served.server.async_drain(2s, [&] { drained.set(); });
  CHECK(socket.closes().close_code() == 1001);
  socket.connection().close();
  CHECK(drained.wait());
}
