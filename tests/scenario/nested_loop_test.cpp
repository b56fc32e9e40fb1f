#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/http_client.hpp"
#include "support/loop.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

/// A server in a loop that the test runs, and callbacks of the server as well.
struct Nesting {
  explicit Nesting(bool one_thread) : Nesting(EndpointOptions{.one_thread = one_thread}) {}
  explicit Nesting(EndpointOptions options) : server(io, {.endpoint = std::move(options)}) {
    server.route("/c", channel);
  }

  template <class Condition>
  bool runs_until(Condition condition, std::chrono::milliseconds time = patience) {
    return eventually(
        [&] {
          io.restart();
          io.poll();
          return condition();
        },
        time);
  }
  /// What `function` returns, which waits on another thread for the loop that is run here.
  template <class Function>
  auto meanwhile(Function function) {
    auto result = std::async(std::launch::async, std::move(function));
    runs_until([&] { return result.wait_for(0s) == std::future_status::ready; }, 20s);
    return result.get();
  }
  WebSocketClient connect() {
    return meanwhile([port = server.port()] { return WebSocketClient(port, "/c"); });
  }
  bool serves() {
    return meanwhile([port = server.port()] { return get(port, "/c").status; }) == 200;
  }
  /// For callbacks: runs the loop until `condition` holds, which may be never.
  template <class Condition>
  void run_inside(Condition condition) {
    eventually(
        [&] {
          io.poll();
          return condition();
        },
        50ms);
  }

  net::io_context io{1};
  Channel channel;
  EveryServer server;
};

/// Three text messages in one piece.
std::string three_messages() {
  return client_frame(ws_text, "a1") + client_frame(ws_text, "a2") + client_frame(ws_text, "a3");
}

}  // namespace

TEST_CASE("where a message's handler runs the loop, another peer's bytes do not get among its peer's",
          "[scenario][DESIGN-3.9]") {
  const std::string other(64, 'b');
  Nesting test(GENERATE(true, false));
  std::vector<std::string> of_a;
  std::vector<std::string> of_b;
  std::optional<WebSocketClient> a;
  std::optional<WebSocketClient> b;
  std::optional<Peer> first;
  test.server.on_message("/c", [&](Peer from, Inbound in) {
    if (!first) first = from;
    if (*first != from) return of_b.push_back(in.data);
    of_a.push_back(in.data);
    if (of_a.size() > 1) return;
    b->send_text(other);
    test.run_inside([&] { return !of_b.empty(); });
  });
  test.server.start();
  a.emplace(test.connect());
  b.emplace(test.connect());
  a->connection().send(three_messages());
  CHECK(test.runs_until([&] { return of_a.size() >= 3 && !of_b.empty(); }));
  CHECK(of_a == std::vector<std::string>{"a1", "a2", "a3"});
  CHECK(of_b == std::vector<std::string>{other});
  CHECK(test.server.stats().ended[EndReason::protocol_error] == 0);
  CHECK(test.channel.subscriber_count() == 2);
}

TEST_CASE("where a message's handler runs the loop, its peer's messages stay in order", "[scenario][DESIGN-3.9]") {
  const std::string running = GENERATE("a1", "a2", "a3");
  Nesting test(GENERATE(true, false));
  std::vector<std::string> seen;
  std::optional<WebSocketClient> client;
  test.server.on_message("/c", [&](Peer, Inbound in) {
    seen.push_back(in.data);
    if (in.data != running) return;
    client->send_text("a4");
    test.run_inside([&] { return seen.back() != running; });
    client->send_text("a5");
    test.run_inside([&] { return seen.back() != running; });
  });
  test.server.start();
  client.emplace(test.connect());
  client->connection().send(three_messages());
  CHECK(test.runs_until([&] { return seen.size() >= 5; }));
  CHECK(seen == std::vector<std::string>{"a1", "a2", "a3", "a4", "a5"});
  CHECK(test.server.stats().ended[EndReason::protocol_error] == 0);
  CHECK(test.channel.subscriber_count() == 1);
}

