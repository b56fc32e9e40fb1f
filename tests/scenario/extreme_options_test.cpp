#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();

/// Every wait and size as large as its type lets it be.
EndpointOptions largest(milliseconds time) {
  EndpointOptions options;
  options.stream = {.heartbeat = time, .write_timeout = time, .retry = time, .max_peer_queue = most};
  options.socket = {.unsent_bytes = most, .user_timeout = time};
  options.limits = {.max_target = most, .max_header = most, .max_head = most, .max_headers = most, .max_body = most};
  options.max_message = most;
  options.inbound_rate = {.messages_per_second = most, .bytes_per_second = most, .burst = time};
  options.max_wait = options.default_wait = options.head_timeout = options.body_timeout = options.idle_timeout =
      options.linger_timeout = time;
  options.linger_bytes = options.max_stray_bytes = options.max_connections = options.max_connections_per_address = most;
  return options;
}

}  // namespace

TEST_CASE("options may be as large as can be said, and are as good as none", "[scenario][DESIGN-3.5]") {
  const auto time = GENERATE(milliseconds::max(), milliseconds::max() / 2, milliseconds(std::chrono::years{50}));
  ServedAll served(largest(time), {.history = {.max_messages = most, .max_bytes = most, .max_age = time},
                                   .max_lag = most,
                                   .max_lag_messages = most,
                                   .max_message = most,
                                   .max_subscribers = most,
                                   .max_encoded = most,
                                   .max_pinned = most});
  served.server.on_message("/c", [](Peer, Inbound in) { return Reply(Message{.data = in.data}); });
  served.server.authorize([time](const RequestHead&) { return allow("ann", {}, time); });
  served.start();

  SseClient events(served.port(), "/c");
  events.open();
  WebSocketClient socket(served.port(), "/c");
  socket.send_text("x");
  CHECK(socket.next_message().payload == "x");
  auto held = served.connect();
  held.send(request_text("GET", "/c?wait=99999999999999999999"));
  REQUIRE(served.subscribers(3));
  const std::string payload(300'000, 'p');
  const auto id = served.publisher.publish({.data = payload, .time_to_live = time}).value().to_string();
  CHECK(events.next_event().id == id);
  CHECK((socket.next_message().payload == payload));
  CHECK(held.read_response().status == 200);
  CHECK(served.post("a message").body == "a message");
  CHECK(served.get("/c?x=" + std::string(20'000, 'x')).status == 200);
  CHECK(served.get("/c", "X: " + std::string(20'000, 'x') + "\r\n").status == 200);

  Event drained;
  served.server.async_drain(time, [&] { drained.set(); });
  events.connection().close();
  socket.connection().close();
  held.close();
  CHECK(drained.wait());
}

TEST_CASE("a drain may have any time", "[scenario][WIRE-9]") {
  const auto time = GENERATE(milliseconds::min(), -1ms, 0ms, milliseconds(std::int64_t{1} << 33), milliseconds::max());
  Served<Sse> served;
  served.start();
  SseClient client(served.port(), "/c");
  client.open();
  Event drained;
  served.server.async_drain(time, [&] { drained.set(); });
  if (time > 0ms) client.connection().close();
  CHECK(drained.wait());
}

TEST_CASE("an authorization of which nothing is left is none", "[scenario][WIRE-8]") {
  const auto left = GENERATE(0ms, -1ms, milliseconds::min());
  ServedAll served;
  served.server.authorize([left](const RequestHead&) { return allow("ann", {}, left); });
  served.start();
  served.publish("not for ann");
  for (const auto* headers : {"", "Accept: text/event-stream\r\n", "Prefer: wait=5\r\n"}) {
    const auto answer = served.get("/c?cursor=earliest", headers);
    CHECK(answer.status == 401);
    CHECK(answer.header("WWW-Authenticate") == "Bearer");
    CHECK(answer.body.find("not for ann") == std::string::npos);
  }
}

TEST_CASE("a stream can't be told to come back in the past", "[scenario][WIRE-4]") {
  CHECK_THROWS_AS(Served<Sse>({.stream = {.retry = -1ms}}), std::invalid_argument);
}
