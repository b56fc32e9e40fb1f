#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
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

// Opens a subscriber of each transport in turn.
Connection subscriber(std::uint16_t port, int transport, std::string_view path = "/c") {
  Connection connection(port);
  const std::string target(path);
  if (transport == 0) connection.send(request_text("GET", target, asks_for_sse));
  if (transport == 1) connection.send(request_text("GET", target, asks_for_websocket));
  if (transport == 2) connection.send(request_text("GET", target + "?wait=60"));
  return connection;
}

ChannelOptions at_most(std::size_t subscribers) {
  ChannelOptions options;
  options.max_subscribers = subscribers;
  return options;
}

}  // namespace

TEST_CASE("past a channel's subscriber limit every transport is refused, and short polling is not",
          "[scenario][WIRE-8][DESIGN-3.5]") {
  ServedAll served({}, at_most(3));
  std::atomic<int> told{0};
  served.server.on_subscribe([&](const Peer&) { ++told; });
  served.start();
  std::vector<Connection> seated;
  for (int transport = 0; transport < 3; ++transport) seated.push_back(subscriber(served.port(), transport));
  REQUIRE(served.subscribers(3));

  check_over_limit(served.get("/c", asks_for_sse), true);
  check_over_limit(served.get("/c", asks_for_websocket));
  check_over_limit(served.get("/c?wait=60"));
  CHECK(served.get("/c").status == 200);
  CHECK(served.channel.subscriber_count() == 3);
  CHECK(told == 2);

  // Those who have a place notice nothing.
  served.publish("x");
  for (auto& connection : seated) CHECK_FALSE(connection.read_until("x").empty());
}

TEST_CASE("a connection that a full channel refused serves the next request", "[scenario][WIRE-8]") {
  ServedAll served({}, at_most(1));
  served.start();
  auto seated = subscriber(served.port(), 0);
  REQUIRE(served.subscribers(1));
  auto connection = served.connect();
  for (int i = 0; i < 3; ++i) {
    connection.send(request_text("GET", "/c?wait=60"));
    check_over_limit(connection.read_response());
    connection.send(request_text("GET", "/c", asks_for_sse));
    check_over_limit(connection.read_response(), true);
    connection.send(request_text("GET", "/c", asks_for_websocket));
    check_over_limit(connection.read_response());
  }
  seated.close();
  REQUIRE(served.subscribers(0));
  connection.send(request_text("GET", "/c", asks_for_sse));
  CHECK(connection.read_head().lists("Transfer-Encoding", "chunked"));
}

TEST_CASE("a place is free again however its subscriber ends", "[scenario][WIRE-8]") {
  EndpointOptions options;
  options.max_wait = 50ms;
  options.stream.heartbeat = 200ms;
  ServedAll served(options, at_most(1));
  served.start();
  const auto seats_again = [&] {
    REQUIRE(served.subscribers(0));
    auto next = subscriber(served.port(), 0);
    CHECK(served.subscribers(1));
    next.close();
    REQUIRE(served.subscribers(0));
  };
  SECTION("by close") {
    for (int transport = 0; transport < 2; ++transport) {
      auto one = subscriber(served.port(), transport);
      REQUIRE(served.subscribers(1));
      one.close();
      seats_again();
    }
  }
  SECTION("by reset") {
    for (int transport = 0; transport < 2; ++transport) {
      auto one = subscriber(served.port(), transport);
      REQUIRE(served.subscribers(1));
      one.reset();
      seats_again();
    }
  }
  SECTION("by a poll's answer") {
    auto one = subscriber(served.port(), 2);
    CHECK(one.read_response().status == 200);
    seats_again();
  }
  SECTION("by time-out: a WebSocket that answers no ping") {
    auto one = subscriber(served.port(), 1);
    REQUIRE(served.subscribers(1));
    seats_again();
  }
  SECTION("by a protocol error") {
    auto one = subscriber(served.port(), 1);
    one.read_head();
    one.send("\xff\xff\xff\xff\xff\xff");
    seats_again();
  }
}

TEST_CASE("the subscriber limit is exact when clients of several loops race for the last places",
          "[scenario][threads][DESIGN-3.5]") {
  constexpr std::size_t places = 5;
  Loop loop(2);
  Channel channel(at_most(places));
  Server<LongPolling, Sse, WebSocket> server{loop.contexts(), {.endpoint = {.one_thread = true}}};
  server.route("/c", channel);
  server.start();
  for (int round = 0; round < 5; ++round) {
    std::atomic<std::size_t> most{0};
    std::vector<Connection> all;
    for (int i = 0; i < 24; ++i) all.push_back(subscriber(server.port(), i % 2));
    std::size_t seated = 0;
    for (auto& connection : all) {
      const auto head = connection.read_head();
      if (head.status == 101 || head.lists("Transfer-Encoding", "chunked")) ++seated;
      most = std::max(most.load(), channel.subscriber_count());
    }
    CHECK(seated == places);
    CHECK(most == places);
    all.clear();
    REQUIRE(eventually([&] { return channel.subscriber_count() == 0; }));
  }
}

TEST_CASE("the application's own subscriptions count, and are never refused", "[scenario][DESIGN-3.5]") {
  ServedAll served({}, at_most(1));
  served.start();
  {
    Subscription first(served.loop.context().get_executor(), served.channel);
    Subscription second(served.loop.context().get_executor(), served.channel);
    CHECK(served.channel.subscriber_count() == 2);
    check_over_limit(served.get("/c?wait=60"));
  }
  auto seated = subscriber(served.port(), 0);
  CHECK(served.subscribers(1));
}

TEST_CASE("a socket handed in for a full channel comes back with its refusal sent", "[scenario][WIRE-8]") {
  ServedAll served({}, at_most(1));
  served.start();
  auto seated = subscriber(served.port(), 0);
  REQUIRE(served.subscribers(1));
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  auto client = Connection::over(pair[0]);
  served.server.adopt(pair[1], AF_UNIX, request_text("GET", "/c?wait=60"));
  check_over_limit(client.read_response());
  client.close();
  CHECK(served.connections(1));
}

TEST_CASE("past the hub's channel limit every transport is refused, until a channel has gone",
          "[scenario][WIRE-8][WIRE-10]") {
  Loop loop;
  Hub hub({.max_channels = 2, .idle_expiry = 50ms});
  Server<ShortPolling, LongPolling, Sse, WebSocket> server{loop.context()};
  server.route("/channels/{name}", hub);
  server.on_message("/channels/{name}", [](const Peer&, const Inbound&) {});
  server.start();
  auto a = subscriber(server.port(), 0, "/channels/a");
  auto b = subscriber(server.port(), 0, "/channels/b");
  REQUIRE(eventually([&] { return hub.subscriber_count() == 2; }));
  for (int i = 0; i < 3; ++i) {
    const std::string path = "/channels/c" + std::to_string(i);
    check_over_limit(get(server.port(), path));
    check_over_limit(get(server.port(), path + "?wait=60"));
    check_over_limit(get(server.port(), path, asks_for_sse), true);
    check_over_limit(get(server.port(), path, asks_for_websocket));
    check_over_limit(post(server.port(), path, "x"));
  }
  CHECK(hub.size() == 2);
  CHECK(get(server.port(), "/channels/a").status == 200);
  b.close();
  CHECK(eventually([&] { return get(server.port(), "/channels/c").status == 200; }));
}
