#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "scenario/all_kinds.hpp"
#include "support/catch.hpp"
#include "support/loop.hpp"
#include "support/served.hpp"
#include "support/slow_connection.hpp"
#include "support/sse_client.hpp"
#include "support/websocket_client.hpp"

using namespace downlink;
using namespace downlink::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t large = std::size_t{1} << 20;

// A server whose drain can be begun and waited for.
struct Draining : ServedAll {
  using ServedAll::ServedAll;

  void drain(std::chrono::milliseconds time) {
    server.async_drain(time, [this] { done.set_value(); });
    loop.run_on([] {});  // from here on it has begun
  }
  bool drained(std::chrono::milliseconds time = 20s) {
    return done.get_future().wait_for(time) == std::future_status::ready;
  }

  std::promise<void> done;
};

// A handler that takes longer than any drain: counts when it ends, and when that was not by being cancelled.
net::awaitable<void> outlast_the_drain(Event& begun, std::atomic<int>& ended, std::atomic<int>& late) {
  struct Ends {
    std::atomic<int>& count;
    ~Ends() { ++count; }
  } const ends{ended};
  begun.set();
  net::steady_timer timer(co_await net::this_coro::executor, 1min);
  co_await timer.async_wait(net::use_awaitable);
  ++late;
}

}  // namespace

TEST_CASE("a drain lets an answer that is on its way arrive, and then closes its kept-alive connection",
          "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  served.publish(std::string(large, 'x'));
  auto client = slow_connection(served.port());
  client.send(request_text("GET", "/c?cursor=earliest"));
  REQUIRE(client.read_exactly(12) == "HTTP/1.1 200");
  served.drain(1h);
  client.read_until("\r\n\r\n");
  const auto rest = client.read_to_end();
  CHECK(rest.find('"' + std::string(large, 'x') + "\"}]}") != std::string::npos);
  CHECK(client.wait_for_end(5s) == Connection::End::closed);
  client.close();
  CHECK(served.drained());
}

TEST_CASE("a drain answers the requests that came behind the one at work, the last one with close",
          "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  served.publish(std::string(large, 'x'));
  auto client = slow_connection(served.port());
  client.send(request_text("GET", "/c?cursor=earliest") + request_text("GET", "/c?cursor=latest"));
  REQUIRE(client.read_exactly(12) == "HTTP/1.1 200");
  served.drain(1h);
  client.read_until("\r\n\r\n");
  const auto rest = client.read_to_end();
  const auto second = rest.find("HTTP/1.1 200");
  REQUIRE(second != std::string::npos);
  CHECK(rest.find("Connection: close\r\n", second) != std::string::npos);
  CHECK(rest.ends_with("\"messages\":[]}"));
  client.close();
  CHECK(served.drained());
}

TEST_CASE("a drain takes a body whose head has come", "[scenario][WIRE-9]") {
  std::string taken;
  Draining served;
  served.server.on_message("/c", [&](const Peer&, const Inbound& in) { taken = in.data; });
  served.start();
  auto client = served.connect();
  client.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  REQUIRE(client.read_response().status == 100);
  served.drain(1h);
  client.send("body");
  const auto answer = client.read_response();
  CHECK(answer.status == 202);
  CHECK(answer.lists("Connection", "close"));
  CHECK(client.wait_for_end(5s) == Connection::End::closed);
  client.close();
  CHECK(served.drained());
  CHECK(taken == "body");
}

TEST_CASE("a stream whose request was on its way when the drain began opens and ends", "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  auto sse = served.connect();
  auto socket = served.connect();
  sse.send("GET /c HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n");
  const auto upgrade = WebSocketClient::request("/c");
  socket.send(upgrade.substr(0, upgrade.size() - 2));
  // What came before this one's request has been read.
  REQUIRE(served.get().status == 200);
  REQUIRE(served.connections(2));
  served.drain(1h);
  sse.send("\r\n");
  socket.send("\r\n");
  const auto stream = sse.read_response();
  CHECK(stream.status == 200);
  CHECK(stream.body.find("event: downlink.open\n") != std::string::npos);
  CHECK(stream.body.rfind("retry: ") > stream.body.find("event: downlink.open\n"));
  CHECK(socket.read_head().status == 101);
  CHECK(socket.read_to_end().substr(2, 2) == "\x03\xE9");
  sse.close();
  socket.close();
  CHECK(served.drained());
}