TEST_CASE("on_subscribe may run the loop where its request came while a poll was held", "[scenario][DESIGN-3.9]") {
  Nesting test(GENERATE(true, false));
  std::optional<Connection> client;
  int called = 0;
  test.server.on_subscribe([&](Peer) {
    ++called;
    client->send("more");
    test.run_inside([] { return false; });
  });
  test.server.start();
  client.emplace(test.server.port());
  client->send(request_text("GET", "/c?wait=60"));
  REQUIRE(test.runs_until([&] { return test.channel.subscriber_count() == 1; }));
  client->send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  test.run_inside([] { return false; });
  REQUIRE(Publisher(test.channel).publish({.data = "x"}));
  CHECK(test.runs_until([&] { return called == 1; }));
  CHECK(test.meanwhile([&] { return client->read_response().status; }) == 200);
  CHECK(test.meanwhile([&] { return client->read_head().header("Content-Type"); }) == "text/event-stream");
  client->close();
  CHECK(test.runs_until([&] { return test.channel.subscriber_count() == 0; }));
  CHECK(test.serves());
}

TEST_CASE("on_unsubscribe may run the loop where a deadline calls it", "[scenario][DESIGN-3.9]") {
  Nesting test(GENERATE(true, false));
  std::optional<Connection> client;
  int called = 0;
  test.server.authorize([](const RequestHead&) { return allow("ann", {}, 50ms); });
  test.server.on_unsubscribe([&](Peer, EndReason) {
    ++called;
    client->reset();
    test.run_inside([] { return false; });
  });
  test.server.start();
  client.emplace(test.server.port());
  client->send(request_text("GET", "/c", "Accept: text/event-stream\r\n"));
  CHECK(test.runs_until([&] { return called == 1; }));
  CHECK(test.runs_until([&] { return test.server.connection_count() == 0; }));
  CHECK(test.serves());
}

TEST_CASE("the log may run the loop where it is told of a request that did not come in time, and the rest comes then",
          "[scenario][DESIGN-3.8][DESIGN-3.9]") {
  const bool body = GENERATE(true, false);
  const bool one_thread = GENERATE(true, false);
  Nesting test({.head_timeout = 100ms, .body_timeout = 100ms, .one_thread = one_thread});
  std::optional<Connection> client;
  test.server.on_log([&](const LogEntry& entry) {
    if (entry.event != LogEvent::request_refused) return;
    client->send(body ? "x" : "X-B: 2\r\n\r\n");
    test.run_inside([] { return false; });
  });
  test.server.start();
  client.emplace(test.server.port());
  client->send(body ? request_text("GET", "/c", "Accept: text/event-stream\r\nContent-Length: 1\r\n")
                    : "GET /c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n");
  CHECK(test.meanwhile([&] { return client->read_response().status; }) == 408);
  CHECK(test.meanwhile([&] { return client->closed_by_peer(); }));
  CHECK(test.serves());
}

TEST_CASE("where on_subscribe runs the loop, what came behind the upgrade comes before what comes then",
          "[scenario][DESIGN-3.9]") {
  Nesting test(GENERATE(true, false));
  std::optional<Connection> client;
  std::vector<std::string> seen;
  int called = 0;
  test.server.on_subscribe([&](Peer) {
    ++called;
    client->send(client_frame(ws_text, "m2") + client_frame(ws_close, close_payload(1000)));
    client->half_close();
    test.run_inside([] { return false; });
    CHECK(seen.empty());
  });
  test.server.on_message("/c", [&](Peer, Inbound in) { seen.push_back(in.data); });
  test.server.start();
  client.emplace(test.server.port());
  client->send(request_text("GET", "/c?wait=60"));
  REQUIRE(test.runs_until([&] { return test.channel.subscriber_count() == 1; }));
  client->send(WebSocketClient::request("/c") + client_frame(ws_text, "m1"));
  test.run_inside([] { return false; });
  REQUIRE(Publisher(test.channel).publish({.data = "x"}));
  CHECK(test.runs_until([&] { return called == 1 && test.server.connection_count() == 0; }));
  CHECK(seen == std::vector<std::string>{"m1", "m2"});
  CHECK(test.serves());
}
