#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

std::size_t pinned(const Channel& channel) {
  return detail::ChannelAccess::state(channel)->encoded_use().pinned.load();
}

std::string numbered(std::size_t number, std::size_t size) {
  std::string text = std::to_string(number);
  text.resize(size, '.');
  return text;
}

/// A server whose subscribers may lag little, and whose cache of encodings is small.
struct SlowServer : Served<Sse, ShortPolling> {
  explicit SlowServer(LagPolicy policy, std::size_t max_pinned = ChannelOptions{}.max_pinned)
      : Served({.stream = {.write_timeout = 20s}},
               {.max_lag = 128 << 10, .lag_policy = policy, .max_encoded = 256 << 10, .max_pinned = max_pinned}) {
    start();
  }
};

}  // namespace

TEST_CASE("the little that is left of a message keeps no segment for a reader past max_lag, and comes whole",
          "[scenario][DESIGN-3.5][WIRE-7]") {
  const auto policy = GENERATE(LagPolicy::disconnect, LagPolicy::skip);
  SlowServer server(policy);
  std::vector<SseClient> readers;
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back(slow_connection(server.port()), "/c").open();
    // Each is stopped somewhere else.
    for (std::size_t n = 0; n < 100; ++n) server.publish(numbered(n, 700));
  }
  SseClient fast(server.port(), "/c");
  fast.open();
  for (std::size_t n = 0; n < 5000; ++n) {
    server.publish(numbered(n, 700));
    fast.next_event();
  }
  CHECK(eventually([&] { return pinned(server.channel) == 0; }));
  for (auto& reader : readers) {
    std::string last;
    if (policy == LagPolicy::disconnect) {
      CHECK(reader.ends());
      for (const auto& item : reader.rest()) {
        if (item.kind == SseItem::Kind::event) CHECK(item.data.size() == 700);
      }
    } else {
      auto event = reader.next_event();
      for (; event.event != "downlink.gap"; event = reader.next_event()) {
        CHECK(event.data.size() == 700);
        last = event.id.value();
      }
      CHECK(event.data.find("{\"requested\":\"" + last + '"') == 0);
    }
  }
}

TEST_CASE("past max_pinned, who has stalled longest inside a large message is reset; within it nobody is",
          "[scenario][DESIGN-3.5]") {
  constexpr std::size_t size = 100'000;
  constexpr std::size_t readers = 6;
  const auto policy = GENERATE(LagPolicy::disconnect, LagPolicy::skip);
  const std::size_t room = GENERATE(std::size_t{64} << 20, std::size_t{1});
  SlowServer server(policy, room);
  SseClient fast(server.port(), "/c");
  fast.open();
  std::vector<SseClient> stalled;
  for (std::size_t i = 0; i < readers; ++i) {
    stalled.emplace_back(slow_connection(server.port()), "/c").open();
    for (std::size_t n = 0; n < 5; ++n) {
      server.publish(numbered(n, size));
      fast.next_event();
    }
  }
  for (std::size_t n = 0; n < 40; ++n) {
    server.publish(numbered(n, size));
    CHECK(fast.next_event().data == numbered(n, size));
  }
  if (room == 1) {
    // Whoever stopped between two messages holds nothing, and stays.
    CHECK(eventually([&] {
      server.publish("x");
      fast.next_event();
      return pinned(server.channel) == 0;
    }));
    CHECK(server.server.connection_count() < 1 + readers);
  } else {
    CHECK(pinned(server.channel) > 0);
    CHECK(server.server.connection_count() == 1 + readers);
  }
}