TEST_CASE("what is said of a stream while draining is said with close, as the connection is closed",
          "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  auto client = served.connect();
  client.send("HEAD /c HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n");
  REQUIRE(served.get().status == 200);
  REQUIRE(served.connections(1));
  served.drain(1h);
  client.send("\r\n");
  const auto answer = client.read_response(true);
  CHECK(answer.status == 200);
  CHECK(answer.lists("Connection", "close"));
  CHECK(client.wait_for_end(5s) == Connection::End::closed);
  client.close();
  CHECK(served.drained());
}

TEST_CASE("a drain finishes the message that a WebSocket is taking, then closes with 1001", "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  WebSocketClient client(slow_connection(served.port()), "/c");
  REQUIRE(served.subscribers(1));
  served.publish(std::string(large, 'x'));
  REQUIRE(client.receive());
  REQUIRE(client.mid_frame());
  served.drain(6s);
  CHECK((client.next_message().payload == std::string(large, 'x')));
  CHECK(client.closes().close_code() == 1001);
  client.connection().close();
  CHECK(served.drained());
}

TEST_CASE("a drain spreads the ends of streams, and takes no longer than its clients", "[scenario][WIRE-9]") {
  using Clock = std::chrono::steady_clock;
  std::mutex mutex;
  std::vector<Clock::time_point> ends;
  Draining served;
  served.server.on_unsubscribe([&](const Peer&, EndReason reason) {
    const std::lock_guard guard(mutex);
    if (reason == EndReason::shutdown) ends.push_back(Clock::now());
  });
  served.start();
  std::vector<SseClient> streams;
  std::vector<WebSocketClient> sockets;
  for (int i = 0; i < 20; ++i) {
    streams.emplace_back(served.port(), "/c");
    sockets.emplace_back(served.port(), "/c");
  }
  REQUIRE(served.subscribers(40));
  const auto begin = Clock::now();
  served.drain(2s);
  for (auto& socket : sockets) CHECK(socket.closes().close_code() == 1001);
  for (auto& stream : streams) {
    CHECK(stream.ends());
    stream.connection().close();
  }
  CHECK(served.drained());
  REQUIRE(ends.size() == 40);
  // Forty delays at random in one and a half seconds, three quarters of the drain's time.
  CHECK(ends.back() - ends.front() > 400ms);
  CHECK(ends.back() - begin < 2s);
}

TEST_CASE("a drain's deadline holds whatever a client or a handler does", "[scenario][WIRE-9]") {
  Draining served;
  served.server.on_message("/c", [](Peer, Inbound) -> net::awaitable<void> {
    net::steady_timer timer(co_await net::this_coro::executor, 1h);
    co_await timer.async_wait(net::use_awaitable);
  });
  served.start();
  auto body = served.connect();
  body.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo");
  auto handler = served.connect();
  handler.send(request_text("POST", "/c", {}, "x"));
  WebSocketClient socket(served.port(), "/c");
  socket.send_text("x");
  WebSocketClient stuck(slow_connection(served.port()), "/c");
  REQUIRE(served.subscribers(2));
  served.publish(std::string(large, 'x'));
  served.drain(300ms);
  CHECK(served.drained());
  CHECK(body.closed_by_peer());
  CHECK(handler.closed_by_peer());
  CHECK(served.channel.subscriber_count() == 0);
}

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

TEST_CASE("a drain completes though another of its loops comes to its end as it begins", "[scenario][WIRE-9]") {
  Channel channel;
  net::io_context first(1);
  net::io_context second(1);
  std::optional work(net::make_work_guard(second));
  EveryServer server(Contexts{first, second});
  server.route("/c", channel);
  server.on_log([&](const LogEntry& entry) {
    if (entry.event != LogEvent::drain_began) return;
    work.reset();
    second.run();  // returns at once, as there is nothing left to do
  });
  server.start();
  bool drained = false;
  net::post(first, [&] { server.async_drain(100ms, [&] { drained = true; }); });
  first.run_for(patience);
  CHECK(second.stopped());
  CHECK(drained);
}

