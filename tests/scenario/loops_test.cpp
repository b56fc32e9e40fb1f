#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <vector>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

TEST_CASE("several loops may be destroyed in any order, with connections on their way", "[scenario][DESIGN-3.9]") {
  const bool last_first = GENERATE(true, false);
  const bool server_first = GENERATE(true, false);
  Channel channel;
  auto first = std::make_unique<net::io_context>(1);
  auto second = std::make_unique<net::io_context>(1);
  auto server = std::make_unique<EveryServer>(Contexts{*first, *second});
  server->route("/c", channel);
  server->start();
  std::vector<Connection> clients;
  for (int i = 0; i < 5; ++i) {
    clients.emplace_back(server->port());
    clients.back().send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  }
  REQUIRE(eventually([&] {
    first->poll();
    second->poll();
    return channel.subscriber_count() == 5;
  }));
  if (server_first) server.reset();
  (last_first ? second : first).reset();
  Publisher(channel).publish({.data = "x"});
  if (last_first) {
    // The loop that accepts goes on by itself.
    if (!server_first) clients.emplace_back(server->port());
    first->poll();
  }
  (last_first ? first : second).reset();
  server.reset();
  for (auto& client : clients) CHECK(client.closed_by_peer());
  CHECK(channel.subscriber_count() == 0);
}

TEST_CASE("a server goes on, and drains, when one of its loops has gone", "[scenario][DESIGN-3.9]") {
  const bool first_goes = GENERATE(false, true);
  TwoLoops test;
  auto& [channel, first, second, server] = test;
  (first_goes ? first : second).reset();
  net::io_context& left = first_goes ? *second : *first;
  const auto runs_until = [&](auto condition) {
    return eventually([&] {
      left.restart();
      left.poll();
      return condition();
    });
  };
  std::vector<Connection> clients;
  for (int i = 0; i < 3; ++i) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    clients.push_back(Connection::over(pair[0]));
    clients.back().send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
    server.adopt(pair[1], AF_UNIX, "");
  }
  CHECK(runs_until([&] { return channel.subscriber_count() == 3; }));
  bool drained = false;
  server.async_drain(100ms, net::bind_executor(left.get_executor(), [&] { drained = true; }));
  CHECK(runs_until([&] { return drained; }));
  CHECK(channel.subscriber_count() == 0);
}

TEST_CASE("a drain does not wait for a loop that nobody runs any more", "[scenario][DESIGN-3.9]") {
  TwoLoops test;
  auto& [channel, first, second, server] = test;
  second->run();  // returns, as there is nothing to do
  REQUIRE(second->stopped());
  Connection client(server.port());
  client.send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  REQUIRE(eventually([&] {
    first->poll();
    return channel.subscriber_count() == 1;
  }));
  bool drained = false;
  server.async_drain(100ms, [&] { drained = true; });
  first->run_for(5s);  // and has nothing to do when the drain is over
  CHECK(drained);
  CHECK(first->stopped());
  CHECK(client.closed_by_peer());
}

TEST_CASE("a drain is over when its loops go, in whatever order", "[scenario][DESIGN-3.9]") {
  const bool first_goes = GENERATE(false, true);
  const bool streams = GENERATE(true, false);  // without, each shard has drained at once
  net::io_context told(1);
  TwoLoops test;
  auto& [channel, first, second, server] = test;
  std::vector<Connection> clients;
  // By turns on either loop; then there are streams on the second alone.
  for (int i = 0; i < (streams ? 4 : 2); ++i) {
    clients.emplace_back(server.port());
    clients.back().send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  }
  const auto runs_until = [&](auto condition) {
    return eventually([&] {
      for (auto* loop : {first.get(), second.get()}) {
        loop->restart();
        loop->poll();
      }
      return condition();
    });
  };
  REQUIRE(runs_until([&] { return channel.subscriber_count() == clients.size(); }));
  if (!streams) {
    clients.erase(clients.begin());
    REQUIRE(runs_until([&] { return channel.subscriber_count() == 1; }));
  }
  bool drained = false;
  server.async_drain(1h, net::bind_executor(told.get_executor(), [&] { drained = true; }));
  server.async_drain(1h, [] {});  // whose handler is the first loop's, and goes with it
  first->restart();
  first->poll();
  second->restart();
  second->poll();
  (first_goes ? first : second).reset();
  (first_goes ? second : first).reset();
  told.run_for(20s);
  CHECK(drained);
  for (auto& client : clients) CHECK(client.closed_by_peer());
}