TEST_CASE("an answer that its poller does not take counts as pinned too", "[scenario][DESIGN-3.5]") {
  const std::size_t room = GENERATE(std::size_t{64} << 20, std::size_t{1});
  SlowServer server(LagPolicy::disconnect, room);
  SseClient fast(server.port(), "/c");
  fast.open();
  for (std::size_t n = 0; n < 10; ++n) {
    server.publish(numbered(n, 100'000));
    fast.next_event();
  }
  auto poller = slow_connection(server.port());
  poller.send(request_text("GET", "/c?cursor=earliest"));
  REQUIRE(eventually([&] { return server.server.stats().served[TransportKind::short_polling] == 1; }));
  REQUIRE(eventually([&] {
    server.publish(numbered(1, 100'000));
    fast.next_event();
    return room == 1 ? server.server.connection_count() == 1 : pinned(server.channel) > 0;
  }));
  CHECK(server.server.connection_count() == (room == 1 ? 1 : 2));
}

TEST_CASE("answers of a channel that is only polled are held to max_pinned, and no more of them are reset than must be",
          "[scenario][DESIGN-3.5]") {
  constexpr std::size_t messages = 32;
  constexpr std::size_t size = 30'000;
  constexpr std::size_t room = messages * size * 5 / 2;  // two answers and a half
  Served<ShortPolling> server({.stream = {.write_timeout = 20s}},
                              {.history = {.max_messages = messages}, .max_encoded = 1, .max_pinned = room});
  server.start();
  std::vector<Connection> pollers;
  for (std::size_t i = 0; i < 6; ++i) {
    // None is asked for the same as another.
    for (std::size_t n = 0; n < messages; ++n) server.publish(numbered(n, size));
    pollers.push_back(slow_connection(server.port()));
    pollers.back().send(request_text("GET", "/c?cursor=earliest"));
    REQUIRE(eventually([&] { return server.server.stats().served[TransportKind::short_polling] == i + 1; }));
    CHECK(eventually([&] { return pinned(server.channel) <= room; }));
    CHECK(server.connections(i == 0 ? 1 : 2));
  }
}

TEST_CASE("a poll is answered though streams that have stalled in the newest messages hold more than max_pinned",
          "[scenario][DESIGN-3.5][WIRE-7]") {
  constexpr std::size_t size = 1'000'000;
  Served<Sse, ShortPolling> server({.stream = {.write_timeout = 20s}},
                                   {.max_lag = 64 << 20, .max_encoded = 1, .max_pinned = size * 5 / 2});
  server.start();
  SseClient fast(server.port(), "/c");
  fast.open();
  std::vector<SseClient> stalled;
  for (int i = 0; i < 3; ++i) {
    stalled.emplace_back(slow_connection(server.port()), "/c").open();
    server.publish(std::string(size, 'x'));
    fast.next_event();
  }
  server.publish("x");
  fast.next_event();
  auto poller = slow_connection(server.port());
  poller.send(request_text("GET", "/c?cursor=earliest"));
  CHECK(server.connections(3));  // there is room for it and for one of those that have stalled
  CHECK(poller.read_response().body.size() > size);
}

TEST_CASE("who is to go has the write deadline to take the message that it has begun, however it reads on",
          "[scenario][WIRE-7][WIRE-8]") {
  const bool lags = GENERATE(true, false);
  const bool websocket = GENERATE(true, false);
  Served<Sse, WebSocket> server({.stream = {.write_timeout = 3s}}, {.max_lag = 1000});
  if (!lags) server.server.authorize([](const RequestHead&) { return allow({}, {}, 300ms); });
  server.start();
  auto client = slow_connection(server.port());
  client.send(request_text("GET", "/c", websocket ? upgrade : event_stream));
  REQUIRE(server.subscribers(1));
  server.publish(std::string(8 << 20, 'x'));
  client.read_until("xxx");
  for (int i = 0; lags && i < 5; ++i) server.publish(std::string(500, 'y'));
  // It takes less than half of the message in all of this time.
  CHECK(eventually(
      [&] {
        char buffer[10'000];
        (void)::recv(client.native_handle(), buffer, sizeof buffer, 0);
        std::this_thread::sleep_for(50ms);
        return server.server.connection_count() == 0;
      },
      15s));
  CHECK(server.server.stats().write_timeouts == 1);
}

TEST_CASE("after a skip, requested is the last id sent, though later ones were passed over",
          "[scenario][WIRE-4][WIRE-7]") {
  SlowServer server(LagPolicy::skip);
  SseClient reader(server.port(), "/c");
  const auto opened = reader.open().id.value();
  const bool sent = GENERATE(true, false);
  std::string last = opened;
  if (sent) {
    last = server.publish("sent");
    REQUIRE(reader.next_event().id == last);
  }
  // Nobody is sent what has no time to live.
  server.publisher.publish({.data = "passed over", .time_to_live = 0ms});
  server.loop.run_on([] {});
  std::string newest;
  server.loop.run_on([&] {
    for (int i = 0; i < 20; ++i) newest = server.publish(std::string(20'000, 'x'));
  });
  const auto gap = reader.next_event();
  CHECK(gap.event == "downlink.gap");
  CHECK(gap.data == "{\"requested\":\"" + last + "\",\"earliest\":\"" + newest + "\"}");
  CHECK(reader.next_event().id == newest);
}
