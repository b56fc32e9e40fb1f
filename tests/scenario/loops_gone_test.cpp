#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "scenario/all_kinds.hpp"
#include "scenario/embedded.hpp"
#include "support/catch.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// A connection that an application has accepted for an endpoint in a loop that nobody has run yet.
struct BeforeTheRun {
  BeforeTheRun() {
    endpoint.route("/c", channel);
    client.emplace(application.port());
    client->send(request_text("GET", "/c?wait=60"));
    accepted.emplace(application.accept_request());
  }

  Channel channel;
  net::io_context own{1};
  Application application{own};
  std::unique_ptr<net::io_context> served = std::make_unique<net::io_context>(1);
  Endpoint<LongPolling> endpoint{*served};
  std::optional<Connection> client;
  std::optional<AcceptedRequest> accepted;
};

}  // namespace

TEST_CASE("a connection whose loop goes before it has begun there is served by another loop",
          "[scenario][DESIGN-3.9]") {
  Event held;
  Event go_on;
  Channel channel;
  net::io_context first;
  auto second = std::make_unique<net::io_context>(1);
  EveryServer server(Contexts{first, *second});
  server.route("/c", channel);
  server.on_message("/c", [&](Peer, Inbound) {
    held.set();
    go_on.wait();
  });
  server.start();
  std::jthread running([&] { first.run(); });
  Connection busy(server.port());
  busy.send(request_text("POST", "/c", {}, "x"));
  CHECK(held.wait());
  while (first.poll() > 0) {
  }
  // Accepted by this thread while the other has the shard, and for the second loop, whose turn it is.
  Connection client(server.port());
  client.send(request_text("GET", "/c"));
  CHECK(eventually([&] { return first.poll() > 0; }));
  second.reset();
  go_on.set();
  CHECK(busy.read_response().status == 202);
  CHECK(client.read_response().status == 200);
  first.stop();
}

TEST_CASE("a loop that nobody runs any more gets no connections", "[scenario][DESIGN-3.9]") {
  const bool stopped = GENERATE(true, false);
  Channel channel;
  net::io_context resting(1);
  Loop loop;
  EveryServer server(Contexts{loop.context(), resting}, {.endpoint = {.head_timeout = 100ms}});
  server.route("/c", channel);
  server.start();
  if (stopped) {
    resting.stop();
  } else {
    resting.run();  // returns at once, as there is nothing to do
  }
  REQUIRE(resting.stopped());
  SECTION("all requests are answered by the other loop") {
    for (int i = 0; i < 6; ++i) {
      Connection client(server.port());
      client.send(request_text("GET", "/c"));
      CHECK(client.read_response().status == 200);
    }
  }
  SECTION("deadlines hold for all connections") {
    std::vector<Connection> silent;
    for (int i = 0; i < 6; ++i) silent.emplace_back(server.port());
    int closed = 0;
    for (auto& client : silent) closed += client.closed_by_peer();
    CHECK(closed == 6);
    CHECK(eventually([&] { return server.connection_count() == 0; }));
  }
}

TEST_CASE("a loop that nobody runs any more is given no sockets of the application's", "[scenario][DESIGN-3.9]") {
  Channel channel;
  net::io_context own(1);
  Application application(own);
  net::io_context resting(1);
  Loop loop;
  Endpoint<ShortPolling> endpoint(Contexts{resting, loop.context()});
  endpoint.route("/c", channel);
  resting.run();  // returns at once, as there is nothing to do
  for (int i = 0; i < 4; ++i) {
    Connection client(application.port());
    client.send(request_text("GET", "/c"));
    auto [socket, unread, head] = application.accept_request();
    CHECK_FALSE(endpoint.adopt(std::move(socket), head, unread));
    CHECK(client.read_response().status == 200);
  }
}

TEST_CASE("serving a connection ends with an error where the loop goes before it has begun", "[scenario][DESIGN-5]") {
  BeforeTheRun test;
  auto [socket, unread, head] = std::move(*test.accepted);
  std::optional<error_code> outcome;
  SECTION("for a callback") {
    test.endpoint.async_serve(std::move(socket), head, unread,
                              [&](error_code error, tcp::socket, std::string) { outcome = error; });
    test.served.reset();
  }
  SECTION("for a coroutine") {
    net::co_spawn(
        test.own,
        [&, taken = std::move(socket), head = head, unread = unread]() mutable -> net::awaitable<void> {
          try {
            co_await test.endpoint.async_serve(std::move(taken), head, unread, net::use_awaitable);
          } catch (const system_error& error) {
            outcome = error.code();
          }
        },
        [](std::exception_ptr) {});
    test.own.poll();
    test.served.reset();
  }
  test.own.restart();
  test.own.run_for(patience);
  CHECK(outcome == error_code(net::error::operation_aborted));
  CHECK(test.client->closed_by_peer());
}

TEST_CASE("a drain whose loops have all gone completes where its handler belongs", "[scenario][DESIGN-3.9]") {
  TwoLoops test;
  auto& [channel, first, second, server] = test;
  (GENERATE(true, false) ? first : second).reset();
  first.reset();
  second.reset();
  SECTION("a loop of the handler's own") {
    net::io_context told(1);
    bool drained = false;
    server.async_drain(1h, net::bind_executor(told.get_executor(), [&] { drained = true; }));
    CHECK_FALSE(drained);
    told.run_for(patience);
    CHECK(drained);
  }
  SECTION("no loop") {
    std::promise<void> drained;
    auto done = drained.get_future();
    server.async_drain(1h, [&] { drained.set_value(); });
    CHECK(done.wait_for(patience) == std::future_status::ready);
  }
  SECTION("a future") {
    auto done = server.async_drain(1h, net::use_future);
    CHECK(done.wait_for(patience) == std::future_status::ready);
  }
}
