#include <chrono>
#include <future>
#include <mutex>
#include <string>
#include <vector>

#include <downlink/downlink.hpp>

#include "support/catch.hpp"
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
  // Forty delays at random in one second, half of the drain's time.
  CHECK(ends.back() - ends.front() > 200ms);
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