TEST_CASE("a request that came while the loop was busy, before it drains, is answered", "[scenario][WIRE-9]") {
  ServedAll served({.one_thread = GENERATE(true, false)});
  served.start();
  auto client = served.connect();
  if (GENERATE(true, false)) {  // the first one, or one of a kept-alive connection
    client.send(request_text("GET", "/c"));
    REQUIRE(client.read_response().status == 200);
  }
  REQUIRE(served.connections(1));
  served.loop.run_on([&] {
    client.send(request_text("GET", "/c"));
    served.server.async_drain(1h, [] {});
  });
  const auto answer = client.read_response();
  CHECK(answer.status == 200);
  CHECK(answer.lists("Connection", "close"));
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

TEST_CASE("coroutines that outlast the drain's time are cancelled, and none goes on after it", "[scenario][lifetime]") {
  const bool one_thread = GENERATE(false, true);
  const auto* const method = GENERATE("authorizer", "handler", "fallback", "WebSocket");
  INFO(method << ", one thread: " << one_thread);
  Channel channel;
  Loop loop;
  auto server = std::make_unique<Server<ShortPolling, WebSocket>>(
      loop.context(), ServerOptions{.endpoint = {.one_thread = one_thread}});
  server->route("/c", channel);
  Event begun;
  Event drained;
  std::atomic<int> ended{0};
  std::atomic<int> late{0};
  const auto outlast = [&] { return outlast_the_drain(begun, ended, late); };
  const std::string_view what = method;
  if (what == "authorizer") {
    server->authorize([&](const RequestHead&) -> net::awaitable<Decision> {
      co_await outlast();
      co_return allow();
    });
  } else if (what == "fallback") {
    server->fallback([&](const HttpRequest&) -> net::awaitable<HttpResponse> {
      co_await outlast();
      co_return HttpResponse{};
    });
  } else {
    server->on_message("/c", [&](Peer, Inbound) { return outlast(); });
  }
  server->start();
  std::optional<Connection> client;
  std::optional<WebSocketClient> socket;
  if (what == "WebSocket") {
    socket.emplace(server->port(), "/c");
    socket->send_text("x");
  } else {
    client.emplace(server->port());
    client->send(request_text(what == "handler" ? "POST" : "GET", what == "fallback" ? "/nowhere" : "/c"));
  }
  REQUIRE(begun.wait());
  server->async_drain(50ms, [&] {
    server.reset();
    drained.set();
  });
  CHECK(drained.wait());
  CHECK(eventually([&] { return ended == 1; }));
  CHECK(late == 0);
}

TEST_CASE("coroutines whose clients have gone are cancelled by the drain as well", "[scenario][lifetime]") {
  Channel channel;
  Loop loop;
  auto server = std::make_unique<Server<WebSocket>>(loop.context());
  server->route("/c", channel);
  Event begun;
  Event drained;
  std::atomic<int> ended{0};
  std::atomic<int> late{0};
  server->on_message("/c", [&](Peer, Inbound) { return outlast_the_drain(begun, ended, late); });
  server->start();
  WebSocketClient client(server->port(), "/c");
  client.send_text("x");
  REQUIRE(begun.wait());
  server->async_drain(100ms, [&] { drained.set(); });
  CHECK(client.closes().close_code() == 1001);
  client.connection().close();
  CHECK(drained.wait());
  CHECK(eventually([&] { return ended == 1; }));
  CHECK(late == 0);
}

TEST_CASE("a drain lets a slow client finish the message that it has begun", "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  SseClient reading(slow_connection(served.port()), "/c");
  reading.open();
  const auto id = served.publish(std::string(large, 'x'));
  served.drain(6s);
  CHECK(reading.next_event().id == id);
  CHECK(reading.ends());
  reading.connection().close();
  CHECK(served.drained());
}

TEST_CASE("what a client has not taken when the drain's time is over is cut off", "[scenario][WIRE-9]") {
  Draining served;
  served.start();
  SseClient stuck(slow_connection(served.port()), "/c");
  stuck.open();
  Connection half(served.port());
  half.send("GET /c HTT");
  REQUIRE(served.publisher.publish({.data = std::string(2 * large, 'x')}));
  served.drain(100ms);
  CHECK(served.drained());
  CHECK(served.channel.subscriber_count() == 0);
  CHECK(stuck.connection().closed_by_peer());
  CHECK(half.closed_by_peer());
  CHECK(served.loop.finish());
}
