#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("draining answers held polls, ends streams with a retry, closes WebSockets with 1001, and completes",
          "[scenario][WIRE-9]") {
  const std::size_t shards = GENERATE(1, 2);
  Channel channel;
  Event drained;
  Loop loop(shards);
  auto server =
      std::make_unique<EveryServer>(loop.contexts(), ServerOptions{.endpoint = {.stream = {.retry = 1500ms}}});
  server->route("/c", channel);
  server->start();
  const auto port = server->port();
  std::vector<std::unique_ptr<Crowd>> crowds;
  for (int i = 0; i < 3; ++i) crowds.push_back(std::make_unique<Crowd>(port));
  REQUIRE(eventually([&] { return channel.subscriber_count() == 9; }));
  server->async_drain(3s, [&] { drained.set(); });
  for (auto& crowd : crowds) {
    crowd->half.close();
    const auto answer = crowd->held.read_response();
    CHECK(answer.status == 200);
    CHECK(answer.header("Connection") == "close");
    CHECK(answer.body.find("\"messages\":[]") != std::string::npos);
    crowd->held.close();
    CHECK(crowd->sse.ends());
    REQUIRE(crowd->sse.rest().size() == 1);
    CHECK(crowd->sse.rest()[0].kind == SseItem::Kind::retry);
    CHECK(crowd->sse.rest()[0].retry >= 1500);
    CHECK(crowd->sse.rest()[0].retry <= 3000);
    crowd->sse.connection().close();
    CHECK(crowd->ws.closes().close_code() == 1001);
    CHECK(crowd->idle.closed_by_peer());
  }
  CHECK(refuses(port));
  CHECK(drained.wait());
  CHECK(channel.subscriber_count() == 0);
  server.reset();
  CHECK(loop.finish());
}

TEST_CASE("draining with nothing connected completes at once", "[scenario][WIRE-9]") {
  const std::size_t shards = GENERATE(1, 2);
  Channel channel;
  Event drained;
  Loop loop(shards);
  EveryServer server(loop.contexts());
  server.route("/c", channel);
  if (GENERATE(true, false)) server.start();
  server.async_drain(1h, [&] { drained.set(); });
  CHECK(drained.wait());
  CHECK(loop.finish());
}

TEST_CASE("draining completes once all clients are gone, before its time is over", "[scenario][WIRE-9]") {
  Channel channel;
  Event drained;
  Loop loop(2);
  EveryServer server(loop.contexts());
  server.route("/c", channel);
  server.start();
  SseClient sse(server.port(), "/c");
  sse.open();
  Connection held(server.port());
  held.send(request_text("GET", "/c?wait=60"));
  REQUIRE(eventually([&] { return channel.subscriber_count() == 2; }));
  server.async_drain(1h, [&] { drained.set(); });
  CHECK(held.read_response().status == 200);
  held.close();
  CHECK_FALSE(drained.happened());
  sse.connection().close();
  CHECK(drained.wait());
}

TEST_CASE("a request whose head has come before a drain is still answered, and its connection closed",
          "[scenario][WIRE-9]") {
  Channel channel;
  Event handling;
  Event drained;
  std::atomic<bool> go_on = false;
  Loop loop;
  EveryServer server(loop.context());
  server.route("/c", channel);
  server.on_message("/c", [&](Peer, Inbound) -> net::awaitable<Reply> {
    handling.set();
    while (!go_on) {
      net::steady_timer timer(co_await net::this_coro::executor, 1ms);
      co_await timer.async_wait(net::use_awaitable);
    }
    co_return Message{.data = "done"};
  });
  server.start();
  Connection client(server.port(), 20s);
  client.send(request_text("POST", "/c", {}, "x"));
  REQUIRE(handling.wait());
  server.async_drain(1h, [&] { drained.set(); });
  loop.run_on([] {});
  go_on = true;
  const auto answer = client.read_response();
  CHECK(answer.status == 202);
  CHECK(answer.body == "done");
  CHECK(answer.header("Connection") == "close");
  CHECK(client.closed_by_peer());
  client.close();
  CHECK(drained.wait());
}

TEST_CASE("a drain lets a slow client finish the message that it has begun", "[scenario][WIRE-9]") {
  Channel channel;
  Event drained;
  Loop loop;
  EveryServer server(loop.context());
  server.route("/c", channel);
  server.start();
  SseClient reading(slow_connection(server.port()), "/c");
  reading.open();
  const auto id = Publisher(channel).publish({.data = std::string(std::size_t{1} << 20, 'x')}).value().to_string();
  server.async_drain(6s, [&] { drained.set(); });
  CHECK(reading.next_event().id == id);
  CHECK(reading.ends());
  reading.connection().close();
  CHECK(drained.wait());
}

TEST_CASE("what a client has not taken when the drain's time is over is cut off", "[scenario][WIRE-9]") {
  Channel channel;
  Event drained;
  Loop loop;
  EveryServer server(loop.context());
  server.route("/c", channel);
  server.start();
  SseClient stuck(slow_connection(server.port()), "/c");
  stuck.open();
  Connection half(server.port());
  half.send("GET /c HTT");
  REQUIRE(Publisher(channel).publish({.data = std::string(std::size_t{2} << 20, 'x')}));
  server.async_drain(100ms, [&] { drained.set(); });
  CHECK(drained.wait());
  CHECK(channel.subscriber_count() == 0);
  CHECK(stuck.connection().closed_by_peer());
  CHECK(half.closed_by_peer());
  CHECK(loop.finish());
}
